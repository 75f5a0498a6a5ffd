"""The one way to the tree: open, load, save, rotate, hold and end nodes, over any store.

The manager decides nothing about time or limits by itself (`policy` does) and closes nothing outside (the keeper
does). What it keeps in memory is only what belongs to this process: calls that run here, leases held here. It is one
long class because it is the one thing that faces call; each method is short, and what is a concept of its own stands
in `session`, `holding`, `turns` and `closing`.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec

from holdfast.core.events import Event, Fact, Silence, Sink
from holdfast.core.holding import Held, Running
from holdfast.core.ids import Ids, alias_of, make_ids, mark_of, new_key
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import LABEL_BYTES, Lease, Limit, Loaded, Message, Reason, Record, Ref, Scope, State
from holdfast.core.ports import Index, Store, each
from holdfast.core.sealing import KeyRing, Unreadable
from holdfast.core.session import Codec, Session, records_of
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
FIRST_POLL_S: Final = 0.01
LONGEST_POLL_S: Final = 0.25


class Keep:
    """The type of `KEEP`: leave as it is."""


KEEP: Final = Keep()


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's own times, in seconds, and sizes."""

    lease_ttl: float = 15.0
    closer_timeout: float = 10.0
    closing_patience: float = 900.0
    keeper_turn: float = 5.0
    cleanup_interval: float = 300.0
    gc_threshold: int = 1000
    unclaimed_after: float = 60.0
    siblings: int = 8
    max_payload_bytes: int = 1024 * 1024


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
        self.codec = Codec(keys, self.tuning.max_payload_bytes)
        self.kinds = {kind.name: kind for kind in kinds}
        if len(self.kinds) != len(kinds):
            raise ConfigurationError("two kinds have the same name")
        self.due = anyio.Event()  # set when a keeper should look; the keeper puts a fresh one in its place
        self._overrides = overrides or {}
        self._turns = Turns()
        self.calls: dict[bytes, set[Running]] = {}  # by the keys of their session and those above it
        self.held: set[Held] = set()
        self._unreadable: set[bytes] = set()

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
        app: str = "",
    ) -> Session:
        """Add a node and return it; with `named` it has a fresh id, which is known now and never again.

        Raises:
            SessionEnded: The parent is not live.
            LimitReached: A limit is full and nothing may be replaced.
        """
        if len(label.encode()) > LABEL_BYTES:
            raise BadInput(f"a label has at most {LABEL_BYTES} bytes")
        above = await self._parent(parent)
        clocks, limits = self.rules(kind, app)
        now, key = self.clock(), new_key()
        session_id = self.ids.generate() if named else None
        values = dict(content or {})
        record = Record(
            key=key,
            tree=above.record.tree if above else key,
            parent=above.record.key if above else None,
            alias=alias_of(session_id) if session_id else None,
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
            created = await self.store.sessions.create(record, self._limits(limits), now=now)
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
        self, session_id: str, *, kind: str, owner: str | None = None, touch: bool = True, app: str = ""
    ) -> Session:
        """Return the live session with this id, and record its use, as often as the application's clocks ask for.

        With `owner`, another principal's session is not found. Malformed, unknown, expired and foreign ids all raise
        the same SessionNotFound (E3).
        """
        if not self.ids.well_formed(session_id):
            raise self._unknown(session_id, kind, owner)
        after = self.rules(kind, app)[0].touch_after if touch else None
        loaded = await self.store.sessions.load(alias_of(session_id), now=self.clock(), touch_after=after, owner=owner)
        if loaded is None or loaded.record.kind != kind:
            raise self._unknown(session_id, kind, owner)
        return await self._opened(loaded, session_id=session_id)

    async def get(self, ref: Ref, *, touch: bool = False) -> Session:
        """Return the live session at a place; raise SessionNotFound if it, or one above it, is not live."""
        loaded = await self.store.sessions.load(ref, now=self.clock())
        if loaded is None:
            raise SessionNotFound("there is no such session")
        if touch:
            await self._touch(loaded.record)
        return await self._opened(loaded)

    async def children(self, ref: Ref, kind: str | None = None) -> list[Session]:
        """Return the live children of a node, opened. Unreadable ones are left out."""
        now, found = self.clock(), []
        async for record in self.each("parent", ref.key):
            if record.state is State.LIVE and kind in (None, record.kind):
                loaded = await self.store.sessions.load(record.ref, now=now)
                if loaded is not None:
                    try:
                        found.append(await self._opened(loaded))
                    except SessionNotFound:
                        continue
        return found

    def each(self, index: Index, value: bytes | str | float) -> AsyncIterator[Record]:
        """Yield all records of an index that is ordered by key, in any state, page by page."""
        return each(self.store.sessions, index, value)

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
        [record] = records_of([session], self.codec)
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
        base = dict(session.content)
        while True:
            values = dict(changes)
            if on_conflict is not None:
                for name in changes:
                    if session.content.get(name) != base.get(name):
                        values[name] = on_conflict(name, session.content.get(name), changes[name])
            kept = {name: value for name, value in session.content.items() if name not in removed}
            session.content = {**kept, **values}
            try:
                await self.save(session)
            except SessionConflict:
                fresh = await self.get(session.ref)
                session.record, session.content = fresh.record, fresh.content
            else:
                return

    async def rotate(self, session: Session, *, parent: Session | None = None) -> str:
        """Give the session a fresh id and return it; the old one is dead at once (E20). `parent` hangs it there."""
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
        self.tell(Fact.ROTATED, session.record)
        return session_id

    # -- ending

    async def end(self, node: Session | Ref, reason: Reason) -> bool:
        """Mark a node: from now on nothing in its subtree loads. Closing outside follows, at any worker (E14).

        Return False if it was absent or marked already.
        """
        ref = node.ref if isinstance(node, Session) else node
        record = await self.store.sessions.end(ref, reason, now=self.clock())
        if record is None:
            return False
        await self._announce_end(record, Fact.ENDED)
        if reason in (Reason.ADMIN, Reason.SECURITY):
            self.tell(Fact.FORCED_END, record)
        return True

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
        self._cancel(message.data)
        self.due.set()

    # -- running and holding

    def running(self, session: Session) -> Running:
        """Mark a call as running in a session: `async with manager.running(session): …`.

        It counts as use for as long as it runs, and is cancelled when the session or one above it ends (E18): then
        SessionEnded is raised.
        """
        return Running(self, session)

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
        async with self._turns.take(ref.key, until):
            lease = await self._acquire(ref, put, until, closing=closing)
            async with self.holding(lease) as held:
                yield held

    async def lease(self, ref: Ref, put: Sequence[Record] = (), *, closing: bool = False) -> Lease | None:
        """Ask the store once for a lease. Whoever is cancelled then still gets it, so that it can be given back."""
        with anyio.CancelScope(shield=True):
            lease = await self.store.leases.acquire(
                ref, worker=self.worker, now=self.clock(), ttl=self.tuning.lease_ttl, put=put, closing=closing
            )
        return lease  # noqa: RET504 - a scope may swallow what is raised in it, says its type

    def holding(self, lease: Lease) -> Held:
        """Keep a lease that was acquired or claimed: renewed in the block, released with what was `put` at its end."""
        return Held(self, lease)

    async def renew_held(self) -> None:
        """Renew every lease held here; a holder whose lease is lost is cancelled. The engine calls it in time."""
        for held in list(self.held):
            if held in self.held:  # else given back while another was renewed: renewing would lease it to nobody
                await held.renew()

    async def touch_running(self) -> None:
        """Record the use of every session in which a call runs. The engine calls it in time.

        A session that has run out, or whose end this worker was not told of, is noticed here: its calls are cancelled.
        """
        sessions = {call.session.key: call.session for calls in self.calls.values() for call in calls}
        for session in sessions.values():
            stored = await self.current(session.ref)  # it may have moved to another tree
            if stored is None or not await self._touch(stored, busy=True):
                self._cancel(session.key)

    # -- what the keeper and the faces share

    def rules(self, kind: str, app: str = "") -> tuple[Clocks, Limits]:
        """Return the clocks and limits for a kind in an application; the narrowest setting wins (E31)."""
        default = self.kinds[kind]
        return self._overrides.get((app, kind)) or self._overrides.get(("", kind)) or (default.clocks, default.limits)

    def tell(self, fact: Fact, record: Record, *, detail: str = "", reason: Reason | None = None) -> None:
        """Let a fact about a node out through the sink."""
        self.sink.emit(
            Event(
                fact=fact,
                at=self.clock(),
                kind=record.kind,
                mark=record.mark or record.hex,
                owner=record.owner,
                client=record.client,
                reason=reason or record.reason,
                detail=detail,
            )
        )

    async def read(self, record: Record, *, above: tuple[bytes, ...] = ()) -> Session:
        """Open a record in whatever state it is. One with effect outside that cannot be read is stranded (E6)."""
        try:
            return Session(record, self.codec.open(record), above=above)
        except Unreadable:
            await self._note_unreadable(record)
            raise

    async def current(self, ref: Ref) -> Record | None:
        """Return the stored record, in whatever state it is."""
        found = await self.store.sessions.find("key", ref.key, count=1)
        return found[0] if found else None

    # -- inside

    async def _parent(self, parent: Session | Ref | None) -> Session | None:
        if not isinstance(parent, Ref):
            return parent
        try:
            return await self.get(parent)
        except SessionNotFound as exc:
            raise SessionEnded("the session above is not live") from exc

    def _limits(self, limits: Limits) -> tuple[Limit, ...]:
        counted = (
            (Scope.CLIENT, limits.per_client),
            (Scope.OWNER, limits.per_principal),
            (Scope.PARENT, limits.per_parent),
            (Scope.TOTAL, limits.total),
        )
        spare = frozenset(self.calls)
        return tuple(Limit(scope, most, limits.policy, spare) for scope, most in counted if most is not None)

    def _unknown(self, session_id: str, kind: str, owner: str | None) -> SessionNotFound:
        fact = Event(fact=Fact.UNKNOWN_ID, at=self.clock(), kind=kind, mark=mark_of(session_id), owner=owner or "")
        self.sink.emit(fact)
        return SessionNotFound("there is no such session")

    async def _opened(self, loaded: Loaded, session_id: str | None = None) -> Session:
        try:
            content = self.codec.open(loaded.record)
        except Unreadable as exc:
            await self._note_unreadable(loaded.record)
            raise SessionNotFound("there is no such session") from exc
        return Session(loaded.record, content, above=loaded.above, session_id=session_id)

    async def _note_unreadable(self, record: Record) -> None:
        if record.key not in self._unreadable:
            self._unreadable.add(record.key)
            self.tell(Fact.UNREADABLE, record)

    async def _touch(self, record: Record, *, busy: bool = False) -> bool:
        """Record a use, if uses of the kind are; return whether the session is live."""
        now = self.clock()
        after = self.rules(record.kind)[0].touch_after
        busy_until = now + self.tuning.lease_ttl if busy else 0.0
        loaded = await self.store.sessions.load(record.ref, now=now, touch_after=after, busy_until=busy_until)
        return loaded is not None

    async def _announce_end(self, record: Record, fact: Fact) -> None:
        self.tell(fact, record)
        self._cancel(record.key)
        self.due.set()
        with suppress(StoreUnavailable):  # a message is a hint; what it tells of is stored
            await self.store.channel.publish(ENDED_TOPIC, record.key)

    def _cancel(self, key: bytes) -> None:
        for call in list(self.calls.get(key, ())):
            call.cancel()

    async def _acquire(self, ref: Ref, put: Sequence[Session], until: float, *, closing: bool) -> Lease:
        pause = FIRST_POLL_S
        while True:
            lease = await self.lease(ref, records_of(put, self.codec), closing=closing)
            if lease is not None:
                for session in put:
                    session.record = msgspec.structs.replace(session.record, version=session.record.version + 1)
                return lease
            if anyio.current_time() >= until:
                raise Busy("another worker is using this session")
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_POLL_S)
