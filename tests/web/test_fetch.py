"""What is fetched from an issuer over HTTP: small answers, and nothing that an issuer could do harm with."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from e2e.cluster import free_port
from holdfast.identity.facts import IssuerUnavailable
from holdfast.web.fetch import open_fetch


class Host:
    """A host that answers every connection with the same bytes, and keeps what it was sent."""

    def __init__(self, answer: bytes, *, forever: bool = False) -> None:
        self.answer, self.forever, self.heard, self.url = answer, forever, b"", ""

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            try:
                self.heard += await stream.receive()
                if b"POST" in self.heard and b"token=" not in self.heard:
                    self.heard += await stream.receive()
                await stream.send(self.answer)
                while self.forever:
                    await stream.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return


@asynccontextmanager
async def host(answer: bytes, *, forever: bool = False) -> AsyncIterator[Host]:
    made = Host(answer, forever=forever)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/keys"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, made.serve)
        yield made
        tasks.cancel_scope.cancel()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_the_body_of_a_200_is_returned() -> None:
    with anyio.fail_after(5):
        async with host(answer(b"{}")) as made, open_fetch() as fetch:
            assert await fetch(made.url, limit=2) == b"{}"
    assert made.heard.startswith(b"GET /keys HTTP/1.1")


async def test_an_access_token_is_shown_where_there_is_one() -> None:  # RFC 6750 §2.1
    for bearer in ("", "a-token"):
        with anyio.fail_after(5):
            async with host(answer(b"{}")) as made, open_fetch() as fetch:
                await fetch(made.url, limit=2, bearer=bearer)
        assert (b"authorization: Bearer a-token" in made.heard) == bool(bearer)


async def test_a_form_is_posted_with_our_name_and_secret() -> None:
    # RFC 6749 §2.3.1: both are form-encoded before they are put together
    with anyio.fail_after(5):
        async with host(answer(b"{}")) as made, open_fetch() as fetch:
            await fetch(made.url, limit=9, form={"token": "a b"}, login=("us:er", "s&c"))
    assert b"POST /keys" in made.heard
    assert made.heard.endswith(b"token=a+b")
    assert base64.b64encode(b"us%3Aer:s%26c") in made.heard


@pytest.mark.parametrize(
    "sent",
    [
        answer(b"", "302 Found", "location: http://127.0.0.1:1/elsewhere"),
        answer(b"{}", "201 Created"),
        answer(b"no", "500 Oops"),
        answer(b"{}{}"),
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_any_other_answer_is_none(sent: bytes) -> None:
    with anyio.fail_after(5):
        async with host(sent) as made, open_fetch() as fetch:
            with pytest.raises(IssuerUnavailable):
                await fetch(made.url, limit=2)


async def test_an_endless_answer_is_left_at_the_limit() -> None:
    # T30
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with anyio.fail_after(5):
        async with host(head, forever=True) as made, open_fetch() as fetch:
            with pytest.raises(IssuerUnavailable, match="longer than 100000"):
                await fetch(made.url, limit=100_000)


async def test_a_host_that_is_down_is_unavailable() -> None:
    with anyio.fail_after(5):
        async with open_fetch() as fetch:
            with pytest.raises(IssuerUnavailable):
                await fetch(f"http://127.0.0.1:{free_port()}/keys", limit=9)
