"""`python -m bench.fuzz`: send damaged requests, and say whether the server stood them all. Exits 1 if it did not."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
from bench.fuzz import ROOT
from bench.fuzz.client import ANSWER_S, Client, Seen, bodiless, filled
from bench.fuzz.draw import Draw, Drawn
from bench.fuzz.live import Live, Unwell

from e2e.cluster import START_S, free_port

WARM_UP: Final = 0.2  # of the requests: what a process takes once does not count as growth
GROWTH_MIB: Final = 24.0  # and for each 100,000 requests as much again
SETTLED_S: Final = 15.0
FAULT: Final = re.compile(rb"Traceback|ERROR|CRITICAL|was never |exception", re.IGNORECASE)
INTERNAL: Final = b'"code":-32603'


class Broken(Exception):
    """A request broke a promise. `drawn` is the request, None if it is not known which one it was."""

    def __init__(self, what: str, drawn: Drawn | None = None) -> None:
        super().__init__(what)
        self.drawn = drawn


class Server:
    """The process that is fuzzed."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self._read = 0

    @property
    def rss_mib(self) -> float:
        """Memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def complaint(self) -> str:
        """Return what its log says of a fault since the last look; empty if nothing."""
        if self.log.stat().st_size == self._read:
            return ""
        said = self.log.read_bytes()[self._read :]
        self._read += len(said)
        return said.decode(errors="replace") if FAULT.search(said) else ""


class Fuzz:
    """One run."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self._server, self._options = server, options
        self.statuses: Counter[int] = Counter()
        self.done, self.slowest, self.warm_mib = 0, 0.0, 0.0
        self._last: dict[int, Drawn] = {}
        self._before: dict[str, int] = {}

    async def run(self) -> dict[str, Any]:
        """Send everything, and return what there is to report; raise Broken."""
        began = time.monotonic()
        await self._well()
        self._before = await self._inside()
        async with anyio.create_task_group() as tasks:
            for number in range(self._options.connections):
                tasks.start_soon(self._connection, number)
        took = time.monotonic() - began
        await self._settled()
        await self._well()
        end_mib = self._server.rss_mib
        self._judge_memory(end_mib)
        return {
            "seed": self._options.seed,
            "store": self._options.store,
            "requests": self.done,
            "seconds": round(took, 1),
            "slowest_s": round(self.slowest, 3),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "warm_mib": round(self.warm_mib, 1),
            "end_mib": round(end_mib, 1),
        }

    async def _connection(self, number: int) -> None:
        draw, client = Draw(f"{self._options.seed}.{number}"), Client(self._server.port)
        live = Live(client)
        for _ in range(number, self._options.requests, self._options.connections):
            try:
                await live.refresh()
            except Unwell as exc:
                raise Broken(str(exc)) from exc
            await self._one(number, client, draw(), live)
        await client.close()

    async def _one(self, number: int, client: Client, drawn: Drawn, live: Live) -> None:
        self._last[number] = drawn
        began = time.monotonic()
        try:
            seen = await client.exchange(filled(drawn, live.at(drawn.data)))
        except TimeoutError:
            raise Broken(f"no answer within {ANSWER_S:g} s", drawn) from None
        except OSError as exc:
            raise Broken(f"the server is gone: {exc}", drawn) from None
        self.slowest = max(self.slowest, time.monotonic() - began)
        wrong, complaint = judged(drawn, seen), self._server.complaint()
        if wrong:
            raise Broken(f"{wrong}\n{complaint}", drawn)
        if complaint:
            raise Broken(f"the server's log: {complaint}")
        self.statuses[seen.status] += 1
        self.done += 1
        if self.done == int(self._options.requests * WARM_UP):
            self.warm_mib = self._server.rss_mib
        if self.done % 10_000 == 0:
            print(f"{self.done} requests, {self._server.rss_mib:.0f} MiB", file=sys.stderr, flush=True)

    # -- the end

    async def _well(self) -> None:
        client = Client(self._server.port)
        try:
            await Live(client).check()
        except (Unwell, OSError) as exc:
            raise Broken(f"the server is not well: {exc}\n{self._server.complaint()}") from exc
        finally:
            await client.close()

    async def _inside(self) -> dict[str, int]:
        client = Client(self._server.port)
        seen = await client.exchange(bodiless("GET", "/inside", {}))
        await client.close()
        return dict(seen.json)

    async def _settled(self) -> None:
        """Wait until the process holds nothing of requests that are over."""
        left: dict[str, int] = {}
        with anyio.move_on_after(SETTLED_S):
            while True:
                now = await self._inside()
                left = {name: now[name] for name in now if now[name] > self._before[name]}
                if not left:
                    return
                await anyio.sleep(0.2)
        raise Broken(f"of requests that are over there is still {left}, before {self._before}")

    def _judge_memory(self, end_mib: float) -> None:
        bound = GROWTH_MIB * (1 + self._options.requests / 100_000)
        if end_mib - self.warm_mib > bound:
            raise Broken(f"memory grew from {self.warm_mib:.0f} to {end_mib:.0f} MiB; the bound is {bound:.0f}")

    def keep(self, broken: Broken) -> list[Path]:
        """Write down the request that broke a promise, or the last one of each connection."""
        last = [broken.drawn] if broken.drawn is not None else list(self._last.values())
        paths = []
        for number, drawn in enumerate(last):
            path = Path(self._options.keep) / f"fuzz-{self._options.seed}-{self.done}-{number}.http"
            path.write_bytes(drawn.data)
            paths.append(path)
        return paths


def judged(drawn: Drawn, seen: Seen) -> str:
    """Return what is wrong with an answer; empty if nothing."""
    if seen.status >= 500:
        return f"answered with {seen.status}: {seen.body[:1000]!r}"
    if INTERNAL in seen.body and b"has not answered" not in seen.body:
        return f"an internal error: {seen.body[:1000]!r}"
    if drawn.whole and not seen.status:
        return f"closed without an answer: {seen.body[:1000]!r}"
    return ""


@contextmanager
def running(store: str, folder: Path, planted: str = "") -> Iterator[Server]:
    """Run the server until the block ends."""
    port, log = free_port(), folder / "server.log"
    url = "memory://" if store == "memory" else f"sqlite:///{folder / 'fuzz.db'}" if store == "sqlite" else store
    command = [sys.executable, "-m", "bench.fuzz.target", str(port), url, planted]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=out) as process,
    ):
        try:
            _wait_for(process, port, log)
            yield Server(process, port, log)
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    async def up() -> None:
        with anyio.fail_after(START_S):
            while process.poll() is None:
                try:
                    return await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                except OSError:
                    await anyio.sleep(0.05)
        raise RuntimeError(f"the server could not start: {log.read_text()}")

    anyio.run(up)


async def replayed(server: Server, path: Path) -> str:
    """Send a kept request once to a fresh server; return what is wrong with the answer."""
    client = Client(server.port)
    live, drawn = Live(client), Drawn(path.read_bytes())
    await live.refresh()
    seen = await client.exchange(filled(drawn, live.at(drawn.data)))
    await client.close()
    print(seen.status, seen.head.decode("latin-1"), seen.body.decode(errors="replace"), sep="\n")
    return judged(drawn, seen) or server.complaint()


def main(words: Sequence[str] | None = None) -> int:
    """Run as the words say."""
    options = _parsed(words)
    with tempfile.TemporaryDirectory() as folder, running(options.store, Path(folder), options.planted) as server:
        if options.replay:
            wrong = anyio.run(replayed, server, Path(options.replay))
            print(wrong or "nothing is wrong with that")
            return int(bool(wrong))
        fuzz = Fuzz(server, options)
        found: list[Broken] = []
        try:
            print(json.dumps(anyio.run(fuzz.run)))
        except* Broken as group:
            found += _leaves(group)
        for broken in found:
            kept = ", ".join(map(str, fuzz.keep(broken)))
            print(f"seed {options.seed}, after {fuzz.done} requests: {broken}\nkept in {kept}")
    return int(bool(found))


def _leaves(group: BaseExceptionGroup[Broken]) -> Iterator[Broken]:
    for exc in group.exceptions:
        yield from _leaves(exc) if isinstance(exc, BaseExceptionGroup) else [exc]


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="how many requests to send")
    parser.add_argument("--connections", type=int, default=8, help="how many clients send them at once")
    parser.add_argument("--seed", type=int, default=1, help="what the requests are drawn from")
    parser.add_argument("--store", default="memory", help="memory, sqlite, or a URL")
    parser.add_argument("--keep", default=".", help="where a request that breaks a promise is written")
    parser.add_argument("--planted", default="", help="a fault in the server that is to be found: raise, hang, keep")
    parser.add_argument("--replay", default="", help="send a kept request again, and nothing else")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
