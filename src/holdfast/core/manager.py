"""The one way to the tree: open, load, save, rotate, hold and end nodes, over any store.

The manager decides nothing about time or limits by itself (`policy` does) and closes nothing outside (the keeper
does). What it keeps in memory is only what belongs to this process: calls that run here, leases held here. It is one
long class because it is the one thing that faces call; each method is short, and what is a concept of its own stands
in `session`, `holding`, `turns` and `closing`.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec

from holdfast.core.era import Era
from holdfast.core.events import ADDRESS, Event, Fact, Silence, Sink, event_about
from holdfast.core.holding import Held, Running
from holdfast.core.ids import Ids, alias_of, make_ids, mark_of, new_key
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.missed import Missed, Use
from holdfast.core.model import LABEL_BYTES, Lease, Loaded, Message, Reason, Record, Ref, State
from holdfast.core.ports import PAGE, Index, Store, each
from holdfast.core.remembered import Remembered
from holdfast.core.sealing import KeyRing, Unreadable
from holdfast.core.session import Codec, Session, record_of, records_of
from holdfast.core.tuning import Tuning
from holdfast.core.turns import Turns
from holdfast.errors import (
    BadInput,
    Busy,
    ConfigurationError,
    LimitReached,
    SessionConflict,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)

ENDED_TOPIC: Final = "ended"
ATTACHED: Final = "attached"  # the detail of a rotation that hung a session below another
FIRST_POLL_S: Final = 0.01
LONGEST_POLL_S: Final = 0.25
MISSED_AFTER_S: Final = 5.0  # how often uses are kept, during an outage, of a node whose clocks are not known
REMEMBERED: Final = 10_000  # unreadable nodes that were told of


class Keep:
    """The type of `KEEP`: leave as it is."""


KEEP: Final = Keep()


class Manager:
    """Opens, loads, saves, holds and ends nodes.

    Args:
        store: The five ports.
        keys: Seals every payload.
        kinds: The kinds this process knows and can close.
        overrides: Clocks and limits by `(app, kind)` or `("", kind)`; the narrowest wins (E31).
        worker: A name for this process that no other has.
    """

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        kinds: Sequence[Kind],
        *,
        worker: str,
        clock: Callable[[], float] = time.time,
        ids: Ids | None = None,
        sink: Sink | None = None,
        tuning: Tuning | None = None,
        overrides: Mapping[tuple[str, str], tuple[Clocks, Limits]] | None = None,
    ) -> None:
        self.store, self.keys, self.clock, self.worker = store, keys, clock, worker
        self.ids = ids or make_ids()
        self.sink = sink or Silence()
        self.tuning = tuning or Tuning()
        self.era = Era(store, clock, self.tuning.not_before)
        self.codec = Codec(keys, self.tuning.max_payload_bytes, self.tuning.serializer)
        self.kinds = {kind.name: kind for kind in kinds}
        if len(self.kinds) != len(kinds):
            raise ConfigurationError("two kinds have the same name")
        self.due = anyio.Event()  # set when a keeper should look; the keeper puts a fresh one in its place
        self.litter = anyio.Event()  # the same for a sweeper, when all sessions were ended
        self._overrides = overrides or {}
        self._touch_afters: dict[tuple[str, str], float | None] = {}  # by kind and application
        self._turns = Turns()
        self.calls: dict[bytes, set[Running]] = {}  # by the keys of their session and those above it
        self.held: set[Held] = set()
        self.leaving: set[Held] = set()  # leases to give back when the store is there again
        self.missed = Missed()
        self._unreadable = Remembered[bytes, None](REMEMBERED)

    # -- opening and loading

    async def open(
        self,
        kind: str,
        content: Mapping[str, Any] | None = None,
        *,
        parent: Session | Ref | None = None,
        owner: str = "",
        client: str = "",
        label: str = "",
        due_at: float | None = None,
        named: bool = True,
        alias: bytes | None = None,
        key: bytes | None = None,
        app: str = "",
        limits: Limits | None = None,
        clocks: Clocks | None = None,
    ) -> Session:
        """Add a node and return it; with `named` it has a fresh id, which is known now and never again.

        With `alias`, a SHA-256, it is found by that instead; `key` is for who has to know its key before. `limits`
        and `clocks` hold for this node in place of its kind's.

        Raises:
            SessionEnded: The parent is not live.
            SessionExists: The key or the alias is taken.
            LimitReached: A limit is full and nothing may be replaced.
        """
        if len(label.encode()) > LABEL_BYTES:
            raise BadInput(f"a label has at most {LABEL_BYTES} bytes")
        above = await self._parent(parent)
        usual, rules = self.rules(kind, app)
        clocks = clocks or usual
        now = self.clock()
        key = key or new_key(None if self.kinds[kind].spared else now)
        session_id = self.ids.generate() if named and alias is None else None
        values = dict(content or {})
        record = Record(
            key=key,
            tree=above.record.tree if above else key,
            parent=above.record.key if above else None,
            alias=alias_of(session_id) if session_id else alias,
            mark=mark_of(session_id) if session_id else "",
            kind=kind,
            owner=owner,
            client=client or owner,
            label=label,
            payload=self.codec.seal(values, key, kind),
            created_at=now,
            used_at=now,
            idle=clocks.idle,
            sliding=clocks.sliding,
            slides_after=clocks.slides_after,
            slid_at=now,
            ends_at=min(now + clocks.absolute, above.record.ends_at if above else float("inf")),
            holds=self.kinds[kind].holds,
            due_at=now + clocks.linger if due_at is None and clocks.linger is not None else due_at,
        )
        try:
            counted = (limits or rules).counted(spare=frozenset(self.calls))
            created = await self.store.sessions.create(record, counted, now=now)
        except LimitReached:
            self.tell(Fact.LIMIT_REACHED, record)
            raise
        self.tell(Fact.OPENED, created.record)
        for replaced in created.replaced:
            await self._announce_end(replaced, Fact.REPLACED)
        if created.record.due_at is not None:
            self.due.set()
        keys_above = (above.key, *above.above) if above else ()
        return Session(created.record, values, above=keys_above, session_id=session_id)

    async def load(
        self,
        session_id: str,
        *,
        kind: str,
        owner: str | None = None,
        touch: bool = True,
        app: str = "",
        quietly: bool = False,
    ) -> Session:
        """Return the live session with this id, and record its use, as often as the application's clocks ask for.

        With `owner`, another principal's session is not found. Malformed, unknown, expired and foreign ids all raise
        the same SessionNotFound (E3). `quietly` is for who will look again, as another: nobody is told that it failed.
        """
        if not self.ids.well_formed(session_id):
            raise _no_such() if quietly else self._unknown(session_id, kind, owner, detail="malformed")
        after = self.touch_after(kind, app) if touch else None
        loaded = await self._loaded(alias_of(session_id), after, owner=owner)
        if loaded is None or loaded.record.kind != kind:
            if quietly:
                raise _no_such()
            foreign = owner is not None and await self._is_foreign(alias_of(session_id), kind, owner)
            raise self._unknown(session_id, kind, owner, fact=Fact.FOREIGN_ID if foreign else Fact.UNKNOWN_ID)
        return self._opened(loaded, session_id=session_id)

    async def get(self, ref: Ref, *, touch: bool = False) -> Session:
        """Return the live session at a place; raise SessionNotFound if it, or one above it, is not live."""
        try:
            loaded = await self._loaded(ref, None)
        except StoreUnavailable:
            if touch:
                self.missed.add(Use(ref, None), now=self.clock(), touch_after=MISSED_AFTER_S)
            raise
        if loaded is None:
            raise _no_such()
        if touch:
            await self.touch(loaded.record)
        return self._opened(loaded)

    async def children(self, ref: Ref, kind: str | None = None) -> list[Session]:
        """Return the live children of a node, opened. Unreadable ones are left out."""
        found = []
        async for record in self.each("parent", ref.key):
            if record.state is State.LIVE and kind in (None, record.kind):
                loaded = await self._loaded(record.ref, None)
                if loaded is not None:
                    try:
                        found.append(self._opened(loaded))
                    except SessionNotFound:
                        continue
        return found

    def each(self, index: Index, value: bytes | str | float, *, page: int = PAGE) -> AsyncIterator[Record]:
        """Yield all records of an index that is ordered by key, in any state, `page` of them with each trip."""
        return each(self.store.sessions, index, value, page=page)

    # -- writing

    async def save(
        self,
        session: Session,
        *,
        due_at: float | Keep | None = KEEP,
        label: str | Keep = KEEP,
    ) -> None:
        """Write the content if nobody else has since it was read. Under a lease, use `Held.save` instead.

        Raises:
            SessionConflict: Somebody wrote in between; nothing was written.
            SessionEnded: The session, or one above it, is ending.
        """
        self._refuse_over(session.ref)
        record = record_of(session, self.codec)
        if not isinstance(due_at, Keep):
            record = msgspec.structs.replace(record, due_at=due_at)
        if not isinstance(label, Keep):
            record = msgspec.structs.replace(record, label=label)
        session.record = await self.store.sessions.replace(record, now=self.clock())
        if record.due_at is not None:
            self.due.set()

    async def merge(
        self,
        session: Session,
        changes: Mapping[str, Any],
        *,
        removed: Collection[str] = (),
        on_conflict: Callable[[str, Any, Any], Any] | None = None,
    ) -> None:
        """Write some keys of the content; writers of other keys both win (E24).

        Two writers of one key: the later wins. With `on_conflict(key, theirs, ours)` the later one is told, and what
        it returns is written.
        """
        base = session.content
        while True:
            theirs = session.content
            session.content = {**theirs, **changes}
            for name in removed:
                if name not in changes:
                    session.content.pop(name, None)
            if on_conflict is not None and theirs is not base:
                for name in changes:
                    if theirs.get(name) != base.get(name):
                        session.content[name] = on_conflict(name, theirs.get(name), changes[name])
            try:
                await self.save(session)
            except SessionConflict:
                fresh = await self.get(session.ref)
                session.record, session.content = fresh.record, fresh.content
            else:
                return

    async def rotate(self, session: Session, *, parent: Session | None = None) -> str:
        """Give the session a fresh id and return it; the old one is dead at once (E20). `parent` hangs it there."""
        self._refuse_over(session.ref, parent.ref if parent is not None else session.ref)
        session_id = self.ids.generate()
        session.record = await self.store.sessions.rekey(
            session.record,
            alias=alias_of(session_id),
            mark=mark_of(session_id),
            now=self.clock(),
            parent=parent.ref if parent else None,
        )
        session.id = session_id
        if parent is not None:
            session.above = (parent.key, *parent.above)
            for call in list(self.calls.get(session.key, ())):  # those that run below it as well
                call.follow(session.above)
        self.tell(Fact.ROTATED, session.record, detail=ATTACHED if parent is not None else "")
        return session_id

    # -- ending

    async def end(self, node: Session | Ref, reason: Reason, *, by: str = "") -> bool:
        """Mark a node: from now on nothing in its subtree loads. Closing outside follows, at any worker (E14).

        Return False if it was absent or marked already. `by` is the administrator who ends it, for the audit trail.
        """
        ref = node.ref if isinstance(node, Session) else node
        record = await self.store.sessions.end(ref, reason, now=self.clock())
        if record is None:
            return False
        await self._announce_end(record, Fact.ENDED)
        if reason in (Reason.ADMIN, Reason.SECURITY):
            self.tell(Fact.FORCED_END, record, detail=by)
        return True

    async def end_everything(self, *, leave: bool = False) -> None:
        """End all sessions, at every worker, in one write however many there are (R35).

        None of them loads any more, here from now on and at other workers within a second. Keepers close and remove
        what is left of them later: with `leave`, not within two minutes. Kinds that are `spared` go on.
        """
        await self.era.begin(leave=leave)
        await self.look()
        with suppress(StoreUnavailable):
            await self.store.channel.publish(ENDED_TOPIC)

    async def look(self) -> None:
        """Learn whether all sessions were ended. The engine calls it every second, and as soon as it is told.

        It never raises: while the store is out of reach, nothing loads.
        """
        with suppress(StoreUnavailable):
            if await self.era.look():
                over = [c for calls in self.calls.values() for c in calls if self.era.is_over(c.session.record.tree)]
                for call in over:
                    call.cancel()
            if self.era.litters:
                self.litter.set()

    async def gone(self, ref: Ref, *, timeout: float) -> bool:
        """Wait until a node's row has gone, which is when closing is done; False if that takes too long."""
        pause = FIRST_POLL_S
        with anyio.move_on_after(timeout):
            while await self.store.sessions.find("key", ref.key, count=1):
                await anyio.sleep(pause)
                pause = min(2 * pause, LONGEST_POLL_S)
            return True
        return False

    def hear(self, message: Message) -> None:
        """Take what another worker said: a node was ended. Its calls here are cancelled, the keeper has work."""
        self.cancel_calls(message.data)
        self.due.set()

    # -- running and holding

    def running(self, session: Session, *, counts: bool = True, watched: bool = False) -> Running:
        """Mark a call as running in a session: `async with manager.running(session): …`.

        It `counts` as use for as long as it runs, and is cancelled when the session or one above it ends (E18): then
        SessionEnded is raised. The caller of one that is `watched` records its use, and looks by itself now and then
        whether the session is there: what lasts for hours need not be looked at every few seconds.
        """
        return Running(self, session, counts=counts, watched=watched)

    @asynccontextmanager
    async def hold(
        self, ref: Ref, *, put: Sequence[Session] = (), wait: float = 30.0, closing: bool = False
    ) -> AsyncIterator[Held]:
        """Hold the lease of a node: one holder at a time, in order of asking within this process.

        `put` are sessions of the same tree whose changed content is written in the trip that takes the lease. The
        lease is renewed while the block runs; if it is lost the block is cancelled and LeaseLost raised.

        Raises:
            Busy: Another request or worker held it for longer than `wait` seconds.
            SessionEnded: The node is absent or, unless `closing`, not live.
            SessionConflict: A session of `put` was written by somebody else; nothing was leased.
        """
        until = anyio.current_time() + wait
        async with self._turns.take(ref.key, until), await self._acquire(ref, put, until, closing=closing) as held:
            yield held

    def turn(self, ref: Ref, *, wait: float = 30.0) -> AbstractAsyncContextManager[None]:
        """Wait for one's turn with a node among those of this process that hold it, without its lease.

        For what only reads of a store that no other process uses. Raises Busy as `hold` does.
        """
        return self._turns.take(ref.key, anyio.current_time() + wait)

    async def lease(self, ref: Ref, put: Sequence[Record] = (), *, closing: bool = False) -> Held | None:
        """Ask the store once for a lease, to be used as `holding` says; None while it is another's.

        Whoever is cancelled meanwhile still gets it, so that it can be given back.
        """
        if not closing:
            self._refuse_over(ref)
        asked_at = anyio.current_time()
        with anyio.CancelScope(shield=True):
            lease = await self.store.leases.acquire(
                ref, worker=self.worker, now=self.clock(), ttl=self.tuning.lease_ttl, put=put, closing=closing
            )
        return self.holding(lease, asked_at) if lease is not None else None

    def holding(self, lease: Lease, asked_at: float) -> Held:
        """Keep a lease that was acquired or claimed: renewed in the block, released with what was `put` at its end.

        `asked_at` is what the event loop's clock showed before the store was asked for it.
        """
        return Held(self, lease, asked_at)

    # -- what the keeper and the faces share

    def rules(self, kind: str, app: str = "") -> tuple[Clocks, Limits]:
        """Return the clocks and limits for a kind in an application; the narrowest setting wins (E31)."""
        default = self.kinds[kind]
        return self._overrides.get((app, kind)) or self._overrides.get(("", kind)) or (default.clocks, default.limits)

    def touch_after(self, kind: str, app: str = "") -> float | None:
        """Return how often uses of nodes of a kind are recorded in an application: `Clocks.touch_after`."""
        try:
            return self._touch_afters[kind, app]
        except KeyError:
            self._touch_afters[kind, app] = after = self.rules(kind, app)[0].touch_after
            return after

    async def touch(self, record: Record, *, busy: bool = False, counts: bool = True) -> bool:
        """Record a use, if uses of such nodes are and this one counts; return whether the session is live."""
        busy_until = self.clock() + self.tuning.lease_ttl if busy and counts else 0.0
        after = self.touch_after_of(record) if counts else None
        return await self._loaded(record.ref, after, busy_until=busy_until) is not None

    def touch_after_of(self, record: Record) -> float | None:
        """Return how often uses of this node are written: by its own clocks, which may be those of an application."""
        clocks = self.rules(record.kind)[0]
        if (record.idle, record.sliding) != (clocks.idle, clocks.sliding):
            clocks = msgspec.structs.replace(clocks, idle=record.idle, sliding=record.sliding, touch_interval=None)
        return clocks.touch_after

    def cancel_calls(self, key: bytes) -> None:
        """Cancel the calls that run here in or below a node: it has ended."""
        for call in list(self.calls.get(key, ())):
            call.cancel()

    def tell(
        self, fact: Fact, record: Record, *, detail: str = "", reason: Reason | None = None, gone: bool = False
    ) -> None:
        """Let a fact about a node out through the sink; `gone` says that its row is no more."""
        self.sink.emit(event_about(record, fact, self.clock(), detail=detail, reason=reason, gone=gone))

    async def read(self, record: Record, *, above: tuple[bytes, ...] = ()) -> Session:
        """Open a record in whatever state it is. One with effect outside that cannot be read is stranded (E6)."""
        try:
            return Session(record, self.codec.open(record), above=above)
        except Unreadable:
            self._note_unreadable(record)
            raise

    async def current(self, ref: Ref) -> Record | None:
        """Return the stored record, in whatever state it is."""
        found = await self.store.sessions.find("key", ref.key, count=1)
        return found[0] if found else None

    # -- inside

    async def _parent(self, parent: Session | Ref | None) -> Session | None:
        if not isinstance(parent, Ref):
            self._refuse_over(*([parent.ref] if parent else []))
            return parent
        try:
            return await self.get(parent)
        except SessionNotFound as exc:
            raise SessionEnded("the session above is not live") from exc

    def _refuse_over(self, *places: Ref) -> None:
        if any(self.era.is_over(place.tree) for place in places):
            raise SessionEnded("all sessions that began earlier have ended")

    def _unknown(
        self, session_id: str, kind: str, owner: str | None, *, fact: Fact = Fact.UNKNOWN_ID, detail: str = ""
    ) -> SessionNotFound:
        at, mark, address, client = self.clock(), mark_of(session_id), ADDRESS.get(), owner or ADDRESS.get()
        self.sink.emit(
            Event(
                fact=fact, at=at, kind=kind, mark=mark, owner=owner or "", client=client, address=address, detail=detail
            )
        )
        return _no_such()

    async def _is_foreign(self, alias: bytes, kind: str, owner: str) -> bool:
        """Say whether this live session is another principal's. The answer is the same; the audit trail is told."""
        with suppress(StoreUnavailable):
            found = await self.store.sessions.load(alias, now=self.clock())
            return found is not None and found.record.kind == kind and found.record.owner != owner
        return False

    async def _loaded(
        self, at: Ref | bytes, touch_after: float | None, *, owner: str | None = None, busy_until: float = 0.0
    ) -> Loaded | None:
        """Load a node and record its use; one that the store is not there to record is kept (E26)."""
        now = self.clock()
        try:
            if self.missed:
                for use in self.missed.uses(at):
                    await self.missed.write(use, self.store.sessions)
            loaded = await self.store.sessions.load(
                at, now=now, touch_after=touch_after, busy_until=busy_until, owner=owner
            )
        except StoreUnavailable:
            if touch_after is not None:
                self.missed.add(Use(at, owner), now=now, touch_after=touch_after)
            raise
        return None if loaded is not None and self.era.is_over(loaded.record.tree) else loaded

    def _opened(self, loaded: Loaded, session_id: str | None = None) -> Session:
        try:
            content = self.codec.open(loaded.record)
        except Unreadable as exc:
            self._note_unreadable(loaded.record)
            raise _no_such() from exc
        return Session(loaded.record, content, above=loaded.above, session_id=session_id)

    def _note_unreadable(self, record: Record) -> None:
        if record.key not in self._unreadable:
            self._unreadable[record.key] = None
            self.tell(Fact.UNREADABLE, record)

    async def _announce_end(self, record: Record, fact: Fact) -> None:
        self.tell(fact, record)
        self.cancel_calls(record.key)
        self.due.set()
        with suppress(StoreUnavailable):  # a message is a hint; what it tells of is stored
            await self.store.channel.publish(ENDED_TOPIC, record.key)

    async def _acquire(self, ref: Ref, put: Sequence[Session], until: float, *, closing: bool) -> Held:
        pause = FIRST_POLL_S
        while True:
            held = await self.lease(ref, records_of(put, self.codec), closing=closing)
            if held is not None:
                for session in put:
                    session.record = msgspec.structs.replace(session.record, version=session.record.version + 1)
                return held
            if anyio.current_time() >= until:
                raise Busy("another worker is using this session")
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_S)


def _no_such() -> SessionNotFound:
    return SessionNotFound("there is no such session")
