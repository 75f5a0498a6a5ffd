"""The 2024-11-05 transport: its stream, its messages at any worker, its guard, its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from e2e.mcp_shop import shop
from e2e.mcp_world import Worker, World, call, echo, initialize, notification, request, texts, world
from e2e.wire import PATIENCE, Exchange, Wire
from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.model import Policy, Reason
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.mcp import asgi
from holdfast.mcp.decision import (
    OLD_MESSAGES_TABLE,
    OLD_STREAM_TABLE,
    Body,
    Facts,
    Named,
    Place,
    Refusal,
    Route,
    decide,
)
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.web.bearer import StaticBearer
from stores.stores import Place as StorePlace

OLDEST = "2024-11-05"


class Old:
    """One client: its stream, and the way its messages take."""

    def __init__(self, stream: Exchange, address: str) -> None:
        self.stream, self.address = stream, address
        self.id = parse_qs(urlsplit(address).query)["session_id"][0]

    @property
    def messages(self) -> list[Any]:
        return [event.message for event in self.stream.events if event.name == "message"]

    async def say(self, worker: Worker, body: Any, **headers: str) -> Exchange:
        return await posted(worker, self.address, body, **headers)

    async def result(self, worker: Worker, body: Any, **headers: str) -> Any:
        """Send a request and return its result, which comes on the stream."""
        assert (await self.say(worker, body, **headers)).status == 202
        await self.stream.until(lambda _: self._answers(body["id"]))
        return self._answers(body["id"])[0]

    def _answers(self, number: int) -> list[Any]:
        return [one for one in self.messages if isinstance(one, dict) and one.get("id") == number]


def at(worker: Worker, place: Place, path: str, **options: Any) -> Wire:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await worker.endpoint(scope, receive, send, place=place)

    return Wire(app, path=path, **options)


async def posted(worker: Worker, address: str, body: Any, **headers: str) -> Exchange:
    """Send a message; the answer counts once it is whole, what follows it runs on."""
    return await at(worker, Place.OLD_MESSAGES, address).post(body, **headers)


@asynccontextmanager
async def client(worker: Worker, **headers: str) -> AsyncIterator[Old]:
    """Open a stream, and leave it with the block."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    wire = at(worker, Place.OLD_STREAM, "/sse")
    async with wire.open("GET", headers={**named, "accept": "text/event-stream"}) as stream:
        await stream.until(lambda seen: seen.events)
        assert stream.events[0].name == "endpoint"
        yield Old(stream, stream.events[0].data)


async def live(made: World) -> int:
    """Return how many sessions there are."""
    return len([1 async for record in made.workers[0].manager.each("all", b"") if record.kind == SESSION])


async def test_the_stream_says_where_messages_go_and_carries_what_comes_of_them_from_any_worker() -> None:
    # item 7, M6
    async with world(2) as made:
        first, second = made.workers
        async with client(first) as old:
            assert old.address.startswith("/sse/messages?session_id=")
            greeted = await old.result(second, initialize(OLDEST))
            assert greeted["result"]["protocolVersion"] == OLDEST
            assert (await old.say(second, notification("notifications/initialized"))).status == 202
            for number, worker in enumerate((first, second, second), 1):
                said = await old.result(worker, call("echo", number, text=f"word {number}"))
                assert texts(said["result"]) == [f"word {number}"]
            who = await old.result(second, call("whoami", 9))
            assert texts(who["result"]) == [f"nobody test legacy {OLDEST} True"]
        assert all(event.id is None for event in old.stream.events)


@pytest.mark.parametrize(("asked", "given"), [("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")])
async def test_newer_revisions_are_spoken_over_the_old_transport_too(asked: str, given: str) -> None:
    # both SDKs' clients of this transport ask for their newest revision
    async with world() as made, client(made.workers[0]) as old:
        greeted = await old.result(made.workers[0], initialize(asked))
    assert greeted["result"]["protocolVersion"] == given


async def test_progress_comes_before_the_result_and_errors_come_on_the_stream() -> None:
    async with world() as made, client(made.workers[0]) as old:
        worker = made.workers[0]
        await old.result(worker, call("steps", 5, token=9))
        methods = [message.get("method") for message in old.messages]
        assert methods == ["notifications/progress"] * 2 + ["notifications/message"] * 2 + [None]
        assert (await old.result(worker, call("nobody", 6)))["error"]["code"] == -32602
        assert (await old.result(worker, request("no/such", number=7)))["error"]["code"] == -32601
        assert (await old.result(worker, request("initialize", {"x": 1}, 8)))["error"]["code"] == -32602
        big = initialize(OLDEST, experimental={"x": 2**70})
        assert "too large" in (await old.result(worker, big))["error"]["message"]


async def test_what_is_asked_of_the_client_may_be_answered_at_another_worker() -> None:
    # M16
    async with world(3) as made:
        first, second, third = made.workers
        async with client(first) as old, anyio.create_task_group() as tasks:
            tasks.start_soon(old.say, second, call("ask", 3, text="say it"))
            await old.stream.until(lambda _: old.messages)
            [question] = old.messages
            assert question["params"] == {"message": "say it"}
            answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"content": {"word": "yes"}}}
            assert (await old.say(third, answer)).status == 202
            await old.stream.until(lambda _: len(old.messages) == 2)
            assert texts(old.messages[1]["result"]) == ["yes"]


async def test_a_message_is_accepted_before_its_request_is_done_and_can_be_withdrawn() -> None:
    async with world(2) as made:
        first, second = made.workers
        async with client(first) as old, anyio.create_task_group() as tasks:
            exchange = at(second, Place.OLD_MESSAGES, old.address).begin(tasks, "POST", call("wait", 8))
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await exchange.until(lambda seen: seen.status == 202)
                await old.say(first, notification("notifications/cancelled", {"requestId": 8}))
                await made.gate.cancelled.wait()
        assert old.messages == []


async def test_a_batch_of_the_old_revision_is_answered_as_one_and_of_a_newer_one_refused() -> None:
    async with world() as made, client(made.workers[0]) as old:
        worker = made.workers[0]
        batch = [request("ping", number=1), notification("notifications/initialized"), request("no/such", number=2)]
        assert (await old.say(worker, batch)).status == 202
        await old.stream.until(lambda _: old.messages)
        assert [answer["id"] for answer in old.messages[0]] == [1, 2]
        assert (await old.say(worker, [notification("notifications/initialized")])).status == 202
        await old.result(worker, initialize("2025-11-25"))
        assert (await old.say(worker, batch)).status == 400


async def test_the_session_is_the_stream_it_is_counted_and_ends_with_it_at_every_worker() -> None:
    async with world(2) as made:
        first, second = made.workers
        async with client(first) as old:
            assert await live(made) == 1
            session = await second.manager.load(old.id, kind=SESSION)
            assert len(await second.manager.children(session.ref, STREAM)) == 1
        assert (await old.say(second, request("ping"))).status == 404
        assert made.sink.events[-1].mark == old.id[:8]


async def test_a_running_call_is_cancelled_when_its_stream_is_left() -> None:
    # nobody could come back for its result
    async with world(2) as made:
        first, second = made.workers
        async with anyio.create_task_group() as tasks:
            async with client(first) as old:
                at(second, Place.OLD_MESSAGES, old.address).begin(tasks, "POST", call("wait", 8))
                with anyio.fail_after(PATIENCE):
                    await made.gate.entered.wait()
            with anyio.fail_after(PATIENCE):
                await made.gate.cancelled.wait()


async def test_an_open_stream_keeps_its_session_and_one_left_by_a_dead_worker_is_gone_in_a_minute() -> None:
    async with world(2, keep_alive=0.01) as made:
        first, second = made.workers
        async with client(first) as old:
            for _ in range(3):
                made.clock.advance(50)
                seen = old.stream.body.count(b": keep-alive")
                await old.stream.until(lambda stream, seen=seen: stream.body.count(b": keep-alive") >= seen + 2)
            assert (await old.say(second, notification("notifications/x"))).status == 202
    async with world(2) as made:
        first, second = made.workers
        session = await first.manager.open(
            SESSION,
            {"version": OLDEST, "transport": OLDEST},
            client="127.0.0.1",
            clocks=first.endpoint._old._clocks(),  # type: ignore[attr-defined]
        )
        made.clock.advance(59)
        assert (await posted(second, f"/sse/messages?session_id={session.id}", request("ping"))).status == 202
        made.clock.advance(61)
        assert (await posted(second, f"/sse/messages?session_id={session.id}", request("ping"))).status == 404


async def test_a_sliding_session_keeps_its_clocks_and_is_not_kept_by_its_stream_alone() -> None:
    # M9: who only listens is asked to show that somebody is there
    async with (
        shop(sse_path="/sse", session_timeout=600) as [process],
        Wire(process.mcp, path="/sse").open("GET") as stream,
    ):
        await stream.until(lambda seen: seen.events)
        session = await process.manager.load(stream.events[0].data.partition("=")[2], kind=SESSION)
    assert (session.record.sliding, session.record.idle) == (600, 1800)


async def test_streams_end_when_the_session_is_ended_or_the_server_stops() -> None:
    # M18
    async with world(2) as made:
        first, second = made.workers
        async with client(first) as ended, client(first) as stopped:
            await second.manager.end(await second.manager.load(ended.id, kind=SESSION), Reason.ADMIN)
            await ended.stream.until(lambda seen: seen.ended)
            first.endpoint.stop()
            await stopped.stream.until(lambda seen: seen.ended)
            assert (await stopped.say(first, request("ping"))).status == 503
            assert (await stopped.say(second, request("ping"))).status == 404
            late = await at(first, Place.OLD_STREAM, "/sse").send("GET")
        assert (late.status, late.json["error"]["data"]["code"]) == (503, "server_draining")


async def test_another_principal_gets_the_answer_of_an_unknown_id() -> None:
    # M12
    async with world() as made:
        alice = await made.add(bearer=StaticBearer("a", principal="alice"))
        bob = await made.add(bearer=StaticBearer("b", principal="bob"))
        async with client(alice, authorization="Bearer a") as old:
            foreign = await old.say(bob, request("ping"), authorization="Bearer b")
            unknown = await posted(
                bob, f"/sse/messages?session_id={'a' * 43}", request("ping"), authorization="Bearer b"
            )
            nobody = await old.say(alice, request("ping"))
            assert (await old.result(alice, request("ping", number=4), authorization="Bearer a"))["result"] == {}
    assert (foreign.status, nobody.status) == (404, 401)
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)


async def test_sessions_of_the_endpoint_take_no_messages_here() -> None:
    # mcp.md §2: the paths are not to be mixed
    async with world() as made:
        worker = made.workers[0]
        opened = await worker.wire.post(initialize())
        seen = await posted(worker, f"/sse/messages?session_id={opened.headers['mcp-session-id']}", request("ping"))
    assert seen.status == 404


async def test_full_limits_refuse_the_stream() -> None:
    # M10, E11
    async with world() as made:
        worker = made.workers[0]
        clocks, limits = worker.manager.rules(SESSION)
        worker.manager._overrides = {
            ("", SESSION): (clocks, type(limits)(per_client=1, policy=Policy.REJECT)),
        }
        async with client(worker):
            seen = await at(worker, Place.OLD_STREAM, "/sse").send("GET")
    assert (seen.status, seen.json["error"]["data"]["code"]) == (429, "limit_reached")


async def test_a_result_waits_for_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    # E26
    monkeypatch.setattr("holdfast.mcp.old_sse.STORE_DOWN_S", 0.0)
    async with world() as made, client(made.workers[0]) as old:
        worker, left = made.workers[0], 3
        push = worker.endpoint._streams.push

        async def away(*args: Any) -> None:
            nonlocal left
            left -= 1
            if left:
                raise StoreUnavailable("the store does not answer")
            await push(*args)

        monkeypatch.setattr(worker.endpoint._streams, "push", away)
        assert (await old.result(worker, request("ping", number=4)))["result"] == {}


async def test_a_result_is_given_up_when_the_store_stays_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("holdfast.mcp.old_sse.LOG_PATIENCE_S", 0.0)
    async with world() as made, client(made.workers[0]) as old:

        async def away(*args: Any) -> None:
            raise StoreUnavailable("the store does not answer")

        monkeypatch.setattr(made.workers[0].endpoint._streams, "push", away)
        assert (await old.say(made.workers[0], request("ping", number=4))).status == 202
    assert f"session {old.id[:8]}" in caplog.text
    assert old.id not in caplog.text


ONE = {"session": Named.ONE, "body": Body.REQUEST}
TABLES = [
    (Place.OLD_STREAM, {"method": "GET"}, Route.OLD_STREAM),
    (Place.OLD_STREAM, {"method": "GET", "trusted": False}, 403),
    (Place.OLD_STREAM, {"method": "POST", "body": Body.INITIALIZE}, 405),
    (Place.OLD_STREAM, {"method": "DELETE"}, 405),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE}, Route.OLD_MESSAGE),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "trusted": False}, 403),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "body": Body.UNREADABLE}, 400),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "body": Body.INVALID}, 400),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "session": Named.TWO}, 400),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "session": Named.NONE}, 400),
    (Place.OLD_MESSAGES, {"method": "POST", **ONE, "session": Named.DEAD}, 404),
    (Place.OLD_MESSAGES, {"method": "GET"}, 405),
]


@pytest.mark.parametrize(("place", "facts", "expected"), TABLES)
async def test_each_row_of_the_old_tables_is_answered_as_it_says(
    place: Place, facts: dict[str, Any], expected: Route | int
) -> None:
    # M1, for the paths of this transport
    then = decide(Facts(place=place, **facts))
    assert (then.status if isinstance(then, Refusal) else then) == expected
    if not isinstance(then, Refusal):
        return
    bodies = {Body.UNREADABLE: b"{", Body.INVALID: b"{}", Body.NONE: None}
    body = bodies.get(facts.get("body", Body.NONE), request("ping"))
    headers = {} if facts.get("trusted", True) else {"origin": "http://evil.example"}
    async with world() as made, client(made.workers[0]) as old:
        ids = {Named.ONE: [old.id], Named.TWO: [old.id, "b" * 43], Named.DEAD: ["a" * 43]}.get(facts.get("session"), [])
        query = "&".join(f"session_id={one}" for one in ids)
        wire = at(made.workers[0], place, f"/sse?{query}")
        seen = await wire.send(facts["method"], body, headers={"content-type": "application/json", **headers})
    assert seen.status == then.status
    if then.allow:
        assert seen.headers["allow"] == then.allow
    if then.number is not None:
        assert seen.json["error"]["code"] == then.number


def test_every_row_of_the_old_tables_is_asked_for() -> None:
    decided = {(place, str(decide(Facts(place=place, **facts)))) for place, facts, _ in TABLES}
    rows = {(Place.OLD_STREAM, str(row.then)) for row in OLD_STREAM_TABLE}
    rows |= {(Place.OLD_MESSAGES, str(row.then)) for row in OLD_MESSAGES_TABLE}
    assert decided == rows


async def test_it_is_mounted_beside_the_endpoint_on_request() -> None:
    app = asgi([echo], settings=Settings(), sse_path="/old/sse/")
    async with app.running():
        assert (await Wire(app, path="/mcp").post(initialize())).status == 200
        async with Wire(app, path="/old/sse").open("GET") as stream:
            await stream.until(lambda seen: seen.events)
            address = stream.events[0].data
            assert address.startswith("/old/sse/messages?session_id=")
            assert (await Wire(app, path=address).post(request("ping"))).status == 202
            await stream.until(lambda seen: len(seen.events) == 2)
    async with asgi([echo], settings=Settings()).running() as endpoint:
        assert endpoint is not None
    with pytest.raises(ConfigurationError, match="in the way"):
        asgi([echo], settings=Settings(), sse_path="/mcp/")


async def test_large_answers_reach_the_stream_from_another_process_in_their_order(place: StorePlace) -> None:
    # item 7, on every store
    async with shop(place, 2, sse_path="/sse") as (first, second):
        async with Wire(first.mcp, path="/sse").open("GET") as stream:
            await stream.until(lambda seen: seen.events)
            old = Wire(second.mcp, path=stream.events[0].data)
            assert (await old.post(initialize(OLDEST))).status == 202
            articles = [f"{number}" * 20_000 for number in range(5)]
            for number, article in enumerate(articles, 1):
                assert (await old.post(call("put", number, article=article))).status == 202
            await stream.until(lambda seen: len(seen.events) == 7)
            answers = [event.message for event in stream.events[2:]]
            assert [answer["id"] for answer in answers] == [1, 2, 3, 4, 5]
            assert answers[-1]["result"]["structuredContent"] == {"result": articles}
        assert (await old.post(request("ping"))).status == 404
