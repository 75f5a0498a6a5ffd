"""Where the sessions of a scope are stored: a node of kind `flow` or `exchange`, its cookies sealed in it.

A flow's node is found by the flow's name, at every worker and after a restart, and written by compare-and-set (F13). An
exchange's node belongs to the worker that processes the message: it is written whenever it changes, so that any keeper
can log its sessions off when that worker has died, which shows within half a minute.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, NamedTuple, Protocol

import anyio

from holdfast.core.kinds import Clocks
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record, Ref
from holdfast.core.session import Session
from holdfast.errors import (
    Busy,
    SessionConflict,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    StoreUnavailable,
)
from holdfast.flows.sessions.kept import Content, Effect, Sessions
from holdfast.flows.sessions.turns import Turns

FLOW: Final = "flow"
EXCHANGE: Final = "exchange"
YEAR_S: Final = 365 * 86_400.0
DAY_S: Final = 86_400.0
WORKER_GONE_S: Final = 30.0  # an exchange whose worker has not shown itself for so long ends
ABSOLUTE: Final = Clocks(absolute=43_200.0)
OPENING_S: Final = 10.0  # how long a node may be in the way that is being closed
PAUSE_S: Final = 0.05
COPY_S: Final = 1.0
LABEL_CHARS: Final = 60
log = logging.getLogger(__name__)

Step = Callable[[Sessions], Effect]


class Node(Protocol):
    """Where the sessions of one scope are."""

    async def read(self, *, fresh: bool = False) -> Sessions:
        """Return the sessions, as they are now if `fresh`; raise StoreUnavailable before anything has been sent."""
        ...

    async def change(self, step: Step) -> Effect:
        """Apply a step to what is stored. The call was answered already, so a store that is away is only logged."""
        ...

    def turn(self, receiver: str) -> AbstractAsyncContextManager[Any]:
        """Return a block in which no other call of this scope opens a session at the receiver."""
        ...


class Copy(NamedTuple):
    """What a worker remembers of a flow's node, until an instant of the event loop's clock."""

    record: Record
    sessions: Sessions
    until: float


class FlowNode:
    """The sessions of a deployed flow, shared by all its messages and workers.

    Calls go by a copy that is a second old at most. What is wrong with it a receiver says, by not knowing the
    session: then the store is asked.
    """

    def __init__(self, manager: Manager, flow: str, rules: Mapping[str, Any]) -> None:
        self._manager, self._flow, self._rules = manager, flow, dict(rules)
        self._alias = hashlib.sha256(f"{FLOW}\0{flow}".encode()).digest()
        self._undeployments = f"undeployed:{self._alias.hex()}"
        self._known: int | None = None  # how often the flow had been undeployed when this deployment began
        self._ref: Ref | None = None
        self._copy: Copy | None = None
        self._turns = Turns(manager, self._alias.hex())

    async def read(self, *, fresh: bool = False) -> Sessions:
        """Return the sessions as all workers see them, or saw them a moment ago unless they have to be `fresh`.

        Raises SessionEnded once the flow was undeployed, here or at another worker.
        """
        copy = self._copy
        if fresh or copy is None or anyio.current_time() >= copy.until:
            session = await self.session()
            copy = self._keep(session, Sessions.load(session.content, **self._rules))
        return copy.sessions

    async def change(self, step: Step) -> Effect:
        """Apply a step, again whenever another worker was faster."""
        try:
            while True:
                session = await self.session()
                sessions = Sessions.load(session.content, **self._rules)
                effect = step(sessions)
                if effect.changed:
                    session.content = sessions.dump()
                    try:
                        await self._manager.save(session)
                    except SessionConflict:
                        continue
                self._keep(session, sessions)
                return effect
        except (StoreUnavailable, SessionEnded, Busy) as exc:
            log.warning("flow %s: what a call changed in the session was not kept (%s)", self._flow, exc.code)
            return Effect()

    def turn(self, receiver: str) -> AbstractAsyncContextManager[Any]:
        """Wait behind other logons at this receiver, at whatever worker."""
        return self._turns.take(receiver)

    async def session(self) -> Session:
        """Return the flow's node, opened if it is not there.

        Raises:
            Busy: An old one is being closed.
            SessionEnded: The flow was undeployed.
        """
        if self._known is None:
            await self.deploy()
        with anyio.move_on_after(OPENING_S):
            while True:
                if (found := await self._find()) is not None:
                    return found
                await self._refuse_undeployed()
                try:
                    empty = Sessions(Content()).dump()
                    return await self._manager.open(FLOW, empty, alias=self._alias, label=self._flow[:LABEL_CHARS])
                except SessionExists:
                    await anyio.sleep(PAUSE_S)
        raise Busy(f"the sessions of flow {self._flow!r} are being closed")

    async def deploy(self) -> None:
        """From now on an undeployment, at whatever worker, is the end of this deployment's sessions."""
        self._known = await self._undeployed()

    async def end(self) -> bool:
        """End the node, and let no worker open another: whoever keeps it logs off. False if there was none."""
        if self._known is None:
            await self.deploy()
        await self._manager.store.counters.add(self._undeployments, now=self._manager.clock())
        found, self._copy = await self._find(), None
        return found is not None and await self._manager.end(found, Reason.CLIENT)

    async def _undeployed(self) -> int:
        [count] = await self._manager.store.counters.read([self._undeployments], now=self._manager.clock())
        return count

    async def _refuse_undeployed(self) -> None:
        if await self._undeployed() != self._known:
            raise SessionEnded(f"the flow {self._flow!r} was undeployed", hint="Deploy it again.")

    def _keep(self, session: Session, sessions: Sessions) -> Copy:
        """Remember what was read or written, unless a later version is known."""
        copy, known = Copy(session.record, sessions, anyio.current_time() + COPY_S), self._copy
        if known is None or known.record.key != copy.record.key or known.record.version <= copy.record.version:
            self._copy = copy
        return copy

    async def _find(self) -> Session | None:
        """Return the node at the place where it was last, else the one that is called by the flow's name now."""
        manager = self._manager
        if self._ref is not None:
            with suppress(SessionNotFound):
                return await manager.get(self._ref)
        loaded = await manager.store.sessions.load(self._alias, now=manager.clock())
        self._ref = loaded.record.ref if loaded is not None else None
        with suppress(SessionNotFound):
            return await manager.get(self._ref) if self._ref is not None else None
        return None


class ExchangeNode:
    """The sessions of one message, or of a branch of it, which has a node as soon as a session is born in it.

    Args:
        above: Of a branch, its message.
        logon: Of a message, the logon with which it ends, if it is somebody's.
    """

    def __init__(
        self,
        manager: Manager,
        flow: str,
        rules: Mapping[str, Any],
        above: "ExchangeNode | None" = None,
        logon: Session | None = None,
    ) -> None:
        self._manager, self._flow, self._above, self._logon = manager, flow, above, logon
        self.sessions = Sessions(Content(), **rules)
        self.session: Session | None = None
        self._writing = anyio.Lock()
        self._unwritten = False
        self._turns: dict[str, anyio.Lock] = {}

    async def read(self, *, fresh: bool = False) -> Sessions:
        """Return the sessions of the message, which are always fresh: no other worker changes them."""
        return self.sessions

    async def change(self, step: Step) -> Effect:
        """Apply a step and write what it changed."""
        async with self._writing:
            effect = step(self.sessions)
            self._unwritten |= effect.changed
            if self._unwritten:
                try:
                    await self.write()
                except StoreUnavailable as exc:
                    log.warning("flow %s: a session of a message is not stored yet (%s)", self._flow, exc.code)
            return effect

    def turn(self, receiver: str) -> anyio.Lock:
        """Wait behind other calls of this message."""
        return self._turns.setdefault(receiver, anyio.Lock())

    async def write(self) -> None:
        """Write the sessions. Raises SessionNotFound or SessionEnded if the exchange was ended meanwhile."""
        content = self.sessions.dump()
        if self.session is None:
            self.session = await self._open(content)
        else:
            self.session.content = content
            await self._save(self.session)
        self._unwritten = False

    async def end(self) -> None:
        """End what is stored; any keeper logs off. What the store cannot be told now it notices by itself."""
        if self.session is not None:
            try:
                with anyio.CancelScope(shield=True):  # bounded by the store's own time-out
                    await self._manager.end(self.session, Reason.CLIENT)
            except StoreUnavailable:
                log.warning("flow %s: a message's session ends later: the store is away", self._flow)

    async def _open(self, content: dict[str, Any]) -> Session:
        manager, label = self._manager, self._flow[:LABEL_CHARS]
        if self._above is None:
            due_at = manager.clock() + WORKER_GONE_S
            return await manager.open(EXCHANGE, content, parent=self._logon, named=False, label=label, due_at=due_at)
        above = self._above.session
        return await manager.open(EXCHANGE, content, parent=above, named=False, label=label, clocks=ABSOLUTE)

    async def _save(self, session: Session) -> None:
        while True:
            try:
                await self._manager.save(session)
                return
            except SessionConflict:  # a keeper has looked at it, or its use was recorded: the content is ours
                session.record = (await self._manager.get(session.ref)).record
