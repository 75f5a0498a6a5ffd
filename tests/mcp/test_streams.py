"""Streams: the session's own, those of calls, what goes over them, and how they end."""

from typing import Any

import anyio
import pytest

from e2e.mcp_world import World, call, handshake, notification, request, texts, world
from e2e.wire import JSON_HEADERS, PATIENCE, Exchange
from holdfast.core.model import Reason
from holdfast.errors import SessionEnded
from holdfast.mcp.inbox import WITHDRAWN_TOPIC
from holdfast.mcp.kinds import SESSION, STREAM

STREAM_ONLY = {"accept": "text/event-stream"}


async def stored_streams(made: World, named: dict[str, str]) -> int:
    manager = made.workers[0].manager
    session = await manager.load(named["mcp-session-id"], kind=SESSION)
    return len(await manager.children(session.ref, STREAM))


def comments(seen: Exchange) -> int:
    return seen.body.count(b": keep-alive\n\n")


async def test_a_session_has_one_stream_of_its_own_and_a_second_get_is_refused_at_any_worker() -> None:
    # mcp.md §8
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with first.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            for wire in (first, second):
                assert (await wire.send("GET", headers={**named, **STREAM_ONLY})).status == 409
            assert await stored_streams(made, named) == 1
        async with second.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert stream.status == 200


async def test_the_place_of_a_worker_that_was_killed_is_taken_at_once() -> None:
    async with world(2) as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        session = await worker.manager.load(named["mcp-session-id"], kind=SESSION)
        await worker.manager.open(STREAM, {"worker": "0" * 16}, parent=session, named=False)  # left by the dead
        async with made.workers[1].wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert stream.status == 200
            assert await stored_streams(made, named) == 1


async def test_a_notification_reaches_the_stream_from_any_worker_and_only_that_session() -> None:
    async with world(2) as made:
        first, second = made.workers
        named, other = await handshake(first.wire), await handshake(first.wire)
        session = await second.manager.load(named["mcp-session-id"], kind=SESSION)
        async with (
            first.wire.open("GET", headers={**named, **STREAM_ONLY}) as mine,
            first.wire.open("GET", headers={**other, **STREAM_ONLY}) as theirs,
        ):
            await second.endpoint.tell(session.ref, "notifications/tools/list_changed")
            await mine.until(lambda seen: seen.messages)
            assert mine.messages == [{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}]
            assert theirs.messages == []


async def test_the_stream_shows_that_it_is_alive_and_counts_as_use() -> None:
    # M17 (keep-alives), E7
    async with world(keep_alive=0.01) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        async with wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            for _ in range(3):
                made.clock.advance(1000)
                seen = comments(stream)
                await stream.until(lambda stream, seen=seen: comments(stream) >= seen + 2)
        made.clock.advance(1000)
        assert (await wire.post(request("ping"), **named)).status == 200


async def test_the_stream_ends_when_its_session_does_at_any_worker() -> None:
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        async with first.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            assert (await second.wire.send("DELETE", headers=named)).status == 204
            await stream.until(lambda seen: seen.ended)


async def test_all_streams_end_and_no_new_one_begins_when_the_server_stops() -> None:
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        async with worker.wire.open("GET", headers={**named, **STREAM_ONLY}) as stream:
            worker.endpoint.stop()
            await stream.until(lambda seen: seen.ended)
        late = await worker.wire.send("GET", headers={**named, **STREAM_ONLY})
    assert late.status == 503


async def test_a_get_that_takes_no_stream_is_refused() -> None:
    async with world() as made:
        named = await handshake(made.workers[0].wire)
        seen = await made.workers[0].wire.send("GET", headers={**named, "accept": "application/json"})
    assert seen.status == 406


@pytest.mark.parametrize("accept", ["application/json", "application/json;q=1", "", "application/*"])
async def test_a_client_that_takes_json_alone_gets_json_without_what_was_said_before(accept: str) -> None:
    # M28
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        headers = {**JSON_HEADERS, **named, "accept": accept}
        if not accept:
            del headers["accept"]
        seen = await wire.send("POST", call("steps", token=9), headers=headers)
    assert seen.headers["content-type"] == "application/json"
    assert texts(seen.result) == ["done"]


async def test_progress_and_logs_go_out_before_the_result_on_the_same_stream() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(call("steps", 5, token=9), **named)
    assert [message.get("method") for message in seen.messages] == [
        "notifications/progress",
        "notifications/progress",
        "notifications/message",
        "notifications/message",
        None,
    ]
    assert seen.messages[0]["params"] == {"progressToken": 9, "progress": 1, "total": 2, "message": "step 1"}
    assert (seen.messages[-1]["id"], texts(seen.result)) == (5, ["done"])


async def test_the_level_set_at_one_worker_filters_log_messages_at_another() -> None:
    # M6
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        await first.post(request("logging/setLevel", {"level": "warning"}), **named)
        seen = await second.post(call("steps"), **named)
    assert [message["params"]["level"] for message in seen.messages[:-1]] == ["error"]


async def test_streams_begin_with_a_place_to_come_back_to_since_2025_11_25_and_not_before() -> None:
    # M15
    async with world() as made:
        wire = made.workers[0].wire
        new = await wire.post(call("steps"), **await handshake(wire))
        old = await wire.post(call("steps"), **await handshake(wire, "2025-06-18"))
    priming = new.events[0]
    assert (priming.data, priming.retry) == ("", "1000")
    ids = [event.id for event in new.events]
    assert len(set(ids)) == len(ids)
    assert {str(one).split(".")[0] for one in ids} == {str(priming.id).split(".")[0]}
    assert all(event.id is None and event.data for event in old.events)


async def test_streams_are_used_for_everything_where_that_is_configured() -> None:
    async with world(answers="stream") as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(call("echo", text="x"), **named)
        failed = await wire.post(call("nobody"), **named)
    assert seen.headers["content-type"] == "text/event-stream"
    assert texts(seen.result) == ["x"]
    assert failed.messages[0]["error"]["code"] == -32602


async def test_what_is_asked_of_a_client_may_be_answered_at_another_worker() -> None:
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with first.open("POST", call("ask", 3, text="say it"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            [question] = stream.messages
            assert (question["method"], question["params"]) == ("elicitation/create", {"message": "say it"})
            answer = {
                "jsonrpc": "2.0",
                "id": question["id"],
                "result": {"action": "accept", "content": {"word": "yes"}},
            }
            assert (await second.post(answer, **named)).status == 202
            await stream.until(lambda seen: seen.ended)
            assert texts(stream.result) == ["yes"]


async def test_an_answer_from_another_session_is_not_taken() -> None:
    # MCP security page: session hijacking by injection
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named, foreign = await handshake(first), await handshake(first)
        async with first.open("POST", call("ask", 3, text="say it"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            answer = {"jsonrpc": "2.0", "id": stream.messages[0]["id"], "result": {"content": {"word": "evil"}}}
            for wire in (first, second):
                assert (await wire.post(answer, **foreign)).status == 202
            good = {**answer, "result": {"content": {"word": "good"}}}
            assert (await second.post(good, **named)).status == 202
            await stream.until(lambda seen: seen.ended)
            assert texts(stream.result) == ["good"]


async def test_a_client_that_answers_with_an_error_fails_the_question() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        async with wire.open("POST", call("ask", 3, text="say it"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            refusal = {"jsonrpc": "2.0", "id": stream.messages[0]["id"], "error": {"code": -1, "message": "no"}}
            await wire.post(refusal, **named)
            await stream.until(lambda seen: seen.ended)
            assert stream.messages[-1]["error"] == {"code": -1, "message": "no"}


async def test_a_client_may_withdraw_a_request_at_another_worker() -> None:
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with anyio.create_task_group() as tasks:
            exchange = first.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await second.post(notification("notifications/cancelled", {"requestId": 8}), **named)
                await made.gate.cancelled.wait()
                await exchange.until(lambda seen: seen.ended)
    assert (exchange.status, exchange.body) == (202, b"")


async def test_a_client_cannot_withdraw_the_request_of_another_session() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named, foreign = await handshake(wire), await handshake(wire)
        async with anyio.create_task_group() as tasks:
            exchange = wire.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await wire.post(notification("notifications/cancelled", {"requestId": 8}), **foreign)
                made.gate.open.set()
                await exchange.until(lambda seen: seen.ended)
    assert texts(exchange.result) == ["opened"]


async def test_a_running_call_is_cancelled_when_its_session_ends_at_another_worker() -> None:
    # E18
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        async with anyio.create_task_group() as tasks:
            exchange = first.wire.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                session = await second.manager.load(named["mcp-session-id"], kind=SESSION)
                await second.manager.end(session, Reason.ADMIN)
                await made.gate.cancelled.wait()
                await exchange.until(lambda seen: seen.ended)
    assert exchange.status == 404


async def test_a_call_goes_on_when_its_client_leaves_and_the_client_gets_the_rest_at_another_worker() -> None:
    # M15: in this era closing is not cancelling
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with anyio.create_task_group() as tasks:
            broken = first.begin(tasks, "POST", call("hang_up", 8, token=1), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await broken.until(lambda seen: len(seen.events) == 3)
                cursor = str(broken.events[1].id)
                async with second.open("GET", headers={**named, **STREAM_ONLY, "last-event-id": cursor}) as resumed:
                    await resumed.until(lambda seen: seen.messages)
                    made.gate.open.set()
                    await resumed.until(lambda seen: seen.ended)
    assert [event.id for event in resumed.events] == [f"{cursor[:16]}.{n}" for n in (3, 4, 5)]
    assert [message.get("params", {}).get("data") for message in resumed.messages] == ["before", "after", None]
    assert texts(resumed.result) == ["late"]
    assert len(broken.events) == 3


async def test_a_stream_of_another_session_cannot_be_resumed_nor_one_that_was_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # M14: nothing of another stream or principal
    monkeypatch.setattr("holdfast.mcp.journal.LINGER_S", 0.0)
    async with world() as made:
        wire = made.workers[0].wire
        named, foreign = await handshake(wire), await handshake(wire)
        received = await wire.post(call("steps"), **named)
        async with anyio.create_task_group() as tasks:
            broken = wire.begin(tasks, "POST", call("hang_up", 8), headers=named)
            await broken.until(lambda seen: len(seen.events) == 2)
            cursor = str(broken.events[0].id)
            name = str(received.events[0].id).partition(".")[0]
            session = await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION)
            with anyio.fail_after(PATIENCE):
                while await made.store.events.read(session.ref, name):
                    await anyio.sleep(0.001)
            answers = [
                await wire.send("GET", headers={**whose, **STREAM_ONLY, "last-event-id": last})
                for whose, last in ((foreign, cursor), (named, str(received.events[0].id)), (named, "nonsense"))
            ]
            made.gate.open.set()
    assert [answer.status for answer in answers] == [400, 400, 400]


async def test_a_silent_call_becomes_a_stream_before_anything_between_cuts_it() -> None:
    # M17 (keep-alives)
    async with world(keep_alive=0.01) as made:
        wire = made.workers[0].wire
        named = await handshake(wire, "2025-06-18")
        async with anyio.create_task_group() as tasks:
            exchange = wire.begin(tasks, "POST", call("wait", 8), headers=named)
            await exchange.until(lambda seen: comments(seen) >= 2)
            made.gate.open.set()
            await exchange.until(lambda seen: seen.ended)
    assert texts(exchange.result) == ["opened"]


async def test_a_call_that_has_begun_a_stream_ends_it_with_an_error_when_its_session_ends() -> None:
    # E18
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire, "2025-06-18")
        async with first.wire.open("POST", call("ask", 3, text="say it"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            assert (await second.wire.send("DELETE", headers=named)).status == 204
            await stream.until(lambda seen: seen.ended)
            assert stream.messages[-1]["error"]["data"]["code"] == "session_ended"


async def test_resuming_ends_when_the_session_does_or_the_server_stops() -> None:
    for how in ("delete", "stop"):
        async with world(2) as made:
            first, second = made.workers
            named = await handshake(first.wire)
            async with anyio.create_task_group() as tasks:
                broken = first.wire.begin(tasks, "POST", call("hang_up", 8), headers=named)
                await broken.until(lambda seen: len(seen.events) == 2)
                cursor = {"last-event-id": str(broken.events[0].id)}
                async with second.wire.open("GET", headers={**named, **STREAM_ONLY, **cursor}) as resumed:
                    await resumed.until(lambda seen: seen.messages)
                    if how == "delete":
                        await first.wire.send("DELETE", headers=named)
                    else:
                        second.endpoint.stop()
                    await resumed.until(lambda seen: seen.ended)
                made.gate.open.set()


async def test_a_primed_stream_whose_session_is_gone_ends_with_an_error_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # E18: the row may be closed and deleted before the call has heard of it
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        async with worker.wire.open("POST", call("ask", 3, text="say it"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)

            async def gone(*_: object, **__: object) -> int:
                raise SessionEnded("the node is gone")

            monkeypatch.setattr(made.store.events, "append", gone)
            assert (await worker.wire.send("DELETE", headers=named)).status == 204
            await stream.until(lambda seen: seen.ended)
            assert stream.messages[-1]["error"]["data"]["code"] == "session_ended"


async def test_a_store_that_fails_while_a_stream_shows_life_does_not_stop_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(keep_alive=0.01) as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        async with anyio.create_task_group() as tasks:
            with monkeypatch.context() as patched:
                failed = anyio.Event()

                async def down(*_: object, **__: object) -> int:
                    failed.set()
                    raise OSError("the store is down")

                patched.setattr(made.store.events, "append", down)
                exchange = worker.wire.begin(tasks, "POST", call("wait", 8), headers=named)
                with anyio.fail_after(PATIENCE):
                    await failed.wait()
            await exchange.until(lambda seen: comments(seen) >= 2)
            made.gate.open.set()
            await exchange.until(lambda seen: seen.ended)
        assert texts(exchange.result) == ["opened"]
    assert "could not show that it is alive" in caplog.text


async def test_a_letter_that_cannot_be_read_does_not_stop_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as made:
        worker = made.workers[0]
        await made.store.channel.publish(WITHDRAWN_TOPIC, b"of another release")
        named = await handshake(worker.wire)
        async with anyio.create_task_group() as tasks:
            exchange = worker.wire.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await worker.wire.post(notification("notifications/cancelled", {"requestId": 8}), **named)
                await made.gate.cancelled.wait()
        assert exchange.status == 202
    assert "could not be taken" in caplog.text


async def test_resuming_after_the_last_event_ends_at_once() -> None:
    # M14: there is nothing more to wait for
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with anyio.create_task_group() as tasks:
            broken = first.begin(tasks, "POST", call("hang_up", 8), headers=named)
            await broken.until(lambda seen: len(seen.events) == 2)
            made.gate.open.set()
        cursor = {"last-event-id": str(broken.events[0].id)}
        rest = await second.send("GET", headers={**named, **STREAM_ONLY, **cursor})
        cursor = {"last-event-id": str(rest.events[-1].id)}
        nothing = await second.send("GET", headers={**named, **STREAM_ONLY, **cursor})
    assert texts(rest.result) == ["late"]
    assert (nothing.status, nothing.events) == (200, [])


async def test_resuming_ends_when_the_stream_was_received_on_another_connection() -> None:
    # M14: the first connection was not broken after all, and its stream is forgotten with its last event
    async with world(2, keep_alive=0.01) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        async with first.open("POST", call("wait", 8), headers=named) as live:
            await live.until(lambda seen: seen.events)
            cursor = {"last-event-id": str(live.events[0].id)}
            async with second.open("GET", headers={**named, **STREAM_ONLY, **cursor}) as resumed:
                await made.workers[0].manager.store.events.trim(
                    (await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION)).ref,
                    cursor["last-event-id"].partition(".")[0],
                )
                await resumed.until(lambda seen: seen.ended)
            made.gate.open.set()
            await live.until(lambda seen: seen.ended)


async def test_a_stream_asked_for_just_before_the_server_stops_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # M18: nothing that the server has told to end may begin afterwards
    async with world() as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        load = worker.manager.load

        async def stopped_meanwhile(*args: Any, **options: Any) -> Any:
            worker.endpoint.stop()
            return await load(*args, **options)

        monkeypatch.setattr(worker.manager, "load", stopped_meanwhile)
        seen = await worker.wire.send("GET", headers={**named, **STREAM_ONLY})
    assert (seen.status, seen.messages) == (200, [])


async def test_an_id_used_twice_at_once_can_still_be_withdrawn() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        async with anyio.create_task_group() as tasks:
            wire.begin(tasks, "POST", call("wait", 8), headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                assert texts((await wire.post(call("whoami", 8), **named)).result)
                await wire.post(notification("notifications/cancelled", {"requestId": 8}), **named)
                await made.gate.cancelled.wait()
