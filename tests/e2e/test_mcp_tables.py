"""The tables of mcp.md §8 and §6.5 over HTTP at two processes: each row is one test for each setting.

A request goes to one process; what comes back is compared with the row, and so is what has become of a session that
the other process opened.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from e2e.mcp_tables import BOTH, CALLED, DEAD, ENDED, EXPIRED, FOREIGN, LIVE, ROWS, Ask, Row, text_is
from e2e.mcp_world import call, initialize, notification, request
from e2e.pair import Pair, two_processes

SERVER: Final = Path(__file__).with_name("table_server.py")
BASE: Final = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "authorization": "Bearer alice",
}
APART: Final = {("8.12", setting) for setting in BOTH} | {("8.13", "dialect")}  # rows with tests of their own, below


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Pair]]:
    """Return the two processes of a setting."""
    with ExitStack() as stack:

        @cache
        def of(setting: str) -> Pair:
            store = f"sqlite:///{tmp_path_factory.mktemp(setting) / 'sessions.db'}"
            return stack.enter_context(
                two_processes(lambda port: [sys.executable, str(SERVER), str(port), store, setting], store)
            )

        yield of


async def opened(pair: Pair, number: int, who: str = "alice") -> str:
    """Open a session at one of the processes; return its id."""
    named = {**BASE, "authorization": f"Bearer {who}"}
    answer = await pair.ask(number, "POST", initialize(), list(named.items()))
    session = str(answer.headers.get("mcp-session-id", ""))
    if session:
        named |= {"mcp-session-id": session}
        accepted = await pair.ask(number, "POST", notification("notifications/initialized"), list(named.items()))
        assert accepted.status_code == 202
    return session


async def ids(pair: Pair) -> dict[str, str]:
    """Return an id of each sort that a request may name: a session of this test, and dead ones of the module."""
    if not pair.known:
        made = {ENDED: await opened(pair, 0), EXPIRED: await opened(pair, 0), FOREIGN: await opened(pair, 0, "bob")}
        if made[ENDED]:
            named = {**BASE, "mcp-session-id": made[ENDED]}
            assert (await pair.ask(1, "DELETE", None, list(named.items()))).status_code == 204
            await pair.expire(made[EXPIRED][:8])
        pair.known |= made
    return {**pair.known, LIVE: await opened(pair, 0)}


def filled(ask: Ask, known: dict[str, str]) -> list[tuple[str, str]]:
    given = {**BASE, **dict(ask.head)}
    return [(name, known.get(value, value)) for name, value in given.items() if value is not None]


CASES: Final = [pytest.param(row, setting, id=f"{row.row}-{setting}") for row in ROWS for setting in row.settings]


@pytest.mark.parametrize(("row", "setting"), CASES)
async def test_a_row_holds(row: Row, setting: str, pairs: Callable[[str], Pair]) -> None:
    # M1, M8, M11, M28
    pair = pairs(setting)
    known = await ids(pair)
    before = len(await pair.sessions())
    bodies = set()
    for ask in row.asks:
        seen = await pair.ask(1, ask.method, ask.body, filled(ask, known))
        assert seen.status_code == row.status, (ask, seen.text)
        assert ("mcp-session-id" in seen.headers) == (row.headers.get("mcp-session-id") == "*"), "no id comes back"
        for name, value in row.headers.items():
            assert value in ("*", seen.headers.get(name))
        judge(row, ask, seen)
        bodies.add(seen.content)
    if row.row == "8.5":
        assert len(bodies) == 2, "one body for requests, one without an id for notifications"
    assert len(await pair.sessions()) - before == row.opened
    if known[LIVE]:
        again = await pair.ask(0, "POST", request("ping"), [*BASE.items(), ("mcp-session-id", known[LIVE])])
        assert again.status_code == (200 if row.lives else 404)


def judge(row: Row, ask: Ask, seen: Any) -> None:
    """Compare what came back with what the row says."""
    if row.number is None:
        if row.result is not None:
            assert row.result(last_of(seen)["result"]), seen.text
        if row.status in (202, 204):
            assert seen.content == b""
        return
    assert seen.headers["content-type"] == "application/json"
    error = seen.json()["error"]
    assert error["code"] == row.number
    assert ask.says in f"{error['message']} {error.get('data')}", error
    if row.code:
        assert error["data"]["code"] == row.code
    if row.data is not None:
        assert error["data"] == row.data
    readable = isinstance(ask.body, dict) and "id" in ask.body and seen.status_code not in (401, 403)
    if readable:
        assert seen.json()["id"] == ask.body["id"], "errors carry the request's id whenever it was readable"


def last_of(seen: Any) -> Any:
    """Return the answer, whichever form it has."""
    if seen.headers["content-type"] == "application/json":
        return seen.json()
    return msgspec.json.decode([line for line in seen.text.splitlines() if line.startswith("data: {")][-1][6:])


@pytest.mark.parametrize(("row", "setting", "most", "status", "code"), [
    pytest.param("8.12", "protocol", 1, 409, "stream_open", id="8.12-protocol"),
    pytest.param("8.12", "dialect", 3, 429, "limit_reached", id="8.12-dialect"),
])  # fmt: skip
async def test_a_valid_session_has_its_stream_the_rest_of_one_that_broke_and_no_more_than_it_may(
    row: str, setting: str, most: int, status: int, code: str, pairs: Callable[[str], Pair]
) -> None:
    # M1, M11
    pair = pairs(setting)
    session = await opened(pair, 0)
    named = {"authorization": "Bearer alice", "mcp-session-id": session}
    broken = await pair.ask(0, "POST", call("leave", 7, token=1), [*BASE.items(), ("mcp-session-id", session)])
    cursor = next(line[4:] for line in broken.text.splitlines() if line.startswith("id: "))
    async with pair.stream(1, {**named, "last-event-id": cursor}) as rest:
        assert (rest.answer.status_code, rest.answer.headers["content-type"]) == (200, "text/event-stream")
        text = await rest.rest()
    assert '"late"' in text
    async with AsyncExitStack() as streams:
        for number in range(most):
            stream = await streams.enter_async_context(pair.stream(number % 2, named))
            assert stream.answer.status_code == 200
            await stream.until(":")
        refused = await pair.ask(1, "GET", None, [*named.items(), ("accept", "text/event-stream")])
        assert refused.status_code == status
        assert refused.json()["error"]["code"] == -32600
        assert refused.json()["error"]["data"]["code"] == code
        assert "stream" in refused.json()["error"]["message"]
        assert ("retry-after" in refused.headers) is (status == 429)
    again = await pair.ask(0, "POST", request("ping"), [*BASE.items(), ("mcp-session-id", session)])
    assert again.status_code == 200


async def test_in_the_dialect_a_get_without_an_id_opens_a_session(pairs: Callable[[str], Pair]) -> None:
    # M8: row 8.13-dialect
    pair = pairs("dialect")
    before = len(await pair.sessions())
    async with pair.stream(0, {"authorization": "Bearer alice"}) as stream:
        assert stream.answer.status_code == 200
        text = await stream.until("event: endpoint\ndata: /mcp\n\n")
    session = msgspec.json.decode(text.partition("event: session\ndata: ")[2].partition("\n")[0])["session_id"]
    assert len(await pair.sessions()) - before == 1
    seen = await pair.ask(1, "POST", CALLED, [*BASE.items(), ("x-session-id", session)])
    assert text_is("x")(last_of(seen)["result"])


async def test_in_the_dialect_a_get_that_names_a_dead_id_is_told_so_on_a_stream(pairs: Callable[[str], Pair]) -> None:
    # M28: what the dialect makes of row 8.5 for GET; the protocol answers 404
    bodies = set()
    for setting, status in (("dialect", 200), ("protocol", 404)):
        pair = pairs(setting)
        known = await ids(pair)
        for dead in DEAD:
            named = {"authorization": "Bearer alice", "mcp-session-id": known.get(dead, dead)}
            seen = await pair.ask(1, "GET", None, [*named.items(), ("accept", "text/event-stream")])
            assert seen.status_code == status
            assert "session_not_found" in seen.text
            bodies.add(seen.content)
    assert len(bodies) == 2


def test_every_row_of_both_tables_has_a_test() -> None:
    # M1: fifteen rows each
    numbers = {*(f"8.{number}" for number in range(1, 16)), *(f"6.5.{number}" for number in range(1, 16))}
    tested = [(row.row, setting) for row in ROWS for setting in row.settings] + sorted(APART)
    assert len(tested) == len(set(tested)), "one test for a row and a setting"
    for setting in BOTH:
        assert {row for row, of in tested if of == setting} == numbers
