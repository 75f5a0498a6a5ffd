"""The kinds of node of the ABAP face, and how each is kept and closed (A3, A4; E30).

A lock is closed leaves first like everything else: UNLOCK, the end of its context, then, if its logon goes too, the
log-off. All three may be repeated; a session that is gone already is success.
"""

import msgspec

from holdfast.adt.desk import BACKEND, LOCK, WORKSPACE, Desk, driver_of, lock_of
from holdfast.adt.drafts import DRAFT, DRAFT_TEXT, LIFE_S, MOST_DRAFTS
from holdfast.adt.locksmith import Locksmith, Place
from holdfast.backend.keepalive import lost_early, next_look, touch_interval
from holdfast.backend.locks import Lock, Outcome, Phase
from holdfast.backend.logon import PastLock
from holdfast.backend.system import Systems
from holdfast.config import Settings
from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy, Reason
from holdfast.core.session import Session
from holdfast.errors import BackendUnavailable, LockLostError, SessionExpiredError

ABSOLUTE_S = 43_200.0
CERTAINLY_GONE_S = 1920.0  # plugin_auto_logout of 1800 s plus the 120 s SAP takes at most to act on it (ADT §5.1)
SOON_S = 5.0
DAY_S = 86_400.0


class Keeping:
    """Closers and upkeep. They run at any worker, whether or not a client is there."""

    def __init__(self, systems: Systems, *, hold_limit: float) -> None:
        self._systems, self._hold_limit = systems, hold_limit

    # -- closing

    async def close_lock(self, duty: Duty) -> None:
        """Release a lock for good and note in its logon why it went."""
        above = await duty.parent()
        if above is None:
            return
        async with duty.hold(above.ref) as held:
            node, lock_node = await duty.parent(), await self._fresh(duty)
            if node is None or lock_node is None:
                return
            place = Place(held, node, driver_of(self._systems, node, shield=False))
            lock = lock_of(lock_node)
            try:
                await self._smith(duty).release(place, lock)
                reason = lock_node.record.reason or Reason.PARENT
                place.backend.logon.remember(PastLock(lock_node.key, lock.subject, reason, duty.now, lock.known))
            finally:
                place.put()

    async def close_backend(self, duty: Duty) -> None:
        """Log off, which ends every context and lock of this logon (ADT §4.1)."""
        async with self._systems.turns.take(duty.session.key):  # behind what is on its way here
            backend = driver_of(self._systems, duty.session, shield=False)
            if backend.cookie_header():
                await backend.log_off()

    async def _fresh(self, duty: Duty) -> Session | None:
        """Read the lock under the lease of its logon: a change may have been on its way until now."""
        record = await duty.manager.current(duty.session.ref)
        return await duty.manager.read(record) if record is not None else None

    # -- keeping

    async def keep_backend(self, duty: Duty) -> float | None:
        """Look after the lock below an edit logon: settle what is open, touch its context, or end it (A3, A5)."""
        idle_look = duty.now + min(touch_interval(None), self._hold_limit)
        locks = await duty.manager.children(duty.session.ref, LOCK)
        if not locks:
            return idle_look
        [node, *_] = locks
        reason = self._over(node, duty.now)
        if reason is not None:
            await duty.manager.end(node, reason)
            return idle_look
        try:
            return await self._keep(duty, node)
        except LockLostError:
            return idle_look  # it was marked where it was found out
        except BackendUnavailable:
            return duty.now + SOON_S

    def _over(self, node: Session, now: float) -> Reason | None:
        """Return why a lock has to end, None if it may stay."""
        lock = lock_of(node)
        if lock.phase is Phase.RELEASED:
            return Reason.CLIENT
        if lock.phase is Phase.GONE:
            return Reason.BACKEND_GONE
        forgotten = lock.phase is Phase.INTENT  # its worker died: nobody was ever told of this lock
        return Reason.IDLE if forgotten or now - node.record.used_at >= self._hold_limit else None

    async def _keep(self, duty: Duty, node: Session) -> float:
        place = Place(duty.held, duty.session, driver_of(self._systems, duty.session, shield=False))
        smith, logon, lock = self._smith(duty), place.backend.logon, lock_of(node)
        interval = touch_interval(logon.idle_limit, await self._halvings(duty, logon.system))
        try:
            lock = await smith.settle(place, node)
            if lock.last is not None and 0 < lock.last.until <= duty.now:
                lock = await self._second_look(smith, place, lock)
            elif duty.now - logon.used_at >= interval:
                await smith.touch(place)
        except SessionExpiredError:
            if lost_early(logon.used_at, logon.idle_limit, duty.now):
                await duty.manager.store.counters.add(_early(logon.system), now=duty.now, ttl=DAY_S)
            await smith.lose(place, node, lock)
            return duty.now + self._hold_limit
        smith.store(place, node, lock)
        if lock.phase is Phase.RELEASED:  # what was open was an UNLOCK
            await duty.manager.end(node, Reason.CLIENT)
        due_at = next_look(
            touched_at=place.backend.logon.used_at,
            interval=interval,
            used_at=node.record.used_at,
            hold_limit=self._hold_limit,
        )
        return min(due_at, lock.last.until) if lock.last is not None and lock.last.until else due_at

    async def _second_look(self, smith: Locksmith, place: Place, lock: Lock) -> Lock:
        """Compare once more what a dead worker's write has left: it might have been applied late (A5)."""
        last = lock.last
        if last is None:
            return lock
        outcome = await smith.compare(place, lock, last.part, last.digest)
        kept = outcome if outcome is Outcome.APPLIED else last.outcome
        return msgspec.structs.replace(lock, last=msgspec.structs.replace(last, outcome=kept, until=0.0))

    async def _halvings(self, duty: Duty, system: str) -> int:
        [count] = await duty.manager.store.counters.read([_early(system)], now=duty.now)
        return min(count, 5)

    def _smith(self, duty: Duty) -> Locksmith:
        return Locksmith(Desk(duty.manager, self._systems, hold_limit=self._hold_limit))


def kinds(systems: Systems, settings: Settings) -> tuple[Kind, ...]:
    """Return the kinds of the ABAP face for an engine whose process can reach these systems."""
    limit = settings.lock_hold_limit
    keeping = Keeping(systems, hold_limit=limit)
    return (
        Kind(name=WORKSPACE, clocks=Clocks(idle=1800.0, absolute=ABSOLUTE_S), limits=Limits(per_client=100)),
        Kind(
            name=BACKEND,
            closer=keeping.close_backend,
            upkeep=keeping.keep_backend,
            outside=True,
            ends_children=True,
            gone_after=CERTAINLY_GONE_S,
            clocks=Clocks(absolute=ABSOLUTE_S),
            limits=Limits(per_principal=200, policy=Policy.REJECT),
        ),
        Kind(
            name=LOCK,
            closer=keeping.close_lock,
            outside=True,
            holds=True,
            gone_after=CERTAINLY_GONE_S,
            clocks=Clocks(absolute=ABSOLUTE_S, touch_interval=min(limit / 10, 30.0)),
            limits=Limits(per_principal=100, policy=Policy.REJECT),
        ),
        Kind(
            name=DRAFT,
            spared=True,
            clocks=Clocks(absolute=LIFE_S),
            limits=Limits(per_principal=MOST_DRAFTS, policy=Policy.OLDEST),
        ),
        Kind(name=DRAFT_TEXT, spared=True, clocks=Clocks(absolute=LIFE_S)),
    )


def _early(system: str) -> str:
    return f"adt:lost-early:{system}"
