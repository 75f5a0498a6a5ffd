"""Security events over the wire: one log line, one audit entry, one count, with who, where from and why (E34)."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from e2e.mcp_world import Worker, World, handshake, initialize, request, world
from e2e.wire import JSON_HEADERS, Wire
from holdfast.config import Settings
from holdfast.core.events import Fact
from holdfast.core.kinds import Limits
from holdfast.core.model import Policy, Reason
from holdfast.mcp.kinds import KINDS, SESSION
from holdfast.observe import AuditTrail, Counts, LogLines, Sinks
from holdfast.web.address import Proxies
from holdfast.web.bearer import StaticBearer
from holdfast.web.rates import Rates

PROXY, CLIENT = "10.0.0.1", "203.0.113.9"
STREAM_ONLY = {"accept": "text/event-stream"}


class Case:
    """One client of one worker, seen through a trusted proxy, and what was told of it."""

    def __init__(self, made: World, worker: Worker, counts: Counts, audit: Path) -> None:
        self.made, self.worker, self.counts, self._audit = made, worker, counts, audit
        self.wire = Wire(worker.endpoint, client=PROXY, authorization="Bearer a", x_forwarded_for=f"6.6.6.6, {CLIENT}")
        self.named: dict[str, str] = {}

    @property
    def session_id(self) -> str:
        return self.named["mcp-session-id"]

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._audit.read_text().splitlines()]

    async def ping(self, **headers: str) -> int:
        named = {**self.named, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return (await self.wire.post(request("ping"), **named)).status

    async def session(self) -> Any:
        return await self.worker.manager.load(self.session_id, kind=SESSION)


@asynccontextmanager
async def case(folder: Path, **settings: Any) -> AsyncIterator[Case]:
    trail, counts = AuditTrail(folder / "audit.jsonl"), Counts()
    async with world(0) as made:
        made.sink = Sinks(LogLines(), trail, counts)  # type: ignore[assignment]
        rates = Rates(made.store.counters, Settings(**settings), clock=made.clock)
        worker = await made.add(
            bearer=StaticBearer("a", principal="alice"), proxies=Proxies(["10.0.0.0/8"]), rates=rates
        )
        made_case = Case(made, worker, counts, folder / "audit.jsonl")
        made_case.named = await handshake(made_case.wire)
        yield made_case
    trail.close()


async def unknown(case: Case) -> int:
    return await case.ping(mcp_session_id=case.worker.manager.ids.generate())


async def malformed(case: Case) -> int:
    return await case.ping(mcp_session_id="a-secret-that-is-no-id")


async def foreign(case: Case) -> int:
    manager = case.worker.manager
    theirs = await manager.open(SESSION, {"version": "2025-11-25"}, owner="bob")
    return await case.ping(mcp_session_id=theirs.id or "")


async def two_ids(case: Case) -> int:
    pairs = [*({**JSON_HEADERS, **case.wire.headers, **case.named}.items()), ("mcp-session-id", "another")]
    return (await case.wire.send("POST", request("ping"), headers=pairs)).status


async def logon(case: Case) -> int:
    return await case.ping(authorization="Bearer guessed")


async def limit(case: Case) -> int:
    kinds = {kind.name: kind for kind in KINDS}
    full = msgspec.structs.replace(kinds[SESSION], limits=Limits(per_client=1, policy=Policy.REJECT))
    case.worker.manager.kinds[SESSION] = full
    return (await case.wire.post(initialize())).status


async def second_stream(case: Case) -> int:
    headers = {**case.wire.headers, **case.named, **STREAM_ONLY}
    async with case.wire.open("GET", headers=headers):
        return (await case.wire.send("GET", headers=headers)).status


async def unreadable(case: Case) -> int:
    record = (await case.session()).record
    poisoned = msgspec.structs.replace(record, payload=b"\x80\x04N.")
    await case.made.store.sessions.replace(poisoned, now=case.made.clock())
    assert await case.ping() == 404
    return await case.ping()


async def forced(case: Case) -> int:
    await case.worker.manager.end(await case.session(), Reason.ADMIN)
    return 0


async def rotation(case: Case) -> int:
    case.named["mcp-session-id"] = await case.worker.manager.rotate(await case.session())
    return await case.ping()


@pytest.mark.parametrize(
    ("cause", "fact", "status", "more"),
    [
        (unknown, Fact.UNKNOWN_ID, 404, {"kind": "mcp"}),
        (malformed, Fact.UNKNOWN_ID, 404, {"kind": "mcp", "mark": "a-secret", "detail": "malformed"}),
        (foreign, Fact.FOREIGN_ID, 404, {"kind": "mcp"}),
        (two_ids, Fact.TWO_IDS, 400, {}),
        (logon, Fact.LOGON_FAILED, 401, {"owner": None, "client": CLIENT}),
        (limit, Fact.LIMIT_REACHED, 429, {"kind": "mcp"}),
        (second_stream, Fact.LIMIT_REACHED, 409, {"kind": "stream", "client": "alice"}),
        (unreadable, Fact.UNREADABLE, 404, {"kind": "mcp"}),
        (forced, Fact.FORCED_END, 0, {"kind": "mcp", "reason": "admin"}),
        (rotation, Fact.ROTATED, 200, {"kind": "mcp"}),
    ],
)
async def test_each_event_is_told_once_with_who_where_from_and_why(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    cause: Callable[[Case], Awaitable[int]],
    fact: Fact,
    status: int,
    more: dict[str, Any],
) -> None:
    with caplog.at_level(logging.WARNING, logger="holdfast.events"):
        async with case(tmp_path) as made:
            assert await cause(made) == status
            [entry] = made.audited()
            lines = [json.loads(record.message) for record in caplog.records if record.name == "holdfast.events"]
            assert lines == [entry]
            assert made.counts.of[fact] == 1
            whole = [made.session_id, "guessed", "another", "no-id"]
    expected = {"fact": fact.value, "owner": "alice", "client": "alice", "address": CLIENT} | more
    assert {name: entry.get(name) for name in expected} == expected
    assert len(entry.get("mark", "")) <= 8
    assert not any(secret in str(entry) for secret in whole)


# -- rates


async def test_a_session_that_sends_too_much_gets_429_until_it_may_go_on_and_others_are_served(tmp_path: Path) -> None:
    # E13
    async with case(tmp_path, rate_limit_per_session=60, rate_burst=5) as made:
        other = await handshake(made.wire)
        statuses = [await made.ping() for _ in range(5)]  # the handshake was one
        assert statuses == [200] * 4 + [429]
        seen = await made.wire.post(request("ping", number="x"), **made.named)
        assert (seen.status, seen.headers["retry-after"], seen.json["id"]) == (429, "1", "x")
        assert seen.json["error"]["data"]["code"] == "rate_limited"
        for method in ("GET", "DELETE"):
            refused = await made.wire.send(method, headers={**made.wire.headers, **made.named, **STREAM_ONLY})
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert (await made.wire.post(request("ping"), **other)).status == 200
        made.made.clock.advance(1.0)
        assert await made.ping() == 200
        entries = made.audited()
        assert {entry["fact"] for entry in entries} == {"rate_limited"}
        assert len(entries) == made.counts.of[Fact.RATE_LIMITED] == 4
        told = {name: entries[0][name] for name in ("mark", "owner", "client", "address", "detail")}
        assert told == {
            "mark": made.session_id[:8],
            "owner": "alice",
            "client": "alice",
            "address": CLIENT,
            "detail": "too many requests of one session",
        }


async def test_a_client_that_sends_too_much_gets_429_whatever_it_sends(tmp_path: Path) -> None:  # E13
    async with case(tmp_path, rate_limit_per_client=60, rate_burst=4) as made:  # the handshake was two
        assert [await unknown(made) for _ in range(3)] == [404, 404, 429]
        assert (await made.wire.post(initialize())).status == 429
        assert (await made.wire.post(b"{}")).status in (400, 429)
        assert {entry["fact"] for entry in made.audited()} == {"unknown_id", "rate_limited"}


async def test_a_batch_counts_as_the_messages_in_it(tmp_path: Path) -> None:  # E13
    async with case(tmp_path, rate_limit_per_session=60, rate_burst=10) as made:
        old = await handshake(made.wire, "2025-03-26")
        batch = [request("ping", number=number) for number in range(6)]
        statuses = [(await made.wire.post(batch, **old)).status for _ in range(2)]
        assert statuses == [200, 429]


async def test_rates_are_counted_over_all_workers_and_clients_without_a_name_by_their_address() -> None:  # E13
    async with world(0) as made:
        for _ in range(2):
            settings = Settings(rate_limit_per_client=60, rate_burst=6)
            await made.add(rates=Rates(made.store.counters, settings, clock=made.clock))
        statuses: dict[str, list[int]] = {}
        for client in ("192.0.2.1", "192.0.2.2"):
            for number in range(8):
                wire = Wire(made.workers[number % 2].endpoint, client=client)
                statuses.setdefault(client, []).append((await wire.post(initialize())).status)
        assert statuses == {client: [200] * 6 + [429] * 2 for client in statuses}
