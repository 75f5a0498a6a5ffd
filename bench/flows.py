"""What the re-use of sessions by flows costs and saves, against a receiver in a process of its own (spec 3).

python bench/flows.py                             # all rows of spec/3; about two minutes
python bench/flows.py throughput --store sqlite   # one of them: authentications, throughput, exchange

`authentications`: 1,000 messages of 5 calls under each setting, 16 at a time; the receiver counts logons and sessions.
`throughput`: scenario 2, on_integration_flow and one call a message, beside one httpx2 client with its cookie jar that
makes the same calls by hand and reads the same JSON; and a client over `SessionReuse`'s transport. In turns, in short
rounds, 16 calls in flight; a ratio is the median of the rounds' ratios, by time and by this process's processor time.
`exchange`: on_exchange beside none, 10 calls a message, where the receiver takes 50 ms for a logon.
"""

import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.flows import Channel, Deployment, ReusingTransport, flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, deployed
from holdfast.flows.sessions.transport import IDLE_S, MOST, MOST_IDLE
from servers.redis import redis_server

IN_FLIGHT = 16
LIMITS = httpx2.Limits(max_connections=MOST, max_keepalive_connections=MOST_IDLE, keepalive_expiry=IDLE_S)
LOGON_S = 0.05
KEYS = new_key_text()
STORES = ("memory", "sqlite", "redis")
FLOW_SCOPE = "on_integration_flow"
USER = ("erp-user", "secret")
FLOW = """
flow: orders
http_session_reuse: {reuse}
log: {log}
receivers:
  erp: {{adapter: http, url: "{url}", auth: {{basic: erp-user}}}}
steps:
{steps}
"""


class Receiver:
    """A server whose sessions are cookies: whoever has none logs on, which takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._sessions, self._logons = seconds, set[str](), 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        status, headers, answer = 200, [(b"content-type", b"application/json")], {"order": 4711, "state": "open"}
        if scope["path"] == "/counted":
            answer = {"authentications": self._logons, "sessions": len(self._sessions)}
        elif not self._knows(fields := dict(scope["headers"])):
            if b"authorization" in fields:
                headers.append((b"set-cookie", f"JSESSIONID={await self._log_on()}; Path=/; HttpOnly".encode()))
            else:
                status, answer = 401, {}
        body = json.dumps(answer).encode()
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _knows(self, fields: dict[bytes, bytes]) -> bool:
        return fields.get(b"cookie", b"").decode().removeprefix("JSESSIONID=") in self._sessions

    async def _log_on(self) -> str:
        self._logons += 1
        if self._seconds:
            await anyio.sleep(self._seconds)
        value = secrets.token_hex(16)
        self._sessions.add(value)
        return value


@contextmanager
def receiver(logon_s: float = 0.0) -> Iterator[str]:
    """Run a receiver in a process of its own; return its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "serve", str(port), str(logon_s)])
    try:
        for _ in range(200):
            try:
                httpx2.get(f"http://127.0.0.1:{port}/counted")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def place(name: str) -> Iterator[str]:
    """Have a store of a kind."""
    if name == "redis":
        with redis_server() as server:
            yield server.url
    elif name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/flows.db"
    else:
        yield "memory://"


@asynccontextmanager
async def flow(
    reuse: str, url: str, calls: int, store: str = "memory://", log: str = "none"
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow whose messages make so many calls."""
    text = FLOW.format(reuse=reuse, log=log, url=f"{url}/orders", steps="  - call: erp\n" * calls)
    definition = read_flow(text, "orders.yaml")
    async with (
        open_engine(store, kinds=flow_kinds(), keys=KEYS) as engine,
        deployed(definition, engine.manager, credentials=lambda name: Credential(*USER)) as made,
    ):
        yield made


async def repeat(job: Callable[[], Awaitable[object]], times: int, in_flight: int) -> tuple[float, float]:
    """Do a job so often; return how often per second, and per second of this process's processor time."""
    left = times
    began, used = time.perf_counter(), time.process_time()

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await job()

    async with anyio.create_task_group() as tasks:
        for _ in range(in_flight):
            tasks.start_soon(worker)
    return times / (time.perf_counter() - began), times / (time.process_time() - used)


def told(figure: str, **values: Any) -> None:
    print(json.dumps({"figure": figure, **values}), flush=True)


async def counted(url: str) -> dict[str, int]:
    async with httpx2.AsyncClient() as client:
        return dict((await client.get(f"{url}/counted")).json())


async def authentications(messages: int, calls: int = 5) -> None:
    """Count the logons of many messages."""
    for reuse in ("none", "on_exchange", FLOW_SCOPE):
        with receiver() as url:
            async with flow(reuse, url, calls) as orders:
                per_second, _ = await repeat(partial(orders.process, Message()), messages, IN_FLIGHT)
            seen = await counted(url)
        told(f"{messages} messages x {calls} calls, {reuse}", **seen, messages_per_s=round(per_second))


async def throughput(store: str, rounds: int, calls: int) -> None:
    """Compare scenario 2 with a client by hand, the messages being logged or not."""
    async with AsyncExitStack() as stack:
        url, at = stack.enter_context(receiver()), stack.enter_context(place(store))
        hand = await stack.enter_async_context(httpx2.AsyncClient(auth=USER, limits=LIMITS))
        flows = {log: await stack.enter_async_context(flow(FLOW_SCOPE, url, 1, at, log)) for log in ("none", "all")}
        plain = Deployment(flows["none"].deployment.manager, "plain", FLOW_SCOPE)
        reuse = ReusingTransport(plain, Channel(name="plain"))
        ours = await stack.enter_async_context(httpx2.AsyncClient(auth=USER, transport=reuse))

        async def get(client: httpx2.AsyncClient) -> object:
            return (await client.get(f"{url}/orders")).raise_for_status().json()

        jobs = {"by hand": partial(get, hand), "a client over SessionReuse's transport": partial(get, ours)} | {
            f"a flow, log: {log}": partial(one.process, Message()) for log, one in flows.items()
        }
        for job in jobs.values():
            await job()
        found = [{name: await repeat(job, calls, IN_FLIGHT) for name, job in jobs.items()} for _ in range(rounds)]
        seen = await counted(url)
    assert seen["authentications"] <= len(jobs), seen
    for name in list(jobs)[1:]:
        told(
            f"scenario 2 with {store}, {name} / httpx2 by hand",
            by_time=round(statistics.median(row[name][0] / row["by hand"][0] for row in found), 2),
            by_processor=round(statistics.median(row[name][1] / row["by hand"][1] for row in found), 2),
            calls_per_s=round(statistics.median(row[name][0] for row in found)),
            by_hand_per_s=round(statistics.median(row["by hand"][0] for row in found)),
        )


async def turns(flows: Sequence[DeployedFlow], messages: int, in_flight: int) -> list[float]:
    """Return how many messages a second each flow processes, one after the other."""
    return [(await repeat(partial(one.process, Message()), messages, in_flight))[0] for one in flows]


async def exchange(rounds: int, messages: int, in_flight: int, calls: int = 10) -> None:
    """Compare on_exchange with none where a logon takes its time."""
    with receiver(LOGON_S) as url:
        async with flow("none", url, calls) as none, flow("on_exchange", url, calls) as kept:
            flows = (none, kept)
            found = [await turns(flows, messages, in_flight) for _ in range(rounds)]
    told(
        f"on_exchange / none, logon {LOGON_S * 1000:.0f} ms, {calls} calls a message, {in_flight} in parallel",
        times=round(statistics.median(row[1] / row[0] for row in found), 1),
        messages_per_s=round(statistics.median(row[1] for row in found), 1),
        none_per_s=round(statistics.median(row[0] for row in found), 1),
    )


async def measure(what: str, store: str, rounds: int, messages: int) -> None:
    """Measure one row, or all of them."""
    if what in ("all", "authentications"):
        await authentications(messages)
    if what in ("all", "throughput"):
        for name in STORES if store == "all" else (store,):
            await throughput(name, rounds, calls=300)
    if what in ("all", "exchange"):
        for in_flight in (1, 4, IN_FLIGHT):
            await exchange(min(rounds, 5), 2 * in_flight, in_flight)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=("all", "authentications", "throughput", "exchange"))
    parser.add_argument("--store", default="all", choices=("all", *STORES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=1000)
    chosen = parser.parse_args()
    anyio.run(measure, chosen.what, chosen.store, chosen.rounds, chosen.messages)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        port, seconds = int(sys.argv[2]), float(sys.argv[3])
        uvicorn.run(Receiver(seconds), host="127.0.0.1", port=port, log_level="warning", access_log=False)
        os._exit(0)
    main()
