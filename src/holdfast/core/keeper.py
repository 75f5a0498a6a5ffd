"""What is due in the outside world: closing what has ended, keeping alive what lives, sweeping what has expired (E10).

Any worker may do any of it: a node is claimed with a lease, and what a dead worker left half done is done again from
its beginning (closers are idempotent). Decisions are in `closing`; here they are carried out. What nobody expected
costs a turn, or a node a pause, but not the server: all that is done can be done again. It is one long class because
all of it shares what this worker is at, and what it has leased.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from holdfast.core import closing
from holdfast.core.duty import Duty, Run
from holdfast.core.events import Fact
from holdfast.core.holding import Held
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.mistakes import Mistakes
from holdfast.core.model import Claim, Reason, Record, State
from holdfast.core.policy import expires_at
from holdfast.core.sealing import Unreadable
from holdfast.core.together import STORE_DOWN_S
from holdfast.errors import Busy, LeaseLost, SessionConflict, SessionEnded, StoreUnavailable

CLAIMS: Final = 32
SLOW_S: Final = 2.0  # who takes longer is looked after beside the others, and no longer instead of them
SLOW_SHARE: Final = 3  # times `at_once`: how many of those there may be
UPKEEP_RETRY_S: Final = 10.0
MISTAKE_S: Final = 5.0  # how long the keeper waits after a turn that failed for no reason it knows
FOREIGN_LEASE_S: Final = 1.0  # something is due, but another worker holds it, or must: look again, do not spin
SWEEPER_TURN_S: Final = 30.0
REMOVED_AT_ONCE: Final = 100  # nodes: a store that does one thing after the other keeps nobody waiting for long
TREE: Final = 2_000  # nodes of a tree that are read at once: to be closed, all of them have to be known
EXPECTED: Final = (LeaseLost, StoreUnavailable, SessionEnded, SessionConflict)  # another has the node, or will have it
GRACE_S: Final = 10.0  # after an outage: uses that it kept from being recorded are written before anything is removed


class Gone(Exception):
    """The row of a node is not there any more: somebody has closed it."""


class Keeper:
    """Does what is due. `turn` and `sweep` do one round each; `run` repeats them until cancelled."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._swept_at = manager.clock()
        self._working: dict[bytes, float] = {}  # since when each node is looked after, by the event loop's clock
        self._not_ours: frozenset[bytes] = frozenset()  # what is long due and was told of
        self._staying = 0  # expired rows that a sweep had to leave
        self._out_at = float("-inf")  # when the store was last out of reach
        self._mistakes = Mistakes("looking after what is due")

    async def run(self) -> None:
        """Take turns: at the earliest due instant, when woken, and every few seconds at the latest."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._manager.due = anyio.Event()
                try:
                    pause = await self._pause()
                    if pause <= 0:
                        pause = await self._start(tasks)
                except StoreUnavailable:
                    self._out_at = anyio.current_time()
                    pause = STORE_DOWN_S
                except Exception as exc:  # noqa: BLE001 - the next turn may be a better one
                    self._mistakes.note(exc)
                    pause = MISTAKE_S
                with anyio.move_on_after(pause):
                    await self._manager.due.wait()

    async def run_sweeper(self) -> None:
        """Sweep every `cleanup_interval`, give or take a tenth, or sooner when much has expired."""
        tuning = self._manager.tuning
        while True:
            turn = min(tuning.cleanup_interval, SWEEPER_TURN_S)
            with anyio.move_on_after(turn * random.uniform(0.9, 1.1)):  # noqa: S311 - jitter
                await self._manager.litter.wait()
            self._manager.litter = anyio.Event()
            try:
                await self.clear()
                await self._sweep_if_due()
                await self.note_unclaimed()
            except StoreUnavailable:
                self._out_at = anyio.current_time()
            except Exception as exc:  # noqa: BLE001 - the next turn may be a better one
                self._mistakes.note(exc)

    async def claim(self, count: int = CLAIMS) -> list[Claim]:
        """Lease what is due now and this process can look after."""
        manager = self._manager
        with anyio.CancelScope(shield=True):  # what is leased must be known, so that it can be given back
            claims = await manager.store.sessions.claim(
                frozenset(manager.kinds),
                worker=manager.worker,
                now=manager.clock(),
                ttl=manager.tuning.lease_ttl,
                count=count,
            )
        return claims  # noqa: RET504 - a scope may swallow what is raised in it, says its type

    async def turn(self) -> int:
        """Do everything that is due now and return how many nodes were looked after."""
        asked_at = anyio.current_time()
        claims = await self.claim()
        async with anyio.create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(self.look_after, claim, asked_at)
        return len(claims)

    async def look_after(self, claim: Claim, asked_at: float) -> None:
        """Close a marked node, or keep a live one. What failed is due again, after a pause.

        `asked_at` is what the event loop's clock showed before the store was asked for the claim.
        """
        held = self._manager.holding(claim.lease, asked_at)
        try:
            if claim.record.state is State.LIVE:
                await self._keep(claim.record, held)
            else:
                await self._close(claim.record, held)
        except EXPECTED:
            return
        except Exception as exc:  # noqa: BLE001 - what a face has put cannot be written: the old content stays (E6)
            self._manager.tell(Fact.CLOSING_FAILED, claim.record, detail=type(exc).__name__)

    async def sweep(self) -> int:
        """Remove what has expired, and mark what still has something outside or below; return how many.

        Rows of kinds that others look after stay, and are read past: pages grow until one shows everything expired.
        """
        manager, done, staying = self._manager, 0, 0
        while True:
            count = manager.tuning.gc_threshold + 2 * staying
            page = await manager.store.sessions.find("expired", manager.clock(), count=count)
            progress = await self._sweep_page([record for record in page if record.kind in manager.kinds])
            done, staying = done + progress, len(page) - progress
            if len(page) < count:
                self._staying = staying
                return done

    async def clear(self) -> int:
        """Remove what began before trees count from, or mark it if it has to be closed; return how many (R35).

        One worker does it, page by page; if it dies another begins anew, and passes over what has gone.
        """
        manager, done, page = self._manager, 0, list[Record]()
        since = await manager.era.to_clear()
        if since:
            async for record in manager.each("all", b"", page=manager.tuning.gc_threshold):
                if record.state is State.LIVE and record.kind in manager.kinds and manager.era.is_over(record.tree):
                    page.append(record)
                if len(page) >= manager.tuning.gc_threshold:
                    done += await self._sweep_page(page)
                    page = []
            done += await self._sweep_page(page)
            await manager.era.cleared(since)
        return done

    async def note_unclaimed(self) -> int:
        """Tell what is long due but is, or stands above, a kind this process cannot close; return how many (E30).

        Each node is told of once, for as long as it stays due.
        """
        manager = self._manager
        late = manager.clock() - manager.tuning.unclaimed_after
        foreign = [r for r in await manager.store.sessions.find("due", late) if await self._cannot_close(r)]
        for record in foreign:
            if record.key not in self._not_ours:
                manager.tell(Fact.UNCLAIMED, record, detail=record.label)
        self._not_ours = frozenset(record.key for record in foreign)
        return len(foreign)

    # -- inside

    async def _cannot_close(self, top: Record) -> bool:
        kinds = self._manager.kinds
        tree = [] if top.kind not in kinds else [r async for r in self._manager.each("tree", top.tree)]
        return any(record.kind not in kinds for level in closing.levels(top, tree) for record in level)

    async def _start(self, tasks: TaskGroup) -> float:
        """Begin to look after as much of what is due as there is room for; return when to look again."""
        asked_at = anyio.current_time()
        room = self._room(asked_at)
        if room <= 0:
            return SLOW_S  # or sooner: whoever is done wakes the keeper
        claims = await self.claim(min(room, CLAIMS))
        for claim in claims:
            self._working[claim.record.key] = asked_at
            tasks.start_soon(self._work, claim, asked_at)
        return 0.0 if claims else FOREIGN_LEASE_S

    def _room(self, now: float) -> int:
        """Return for how many more nodes there is room: `at_once`, and as many that hang without being in the way."""
        most = self._manager.tuning.at_once
        slow = sum(1 for since in self._working.values() if now - since >= SLOW_S)
        return most - len(self._working) + min(slow, SLOW_SHARE * most)

    async def _work(self, claim: Claim, asked_at: float) -> None:
        try:
            await self.look_after(claim, asked_at)
        except Exception as exc:  # noqa: BLE001 - others are looked after beside it
            self._mistakes.note(exc)
        finally:
            self._working.pop(claim.record.key, None)  # the node may be claimed again before this is reached
            self._manager.due.set()

    async def _pause(self) -> float:
        """Return how long nothing is due, 0 if something is that nobody here is working on."""
        manager = self._manager
        earliest = await manager.store.sessions.find("due", float("inf"), count=len(self._working) + 1)
        others = [r.due_at for r in earliest if r.due_at is not None and r.key not in self._working]
        return min([max(due_at - manager.clock(), 0.0) for due_at in others[:1]] + [manager.tuning.keeper_turn])

    async def _sweep_if_due(self) -> None:
        manager = self._manager
        if manager.missed or anyio.current_time() - self._out_at < GRACE_S:
            return
        most = manager.tuning.gc_threshold + self._staying
        now = manager.clock()
        crowded = len(await manager.store.sessions.find("expired", now, count=most + 1)) > most
        if crowded or now - self._swept_at >= manager.tuning.cleanup_interval:
            self._swept_at = now
            await self.sweep()

    async def _sweep_page(self, page: list[Record]) -> int:
        manager, now = self._manager, self._manager.clock()
        outside = {record.key for record in page if manager.kinds[record.kind].outside}
        left = outside | await self._remove_leaves([r for r in page if r.key not in outside], now)
        expired = {record.key for record in page}
        tops = [r for r in page if r.key in left and r.parent not in expired]  # what is below goes with them
        for record in tops:
            await manager.end(record.ref, self._why(record, now))
        return len(page) - len(left) + len(tops)

    async def _remove_leaves(self, records: list[Record], now: float) -> set[bytes]:
        """Remove those that have nothing below, in one step; return the keys of the others."""
        manager = self._manager
        refs = [record.ref for record in records]
        removed = await manager.store.sessions.delete(refs) if refs else 0
        left: set[bytes] = set()
        if removed < len(refs):
            left = {r.key for r in records if await manager.current(r.ref) is not None}
        for record in records if removed else ():  # else another worker has removed them, and told
            if record.key not in left:
                manager.tell(Fact.ENDED, record, reason=self._why(record, now), gone=True)
        return left

    @asynccontextmanager
    async def _looking_after(self, record: Record, held: Held) -> AsyncIterator[None]:
        """Hold the lease. What nobody expected costs the node a try, or the lease's time if that cannot be written."""
        async with held:
            try:
                yield
            except EXPECTED:
                raise
            except Exception as exc:
                self._mistakes.note(exc)
                try:
                    await self._stumbled(record, held)
                except Exception:  # noqa: BLE001 - as far as anybody knows the lease is all that is left
                    held.forget()
                raise

    async def _stumbled(self, record: Record, held: Held) -> None:
        if record.state is State.LIVE:
            later = msgspec.structs.replace(record, due_at=self._manager.clock() + UPKEEP_RETRY_S)
            await self._again(held, later)
        else:
            await self._failed(held, record, self._manager.tuning.closing_patience)

    async def _keep(self, record: Record, held: Held) -> None:
        manager, kind = self._manager, self._manager.kinds[record.kind]
        async with self._looking_after(record, held):
            try:
                session = await manager.read(record)
            except Unreadable:
                await self._failed(held, record, patience=0.0)
                return
            due_at = await self._next_due(kind, Duty(manager, session, Run(manager, record, held)))
            session.record = msgspec.structs.replace(session.record, due_at=due_at)
            held.put(session)

    async def _next_due(self, kind: Kind, duty: Duty) -> float | None:
        manager = self._manager
        try:
            with anyio.fail_after(manager.tuning.closer_timeout):
                return await (kind.upkeep(duty) if kind.upkeep else self._linger(duty))
        except (LeaseLost, StoreUnavailable):
            raise
        except SessionEnded:
            return manager.clock() + UPKEEP_RETRY_S  # what is above is being closed, and this with it
        except Exception as exc:  # noqa: BLE001 - a face's upkeep may fail in any way; it is due again
            manager.tell(Fact.CLOSING_FAILED, duty.session.record, detail=f"upkeep: {type(exc).__name__}")
            return manager.clock() + UPKEEP_RETRY_S

    async def _linger(self, duty: Duty) -> float | None:
        """End a node that has had no living child for its time; look again when the last of its children expires."""
        manager, record, now = self._manager, duty.session.record, duty.now
        clocks = manager.rules(record.kind)[0]
        if clocks.linger is None:
            return None
        below = [child async for child in manager.each("parent", record.key) if child.state is State.LIVE]
        living = [end for end in map(expires_at, below) if end > now]  # a row may outlast what it stands for
        if living:
            duty.session.record = msgspec.structs.replace(record, used_at=now)
            return max(living)
        had_one = record.used_at > record.created_at
        patience = clocks.linger_after if had_one and clocks.linger_after is not None else clocks.linger
        if now < record.used_at + patience:
            return record.used_at + patience
        await manager.end(record.ref, Reason.IDLE)
        return None

    async def _left_alone(self, parent: Record) -> None:
        """Let a node that waits for its last child be looked at: one has gone."""
        if self._manager.rules(parent.kind)[0].linger is None:
            return
        fresh, now = await self._manager.current(parent.ref), self._manager.clock()
        if fresh is None or fresh.state is not State.LIVE:
            return
        looked_at = msgspec.structs.replace(fresh, used_at=now, due_at=now)
        try:
            await self._manager.store.sessions.replace(looked_at, now=now)
        except SessionConflict:
            await self._left_alone(parent)  # somebody else has just written it

    async def _close(self, top: Record, held: Held) -> None:
        manager = self._manager
        async with self._looking_after(top, held):
            tree = [record async for record in manager.each("tree", top.tree, page=TREE)]
            order = closing.levels(top, tree)
            run = Run(manager, top, held)
            if not await self._close_levels(order, run):
                await self._again(held, closing.after_busy(top, manager.clock()))
                return
            nodes = [record for level in order for record in level]
            gone = closing.removable(nodes, run.failed, manager.kinds)
            whole = bool(gone) and gone[-1].key == top.key  # leaves come first
            if not whole:
                await self._failed(held, top, patience=0.0 if run.unreadable else manager.tuning.closing_patience)
            await self._remove(gone, held, top, whole=whole)
            for parent in [record for record in tree if whole and record.key == top.parent]:
                await self._left_alone(parent)

    async def _close_levels(self, order: list[list[Record]], run: Run) -> bool:
        """Close what has effect outside, leaves first; False if a request is still on its way somewhere below.

        What stands above something that could not be closed waits, unless its end ends that as well (E14).
        """
        limiter = anyio.CapacityLimiter(self._manager.tuning.siblings)
        waiting: set[bytes | None] = set()
        for level in order:
            busy: list[Record] = []
            open_still = {r.key for r in level if r.key in waiting and not self._manager.kinds[r.kind].ends_children}
            async with anyio.create_task_group() as tasks:
                for record in level:
                    if self._manager.kinds[record.kind].outside and record.key not in open_still:
                        tasks.start_soon(self._close_one, record, run, busy, limiter)
            if busy:
                return False
            waiting = {record.parent for record in level if record.key in open_still | run.failed}
        return True

    async def _close_one(self, record: Record, run: Run, busy: list[Record], limiter: anyio.CapacityLimiter) -> None:
        manager, kind = self._manager, self._manager.kinds[record.kind]
        try:
            async with limiter, self._leased(record, run):
                await self._call_closer(kind, record, run)
        except (Busy, LeaseLost, StoreUnavailable):
            busy.append(record)
        except Gone:
            return
        except Exception as exc:  # noqa: BLE001 - a face's closer may fail in any way; it is tried again
            run.unreadable |= isinstance(exc, Unreadable)
            if not closing.certainly_gone(kind, run.began, manager.clock()):
                run.failed.add(record.key)
                manager.tell(Fact.CLOSING_FAILED, record, detail=f"{type(exc).__name__}: {record.label}")

    async def _call_closer(self, kind: Kind, record: Record, run: Run) -> None:
        manager = self._manager
        fresh = await manager.current(record.ref)
        if fresh is not None and kind.closer is not None:
            with anyio.fail_after(manager.tuning.closer_timeout):
                await kind.closer(Duty(manager, await manager.read(fresh), run))

    @asynccontextmanager
    async def _leased(self, record: Record, run: Run) -> AsyncIterator[None]:
        if record.key in run.held:
            yield
            return
        try:
            ours = await self._manager.lease(record.ref, closing=True)
        except SessionEnded as exc:
            raise Gone from exc
        if ours is None:
            raise Busy("a request is still running below the session that ends")
        async with ours as held:
            run.held[record.key] = held
            try:
                yield
            finally:
                del run.held[record.key]

    async def _failed(self, held: Held, top: Record, patience: float) -> None:
        later = closing.after_failure(top, self._manager.clock(), patience)
        if later.state is State.STRANDED and top.state is not State.STRANDED:
            self._manager.tell(Fact.STRANDED, later, detail=later.label)
        await self._again(held, later)

    async def _again(self, held: Held, later: Record) -> None:
        """Write when the node is due again, under the lease, on top of what a closer has saved meanwhile."""
        stored = await self._manager.current(later.ref)
        if stored is not None and stored.state is not State.LIVE and stored.reason is later.reason:
            later = msgspec.structs.replace(later, payload=stored.payload, version=stored.version)
        await self._manager.store.sessions.replace(later, now=self._manager.clock(), fence=held.lease.fence)

    async def _remove(self, gone: list[Record], held: Held, top: Record, *, whole: bool) -> None:
        manager = self._manager
        for first in range(0, len(gone), REMOVED_AT_ONCE):
            part = gone[first : first + REMOVED_AT_ONCE]
            last = whole and part[-1] is gone[-1]
            await manager.store.sessions.delete([r.ref for r in part], fence=held.lease.fence if last else None)
            if last:
                held.forget()
            for record in part:
                why = top.reason if record.key == top.key else Reason.PARENT
                manager.tell(Fact.CLOSED, record, reason=why, gone=True)

    def _why(self, record: Record, now: float) -> Reason:
        if self._manager.era.is_over(record.tree):
            return Reason.ADMIN
        return Reason.EXPIRED if now >= record.ends_at else Reason.IDLE
