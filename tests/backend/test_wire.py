"""Sending once, bounded, and not cut off by the caller's end (E18)."""

import ssl
from contextlib import suppress

import anyio
import httpx2
import pytest

from holdfast.backend.errands import open_errands
from holdfast.backend.lanes import Lanes
from holdfast.backend.wire import AnswerLost, Call, Wire
from holdfast.errors import BackendUnavailable, LeaseLost


def transport(handler: object) -> httpx2.AsyncBaseTransport:
    return httpx2.MockTransport(handler)  # type: ignore[arg-type]


async def test_an_answer_that_does_not_come_in_time_is_lost() -> None:
    async def silent(_: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(2):
        with pytest.raises(AnswerLost, match="TimeoutError"):
            await Wire("http://x", transport(silent), timeout=0.05).send(Call(method="GET", path="/"), {})


async def test_a_request_once_sent_ends_by_its_answer_whatever_becomes_of_the_caller() -> None:
    # E18
    sent, answered, finished = anyio.Event(), anyio.Event(), anyio.Event()

    async def slow(_: httpx2.Request) -> httpx2.Response:
        sent.set()
        await answered.wait()
        finished.set()
        return httpx2.Response(200)

    wire = Wire("http://x", transport(slow))
    async with open_errands() as errands:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: errands.run(lambda: wire.send(Call(method="GET", path="/"), {})))
            await sent.wait()
            tasks.cancel_scope.cancel()
        assert not finished.is_set()
        answered.set()
    assert finished.is_set()


async def test_a_caller_who_leaves_is_let_go_at_once_and_the_result_handed_on() -> None:
    # E18
    started, release, left = anyio.Event(), anyio.Event(), []

    async def work() -> str:
        started.set()
        await release.wait()
        return "result"

    async def abandoned(result: str) -> None:
        left.append(result)

    async with open_errands() as errands:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: errands.run(work, left_alone=abandoned))
            await started.wait()
            with anyio.fail_after(1):
                tasks.cancel_scope.cancel()
        assert left == []
        release.set()
    assert left == ["result"]


async def test_errors_of_an_errand_reach_its_caller_and_nobody_else() -> None:
    async def fail() -> None:
        raise BackendUnavailable("down")

    async def fine() -> int:
        return 7

    async with open_errands() as errands:
        with pytest.raises(BackendUnavailable):
            await errands.run(fail)
        assert await errands.run(fine) == 7


async def test_header_values_and_queries_arrive_byte_for_byte() -> None:
    asked: list[httpx2.Request] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, headers=[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("ETag", "x")])

    call = Call(method="PUT", path="/o/%2fns%2fc", query={"lockHandle": "8RN+y/0="}, body=b"text")
    answer = await Wire("http://x/", transport(keep)).send(call, {"cookie": "a=%2b"})
    [request] = asked
    assert request.url.raw_path == b"/o/%2fns%2fc?lockHandle=8RN%2By%2F0%3D"
    assert (request.headers["cookie"], request.headers["content-length"]) == ("a=%2b", "4")
    assert (answer.cookies, answer.headers["etag"]) == (("a=1", "b=2"), "x")


async def test_a_change_without_a_body_says_that_it_has_none() -> None:
    asked: list[httpx2.Request] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200)

    await Wire("http://x", transport(keep)).send(Call(method="POST", path="/"), {})
    assert asked[0].headers["content-length"] == "0"


async def test_bytes_of_a_cookie_go_back_as_they_came() -> None:
    # A21: byte for byte, ASCII or not
    async def back_end(request: httpx2.Request) -> httpx2.Response:
        given = dict(request.headers.raw).get(b"cookie", b"")
        return httpx2.Response(200, headers=[(b"set-cookie", b"a=\xe9")], content=given)

    wire = Wire("http://x", transport(back_end))
    first = await wire.send(Call(method="GET", path="/"), {})
    second = await wire.send(Call(method="GET", path="/"), {"cookie": first.cookies[0]})
    assert second.body == b"a=\xe9"


async def test_an_answer_that_cannot_be_decoded_is_lost() -> None:
    # A6: the request has been carried out, whatever is wrong with the answer
    async def garbled(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(b"no gzip"))

    with pytest.raises(AnswerLost, match="DecodingError"):
        await Wire("http://x", transport(garbled)).send(Call(method="PUT", path="/"), {})


async def test_a_result_that_comes_in_the_moment_its_caller_leaves_is_handed_on_too() -> None:
    # E18, A30
    left: list[str] = []

    async def abandoned(result: str) -> None:
        left.append(result)

    async with open_errands() as errands:
        with anyio.CancelScope() as caller:

            async def work() -> str:
                await anyio.sleep(0)
                caller.cancel()
                return "result"

            await errands.run(work, left_alone=abandoned)
        assert caller.cancelled_caught
    assert left == ["result"]


@pytest.mark.parametrize("asks", [0, 1])
async def test_who_may_no_longer_send_when_the_connection_stands_has_sent_nothing(asks: int) -> None:
    # E26: connecting may take longer than a lease
    asked, received = 0, b""

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > asks:
            raise LeaseLost("over")

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal received
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                received += await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks, Lanes(ssl.create_default_context()) as connections:
        tasks.start_soon(listener.serve, serve)
        wire = Wire(f"http://127.0.0.1:{port}", connections)
        with anyio.fail_after(5), pytest.raises(LeaseLost, match="over"):
            await wire.send(Call(method="PUT", path="/x"), {}, check=check)
        tasks.cancel_scope.cancel()
    assert (asked, received) == (asks + 1, b"")


async def test_who_may_send_is_answered() -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200)

    reply = await Wire("http://x", transport(answer)).send(Call(method="GET", path="/"), {}, check=lambda: None)
    assert reply.status == 200
