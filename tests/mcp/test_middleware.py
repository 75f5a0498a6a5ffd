"""The session middleware: what an application finds in its scope, and what becomes of what it changes there."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

from e2e.mcp_shop import Process, seen, shop
from e2e.mcp_world import call, request
from e2e.wire import PATIENCE, Exchange, Lifespan, Wire
from holdfast._asgi import Message, Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.model import Reason
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.mcp import McpSessionMiddleware, asgi
from holdfast.mcp.kinds import SESSION
from stores.stores import Place


def put(**values: Any) -> Callable[[Scope], Any]:
    """Return a handler that keeps these."""

    def handler(scope: Scope) -> Any:
        scope["mcp.session"].update(values)
        return None

    return handler


async def rows(process: Process) -> int:
    return len([1 async for _ in process.manager.each("all", b"")])


async def version(process: Process, named: dict[str, str]) -> int:
    return (await process.manager.load(named["mcp-session-id"], kind=SESSION)).record.version


async def test_what_an_application_keeps_is_there_with_the_next_request_at_any_process(place: Place) -> None:
    # M22
    async with shop(place, 2) as (first, second):
        named = await first.open()
        before = await first.get(seen, **named)
        assert before.json == {"mcp.session_id": named["mcp-session-id"], "mcp.session": {}}
        await first.get(put(name="Ann", basket={"apples": [1, 2]}), **named)
        assert (await second.get(seen, **named)).json["mcp.session"] == {"name": "Ann", "basket": {"apples": [1, 2]}}
        await second.get(lambda scope: scope["mcp.session"]["basket"]["apples"].append(3), **named)
        assert (await first.get(seen, **named)).json["mcp.session"]["basket"] == {"apples": [1, 2, 3]}


async def test_tools_of_the_server_share_the_data_and_nothing_of_the_protocols_own_is_among_them(place: Place) -> None:
    async with shop(place, 2) as (first, second):
        named = await first.open()
        await first.get(put(basket=["apple"]), **named)
        said = await second.wire.post(call("put", article="pear"), **named)
        assert said.result["structuredContent"] == {"result": ["apple", "pear"]}
        assert (await first.get(seen, **named)).json["mcp.session"] == {"basket": ["apple", "pear"]}
        assert (await second.wire.post(request("ping"), **named)).status == 200


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (lambda data: data.update(a=2), {"a": 2, "b": {"c": [1]}}),
        (lambda data: data.pop("a"), {"b": {"c": [1]}}),
        (lambda data: data["b"]["c"].append({"d": 1}), {"a": 1, "b": {"c": [1, {"d": 1}]}}),
        (lambda data: data["b"].clear(), {"a": 1, "b": {}}),
        (lambda data: data.setdefault("z", None), {"a": 1, "b": {"c": [1]}, "z": None}),
        (lambda data: data.clear(), {}),
        (lambda data: data | {"not": "kept"}, {"a": 1, "b": {"c": [1]}}),
    ],
)
async def test_every_change_of_the_mapping_is_noticed_also_deep_inside(
    change: Callable[[Any], Any], after: dict[str, Any]
) -> None:
    # M22
    async with shop() as [process]:
        named = await process.open()
        await process.get(put(a=1, b={"c": [1]}), **named)

        def handler(scope: Scope) -> None:
            change(scope["mcp.session"])

        assert (await process.get(handler, **named)).status == 200
        assert (await process.get(seen, **named)).json["mcp.session"] == after


async def test_only_what_was_changed_is_written_unless_it_is_marked_by_hand() -> None:
    # M22, R24: the source's `mcp.session_modified`
    async with shop() as [process]:
        named = await process.open()
        await process.get(put(a=[1]), **named)
        before = await version(process, named)
        await process.get(seen, **named)
        await process.get(put(a=[1]), **named)
        assert await version(process, named) == before

        def mark(scope: Scope) -> None:
            scope["mcp.session_modified"] = True

        await process.get(mark, **named)
        assert await version(process, named) == before + 1


async def test_a_mapping_put_in_its_place_is_saved_and_none_is_not() -> None:
    # the source's `env['mcp.session'] = …`
    async with shop() as [process]:
        named = await process.open()
        await process.get(put(a=1), **named)

        def replace(scope: Scope) -> None:
            scope["mcp.session"] = {"b": 2}
            scope["mcp.session_modified"] = True

        await process.get(replace, **named)
        assert (await process.get(seen, **named)).json["mcp.session"] == {"b": 2}
        for wrong in (None, "text"):
            await process.get(lambda scope, wrong=wrong: scope.update({"mcp.session": wrong}), **named)
        await process.get(lambda scope: scope.pop("mcp.session") and None, **named)
        assert (await process.get(seen, **named)).json["mcp.session"] == {"b": 2}


async def test_with_an_id_of_no_session_there_is_the_id_alone_and_nothing_is_stored(place: Place) -> None:
    # M22, E3
    async with shop(place) as [process]:
        ended = await process.open()
        await process.manager.end(await process.manager.load(ended["mcp-session-id"], kind=SESSION), Reason.CLIENT)
        left = await rows(process)
        for unknown in (ended["mcp-session-id"], "a" * 43, "no id at all", "x" * 5000):

            def handler(scope: Scope) -> Any:
                scope["mcp.session_modified"] = True
                assert "mcp.session" not in scope
                scope["mcp.session"] = {"a": 1}
                return scope["mcp.session_id"]

            assert (await process.get(handler, mcp_session_id=unknown)).json == unknown
        assert await rows(process) <= left


async def test_requests_without_an_id_store_nothing(place: Place) -> None:
    # M22, R68
    async with shop(place) as [process]:
        for _ in range(100):
            assert (await process.get(seen)).json == {}
        assert await rows(process) == 0


async def test_two_requests_that_change_different_keys_at_once_both_win(place: Place) -> None:
    # R66, T15
    async with shop(place, 2) as (first, second):
        named = await first.open()
        await first.get(put(kept=True, gone=True), **named)

        async def meanwhile(scope: Scope) -> None:
            await second.get(put(theirs=1, both="theirs"), **named)
            await second.get(lambda other: other["mcp.session"].pop("gone") and None, **named)
            scope["mcp.session"].update(ours=2, both="ours")

        assert (await first.get(meanwhile, **named)).status == 200
        data = (await second.get(seen, **named)).json["mcp.session"]
        assert data == {"kept": True, "theirs": 1, "ours": 2, "both": "ours"}


async def test_who_wants_to_settle_a_conflict_is_asked_once_for_each_key_and_no_other() -> None:
    # R66: the policy is explicit
    asked: list[Any] = []

    def settle(key: str, theirs: Any, ours: Any) -> Any:
        asked.append((key, theirs, ours))
        return [*theirs, *ours]

    async with shop(count=2, on_conflict=settle) as (first, second):
        named = await first.open()
        await first.get(put(both=[], nested={"a": 1}), **named)

        async def meanwhile(scope: Scope) -> None:
            await second.get(put(both=["theirs"]), **named)
            scope["mcp.session"]["both"].append("ours")
            scope["mcp.session"]["nested"]["a"] = 2

        await first.get(meanwhile, **named)
        assert asked == [("both", ["theirs"], ["ours"])]
        assert (await first.get(seen, **named)).json["mcp.session"] == {"both": ["theirs", "ours"], "nested": {"a": 2}}


async def test_fifty_increments_at_once_are_fifty(place: Place) -> None:
    # R66, T15
    async with shop(place, 2) as both:
        named = await both[0].open()

        async def count(scope: Scope) -> int:
            def one_more(data: dict[str, Any]) -> int:
                data["count"] = data.get("count", 0) + 1
                return int(data["count"])

            return int(await scope["mcp.session"].change(one_more))

        for process in both:
            process.handler = count
        results: list[int] = []

        async def one(process: Process) -> None:
            results.append((await Wire(process.app, path="/x").send("GET", headers=named)).json)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(one, both[number % 2])
        assert sorted(results) == list(range(1, 51))
        assert (await both[0].get(seen, **named)).json["mcp.session"] == {"count": 50}


async def test_a_slow_request_does_not_bring_back_a_session_that_ended_meanwhile(place: Place) -> None:
    # T12, R38
    async with shop(place, 2) as (first, second):
        named = await first.open()

        async def ended(scope: Scope) -> None:
            assert (await second.wire.send("DELETE", headers=named)).status == 204
            scope["mcp.session"]["a"] = 1

        seen_by_client = await first.get(ended, **named)
        assert seen_by_client.status == 404
        assert seen_by_client.json["error"]["code"] in ("session_ended", "session_not_found")
        assert "mcp.session" not in (await second.get(seen, **named)).json


async def test_the_answer_begins_only_once_all_is_saved_and_ends_only_once_the_rest_is() -> None:
    # "commit once, just before the first byte leaves"
    kept: list[Any] = []

    async with shop() as [process]:
        named = await process.open()

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            data = scope["mcp.session"]
            data["step"] = 1
            await send({"type": "http.response.start", "status": 200, "headers": []})
            data["step"] = 2
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            data["step"] = 3
            await send({"type": "http.response.body", "body": b"y"})
            data["step"] = 4

        async def looked(message: Message) -> None:
            session = await process.manager.load(named["mcp-session-id"], kind=SESSION)
            kept.append((message["type"], session.content["data step"]))

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            await McpSessionMiddleware(stream, sessions_of=process.mcp)(scope, receive, looked)

        await Wire(watched).send("GET", headers=named)
        assert kept == [("http.response.start", 1), ("http.response.body", 1), ("http.response.body", 3)]
        assert (await process.get(seen, **named)).json["mcp.session"] == {"step": 4}


async def test_an_application_that_fails_saves_nothing() -> None:
    async with shop() as [process]:
        named = await process.open()

        def fail(scope: Scope) -> None:
            scope["mcp.session"]["a"] = 1
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            await process.get(fail, **named)
        assert (await process.get(seen, **named)).json["mcp.session"] == {}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "status", "code", "named_in_it"),
    [
        ({"a": "x" * 2_000_000}, 413, "payload_too_large", "1048576"),
        ({f"k{n}": n for n in range(1001)}, 400, "bad_input", "1000"),
        ({"k" * 257: 1}, 400, "bad_input", "256"),
        ({1: 1}, 400, "bad_input", "text"),
        ({"a": nested(33)}, 400, "bad_input", "'a'"),
        ({"a": nested(10_000)}, 400, "bad_input", "'a'"),
        ({"a": object()}, 400, "bad_input", "object"),
        ({"a": 2**80}, 400, "bad_input", "'a'"),
        ({"a": "\ud800"}, 400, "bad_input", "'a'"),
        ({"\ud800": 1}, 400, "bad_input", "key"),
    ],
)
async def test_what_cannot_be_kept_is_refused_in_place_of_the_answer_and_the_old_data_stay(
    data: dict[Any, Any], status: int, code: str, named_in_it: str
) -> None:
    # R67, T17, E6
    async with shop() as [process]:
        named = await process.open()
        await process.get(put(kept=1), **named)

        def handler(scope: Scope) -> str:
            scope["mcp.session"].update(data)
            return "done"

        answer = await process.get(handler, **named)
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
        assert named_in_it in answer.json["error"]["message"]
        assert (await process.get(seen, **named)).json["mcp.session"] == {"kept": 1}
        assert (await process.get(put(a=nested(32), kept=2), **named)).status == 200


async def test_what_cannot_be_saved_any_more_breaks_the_answer_off() -> None:
    # who has got the whole answer may rely on it
    async with shop() as [process]:
        named = await process.open()

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            scope["mcp.session"]["a"] = object()
            await send({"type": "http.response.body", "body": b"y"})

        exchange: list[Message] = []

        async def taken(message: Message) -> None:
            exchange.append(message)

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(Exception, match="cannot be kept"):
                await McpSessionMiddleware(stream, sessions_of=process.mcp)(scope, receive, taken)

        await Wire(wrapped).send("GET", headers=named)
    assert [message.get("body") for message in exchange] == [None, b"x"]


async def test_another_principals_session_is_unknown_and_so_is_every_session_without_the_token() -> None:
    # M12
    class Staff:
        async def verify(self, token: str) -> Identity:
            if token not in ("ann", "bob"):
                raise InvalidToken("nobody")
            return Identity(issuer="staff", subject=token, scopes=frozenset({"buy"}), authenticated_at=1000.0)

    async with shop(verifier=Staff()) as [process]:
        named = await process.open(authorization="Bearer ann")
        await process.get(put(a=1), **named)
        mine = (await process.get(seen, **named)).json
        assert mine["mcp.session"] == {"a": 1}
        # M23
        assert (mine["mcp.session_user_id"], mine["mcp.session_scopes"]) == ("ann", ["buy"])
        assert mine["mcp.session_authenticated_at"] == 1000.0
        for others in ({"authorization": "Bearer bob"}, {"authorization": "Bearer eve"}, {"authorization": ""}):
            assert (await process.get(seen, **{**named, **others})).json == {"mcp.session_id": named["mcp-session-id"]}
        assert (await process.get(seen, authorization="Bearer ann")).json == {}


async def test_the_id_is_read_where_the_endpoint_reads_it() -> None:
    # M7
    async with shop() as [process]:
        named = await process.open()
        id_ = named["mcp-session-id"]
        found = {"mcp.session_id": id_, "mcp.session": {}}
        assert (await process.get(seen, x_session_id=id_)).json == found
        assert (await process.get(seen, x_session_id=id_, mcp_session_id=id_)).json == found
        assert (await process.get(seen, path=f"/shop?session_id={id_}")).json == {}
        assert (await process.get(seen, last_event_id=id_)).json == {}
        modern = {"mcp-protocol-version": "2026-07-28"}
        assert (await process.get(seen, **named, **modern)).json == {}
        two = await process.get(seen, x_session_id="b" * 43, **named)
        assert (two.status, two.json["error"]["code"]) == (400, "bad_input")
    async with shop(dialect="fast-mcp") as [process]:
        id_ = (await process.open())["mcp-session-id"]
        assert (await process.get(seen, path=f"/shop?session_id={id_}")).json["mcp.session_id"] == id_
        assert (await process.get(seen, path=f"/shop?session_id={id_}", x_session_id="b" * 43)).status == 400


async def test_in_the_dialect_a_session_taken_over_gets_a_fresh_id_that_the_answer_names() -> None:
    # M13
    async with shop(dialect="fast-mcp", token="s3cret") as [process]:
        session = await process.manager.open(SESSION, {"version": "2025-03-26", "data a": 1}, client="127.0.0.1")
        answer = await process.get(seen, x_session_id=str(session.id), authorization="Bearer s3cret")
        fresh = answer.headers["mcp-session-id"]
        assert fresh != session.id
        assert (answer.json["mcp.session_id"], answer.json["mcp.session"]) == (fresh, {"a": 1})
        assert (
            "mcp.session"
            not in (await process.get(seen, x_session_id=str(session.id), authorization="Bearer s3cret")).json
        )


async def test_while_the_store_is_away_requests_with_an_id_are_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # E26, R69
    async with shop() as [process]:
        named = await process.open()

        async def away(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable("the store does not answer")

        for method in ("load", "merge"):
            with monkeypatch.context() as patched:
                patched.setattr(process.manager, method, away)
                answer = await process.get(put(a=1), **named)
                assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
                assert int(answer.headers["retry-after"]) > 0
                assert (await process.get(seen)).status == 200


async def test_requests_count_in_their_sessions_rate() -> None:
    async with shop(settings=Settings(rate_limit_per_session=1, rate_burst=16)) as [process]:
        named = await process.open()
        answers = [await process.get(seen, **named) for _ in range(40)]
        assert {answer.status for answer in answers} == {200, 429}
        assert "retry-after" in answers[-1].headers


async def test_an_endpoint_behind_the_middleware_looks_for_the_session_and_counts_the_request_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with shop(settings=Settings(rate_limit_per_session=1, rate_burst=16)) as [process]:
        named = await process.open()
        loads, load = 0, process.manager.load

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal loads
            loads += 1
            return await load(*args, **options)

        monkeypatch.setattr(process.manager, "load", counted)
        answers = [await process.wire.post(request("ping"), **named) for _ in range(15)]  # one was `initialized`
        assert {answer.status for answer in answers} == {200}
        assert loads == len(answers)
        assert (await process.wire.post(request("ping"), **named)).status == 429


async def test_a_session_taken_over_is_the_same_for_an_endpoint_behind() -> None:
    # M13: the old id is dead at once, but not for the request that named it
    async with shop(dialect="fast-mcp", token="s3cret") as [process]:
        session = await process.manager.open(SESSION, {"version": "2025-03-26"}, client="127.0.0.1")
        headers = {"x_session_id": str(session.id), "authorization": "Bearer s3cret"}
        answer = await process.wire.post(request("ping"), **headers)
        assert (answer.status, answer.headers["mcp-session-id"] != session.id) == (200, True)
        assert (await process.wire.post(request("ping"), **headers)).status == 404


async def test_another_servers_endpoint_behind_does_not_take_the_session_for_its_own() -> None:
    async with shop() as [process], shop() as [other]:
        named = await process.open()
        mixed = Wire(McpSessionMiddleware(other.mcp, sessions_of=process.mcp))
        assert (await mixed.post(request("ping"), **named)).status == 404


# -- WebSockets


class Socket:
    """A WebSocket to an application, without a wire."""

    def __init__(self, app: Any, headers: dict[str, str]) -> None:
        self._app, self.sent = app, list[Message]()
        self._scope = {
            "type": "websocket",
            "path": "/socket",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 5),
        }
        self._to, self._from = anyio.create_memory_object_stream[Message](10)
        self._changed = anyio.Event()

    async def run(self) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)
            self._changed.set()
            self._changed = anyio.Event()

        await self._app(self._scope, self._from.receive, send)
        self._to.close()
        self._from.close()

    async def say(self, message: Message) -> None:
        await self._to.send(message)

    async def until(self, count: int) -> None:
        with anyio.fail_after(PATIENCE):
            while len(self.sent) < count:
                await self._changed.wait()


async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    """Count what is said."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        data = scope["mcp.session"]
        data["said"] = object() if message["text"] == "bad" else [*data.get("said", []), message["text"]]
        await send({"type": "websocket.send", "text": message["text"]})


async def test_a_websocket_has_its_session_and_each_answer_is_sent_once_the_data_are_saved() -> None:
    async with shop() as [process], anyio.create_task_group() as tasks:
        named = await process.open()
        socket = Socket(McpSessionMiddleware(chat, sessions_of=process.mcp), named)
        tasks.start_soon(socket.run)
        await socket.say({"type": "websocket.connect"})
        for number, text in enumerate(("a", "b"), 2):
            await socket.say({"type": "websocket.receive", "text": text})
            await socket.until(number)
        assert (await process.get(seen, **named)).json["mcp.session"] == {"said": ["a", "b"]}
        await socket.say({"type": "websocket.receive", "text": "bad"})
        await socket.until(4)
        await socket.say({"type": "websocket.disconnect", "code": 1011})
    assert [message["type"].partition(".")[2] for message in socket.sent] == ["accept", "send", "send", "close"]
    assert (socket.sent[-1]["code"], socket.sent[-1]["reason"]) == (1008, "bad_input")


async def test_a_websocket_is_closed_when_its_session_ends_at_another_process() -> None:
    # R37
    async with shop(count=2) as (first, second), anyio.create_task_group() as tasks:
        named = await first.open()
        socket = Socket(McpSessionMiddleware(chat, sessions_of=first.mcp), named)
        tasks.start_soon(socket.run)
        await socket.say({"type": "websocket.connect"})
        await socket.until(1)
        assert (await second.wire.send("DELETE", headers=named)).status == 204
        await socket.until(2)
    assert (socket.sent[-1]["type"], socket.sent[-1]["code"]) == ("websocket.close", 1008)


async def test_a_websocket_whose_client_has_left_is_not_closed_again_and_what_it_changed_last_is_saved() -> None:
    async def leave(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        scope["mcp.session"]["left"] = True
        if scope["path"] == "/socket":
            await process.manager.end(await process.manager.load(named["mcp-session-id"], kind=SESSION), Reason.ADMIN)
            await anyio.sleep(0)

    async with shop() as [process]:
        for path, sent in (("/other", ["websocket.accept"]), ("/socket", ["websocket.accept"])):
            named = await process.open()
            socket = Socket(McpSessionMiddleware(leave, sessions_of=process.mcp), named)
            socket._scope["path"] = path
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(socket.run)
                await socket.say({"type": "websocket.connect"})
                await socket.say({"type": "websocket.disconnect", "code": 1000})
            assert [message["type"] for message in socket.sent] == sent
            kept = (await process.get(seen, **named)).json.get("mcp.session")
            assert kept == ({"left": True} if path == "/other" else None)


async def test_a_websocket_with_two_ids_is_refused_and_one_without_a_session_is_the_applications() -> None:
    async def hello(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "subprotocol": scope.get("mcp.session_id")})

    async with shop() as [process]:
        named = await process.open()
        sockets = [
            Socket(McpSessionMiddleware(hello, sessions_of=process.mcp), headers)
            for headers in ({**named, "x-session-id": "b" * 43}, {"x-session-id": "b" * 43}, {})
        ]
        for socket in sockets:
            await socket.run()
    assert [socket.sent[0]["type"].partition(".")[2] for socket in sockets] == ["close", "accept", "accept"]
    assert [socket.sent[0].get("subprotocol") for socket in sockets] == [None, "b" * 43, None]


# -- how it is put together


def starlette(mcp: Any) -> Starlette:
    async def basket(request: Request) -> JSONResponse:
        request.scope["mcp.session"].setdefault("articles", []).append("apple")
        return JSONResponse(request.scope["mcp.session"])

    async def slow(request: Request) -> StreamingResponse:
        async def body() -> Any:
            request.scope["mcp.session"]["streamed"] = True
            yield b"x"

        return StreamingResponse(body())

    return Starlette(routes=[Route("/basket", basket), Route("/slow", slow), Mount("/", mcp)])


async def test_around_starlette_the_sessions_open_and_close_with_its_lifespan() -> None:
    mcp = asgi([], settings=Settings(), calm_gc=False)
    app = McpSessionMiddleware(starlette(mcp), sessions_of=mcp)
    lifespan, process = Lifespan(app), Process(mcp)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        assert mcp._opened.value is not None
        named = await Process.open(process)
        for number in (1, 2):
            answer = await Wire(app, path="/basket").send("GET", headers=named)
            assert answer.json == {"articles": ["apple"] * number}
        assert (await Wire(app, path="/slow").send("GET", headers=named)).body == b"x"
        assert (await process.get(seen, **named)).json["mcp.session"]["streamed"] is True
        lifespan.stop()
    assert lifespan.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert mcp._opened.value is None


async def test_an_application_that_runs_the_server_itself_is_left_to_it() -> None:
    mcp = asgi([], settings=Settings(), calm_gc=False)
    lifespan = Lifespan(McpSessionMiddleware(mcp, sessions_of=mcp))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        assert mcp._opened._host is None
        lifespan.stop()
    assert lifespan.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_sessions_that_cannot_be_opened_fail_the_start() -> None:
    mcp = asgi([], settings=Settings(), store="redis://127.0.0.1:1", calm_gc=False)  # no key for a shared store
    lifespan = Lifespan(McpSessionMiddleware(starlette(mcp), sessions_of=mcp))
    with pytest.raises(ConfigurationError, match="sealing key"):
        await lifespan.run()
    assert lifespan.said == ["lifespan.startup.failed"]


async def test_a_process_without_the_server_has_its_sessions_by_the_store(tmp_path: Any) -> None:
    url, settings = f"sqlite:///{tmp_path / 'sessions.db'}", Settings()
    mcp = asgi([], store=url, settings=settings, calm_gc=False)
    other = Process(mcp)
    answers: list[Exchange] = []
    async with mcp.running():
        named = await other.open()
        app = McpSessionMiddleware(other.answer, store=url, settings=settings)
        try:
            other.handler = put(a=1)
            answers.append(await Wire(app).send("GET", headers=named))
        finally:
            await app._sessions.aclose()
        assert (await other.get(seen, **named)).json["mcp.session"] == {"a": 1}
    assert answers[0].status == 200


def test_options_beside_sessions_of_and_unknown_ones_are_errors() -> None:
    mcp = asgi([], settings=Settings())
    with pytest.raises(ConfigurationError, match="store"):
        McpSessionMiddleware(mcp, sessions_of=mcp, store="memory://")
    with pytest.raises(ConfigurationError, match="stroe"):
        McpSessionMiddleware(mcp, stroe="memory://")


async def test_other_scopes_pass_through() -> None:
    passed: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope["type"])

    async with shop() as [process]:
        await McpSessionMiddleware(app, sessions_of=process.mcp)({"type": "webtransport"}, None, None)  # type: ignore[arg-type]
    assert passed == ["webtransport"]
