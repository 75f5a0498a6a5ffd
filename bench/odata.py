"""What a sticky OData service costs: reads in a session, cycles of edit, patch and save, memory of sessions (spec 2).

python bench/odata.py [get|cycles|memory] [--seconds 3] [--rounds 5]

`get`: GET of one entity in a session, and the same handler on bare Starlette, each a process of its own on uvicorn, in
rounds in turn, with 8 connections. `cycles`: three batches each, as OpenUI5 sends them, from 8 tabs. Besides what was
served per second, which depends on what else runs, the processor's time of the server for each is told, which hardly
does. `memory`: resident bytes of 10,000 open sessions, with one edited entity each, in the memory store.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.config import Settings
from holdfast.odata import batch
from holdfast.odata.server import EntitySet, ETag, Key, Service, asgi

TABS = 8
SESSIONS = 10_000
TICKS = os.sysconf("SC_CLK_TCK")
ACCEPT = "application/json;odata.metadata=minimal;IEEE754Compatible=true"


class Order(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Note: str = ""
    Amount: int = 0
    Price: Decimal = Decimal("1.50")
    Version: Annotated[int, ETag] = 1


class Orders(EntitySet[Order]):
    def __init__(self) -> None:
        self.rows = {str(number): Order(ID=str(number), Note="a note of some length") for number in range(SESSIONS)}

    def read(self, key: Any) -> Order | None:
        return self.rows.get(key)

    def save(self, row: Order, base: Order | None) -> Order:
        self.rows[row.ID] = msgspec.structs.replace(row, Version=row.Version + 1)
        return self.rows[row.ID]


def ours() -> Any:
    """Return the service."""
    settings = Settings(_env_file=None, kinds={"sticky": {"per_client": 2 * SESSIONS}})
    return asgi(Service("Demo", Orders()), settings=settings, csrf=False)


def bare() -> Starlette:
    """Return the same handler on bare Starlette."""
    orders = Orders()

    async def one(request: Request) -> Response:
        return Response(msgspec.json.encode(orders.read(request.path_params["key"])), media_type="application/json")

    return Starlette(routes=[Route("/Orders('{key}')", one)])


class Wire:
    """One connection, kept open; requests are written as bytes, answers read up to their end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Wire":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> dict[str, str]:
        """Send a request and return the headers of its answer, which must be a good one."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        self._writer.write(head.encode() + body)
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest if line)}
        told = await self._reader.readexactly(int(found["content-length"]))
        assert " 200 " in first, (first, told)
        assert b"HTTP/1.1 4" not in told, told
        return found


@asynccontextmanager
async def served(what: str) -> AsyncIterator[tuple[int, Callable[[], float]]]:
    """Serve in a process of its own; yield its port, and what tells the seconds of processor time that it has used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "serve", what, str(port)])
    try:
        for _ in range(200):
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        stat = Path(f"/proc/{process.pid}/stat")
        yield port, lambda: sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) / TICKS
    finally:
        process.terminate()
        process.wait(timeout=10)


async def rate(seconds: float, cpu: Callable[[], float], steps: list[Callable[[], Any]]) -> tuple[float, float]:
    """Repeat steps side by side; return how many were done per second, and the server's ms for each."""
    done, begun, used = 0, time.monotonic(), cpu()

    async def repeat(step: Callable[[], Any]) -> None:
        nonlocal done
        while time.monotonic() < begun + seconds:
            await step()
            done += 1

    await asyncio.gather(*(repeat(step) for step in steps))
    return done / (time.monotonic() - begun), (cpu() - used) / done * 1e3


def batched(*parts: tuple[str, str, bytes]) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a batch."""
    headers = {"accept": ACCEPT, "content-type": "application/json;charset=UTF-8;IEEE754Compatible=true"}
    kind, body = batch.write_requests(
        [batch.Part(method=method, url=url, headers=headers, body=content) for method, url, content in parts]
    )
    return {"Content-Type": kind, "Accept": "multipart/mixed"}, body


async def get(seconds: float, rounds: int) -> None:
    """Compare reads of one entity."""
    async with served("ours") as (port, cpu), served("bare") as (bare_port, bare_cpu):
        steps, bare_steps = [], []
        for tab in range(TABS):
            wire, other, path = await Wire.to(port), await Wire.to(bare_port), f"/Orders('{tab}')"
            answer = await wire.send("POST", f"{path}/Demo.Edit", {})
            headers = {"SAP-ContextId": answer["sap-contextid"], "Accept": ACCEPT}
            steps.append(lambda wire=wire, path=path, headers=headers: wire.send("GET", path, headers))
            bare_steps.append(lambda wire=other, path=path: wire.send("GET", path, {"Accept": ACCEPT}))
        pairs = [(await rate(seconds, cpu, steps), await rate(seconds, bare_cpu, bare_steps)) for _ in range(rounds)]
    per_second = [one[0] / other[0] for one, other in pairs]
    processor = [other[1] / one[1] for one, other in pairs]
    print(
        json.dumps(
            {
                "figure": "GET of one entity in a session / bare Starlette",
                "ratio of requests/s": round(statistics.median(per_second), 3),
                "ratio by processor time": round(statistics.median(processor), 3),
                "requests/s": round(max(one[0] for one, _ in pairs)),
                "bare requests/s": round(max(other[0] for _, other in pairs)),
                "ms": round(min(one[1] for one, _ in pairs), 3),
                "bare ms": round(min(other[1] for _, other in pairs), 3),
            }
        )
    )


async def cycles(seconds: float, rounds: int) -> None:
    """Measure edit, patch and save over batches."""
    async with served("ours") as (port, cpu):

        async def cycle(wire: Wire, entity: str) -> None:
            started = await wire.send("POST", "/$batch", *batched(("POST", f"{entity}/Demo.Edit", b"{}")))
            inside = {"SAP-ContextId": started["sap-contextid"]}
            headers, body = batched(("PATCH", entity, b'{"Note":"another note"}'))
            await wire.send("POST", "/$batch", headers | inside, body)
            headers, body = batched(("POST", f"{entity}/Demo.Save", b"{}"))
            ended = await wire.send("POST", "/$batch", headers | inside, body)
            assert "sap-contextid" not in ended

        wires = [await Wire.to(port) for _ in range(TABS)]
        steps = [lambda wire=wire, tab=tab: cycle(wire, f"Orders('{tab}')") for tab, wire in enumerate(wires)]
        found = [await rate(seconds, cpu, steps) for _ in range(rounds)]
    best = max(one[0] for one in found)
    print(json.dumps({"figure": "cycles/s", "best": round(best), "ms": round(min(one[1] for one in found), 3)}))


async def memory() -> None:
    """Measure what open sessions keep resident."""

    def resident() -> int:
        return int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    app = ours()
    scope = {"type": "http", "http_version": "1.1", "scheme": "http", "root_path": "", "query_string": b""}
    peers = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    async with app.opened.running():
        before = resident()
        for number in range(SESSIONS):
            path = f"/Orders('{number}')/Demo.Edit"
            asked = scope | peers | {"method": "POST", "path": path, "raw_path": path.encode()}
            await app({**asked, "headers": [(b"host", b"127.0.0.1")]}, receive, send)
        grown = resident() - before
        print(json.dumps({"figure": "open sessions", "count": SESSIONS, "MB": round(grown / 1e6, 1)}), flush=True)
        os._exit(0)  # ending ten thousand sessions in order is not what is measured


def main() -> None:
    """Measure what was asked for, or serve for that."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["get", "cycles", "memory"])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.what[0] == "serve":
        app = ours() if chosen.what[1] == "ours" else bare()
        uvicorn.run(app, host="127.0.0.1", port=int(chosen.what[2]), log_level="warning", access_log=False)
        return
    for what in chosen.what:
        asyncio.run(
            {
                "get": lambda: get(chosen.seconds, chosen.rounds),
                "cycles": lambda: cycles(chosen.seconds, chosen.rounds),
                "memory": memory,
            }[what]()
        )


if __name__ == "__main__":
    main()
