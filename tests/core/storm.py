"""Three workers, six agents and bad weather for two minutes, in virtual time: what is held against an engine.

`faults = storm(Copy(), seed)` runs everything (managers, keepers, sweepers, renewals) over one store of dictionaries
whose calls are slow and get lost, while workers are killed and cut off. What is stored is looked at after every single
step, what clients get is compared with what was stored when they asked, and what was acknowledged with what came of it.
At the end the weather clears, everything is ended, and nothing may be left outside.

It is one file because it is one world: each act of an agent is an attempt, and what is held against it, side by side.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import anyio
from anyio.abc import TaskStatus
from msgspec.structs import replace

from core.copies import Copy
from core.virtual_time import VirtualLoop
from holdfast.config import Settings
from holdfast.core.ids import alias_of, make_ids
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy, Reason, Record, Ref, State
from holdfast.core.policy import expires_at
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import HoldfastError, LimitReached, SessionConflict, SessionEnded, SessionNotFound

SPAN_S: Final = 100.0
CALM_S: Final = 200.0
START: Final = 1_000_000.0
AGENTS: Final = 5
MOST: Final = 3
IDLE_S: Final = 25.0
TOUCH_S: Final = 2.5
HEARD_S: Final = 1.0  # E18
KEYS: Final = KeyRing.parse(new_key_text())


class Node:
    """What the agents know of one node."""

    def __init__(self, key: bytes, kind: str, label: str, session_id: str | None) -> None:
        self.key, self.kind, self.label, self.id = key, kind, label, session_id
        self.dead_ids: list[str] = []
        self.acknowledged: Counter[str] = Counter()  # by key of the content: what was written for certain
        self.tried: Counter[str] = Counter()  # and what may have been
        self.used_until, self.using = 0.0, 0
        self.writes, self.writing = 0, 0
        self.ended = False  # for certain


class Worker:
    """One process: an engine, and its own way to the store."""

    def __init__(self, name: str, world: "World") -> None:
        self.name, self.world = name, world
        self.weather = world.copy.other_store.Weather(world.dice.random(), slowest=0.05, lost=world.lost)
        self.calls: set[anyio.CancelScope] = set()
        self.scope = anyio.CancelScope()
        self.manager: Any = None

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        open_engine, settings = self.world.copy.engine.open_engine, Settings(cleanup_interval=20.0)
        kinds, ids = self.world.kinds(self.name), self.world.ids
        with self.scope:
            async with open_engine(
                self.name, kinds=kinds, keys=KEYS, settings=settings, clock=self.world.now, ids=ids, worker=self.name
            ) as engine:
                self.manager = engine.manager
                task_status.started()
                await anyio.sleep_forever()

    def kill(self) -> None:
        """Nothing of this worker reaches anything any more."""
        self.weather.down = True
        for scope in (self.scope, *self.calls):
            scope.cancel()
        self.world.busy = {label: name for label, name in self.world.busy.items() if name != self.name}


class World:
    """The store, the outside, and what is known of both."""

    def __init__(self, copy: Copy, seed: int, lost: float) -> None:
        self.copy, self.lost, self.dice = copy, lost, random.Random(seed)
        self.ground = copy.other_store.Ground()
        self.ground.watch = self.look
        self.before: dict[bytes, Record] = {}
        self.gone: set[bytes] = set()
        self.marked_at: dict[bytes, float] = {}
        self.nodes: list[Node] = []
        self.workers: list[Worker] = []
        self.open: dict[str, str] = {}  # outside: what is open, and below what
        self.busy: dict[str, str] = {}  # outside: who is talking to it
        self.refused: set[str] = set()  # outside: what has refused to be closed, so that what is above it goes first
        self.faults: list[str] = []
        self.done: Counter[str] = Counter()
        self.scope = anyio.CancelScope()
        self.stormy = True
        names = iter(range(1, 1_000_000))
        self.ids = replace(make_ids(), generate=lambda: f"{next(names):043d}")
        copy.engine.open_store = self.open_store

    def now(self) -> float:
        return START + anyio.current_time()

    def fault(self, text: str) -> None:
        """Write down that something is wrong, and stop."""
        self.faults.append(f"{text} at {self.now() - START:.2f}")
        self.scope.cancel()

    @asynccontextmanager
    async def open_store(self, url: str, **_: object) -> AsyncIterator[Any]:
        [worker] = [worker for worker in self.workers if worker.name == url]
        yield self.copy.other_store.other_store(self.ground, worker.weather)

    # -- the outside

    def kinds(self, worker: str) -> list[Kind]:
        async def close(duty: Any) -> None:
            await self.close(worker, duty)

        async def keep(duty: Any) -> float:
            self.done["kept"] += 1
            return float(duty.now + 20.0)

        few = Limits(per_client=MOST, policy=Policy.LEAST_RECENT)
        idle = Clocks(idle=IDLE_S, absolute=70.0, touch_interval=TOUCH_S)
        return [
            Kind(name="security", clocks=Clocks(absolute=90.0, linger=15.0)),
            Kind(name="http", clocks=idle, limits=few),
            Kind(name="backend", closer=close, outside=True, ends_children=True),
            Kind(name="lock", closer=close, upkeep=keep, outside=True, holds=True),
        ]

    @contextmanager
    def talking(self, label: str, worker: str) -> Iterator[None]:
        """Talk to something outside; nobody else may at the same time."""
        if label in self.busy:
            self.fault("two at one back end at once")
        self.busy[label] = worker
        try:
            yield
        finally:
            if self.busy.get(label) == worker:
                del self.busy[label]

    async def close(self, worker: str, duty: Any) -> None:
        record = duty.session.record
        row = self.ground.rows.get(record.key)
        if row is not None and all(node.state is State.LIVE for node in (row, *self.above(row))):
            self.fault("closed outside before the end was stored")
        node = next((node for node in self.nodes if node.key == record.key), None)
        if node is not None and duty.session.content["turns"] < node.acknowledged["turns"]:
            self.fault("what a holder has written is forgotten")
        with self.talking(record.label, worker):
            await anyio.sleep(self.dice.uniform(0.0, 1.0))
            if self.stormy and self.dice.random() < 0.1:
                self.refused.add(record.label)
                raise RuntimeError("the outside says no")
            below = {label for label, parent in self.open.items() if parent == record.label}
            if below - self.refused:
                self.fault("closed before what is below it")
            for label in (record.label, *below):
                self.open.pop(label, None)
        self.done["closed"] += 1

    # -- the store

    def above(self, row: Record) -> list[Record]:
        line = []
        while row.parent is not None:
            row = self.ground.rows[row.parent]
            line.append(row)
        return line

    def look(self) -> None:
        """See what the last step has done to what is stored."""
        rows, before = self.ground.rows, self.before
        if any(row.parent is not None and row.parent not in rows for row in rows.values()):
            return self.fault("an orphan")
        for key, row in rows.items():
            if row is not before.get(key):
                self.look_at(row, before.get(key))
        for key in before.keys() - rows.keys():
            self.gone.add(key)
            if before[key].label in self.open:
                self.fault("a row is gone, and what it stands for is still open")
        holds = Counter(above.key for row in rows.values() if row.holds for above in self.above(row))
        if any(row.held != holds[key] for key, row in rows.items()):
            self.fault("held is counted wrong")
        clients = Counter(row.client for row in rows.values() if row.kind == "http" and self.lives(row))
        if not self.lost and clients and max(clients.values()) > MOST:
            self.fault("above the limit")
        self.before = dict(rows)
        return None

    def look_at(self, row: Record, before: Record | None) -> None:
        was_live = row.key not in self.gone if before is None else before.state is State.LIVE
        if row.state is not State.LIVE:
            self.marked_at.setdefault(row.key, self.now())
        elif not was_live:
            self.fault("a revival")

    def lives(self, row: Record) -> bool:
        return row.state is State.LIVE and expires_at(row) > self.now()

    def alive(self, node: Node) -> bool:
        """Say whether a node can be loaded with the id it is known by."""
        row = self.ground.rows.get(node.key)
        named = row is not None and node.id is not None and row.alias == alias_of(node.id)
        return row is not None and named and all(self.lives(link) for link in (row, *self.above(row)))

    def dead(self, node: Node) -> bool:
        """Say whether a node cannot be loaded any more, whatever is still on its way."""
        row = self.ground.rows.get(node.key)
        if row is None or node.ended:
            return True
        known = {other.key: other for other in self.nodes}
        for link in (row, *self.above(row)):
            if link.state is not State.LIVE or link.ends_at <= self.now() or known[link.key].ended:
                return True
        used = max(row.used_at, node.used_until)
        return not node.using and not row.held and row.idle is not None and used + row.idle <= self.now()

    def ref(self, node: Node) -> Ref:
        """Return where a node is; where it was first, if it is no more."""
        row = self.ground.rows.get(node.key)
        return row.ref if row is not None else Ref(node.key, node.key)

    # -- what agents do

    def some(self, *kinds: str) -> Node:
        """Return a node of these kinds that may still be there, young ones rather than old ones."""
        found = [node for node in self.nodes if node.kind in kinds and node.key in self.ground.rows]
        if not found:
            raise SessionNotFound("there is none")
        return self.dice.choice(found[-6:])

    async def open_one(self, manager: Any, kind: str, parent: Node | None, **more: Any) -> Node:
        label = f"{kind}-{self.dice.randrange(10**9)}" if kind in ("backend", "lock") else ""
        dead = parent is not None and self.dead(parent)
        above = self.ref(parent) if parent is not None else None
        named = kind in ("security", "http")
        session = await manager.open(kind, {"turns": 0}, parent=above, label=label, named=named, **more)
        if dead:
            self.fault("opened below what has ended")
        node = Node(session.key, kind, label, session.id)
        self.nodes.append(node)
        self.done[f"open {kind}"] += 1
        return node

    async def log_on(self, worker: Worker, agent: str) -> None:
        await self.open_one(worker.manager, "security", None, owner=agent)

    async def begin(self, worker: Worker, agent: str) -> None:
        """Open a session, or as some clients do: several at once."""
        parent = self.some("security") if self.dice.random() < 0.6 else None
        client = self.dice.choice("ab")

        async def open_at(other: Worker) -> None:
            with suppress(HoldfastError):
                await self.open_one(other.manager, "http", parent, client=client)

        async with anyio.create_task_group() as tasks:
            for other in [worker, *self.workers][: self.dice.choice([1, 1, 3])]:
                tasks.start_soon(open_at, other)

    async def connect(self, worker: Worker, agent: str) -> None:
        await self.talk_in(worker, await self.open_one(worker.manager, "backend", self.some("http")))

    async def lock(self, worker: Worker, agent: str) -> None:
        parent = self.some("backend")
        await self.talk_in(worker, await self.open_one(worker.manager, "lock", parent, due_at=self.now() + 10), parent)

    async def talk(self, worker: Worker, agent: str) -> None:
        await self.talk_in(worker, self.some("backend"))

    async def talk_in(self, worker: Worker, node: Node, parent: Node | None = None) -> None:
        """Send something outside under the lease, opening what is not open there yet."""
        async with worker.manager.hold(self.ref(node), wait=5.0) as held:
            session = await worker.manager.get(self.ref(node))
            self.compare(node, session.content, Counter(node.acknowledged))
            with self.talking(node.label, worker.name):
                held.check()
                self.open.setdefault(node.label, parent.label if parent else "")
                await anyio.sleep(self.dice.uniform(0.0, 2.0) if self.dice.random() < 0.8 else 20.0)
                if self.ground.leases[node.key].until <= self.now():
                    self.fault("a holder goes on when its lease has run out")
                held.check()
            session.content["turns"] += 1
            node.tried["turns"] = max(node.tried["turns"], session.content["turns"])
            held.put(session)
        node.acknowledged["turns"] = session.content["turns"]

    async def load(self, worker: Worker, node: Node) -> Any:
        """Load a session as a client does, and hold what comes against what is stored."""
        if node.id is None:
            raise SessionNotFound("its id is not known")
        dead, alive, known, session_id = self.dead(node), self.alive(node), Counter(node.acknowledged), node.id
        began = self.now()
        node.using += 1
        try:
            session = await worker.manager.load(session_id, kind="http")
        except SessionNotFound:
            if alive and self.alive(node) and node.id == session_id:
                self.fault("a live session is not found")
            raise
        finally:
            node.using -= 1
            node.used_until = self.now()
        if dead:
            self.fault("what has ended is loaded")
        row = self.ground.rows.get(node.key)
        if row is not None and row.used_at < began - TOUCH_S:
            self.fault("a use is not recorded")
        self.compare(node, session.content, known)
        return session

    def compare(self, node: Node, content: dict[str, int], known: Counter[str]) -> None:
        for name, value in content.items() | known.items():
            if not known[name] <= content.get(name, 0) <= node.tried[name]:
                self.fault(f"an update is lost or made up: {name} is {content.get(name)}, {value} is known")

    @contextmanager
    def writing(self, node: Node, name: str, value: int) -> Iterator[None]:
        """Keep account of a write; it is acknowledged if the block ends well."""
        node.tried[name] = max(node.tried[name], value)
        node.writes += 1
        node.writing += 1
        try:
            yield
            node.acknowledged[name] = max(node.acknowledged[name], value)
            self.done["written"] += 1
        finally:
            node.writing -= 1

    async def count(self, worker: Worker, agent: str) -> None:
        """Add one to what all agents add to."""
        node = self.some("http")
        quiet, writes = not node.writing, node.writes
        session = await self.load(worker, node)
        await anyio.sleep(self.dice.uniform(0.0, 2.0))
        session.content["n"] = session.content.get("n", 0) + 1
        try:
            with self.writing(node, "n", session.content["n"]):
                await worker.manager.save(session)
        except SessionConflict:
            self.done["conflict"] += 1
            if quiet and node.writes == writes + 1 and node.key in self.ground.rows:
                self.fault("a conflict with nobody")

    async def note(self, worker: Worker, agent: str) -> None:
        """Write a key of one's own."""
        node = self.some("http")
        session = await self.load(worker, node)
        await anyio.sleep(self.dice.uniform(0.0, 0.2))
        with self.writing(node, agent, node.tried[agent] + 1):
            await worker.manager.merge(session, {agent: node.tried[agent]})

    async def rotate(self, worker: Worker, agent: str) -> None:
        node = self.some("http")
        session, old = await self.load(worker, node), node.id
        parent = None
        if self.dice.random() < 0.4:
            parent = await worker.manager.get(self.ref(self.some("security")))
        node.writes += 1
        node.writing += 1
        try:
            node.id = await worker.manager.rotate(session, parent=parent)
            node.dead_ids.append(str(old))
            self.done["rotated"] += 1
        finally:
            node.writing -= 1
            row = self.ground.rows.get(node.key)
            if row is None or node.id is None or row.alias != alias_of(node.id):
                node.id = None

    async def replay(self, worker: Worker, agent: str) -> None:
        """Try an id that was given up."""
        dead = [session_id for node in self.nodes for session_id in node.dead_ids]
        if dead:
            await worker.manager.load(self.dice.choice(dead), kind="http")
            self.fault("an id that was given up still works")

    async def end(self, worker: Worker, agent: str) -> None:
        node = self.some(self.dice.choice(["security", "http", "http", "backend", "lock"]))
        if await worker.manager.end(self.ref(node), self.dice.choice(list(Reason))):
            node.ended = True
            self.done["ended"] += 1

    async def call(self, worker: Worker, agent: str) -> None:
        """Run for a while in a session; end soon after it."""
        node = self.some("http")
        session = await self.load(worker, node)
        node.using += 1
        try:
            async with worker.manager.running(session):
                await anyio.sleep(self.dice.uniform(1.0, 6.0))
        except SessionEnded:
            self.done["call cancelled"] += 1
        finally:
            node.using -= 1
            node.used_until = self.now()
        marked = [self.marked_at.get(key, self.now()) for key in (session.key, *session.above)]
        if not self.lost and self.now() - min(marked) > HEARD_S:
            self.fault("a call ran on after the end of its session")

    # -- the storm

    async def agent(self, name: str) -> None:
        acts = [self.log_on, self.begin, self.begin, self.connect, self.lock, self.lock, self.talk, self.talk]
        acts += [self.count] * 3 + [self.note] * 3 + [self.rotate, self.replay, self.end, self.call]
        while anyio.current_time() < SPAN_S:
            worker = self.dice.choice([worker for worker in self.workers if worker.manager is not None])
            with anyio.CancelScope() as scope:
                worker.calls.add(scope)
                try:
                    await self.dice.choice(acts)(worker, name)
                except LimitReached:
                    self.done["limit reached"] += 1
                except HoldfastError as exc:
                    self.done[type(exc).__name__] += 1
                finally:
                    worker.calls.discard(scope)
            await anyio.sleep(self.dice.uniform(0.0, 1.0))

    async def kill(self, tasks: anyio.abc.TaskGroup) -> None:
        """Now and then kill a worker, and start another."""
        while anyio.current_time() < SPAN_S:
            await anyio.sleep(self.dice.uniform(8.0, 25.0))
            worker = self.dice.choice(self.workers)
            worker.kill()
            self.workers.remove(worker)
            await self.start(tasks)
            self.done["killed"] += 1

    async def cut_off(self) -> None:
        """Now and then let nothing of a worker get to the store for a while."""
        while anyio.current_time() < SPAN_S:
            await anyio.sleep(self.dice.uniform(1.0, 8.0))
            talking = [worker for worker in self.workers if worker.name in self.busy.values()]
            worker = self.dice.choice(talking or self.workers)
            worker.weather.lost = 1.0
            await anyio.sleep(self.dice.uniform(5.0, 25.0))
            worker.weather.lost = self.lost

    async def start(self, tasks: anyio.abc.TaskGroup) -> None:
        worker = Worker(f"worker-{self.done['started']}", self)
        self.done["started"] += 1
        self.workers.append(worker)
        await tasks.start(worker.run)

    async def calm(self) -> None:
        """End everything in fine weather; nothing may be left."""
        self.stormy = False
        for worker in self.workers:
            worker.weather.lost = 0.0
        for row in [row for row in self.ground.rows.values() if row.parent is None]:
            await self.workers[0].manager.end(row.ref, Reason.SHUTDOWN)
        with anyio.move_on_after(CALM_S):
            while self.ground.rows:
                await anyio.sleep(1.0)
        if self.ground.rows or self.open:
            self.fault(f"left behind: {len(self.ground.rows)} rows, {sorted(self.open)}")

    async def run(self) -> None:
        with self.scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    await self.start(tasks)
                async with anyio.create_task_group() as agents:
                    for number in range(AGENTS):
                        agents.start_soon(self.agent, f"agent-{number}")
                    if self.lost:
                        agents.start_soon(self.kill, tasks)
                        agents.start_soon(self.cut_off)
                await self.calm()
                tasks.cancel_scope.cancel()


def storm(copy: Copy, seed: int) -> World:
    """Run one storm; every other one loses nothing, so that more can be asked of it. Return the world after it."""
    world: World | None = None

    async def main() -> None:
        nonlocal world
        world = World(copy, seed, lost=0.03 * (seed % 2))
        await world.run()

    anyio.run(main, backend_options={"loop_factory": VirtualLoop})
    assert world is not None
    return world
