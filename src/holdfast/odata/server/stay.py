"""One request's stay in a sticky session, or outside of all (O3, O6 to O10).

A request that brings an id is alone in its session until its answer is ready: it has the lease of the node. What it
changes is written when the lease is given back, before it is answered. A session that begins with a request is opened
at its end, with all that is in it; or before a handler takes something that has to be let go, whatever happens then.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Final

import msgspec

from holdfast.core.events import Fact
from holdfast.core.holding import Held
from holdfast.core.ids import alias_of
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Ref
from holdfast.core.remembered import Remembered
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionEnded, SessionError, SessionNotFound
from holdfast.odata.choreography import Act, Outcome, Place, decide
from holdfast.odata.server.buffer import SERVICE, Buffer, Taken
from holdfast.odata.server.context import Calling, called_by
from holdfast.odata.server.entity_set import EntitySet
from holdfast.odata.server.kind import STICKY, discard_all, told_timeout
from holdfast.odata.server.service import Service

REMEMBERED: Final = 20_000
GONE_S: Final = 10.0
LABEL_CHARACTERS: Final = 60


class ContextGone(SessionError):
    """The id is of no session that is there and this client's: unknown, expired, ended or foreign (O6)."""

    code = "context_gone"
    status = 400
    default_hint = "What was not saved is gone, and so are its locks. Begin again with the edit or new action."


class Caller(msgspec.Struct, frozen=True):
    """Whose request it is.

    Args:
        owner: The principal; empty for nobody.
        client: For whom `max_sessions_per_client` counts: the principal, else the address.
        logon: The logon that a session hangs below.
        secrets: What only this client and the server know; its CSRF tokens are made of the first.
    """

    owner: str = ""
    client: str = ""
    logon: Session | None = None
    secrets: tuple[str, ...] = ()


class Sessions:
    """The sticky sessions of one service in one process."""

    def __init__(self, manager: Manager, service: Service, *, wait: float = 30.0) -> None:
        self.manager, self.service, self.wait = manager, service, wait
        # where sessions are: their ids name them, leases need that
        self._places = Remembered[tuple[bytes, str], Ref](REMEMBERED)

    def stay(self, caller: Caller, context_id: str | None, *, reads: bool = False) -> "Staying":
        """Be in the session with this id, alone; or outside, without one. The caller settles it.

        What only `reads` waits for its turn like others. Where no other process uses the store it needs no lease.

        Raises:
            ContextGone: There is no such session for this caller; nothing was done.
            Busy: Another request has it for longer than `wait` seconds.
        """
        return Staying(self, caller, context_id, reads=reads)

    @asynccontextmanager
    async def alone(self, caller: Caller, context_id: str) -> AsyncIterator["Stay"]:
        """Be in a session under its lease."""
        ref = await self.place(caller, context_id)
        stay: Stay | None = None
        try:
            async with self.manager.hold(ref, wait=self.wait) as held:
                stay = Stay(self, caller, node=await self.load(caller, context_id), held=held)
                yield stay
        except SessionEnded as exc:
            if stay is not None:
                raise
            raise ContextGone("Session not found") from exc
        finally:
            if stay is None or stay.node is None:
                self._places.pop((alias_of(context_id), caller.owner), None)

    def echo(self, context_id: str) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer that could not be given in the session itself, such as 503."""
        clocks = self.manager.rules(STICKY)[0]
        if not self.manager.ids.well_formed(context_id):
            return []
        seconds = int((clocks.idle or clocks.absolute) - (clocks.touch_after or 0.0))
        return _headers(context_id, seconds)

    async def place(self, caller: Caller, context_id: str) -> Ref:
        """Return where the session with this id is kept."""
        known = (alias_of(context_id), caller.owner)
        ref = self._places.get(known)
        if ref is None:
            ref = (await self.load(caller, context_id)).ref
            self.remember(caller, context_id, ref)
        return ref

    def remember(self, caller: Caller, context_id: str, ref: Ref) -> None:
        """Keep in mind where a session is: the lease of its next request needs no look for it."""
        self._places[alias_of(context_id), caller.owner] = ref

    async def load(self, caller: Caller, context_id: str) -> Session:
        """Return this caller's session with this id; raise ContextGone if there is none."""
        try:
            node = await self.manager.load(context_id, kind=STICKY, owner=caller.owner)
        except SessionNotFound as exc:
            raise ContextGone("Session not found") from exc
        if node.content.get(SERVICE) != self.service.name:
            raise ContextGone("Session not found")
        return node


class Staying:
    """A stay for as long as a block runs; see `Sessions.stay`."""

    __slots__ = ("_asked", "_called", "_inside", "_reads", "_sessions", "_stay")

    def __init__(self, sessions: Sessions, caller: Caller, context_id: str | None, *, reads: bool) -> None:
        self._sessions, self._asked, self._reads = sessions, (caller, context_id), reads
        self._inside: AbstractAsyncContextManager[Stay | None] | None = None

    async def __aenter__(self) -> "Stay":
        caller, context_id = self._asked
        if context_id is None:
            self._stay = Stay(self._sessions, caller)
        elif self._reads and not self._sessions.manager.store.shared:
            await self._read(caller, context_id)
        else:
            self._inside = alone = self._sessions.alone(caller, context_id)
            self._stay = await alone.__aenter__()
        self._called = called_by(self._stay.calling)
        self._called.__enter__()
        return self._stay

    async def _read(self, caller: Caller, context_id: str) -> None:
        sessions = self._sessions
        self._inside = turn = sessions.manager.turn(await sessions.place(caller, context_id), wait=sessions.wait)
        await turn.__aenter__()
        try:
            self._stay = Stay(sessions, caller, node=await sessions.load(caller, context_id))
        except BaseException:
            await turn.__aexit__(None, None, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._called.__exit__()
        if self._inside is not None:
            await self._inside.__aexit__(kind, error, trace)
        if error is None and self._stay.leaving is not None:
            await self._sessions.manager.gone(self._stay.leaving, timeout=GONE_S)


class Stay:
    """A request in a session, or outside. What it changes in the buffer is written by `settle`."""

    def __init__(
        self, sessions: Sessions, caller: Caller, *, node: Session | None = None, held: Held | None = None
    ) -> None:
        self.sessions, self.caller, self.node = sessions, caller, node
        self.buffer = Buffer.load(node.content) if node is not None else Buffer()
        self._held, self._inside = held, node is not None
        self._stored = self.buffer.state
        self._discarded = False
        self.calling = Calling(caller.owner, logon=caller.logon.ref if caller.logon is not None else None)
        if node is not None:
            self.calling.enter(node)
        self.leaving: Ref | None = None  # a node whose children the keeper is closing
        self._unit: AsyncExitStack | None = None
        self._units: set[int] = set()

    @property
    def inside(self) -> bool:
        """Whether the request is in a session."""
        return self._inside

    @property
    def place(self) -> Place:
        """Where the request stands in the choreography."""
        return Place(inside=self._inside, unsaved=frozenset(self.buffer))

    def went(self, act: Act, outcome: Outcome, name: str = "") -> None:
        """Go where the choreography leads from here. What is in the buffer is as it is after the act."""
        self._inside = decide(self._before(act, outcome, name), act, outcome, name).place.inside

    async def secure(self) -> None:
        """Store what the session holds now: something is about to be taken that has to be let go whatever happens."""
        self._inside = True
        if self.node is None:
            await self._open()
        else:
            await self._write(self.node)

    async def discard(self) -> Exception | None:
        """End the session and let its handlers discard what it holds; return the first thing that went wrong."""
        self._discarded, self._inside = True, False
        return await discard_all(self.sessions.service, self.buffer)

    # -- units of work

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[None]:
        """Do all or nothing in the block: what is stored by handlers, and what is in the buffer. It may be nested."""
        if self._unit is not None:
            yield
            return
        before, inside, self._discarded = self.buffer.snapshot(), self._inside, False
        try:
            async with AsyncExitStack() as self._unit:
                yield
        except BaseException:
            if self._discarded:  # that stays, and what began after it goes as well
                await self.discard()
            else:
                await self._let_go_all_but(before)
                self.buffer.restore(before)
                self._inside = inside
            raise
        finally:
            self._unit = None
            self._units.clear()

    async def join(self, handler: EntitySet[Any]) -> None:
        """Let what this handler stores from now on be part of the unit of work."""
        if self._unit is not None and id(handler) not in self._units:
            self._units.add(id(handler))
            await self._unit.enter_async_context(handler.unit())

    # -- at the end

    async def settle(self) -> list[tuple[bytes, bytes]]:
        """Write what has changed, or end the session; return the headers that tell the client where it stands.

        Raises:
            ContextGone: Somebody has ended the session meanwhile.
        """
        if not self._inside:
            if self.node is not None:
                await self._end(self.node)
            return []
        try:
            node = await self._kept()
        except (SessionEnded, SessionConflict) as exc:
            await self._let_go_all_but({})
            raise ContextGone("Session not found") from exc
        return _headers(str(node.id), told_timeout(self.sessions.manager, node.record))

    async def _kept(self) -> Session:
        if self.node is None:
            return await self._open()
        if self.buffer.state != self._stored:
            if self._held is not None:
                self.node.content = {**self.node.content, **self.buffer.dump()}
                self._held.put(self.node)
            else:
                await self._write(self.node)
        return self.node

    async def _open(self) -> Session:
        self.node = await self._opened(self.buffer)
        self.sessions.remember(self.caller, str(self.node.id), self.node.ref)
        self.calling.enter(self.node)
        self._stored = self.buffer.state
        return self.node

    async def _opened(self, buffer: Buffer) -> Session:
        caller, manager = self.caller, self.sessions.manager
        idle = manager.rules(STICKY)[0].idle
        return await manager.open(
            STICKY,
            {SERVICE: self.sessions.service.name, **buffer.dump()},
            parent=caller.logon,
            owner=caller.owner,
            client=caller.client,
            label=next(iter(buffer), "")[:LABEL_CHARACTERS],
            due_at=None if idle is None else manager.clock() + idle,
        )

    async def _write(self, node: Session) -> None:
        node.content = {**node.content, **self.buffer.dump()}
        if self._held is not None:
            await self._held.save(node)
        else:  # it began with this request: nobody else knows its id
            await self.sessions.manager.save(node)
        self._stored = self.buffer.state

    async def _end(self, node: Session) -> None:
        """Remove the node. The keeper does, if something is left that was not let go, or hangs below it, and if a logon
        above is to hear that its last session may have gone.
        """
        manager, fence = self.sessions.manager, self._held.lease.fence if self._held else None
        self.node = None
        alone = node.record.parent is None and not len(self.buffer)
        if alone and await manager.store.sessions.delete([node.ref], fence=fence):
            if self._held is not None:
                self._held.forget()
            manager.tell(Fact.ENDED, node.record, reason=Reason.CLIENT, gone=True)
            return
        with suppress(SessionEnded, SessionConflict):  # somebody else has ended it as well
            await self._write(node)
        await manager.end(node, Reason.CLIENT)
        if not len(self.buffer):
            self.leaving = node.ref

    async def _let_go_all_but(self, kept: Mapping[str, Taken]) -> None:
        """Let handlers discard what was taken since. What they cannot is left to the keeper, in a node of its own."""
        since = Buffer({name: taken for name, taken in self.buffer.snapshot().items() if name not in kept})
        if await discard_all(self.sessions.service, since) is not None:
            await self.sessions.manager.end(await self._opened(since), Reason.CLIENT)

    def _before(self, act: Act, outcome: Outcome, name: str) -> Place:
        """Return the place before an act whose effect is in the buffer already."""
        if outcome is Outcome.OK and act is Act.SAVE:
            return Place(inside=self._inside, unsaved=frozenset((*self.buffer, name)))
        return self.place


def _headers(context_id: str, seconds: int) -> list[tuple[bytes, bytes]]:
    return [(b"sap-contextid", context_id.encode()), (b"sap-http-session-timeout", str(seconds).encode())]
