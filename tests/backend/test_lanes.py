"""Connections to a back end: taken again, given up, and never more than there may be."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from holdfast.backend.lanes import Lanes

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
TRUST = ssl.create_default_context()


class Backend:
    """A server that answers each request as `answer` says, and counts connections and requests."""

    def __init__(self, answer: Callable[[SocketStream], Awaitable[None]]) -> None:
        self._answer, self.port = answer, 0
        self.connections: list[SocketStream] = []
        self.requests = 0

    async def handle(self, stream: SocketStream) -> None:
        self.connections.append(stream)
        async with stream:
            try:
                while await stream.receive():
                    self.requests += 1
                    await self._answer(stream)
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


async def hello(stream: SocketStream) -> None:
    await stream.send(HELLO)


@asynccontextmanager
async def backend(answer: Callable[[SocketStream], Awaitable[None]] = hello) -> AsyncIterator[Backend]:
    made = Backend(answer)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made.port = listener.extra(SocketAttribute.local_port)
    with anyio.fail_after(5):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, made.handle)
            yield made
            tasks.cancel_scope.cancel()


async def get(lanes: Lanes, url: str, pool: float | None = None) -> bytes:
    request = httpx2.Request("GET", url, extensions={"timeout": {"pool": pool}})
    response = await lanes.handle_async_request(request)
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def test_requests_one_after_the_other_travel_on_one_connection() -> None:
    async with backend() as made, Lanes(TRUST) as lanes:
        for _ in range(3):
            assert await get(lanes, made.url) == b"hello"
    assert (len(made.connections), made.requests) == (1, 3)


async def test_a_connection_that_the_other_side_has_closed_is_not_used_again() -> None:
    async with backend() as made, Lanes(TRUST) as lanes:
        await get(lanes, made.url)
        await made.connections[0].aclose()
        await anyio.wait_all_tasks_blocked()
        assert await get(lanes, made.url) == b"hello"
    assert len(made.connections) == 2


async def test_a_connection_that_idles_for_too_long_is_not_used_again() -> None:
    async with backend() as made, Lanes(TRUST, idle_s=0.0) as lanes:
        await get(lanes, made.url)
        await get(lanes, made.url)
    assert len(made.connections) == 2


async def test_no_more_connections_idle_than_may() -> None:
    async with backend() as made, Lanes(TRUST, most_idle=1) as lanes:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(get, lanes, made.url)
    assert len(made.connections) == 5, "three at once, of which one was kept, and two more"


async def test_connections_to_several_back_ends_are_kept_side_by_side() -> None:
    async with backend() as one, backend() as other, Lanes(TRUST) as lanes:
        for _ in range(3):
            assert await get(lanes, one.url) == await get(lanes, other.url) == b"hello"
    assert [len(made.connections) for made in (one, other)] == [1, 1]
    assert [made.requests for made in (one, other)] == [3, 3]


async def test_of_too_many_idle_connections_the_oldest_gives_way() -> None:
    async with backend() as one, backend() as other, Lanes(TRUST, most_idle=1) as lanes:
        for made in (one, other, other, one):
            await get(lanes, made.url)
    assert [len(made.connections) for made in (one, other)] == [2, 1]


async def test_who_comes_when_all_connections_are_in_use_waits_his_turn_and_not_for_ever() -> None:
    here, answered = anyio.Event(), anyio.Event()

    async def late(stream: SocketStream) -> None:
        here.set()
        await answered.wait()
        await hello(stream)

    async with backend(late) as made, Lanes(TRUST, most=1) as lanes, anyio.create_task_group() as tasks:
        tasks.start_soon(get, lanes, made.url)
        await here.wait()
        with pytest.raises(httpx2.PoolTimeout):
            await get(lanes, made.url, pool=0.01)
        answered.set()
        assert await get(lanes, made.url) == b"hello"
    assert (len(made.connections), made.requests) == (1, 2)


async def test_a_caller_that_leaves_in_the_middle_leaves_room_for_the_next() -> None:
    here, answers = anyio.Event(), iter([False, True])

    async def first_never(stream: SocketStream) -> None:
        here.set()
        if next(answers):
            await hello(stream)

    async with backend(first_never) as made, Lanes(TRUST, most=1) as lanes:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, lanes, made.url)
            await here.wait()
            tasks.cancel_scope.cancel()
        assert await get(lanes, made.url) == b"hello"
    assert len(made.connections) == 2, "what answers late must not be taken for the answer to another"


async def test_an_answer_that_breaks_off_is_an_error_and_its_connection_is_not_used_again() -> None:
    answers = iter([HELLO[:-2], HELLO])

    async def torn(stream: SocketStream) -> None:
        answer = next(answers)
        await stream.send(answer)
        if answer is not HELLO:
            await stream.aclose()

    async with backend(torn) as made, Lanes(TRUST, most=1) as lanes:
        with pytest.raises(httpx2.RemoteProtocolError):
            await get(lanes, made.url)
        assert await get(lanes, made.url) == b"hello"
    assert len(made.connections) == 2


async def test_what_cannot_be_reached_or_spoken_to_takes_no_room() -> None:
    async with backend() as made:
        gone = made.url
    async with Lanes(TRUST, most=1) as lanes:
        for _ in range(2):
            with pytest.raises(httpx2.ConnectError):
                await get(lanes, gone, pool=0.0)
            with pytest.raises(httpx2.UnsupportedProtocol):
                await get(lanes, "ftp://127.0.0.1/", pool=0.0)
