"""The quiet check: faults have stopped, agents stand still; what is left, and is everything acknowledged there?"""

import time
from collections import Counter

import anyio
import msgspec
from bench.chaos.agents import SHARED
from bench.chaos.faults import Faults
from bench.chaos.foreign import Foreign
from bench.chaos.model import Model, Suspect, nonce_of
from bench.chaos.world import World

from holdfast.adt.desk import BACKEND, LOCK, WORKSPACE
from holdfast.core.model import Record, State
from holdfast.core.ports import Store
from holdfast.stores import open_store

TAKEOVER_S = 20.0  # A5
SWEEP_S = 10.0
LOOK_S = 0.1
TRACEBACK = "Traceback (most recent call last)"


class Quiet(msgspec.Struct, frozen=True):
    """What a quiet check has found, and after how many seconds nothing was left."""

    after_kills: int
    free_after_s: float
    empty_after_s: float
    logons_left: int
    checked: int


class Judge:
    """Compares the model with the system and the store."""

    def __init__(self, world: World, model: Model, faults: Faults, foreign: Foreign) -> None:
        self._world, self._model, self._faults, self._foreign = world, model, faults, foreign
        self.left: Counter[str] = Counter()
        self.checks: list[Quiet] = []
        self._read: dict[str, int] = {}

    async def check(self) -> None:
        """Wait until nothing is left, then compare every acknowledged fact."""
        began, options = anyio.current_time(), self._world.options
        patience = TAKEOVER_S + options.hold_limit + options.jump
        free = await self._gone(began, patience, "locks", lambda: self._world.sap.ours("sm12"))
        free = max(free, await self._gone(began, patience, "contexts", lambda: self._world.sap.ours("sm04")))
        async with open_store(self._world.store.url) as store:
            empty = await self._gone(began, patience + options.idle + SWEEP_S, "nodes", lambda: _nodes(store))
            self.left["stranded"] += sum(record.state is State.STRANDED for record in await _nodes(store))
        await self._foreign.check()
        await self._world.sap.follow()
        self._judge_suspects()
        self._model.check_counts(await self._world.sap.puts())
        checked = len(self._model.touched)
        await self._check_sources()
        self._check_logs()
        logons = len(await self._world.sap.ours("sm05"))
        self.checks.append(Quiet(self._faults.counts["kills"], round(free, 1), round(empty, 1), logons, checked))

    async def _gone(self, began: float, patience: float, what: str, look) -> float:  # type: ignore[no-untyped-def]
        """Wait until there is nothing to see; return how long that took since the beginning."""
        rows = []
        with anyio.move_on_after(began + patience - anyio.current_time()):
            while rows := await look():
                await anyio.sleep(LOOK_S)
        for row in rows:
            self.left[what] += 1
            subject = row.get("object", what) if isinstance(row, dict) else row.label
            self._model.violate(f"{what} left", subject, _described(row), time.time())
        return anyio.current_time() - began

    async def _check_sources(self) -> None:
        for name in sorted(self._model.touched):
            item = self._model.items[name]
            for version, judged in (("inactive", item.newest), ("active", item.active)):
                wrong = judged(nonce_of(await self._world.sap.source(name, version) or ""))
                if wrong:
                    self._model.violate("lost", name, f"{version}: {wrong}", time.time())
        self._model.touched.clear()

    def _check_logs(self) -> None:
        """See that no worker has met an error that it did not know."""
        for log in sorted(self._world.folder.glob("worker-*.log")):
            with log.open() as lines:
                lines.seek(self._read.get(log.name, 0))
                text = lines.read()
                self._read[log.name] = lines.tell()
            if TRACEBACK in text:
                told = text[text.index(TRACEBACK) :].splitlines()
                self._model.violate("an error in the log", log.name, " / ".join(told[:2] + told[-3:]), time.time())

    def _judge_suspects(self) -> None:
        suspects, self._model.suspects = self._model.suspects, []
        for suspect in suspects:
            if not self._excused(suspect):
                self._model.violate(suspect.promise, suspect.subject, suspect.detail, suspect.at)

    def _excused(self, suspect: Suspect) -> bool:
        """Say whether time or somebody else is the reason: the lock was idle for too long, or ALICE took the object."""
        limit = self._world.options.hold_limit
        if suspect.promise.startswith("locked") and suspect.at - suspect.since >= limit - 1.0:
            return True
        if any(began <= suspect.at and suspect.since <= ended for began, ended in self._faults.jumps):
            return True
        path = f"/{suspect.subject.lower()}"
        return suspect.subject in SHARED or any(
            "foreign_lock" in row["faults"] and path in row["path"] and row["at"] >= suspect.since - limit
            for row in self._world.sap.requests
        )


async def _nodes(store: Store) -> list[Record]:
    return [record for kind in (LOCK, BACKEND, WORKSPACE) for record in await store.sessions.find("kind", kind)]


def _described(row: object) -> str:
    if isinstance(row, Record):
        now = time.time()
        return (
            f"{row.kind} {row.key.hex()[:8]} {row.label!r} {row.state} {row.reason} attempts={row.attempts} "
            f"used {now - row.used_at:.1f} s ago, due in {(row.due_at or now) - now:.1f} s, held={row.held}"
        )
    return str(row)
