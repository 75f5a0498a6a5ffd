"""Several processes that do the same thing to one store at the same moment; on a store in memory, several tasks.

    with rivals(4) as team:
        answers = await team(place, "once", names=20)

A rival opens the store, says that it is ready, waits for the others, and then plays its part: a function of this file,
given the store, the rival's number and the arguments. The processes are started once and play one part after another.
"""

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from holdfast.core.ids import alias_of
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Created, Limit, Policy, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing
from holdfast.core.tuning import Tuning
from holdfast.errors import HoldfastError, LeaseLost, SessionConflict, SessionEnded, SessionExists
from holdfast.stores import open_store
from holdfast.testing.contract.base import NOW, all_at_once, below, root, stored

if TYPE_CHECKING:
    from stores.stores import Place

PATIENCE_S = 30.0
LEASE_S = 0.1


async def create(store: Store, number: int, *, times: int, policy: str) -> list[list[str]]:
    """Try that many creations at once below a limit of five; return whom each has replaced, or what refused it."""
    limit = Limit(Scope.CLIENT, 5, Policy(policy))
    nodes = [root(client="c", created_at=NOW + number, used_at=NOW + place) for place in range(times)]
    results = await all_at_once(*(store.sessions.create(node, [limit], now=NOW) for node in nodes))
    return [
        [gone.key.hex() for gone in result.replaced] if isinstance(result, Created) else [type(result).__name__]
        for result in results
    ]


async def name(store: Store, number: int, *, names: int) -> list[int]:
    """Create nodes with ids that the others want as well; return the numbers of those that were created."""
    results = await all_at_once(*(store.sessions.create(root(name=f"n{i}"), now=NOW) for i in range(names)))
    assert all(isinstance(result, Created | SessionExists) for result in results), results
    return [place for place, result in enumerate(results) if isinstance(result, Created)]


async def increment(store: Store, number: int, *, node: str, keys: str, times: list[int]) -> int:
    """Add one to what is in a session, by several tasks at once; return how often somebody else was faster."""
    manager, conflicts = _manager(store, number, keys), 0

    async def once_more() -> None:
        nonlocal conflicts
        while True:
            session = await manager.get(_ref(node))
            session.content["n"] += 1
            try:
                return await manager.save(session)
            except SessionConflict:
                conflicts += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(times[number]):
            tasks.start_soon(once_more)
    return conflicts


async def merge(store: Store, number: int, *, node: str, keys: str, times: int) -> None:
    """Write a key of one's own, again and again, from a copy that is read once."""
    manager = _manager(store, number, keys)
    session = await manager.get(_ref(node))
    for turn in range(1, times + 1):
        await manager.merge(session, {f"k{number}": turn})


async def work(store: Store, number: int, *, times: int) -> list[tuple[int, float, float]]:
    """Claim what is due, keep it for a moment, give it back or die; return fences, and from when until when."""
    spans: list[tuple[int, float, float]] = []
    while len(spans) < times:
        claims = await store.sessions.claim(["mcp"], worker=str(number), now=time.time(), ttl=LEASE_S, count=1)
        since = time.time()
        if claims:
            [claim] = claims
            await anyio.sleep(0.002)
            until = claim.lease.until
            if len(spans) % 3 < 2:
                until = min(until, time.time())
                with suppress(LeaseLost):  # it was slow, and another has it
                    await store.leases.release(claim.lease)
            spans.append((claim.lease.fence, since, until))
        await anyio.sleep(0.003)
    return spans


async def share(store: Store, number: int, *, nodes: int) -> list[str]:
    """Claim what is due until nothing is left; return the keys."""
    keys: list[str] = []
    while claims := await store.sessions.claim(["mcp"], worker=str(number), now=NOW, ttl=15, count=3):
        keys += [claim.record.key.hex() for claim in claims]
    return keys


async def take(store: Store, number: int, *, steps: int) -> int:
    """Ask a bucket of ten, filled with twenty a second, a hundred times a second; return how often it gave."""
    waits = [await store.counters.take("bucket", rate=20.0, burst=10.0, now=NOW + step / 100) for step in range(steps)]
    return waits.count(0.0)


async def once(store: Store, number: int, *, names: int) -> list[int]:
    """Ask which names are new; return their numbers."""
    results = await all_at_once(*(store.counters.once(f"n{i}", now=NOW, ttl=60) for i in range(names)))
    return [place for place, first in enumerate(results) if first is True]


async def append(store: Store, number: int, *, node: str, times: int) -> list[int]:
    """Write events into one stream; return their numbers."""
    return [await store.events.append(_ref(node), "s", b"%d" % number, now=NOW) for _ in range(times)]


async def hang(store: Store, number: int, *, node: str, after: int) -> list[float]:
    """Open sessions below a node until it is ended, by rival 0 after so many; return when each was begun, and when
    it was ended."""
    begun: list[float] = []
    parent = root(key=bytes.fromhex(node))
    try:
        while True:
            begun.append(time.monotonic())
            await store.sessions.create(below(parent), now=NOW)
            if number == 0 and len(begun) == after:
                assert await store.sessions.end(parent.ref, Reason.LOGOUT, now=NOW)
                return [*begun, time.monotonic()]
    except SessionEnded:
        return begun[:-1]


async def move(store: Store, number: int, *, node: str, parents: list[str], times: int) -> None:
    """Hang a node here and there, and let locks below it come and go."""
    for turn in range(times):
        parent, key = bytes.fromhex(parents[(turn + number) % len(parents)]), bytes.fromhex(node)
        lock: Record | None = None
        try:
            while (record := await stored(store, root(key=key))) is None:
                await anyio.sleep(0.001)  # on its way from one server of a Redis Cluster to another
            lock = (await store.sessions.create(below(record, kind="lock", holds=True), now=NOW)).record
            alias = alias_of(f"{number}-{turn}")
            await store.sessions.rekey(record, alias=alias, mark="", now=NOW, parent=Ref(parent, parent))
        except (SessionConflict, SessionEnded):
            pass  # somebody was faster
        while lock is not None and turn % 3:
            current = await stored(store, lock)
            if current is None or await store.sessions.delete([current.ref]):
                break


PARTS: dict[str, Callable[..., Awaitable[Any]]] = {
    part.__name__: part for part in (create, name, increment, merge, work, share, take, once, append, hang, move)
}


def _ref(key: str) -> Ref:
    return root(key=bytes.fromhex(key)).ref


def _manager(store: Store, number: int, keys: str) -> Manager:
    kinds = [Kind(name="mcp")]
    return Manager(store, KeyRing.parse(keys), kinds, worker=str(number), clock=lambda: NOW, tuning=Tuning())


class Team:
    """The processes."""

    def __init__(self, processes: list["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    async def __call__(self, place: "Place", part: str, **arguments: Any) -> list[Any]:
        """Let all play a part and return what each answered."""
        with anyio.fail_after(PATIENCE_S):
            if place.sort != "memory":
                return await self._apart(place, part, arguments)
            async with place.open() as store:
                calls = (PARTS[part](store, number, **arguments) for number in range(len(self._processes)))
                answers = await all_at_once(*calls)
            assert not any(isinstance(answer, HoldfastError) for answer in answers), answers
            return list(json.loads(json.dumps(answers)))

    async def _apart(self, place: "Place", part: str, arguments: dict[str, Any]) -> list[Any]:
        command = {"url": place.url, "namespace": place.namespace, "part": part, "arguments": arguments}
        for number, process in enumerate(self._processes):
            _say(process, json.dumps({**command, "number": number}))
        for process in self._processes:
            assert await _hear(process) == "ready"
        for process in self._processes:
            _say(process, "go")
        answers = [json.loads(await _hear(process)) for process in self._processes]
        assert not any(isinstance(answer, dict) for answer in answers), answers
        return answers


@contextmanager
def rivals(number: int) -> Iterator[Team]:
    """Start the processes; whatever happens, none is left behind."""
    command = [sys.executable, str(Path(__file__))]
    open_rival = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started = [open_rival(command) for _ in range(number)]
    try:
        yield Team(started)
    finally:
        for process in started:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


async def _hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = await anyio.to_thread.run_sync(process.stdout.readline)
    assert line, "a rival has died: see its message above"
    return line.strip()


async def play(command: dict[str, Any]) -> None:
    """Play one part in this process."""
    with anyio.fail_after(PATIENCE_S):
        async with open_store(command["url"], namespace=command["namespace"], timeout=30.0) as store:
            await store.counters.read(["warm"], now=NOW)
            print("ready", flush=True)
            assert sys.stdin.readline() == "go\n"
            try:
                answer = await PARTS[command["part"]](store, command["number"], **command["arguments"])
            except Exception:  # noqa: BLE001 - told to the test, which fails
                answer = {"failed": traceback.format_exc()}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        anyio.run(play, json.loads(line))
