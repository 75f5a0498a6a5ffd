"""What is done to the workers, to the store and to the connections to the ABAP system, drawn from a seed.

Each kind of fault has a random source of its own, so a seed gives the same schedule however fast the machine is.
All stop, and are mended, when the block ends.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from bench.chaos.agents import Pause
from bench.chaos.foreign import USER as FOREIGN_USER
from bench.chaos.model import Model
from bench.chaos.world import World

# A request at each step of a workflow; what comes before and after LOCK (logon, end of context, log-off) as well.
TARGETS = (
    {"action": "LOCK"},
    {"method": "PUT"},
    {"action": "UNLOCK"},
    {"path": "activation$"},
    {"path": "core/http/sessions|discovery"},
    {"path": "logoff"},
)
WEIGHTS = (4, 5, 4, 2, 1, 1)
CUTS = ("cut_before", "cut_after", "delay")
ALL_AT_ONCE = 0.1
MOST_AWAITS = 9
FREEZE_WAIT_S = 3.0


class Faults:
    """The disturbances of a run. `counts` says what has happened; `jumps` are the spans in which a clock was wrong."""

    def __init__(self, world: World, model: Model, pause: Pause) -> None:
        self._world, self._model, self._pause, self._options = world, model, pause, world.options
        self.counts: Counter[str] = Counter()
        self.awaits: Counter[str] = Counter()
        self._await = 0
        self.jumps: list[tuple[float, float]] = []
        self._sources = {
            name: random.Random(f"{self._options.seed}/{name}")
            for name in ("kill", "freeze", "await", "cut", "grab", "jump", "outage")
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Disturb everything but for kills, which the caller counts out."""
        own: dict[str, tuple[Callable[[random.Random], Awaitable[None]], float]] = {
            "freeze": (self._freeze, 6.0),
            "await": (self._freeze_at_await, 2.0),
            "cut": (self._cut, 0.6),
            "grab": (self._grab, 8.0),
            "jump": (self._jump, 25.0),
            "outage": (self._outage, self._options.outage_every),
        }
        async with anyio.create_task_group() as tasks:
            for name, (fault, every) in own.items():
                tasks.start_soon(self._again_and_again, fault, every, self._sources[name])
            yield
            tasks.cancel_scope.cancel()
        await self._world.sap.clear_faults()

    async def kill(self) -> None:
        """Wait for about a second, and kill a worker that is there: now and then the last one that serves."""
        source = self._sources["kill"]
        await anyio.sleep(self._options.kill_every * source.uniform(0.6, 1.4))
        number, alone = source.randrange(self._options.workers), source.random() < ALL_AT_ONCE
        while not await self._world.workers.shoot(number, spare_the_last=not alone):
            await anyio.sleep(0.1)
            number = (number + 1) % self._options.workers
        self._note("kills", f"worker {number} is killed")

    async def _again_and_again(
        self, fault: Callable[[random.Random], Awaitable[None]], every: float, source: random.Random
    ) -> None:
        while True:
            await anyio.sleep(every * source.uniform(0.5, 1.5))
            await fault(source)

    async def _freeze(self, source: random.Random) -> None:
        """Stop a worker wherever it is, for longer than its leases last."""
        number, longer = source.randrange(self._options.workers), source.uniform(0.5, 2.0)
        child = self._world.workers.child(number)
        if child is None:
            return
        child.send_signal(signal.SIGSTOP)
        self._note("freezes", f"worker {number} is frozen for {self._options.lease_ttl + longer:.1f} s")
        try:
            await anyio.sleep(self._options.lease_ttl + longer)
        finally:
            child.send_signal(signal.SIGCONT)

    async def _freeze_at_await(self, source: random.Random) -> None:
        """Have a worker stop itself at one await between taking a lease and giving it back."""
        number, longer = source.randrange(self._options.workers), source.uniform(0.5, 2.0)
        child, control = self._world.workers.child(number), self._world.workers.controls[number]
        if child is None:
            return
        control.frozen, control.step = None, self._await % MOST_AWAITS + 1
        try:
            with anyio.move_on_after(FREEZE_WAIT_S):
                while not (control.frozen and child.stopped) and child.returncode is None:
                    await anyio.sleep(0.02)
            if control.frozen and child.stopped:
                self._await += 1  # the next one in turn, so that none is left out
                where = "{} {}".format(*control.frozen)
                self.awaits[where] += 1
                self._note("freezes under a lease", f"worker {number} has frozen at await {where}")
                await anyio.sleep(self._options.lease_ttl + longer)
        finally:
            control.step = 0
            child.send_signal(signal.SIGCONT)

    async def _cut(self, source: random.Random) -> None:
        """Lose a request, lose an answer, or let a request arrive after its lease has run out."""
        [target] = source.choices(TARGETS, WEIGHTS)
        effect, seconds = source.choice(CUTS), source.uniform(0.5, 1.5) * self._options.lease_ttl
        await self._world.sap.fault(effect=effect, seconds=seconds, **target)

    async def _grab(self, source: random.Random) -> None:
        """Take away an object just before it is written: an administrator deletes the lock, and ALICE is faster."""
        await self._world.sap.fault(effect="foreign_lock", user=FOREIGN_USER, method="PUT", skip=source.randrange(3))

    async def _jump(self, source: random.Random) -> None:
        """Let a worker's clock jump, and back again after a while."""
        number, most = source.randrange(self._options.workers), self._options.jump
        seconds = source.choice((-1, 1)) * source.uniform(0.3, 1.0) * most
        control, began = self._world.workers.controls[number], time.time()
        control.offset = seconds
        self._note("clock jumps", f"the clock of worker {number} jumps by {seconds:.1f} s")
        try:
            await anyio.sleep(source.uniform(2.0, 5.0))
        finally:
            control.offset = 0.0
            self.jumps.append((began, time.time() + most))
            self._model.disturb(time.time(), f"the clock of worker {number} is right again")

    async def _outage(self, source: random.Random) -> None:
        """Put the store out of reach."""
        del source
        self._note("store stops", "the store is out of reach")
        try:
            await self._world.store.outage(self._options.outage)
        finally:
            self._pause.outage_ended = time.time()
            self._model.disturb(time.time(), "the store is back")

    def _note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self._model.disturb(time.time(), what)
