"""A server that answers what a test tells it, to the byte, and flows that call it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import httpx2
import msgspec
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from e2e.flows_world import running_flow
from holdfast.flows.runtime import DeployedFlow, Message

HANG: Final = None
PATIENT_S: Final = 30.0


class Request(msgspec.Struct, frozen=True):
    """A request as it arrived."""

    line: str
    headers: httpx2.Headers
    body: bytes


class Wire:
    """What has arrived; `answers` are sent in turn, the last one ever again. HANG: nothing comes; empty: a cut."""

    def __init__(self, port: int, answers: tuple[bytes | None, ...]) -> None:
        self.url, self.requests, self._answers = f"http://127.0.0.1:{port}", list[Request](), list(answers)

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            head = (await reader.receive_until(b"\r\n\r\n", 64_000)).decode("latin-1")
            line, *fields = head.split("\r\n")
            headers = httpx2.Headers([tuple(field.split(": ", 1)) for field in fields])  # type: ignore[misc]
            body = await reader.receive_exactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(line, headers, body))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if answer is HANG:
                await anyio.sleep_forever()
            else:
                await stream.send(answer)


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncIterator[Wire]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        wire = Wire(listener.extra(SocketAttribute.local_port), answers)
        group.start_soon(listener.serve, wire.serve)
        with anyio.fail_after(PATIENT_S):
            yield wire
        group.cancel_scope.cancel()


def http(status: int, content: bytes | str = b"", kind: str = "text/xml; charset=utf-8", **headers: str) -> bytes:
    """Return an answer."""
    body = content.encode() if isinstance(content, str) else content
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


@asynccontextmanager
async def flow(
    receiver: str, *, steps: str = "- call: erp", reuse: str = "none", file: str = "orders.yaml"
) -> AsyncIterator[DeployedFlow]:
    """Run a flow whose receiver stands in line 3, and whose steps begin in line 5."""
    text = f"flow: orders\nhttp_session_reuse: {reuse}\nreceivers: {{erp: {{{receiver}}}}}\nsteps:\n{steps}\n"
    async with running_flow(text, file) as running:
        yield running


async def called(receiver: str, body: Any, **more: Any) -> Message:
    """Return what one message becomes."""
    async with flow(receiver, **more) as running:
        answer = await running.process(Message(body=body))
    assert answer is not None
    return answer
