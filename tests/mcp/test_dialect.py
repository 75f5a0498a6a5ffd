"""The source's dialect beside the protocol: sessions opened by GET, their other names, and what dead ones get."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from e2e.mcp_world import World, call, handshake, initialize, modern, notification, request, texts, world
from e2e.wire import JSON_HEADERS, PATIENCE, Exchange, Wire
from holdfast.core.events import Fact
from holdfast.core.model import Reason
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.rules import SessionRules
from holdfast.web.bearer import StaticBearer

STREAM = {"accept": "text/event-stream"}
DIALECT = SessionRules(dialect=True)
STRANGE = ("a" * 43, "../etc/passwd", "", "x" * 5000, "null")


def names(seen: Exchange) -> list[str]:
    return [event.name for event in seen.events]


def data(seen: Exchange, name: str) -> Any:
    return next(event.message for event in seen.events if event.name == name)


def at(wire: Wire, query: str) -> Wire:
    """Return the same endpoint with a query."""
    return Wire(wire.app, path=f"/mcp?{query}")


async def begun(stream: Exchange) -> str:
    await stream.until(lambda seen: "endpoint" in names(seen))
    return str(data(stream, "session")["session_id"])


async def test_a_get_without_an_id_opens_a_session_and_says_where_to_send_to() -> None:
    # M8
    async with world(2, rules=DIALECT) as made:
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
            assert stream.headers["content-type"] == "text/event-stream"
            assert names(stream) == ["session", "endpoint"]
            assert stream.events[1].data == "/mcp"
            ends = datetime.strptime(data(stream, "session")["expires_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            assert ends.timestamp() == made.clock.now + 1800  # M28: the earliest of the clocks
            seen = await second.post(call("echo", text="no handshake"), x_session_id=session_id)
            listed = await second.post(request("tools/list"), mcp_session_id=session_id)
    assert len(session_id) == 43
    assert texts(seen.result) == ["no handshake"]
    assert listed.status == 200


async def test_the_session_outlives_its_stream_and_is_resumed_under_any_of_its_names() -> None:
    # M7, M8, M9
    async with world(2, rules=DIALECT) as made:
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
        named: list[tuple[Wire, dict[str, str]]] = [
            (second, {"x-session-id": session_id}),
            (second, {"mcp-session-id": session_id}),
            (at(second, f"session_id={session_id}"), {}),
            (at(second, f"a=b&session_id={session_id}&c"), {"x-session-id": session_id}),
        ]
        for wire, headers in named:
            async with wire.open("GET", headers={**STREAM, **headers}) as stream:
                await stream.until(lambda seen: seen.events)
                assert names(stream) == ["session-resumed"]
                assert data(stream, "session-resumed")["session_id"] == session_id
            assert (await wire.send("POST", call("echo", text="x"), headers={**JSON_HEADERS, **headers})).status == 200


async def test_two_different_ids_in_one_request_are_refused_wherever_they_stand() -> None:
    # M7, R11
    async with world(rules=DIALECT) as made:
        wire = made.workers[0].wire
        async with wire.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
        other = "b" * 43
        for asked, headers in (
            (wire, {"x-session-id": session_id, "mcp-session-id": other}),
            (at(wire, f"session_id={session_id}"), {"x-session-id": other}),
            (at(wire, f"session_id={session_id}&session_id={other}"), {}),
            (at(wire, f"session_id={session_id}&session_id="), {}),
        ):
            for method, body in (("POST", request("ping")), ("POST", initialize()), ("GET", None), ("DELETE", None)):
                seen = await asked.send(method, body, headers={**JSON_HEADERS, **headers})
                assert (seen.status, seen.json["error"]["code"]) == (400, -32600), (method, body)
    assert len(made.sink.of(Fact.TWO_IDS)) == 16


async def test_a_query_names_a_session_only_in_the_dialect() -> None:
    # M7: ids in URLs leak
    async with world() as made:
        wire = made.workers[0].wire
        session_id = (await handshake(wire))["mcp-session-id"]
        assert (await at(wire, f"session_id={session_id}").post(request("ping"))).status == 400
        assert (await at(wire, f"session_id={'b' * 43}").post(request("ping"), mcp_session_id=session_id)).status == 200
        assert (await wire.send("GET", headers=STREAM)).status == 400


async def test_a_last_event_id_is_no_id_in_the_dialect_either() -> None:
    # M7, R12
    async with world(rules=DIALECT) as made:
        wire = made.workers[0].wire
        async with wire.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
        async with wire.open("GET", headers={**STREAM, "last-event-id": session_id}) as stream:
            assert await begun(stream) != session_id
        seen = await wire.post(call("whoami"), last_event_id=session_id)
    assert texts(seen.result) == ["nobody ? legacy 2025-03-26 False"]


async def test_a_request_without_a_session_is_served_alone() -> None:
    # M8: the source's server asks for none
    async with world(rules=DIALECT) as made:
        wire = made.workers[0].wire
        seen = await wire.post(call("whoami"))
        assert (await wire.post(notification("notifications/x"))).status == 202
        assert not made.sink.of(Fact.OPENED)
    assert texts(seen.result) == ["nobody ? legacy 2025-03-26 False"]


@pytest.mark.parametrize("accept", ["application/json", ""])
async def test_a_post_that_takes_json_alone_or_names_nothing_gets_json(accept: str) -> None:
    # M28
    async with world(rules=DIALECT) as made:
        wire = made.workers[0].wire
        async with wire.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
        headers = {**JSON_HEADERS, "accept": accept, "x-session-id": session_id}
        if not accept:
            del headers["accept"]
        seen = await wire.send("POST", call("steps"), headers=headers)
    assert seen.headers["content-type"] == "application/json"
    assert texts(seen.result) == ["done"]


async def dead_ids(made: World) -> list[str]:
    mine, theirs = (worker.wire for worker in made.workers)
    expired = await handshake(mine, authorization="Bearer mine")
    foreign = await handshake(theirs, authorization="Bearer theirs")
    ended = await handshake(mine, authorization="Bearer mine")
    await mine.send("DELETE", headers=ended)
    made.clock.advance(1000)
    await theirs.post(request("ping"), **foreign)
    made.clock.advance(800)
    assert (await theirs.post(request("ping"), **foreign)).status == 200
    return [*STRANGE, *(one["mcp-session-id"] for one in (expired, foreign, ended))]


async def test_a_get_with_a_dead_id_is_a_stream_that_says_so_whatever_is_wrong_with_it() -> None:
    # M28
    async with world(rules=DIALECT, bearer=StaticBearer("mine")) as made:
        await made.add(rules=DIALECT, bearer=StaticBearer("theirs"))
        wire = made.workers[0].wire
        answers, seen = [], Exchange()
        for session_id in await dead_ids(made):
            headers = {**STREAM, "authorization": "Bearer mine", "x-session-id": session_id}
            seen = await wire.send("GET", headers=headers)
            assert seen.ended
            answers.append((seen.status, seen.headers, seen.body))
    assert answers[0][0] == 200
    assert answers[0][1]["content-type"] == "text/event-stream"
    assert all(answer == answers[0] for answer in answers)
    assert names(seen) == ["session-expired", "error"]
    assert "session_not_found" in seen.events[1].data


@pytest.mark.parametrize(("method", "body"), [("POST", request("ping")), ("DELETE", None)])
async def test_every_other_request_with_a_dead_id_gets_404_with_session_not_found(method: str, body: Any) -> None:
    # M28
    async with world(rules=DIALECT, bearer=StaticBearer("mine")) as made:
        await made.add(rules=DIALECT, bearer=StaticBearer("theirs"))
        wire = made.workers[0].wire
        answers, seen = [], Exchange()
        for session_id in await dead_ids(made):
            headers = {**JSON_HEADERS, "authorization": "Bearer mine", "x-session-id": session_id}
            seen = await wire.send(method, body, headers=headers)
            answers.append((seen.status, seen.headers, seen.body))
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)
    assert seen.json["error"]["data"] == {"code": "session_not_found"}


async def test_initialize_with_the_id_of_a_get_settles_that_session() -> None:
    # M8
    async with world(2, rules=DIALECT) as made:
        first, second = made.workers
        async with first.wire.open("GET", headers=STREAM) as stream:
            session_id = await begun(stream)
            opened = await second.wire.post(initialize(), x_session_id=session_id)
            assert opened.headers["mcp-session-id"] == session_id
            seen = await first.wire.post(call("whoami"), x_session_id=session_id)
            stale = await second.wire.post(initialize(), x_session_id="c" * 43)
        session = await first.manager.load(session_id, kind=SESSION)
    assert texts(seen.result) == ["nobody test legacy 2025-11-25 True"]
    assert session.content["client"] == {"name": "test", "version": "1"}
    assert stale.status == 200
    assert stale.headers["mcp-session-id"] not in (session_id, "c" * 43)


async def test_the_protocol_itself_is_spoken_as_ever_beside_the_dialect() -> None:
    # M1: both eras
    async with world(rules=DIALECT) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        assert texts((await wire.post(call("echo", text="legacy"), **named)).result) == ["legacy"]
        seen = await modern(at(wire, "session_id=x"), call("whoami"))
        assert texts(seen.result) == ["nobody test modern 2026-07-28 False"]
        assert (await wire.send("GET", headers={**STREAM, "mcp-protocol-version": "2026-07-28"})).status == 405


async def test_the_fourth_connection_gets_429_and_the_others_are_told() -> None:
    # M11
    async with world(2, rules=DIALECT) as made:
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as one:
            named = {"x-session-id": await begun(one), **STREAM}
            async with second.open("GET", headers=named) as two, first.open("GET", headers=named) as three:
                for wire in (first, second):
                    fourth = await wire.send("GET", headers=named)
                    assert (fourth.status, fourth.json["error"]["data"]) == (429, {"code": "limit_reached"})
                    assert "retry-after" in fourth.headers
                for stream in (one, two, three):
                    await stream.until(lambda seen: names(seen).count("session-limit") == 2)
                    told = data(stream, "session-limit")
                    assert told["session_id"] == named["x-session-id"]
                    assert told["message"] == "Maximum connections per session reached"
            async with second.open("GET", headers=named) as again:
                assert again.status == 200


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        (SessionRules(dialect=True, connections=1), 1),
        (SessionRules(dialect=True, connections=5), 5),
        (SessionRules(connections=2), 2),
    ],
)
async def test_the_number_of_connections_is_a_setting(rules: SessionRules, most: int) -> None:
    # M10, M11
    async with world(rules=rules) as made, AsyncExitStack() as streams:
        wire = made.workers[0].wire
        named = {**await handshake(wire), **STREAM}
        for _ in range(most):
            stream = await streams.enter_async_context(wire.open("GET", headers=named))
            assert stream.status == 200
        assert (await wire.send("GET", headers=named)).status == (429 if rules.dialect else 409)


async def test_a_message_goes_out_on_exactly_one_of_several_streams() -> None:
    # M11
    async with world(3, rules=DIALECT) as made:
        first, second, third = made.workers
        async with first.wire.open("GET", headers=STREAM) as one:
            named = {"x-session-id": await begun(one), **STREAM}
            async with second.wire.open("GET", headers=named) as two, first.wire.open("GET", headers=named) as three:
                session = await third.manager.load(named["x-session-id"], kind=SESSION)
                for worker in made.workers:
                    await worker.endpoint.tell(session.ref, "notifications/tools/list_changed")

                def heard(seen: Exchange) -> int:
                    return names(seen).count("message")

                with anyio.fail_after(PATIENCE):
                    while sum(map(heard, (one, two, three))) < 3:
                        await anyio.sleep(0.005)
                assert sorted(map(heard, (one, two, three))) == [0, 0, 3]


async def test_a_session_that_ends_tells_all_its_streams_why() -> None:
    # M9
    async with world(2, rules=DIALECT) as made:
        first, second = made.workers
        async with first.wire.open("GET", headers=STREAM) as one:
            named = {"x-session-id": await begun(one), **STREAM}
            async with second.wire.open("GET", headers=named) as two:
                session = await first.manager.load(named["x-session-id"], kind=SESSION)
                await first.manager.end(session, Reason.ADMIN)
                for stream in (one, two):
                    await stream.until(lambda seen: seen.ended)
                    assert names(stream)[-1] == "session-expired"
                    assert data(stream, "session-expired")["reason"] == "admin"
