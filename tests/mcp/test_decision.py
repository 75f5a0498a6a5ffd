"""The decision table, row by row: as data, and over the wire."""

from contextlib import AsyncExitStack
from itertools import product
from typing import Any

import pytest

from e2e.mcp_world import LEGACY, META, MODERN, World, initialize, notification, request, world
from e2e.wire import JSON_HEADERS, Exchange
from holdfast.mcp.decision import TABLE, Body, Facts, Named, Refusal, Route, Row, Version, decide
from holdfast.mcp.rules import SessionRules

BODIES: dict[Body, Any] = {
    Body.NONE: None,
    Body.UNREADABLE: b"{",
    Body.INVALID: b"{}",
    Body.BATCH: [request("ping")],
    Body.INITIALIZE: initialize(),
    Body.REQUEST: request("ping"),
    Body.NOTIFICATION: notification("notifications/initialized"),
    Body.RESPONSE: {"jsonrpc": "2.0", "id": "x", "result": {}},
}
VERSIONS = {Version.LEGACY: LEGACY, Version.MODERN: MODERN, Version.UNKNOWN: "1999-01-01"}


def example(row: Row) -> Facts:
    """Return a request that only this row is about."""
    candidates = product(
        row.method or ("POST", "GET", "PUT"),
        (True,) if row.trusted is None else (row.trusted,),
        row.version or tuple(Version),
        row.session or tuple(Named),
        row.body or tuple(Body),
        row.meta or (Version.ABSENT, Version.MODERN, Version.UNKNOWN, Version.LEGACY),
        (False, True) if row.stateless is None else (row.stateless,),
        (False, True) if row.dialect is None else (row.dialect,),
        (False, True) if row.full is None else (row.full,),
    )
    for candidate in candidates:
        facts = Facts(*candidate)
        method, body, meta = facts.method, facts.body, facts.meta
        possible = (body is Body.NONE) == (method != "POST") and (
            meta is Version.ABSENT or body in (Body.REQUEST, Body.INITIALIZE)
        )
        if possible and next(one for one in TABLE if one.fits(facts)) is row:
            return facts
    raise AssertionError(f"no request is decided by {row}")


async def sent(made: World, facts: Facts) -> Exchange:
    """Send a request of which these facts hold."""
    wire = made.workers[0].wire
    headers = list(JSON_HEADERS.items())
    if facts.version is not Version.ABSENT:
        headers.append(("mcp-protocol-version", VERSIONS[facts.version]))
    if not facts.trusted:
        headers.append(("origin", "http://evil.example"))
    live = (await wire.post(initialize())).headers.get("mcp-session-id", "")
    ids = {Named.NONE: [], Named.ONE: [live], Named.TWO: [live, "b" * 43], Named.DEAD: ["a" * 43]}[facts.session]
    headers += [("mcp-session-id", value) for value in ids]
    body = BODIES[facts.body]
    if facts.meta is not Version.ABSENT:
        said = {**META, "io.modelcontextprotocol/protocolVersion": VERSIONS[facts.meta]}
        body = {**body, "params": {**body["params"], "_meta": said}}
        headers.append(("mcp-method", body["method"]))
    if facts.full:
        async with AsyncExitStack() as streams:
            for _ in range(3 if facts.dialect else 1):
                await streams.enter_async_context(wire.open("GET", headers=dict(headers)))
            return await wire.send(facts.method, headers=headers)
    if isinstance(decide(facts), Route) and facts.method == "GET":
        async with wire.open("GET", headers=dict(headers)) as stream:
            return stream
    return await wire.send(facts.method, body, headers=headers)


SEEN = {  # what each route looks like from outside
    Route.OPEN: lambda seen: seen.status == 200 and "mcp-session-id" in seen.headers,
    Route.LEGACY: lambda seen: seen.status in (200, 202),
    Route.BATCH: lambda seen: seen.status == 400 and b"no batches" in seen.body,  # this session is of a later revision
    Route.STATELESS: lambda seen: seen.status in (200, 202) and "mcp-session-id" not in seen.headers,
    Route.MODERN: lambda seen: seen.status == 404 and seen.json["error"]["code"] == -32601,  # ping was removed
    Route.ACCEPTED: lambda seen: seen.status == 202 and not seen.body,
    Route.STREAM: lambda seen: seen.status == 200 and seen.headers["content-type"] == "text/event-stream",
    Route.NEW_STREAM: lambda seen: [event.name for event in seen.events] == ["session", "endpoint"],
    Route.FAREWELL: lambda seen: [event.name for event in seen.events] == ["session-expired", "error"],
    Route.END: lambda seen: seen.status == 204,
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{'/'.join(row.method) or 'any'} {row.then}"[:70])
async def test_every_row_holds_over_the_wire(row: Row) -> None:
    # M1
    facts = example(row)
    async with world(stateless=facts.stateless, rules=SessionRules(dialect=facts.dialect)) as made:
        seen = await sent(made, facts)
    if isinstance(row.then, Route):
        assert SEEN[row.then](seen), (seen.status, seen.body)
        return
    assert seen.status == row.then.status, seen.body
    assert seen.headers.get("allow", "") == row.then.allow
    assert seen.json["error"]["code"] == row.then.number
    assert seen.json["error"]["message"]


def test_every_possible_request_is_decided() -> None:
    # M1
    yes_or_no, methods = (True, False), ("POST", "GET", "DELETE", "PUT")
    every = product(methods, yes_or_no, Version, Named, Body, Version, yes_or_no, yes_or_no, yes_or_no)
    decided = {facts: decide(Facts(*facts)) for facts in every}
    assert all(isinstance(then, Route | Refusal) for then in decided.values())


@pytest.mark.parametrize(
    ("facts", "expected"),
    [  # mcp.md §8, one line each; written down here a second time on purpose
        (Facts("POST", False), 403),
        (Facts("POST", body=Body.INITIALIZE), Route.OPEN),
        (Facts("POST", session=Named.ONE, body=Body.REQUEST), Route.LEGACY),
        (Facts("POST", version=Version.LEGACY, session=Named.ONE, body=Body.REQUEST), Route.LEGACY),
        (Facts("POST", body=Body.REQUEST), 400),
        (Facts("POST", body=Body.REQUEST, stateless=True), Route.STATELESS),
        (Facts("POST", session=Named.DEAD, body=Body.REQUEST), 404),
        (Facts("POST", version=Version.MODERN, body=Body.REQUEST, meta=Version.MODERN), Route.MODERN),
        (Facts("POST", True, Version.MODERN, Named.ONE, Body.REQUEST, Version.MODERN), Route.MODERN),
        (Facts("POST", True, Version.MODERN, Named.TWO, Body.REQUEST, Version.MODERN), Route.MODERN),
        (Facts("POST", body=Body.REQUEST, meta=Version.MODERN), -32020),
        (Facts("POST", True, Version.LEGACY, Named.ONE, Body.REQUEST, Version.MODERN), -32020),
        (Facts("POST", version=Version.MODERN, body=Body.REQUEST), -32602),
        (Facts("POST", version=Version.UNKNOWN, body=Body.REQUEST), -32022),
        (Facts("POST", True, Version.UNKNOWN, Named.ONE, Body.RESPONSE), -32022),
        (Facts("POST", version=Version.MODERN, body=Body.INITIALIZE, meta=Version.MODERN), -32601),
        (Facts("POST", version=Version.MODERN, body=Body.NOTIFICATION), Route.ACCEPTED),
        (Facts("GET", session=Named.ONE), Route.STREAM),
        (Facts("GET"), 400),
        (Facts("GET", session=Named.DEAD), 404),
        (Facts("GET", version=Version.MODERN, session=Named.ONE), 405),
        (Facts("DELETE", version=Version.MODERN, session=Named.ONE), 405),
        (Facts("DELETE", session=Named.ONE), Route.END),
        (Facts("DELETE", session=Named.DEAD), 404),
        (Facts("POST", session=Named.TWO, body=Body.REQUEST), 400),
        (Facts("PUT"), 405),
        (Facts("GET", session=Named.ONE, full=True), 409),
        (Facts("POST", session=Named.TWO, body=Body.INITIALIZE), 400),
        # M8, M11, M28: what the source's dialect has beside it
        (Facts("GET", dialect=True), Route.NEW_STREAM),
        (Facts("GET", dialect=True, stateless=True), 400),
        (Facts("GET", session=Named.ONE, dialect=True), Route.STREAM),
        (Facts("GET", session=Named.ONE, dialect=True, full=True), 429),
        (Facts("GET", session=Named.DEAD, dialect=True), Route.FAREWELL),
        (Facts("GET", session=Named.TWO, dialect=True), 400),
        (Facts("POST", session=Named.DEAD, body=Body.REQUEST, dialect=True), 404),
        (Facts("DELETE", session=Named.DEAD, dialect=True), 404),
        (Facts("POST", session=Named.ONE, body=Body.REQUEST, dialect=True), Route.LEGACY),
        (Facts("POST", body=Body.REQUEST, dialect=True), Route.STATELESS),
        (Facts("GET", version=Version.MODERN, dialect=True), 405),
        (Facts("GET", version=Version.UNKNOWN, dialect=True), -32022),
    ],
)
def test_the_table_says_what_the_specification_says(facts: Facts, expected: Route | int) -> None:
    # M1
    then = decide(facts)
    if isinstance(expected, Route):
        assert then is expected
    else:
        assert isinstance(then, Refusal)
        assert expected in (then.status, then.number)
