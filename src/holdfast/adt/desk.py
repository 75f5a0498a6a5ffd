"""What all of the ABAP face shares: the tree's manager, the systems, and how nodes and drivers become each other.

Below a workspace (what `session_id` names) there is at most one logon for reading and one per lock; below an edit
logon at most one lock. Labels are unsealed so that what is left behind can be named without a key:

    backend   SYSTEM CLIENT USER purpose since
    lock      SYSTEM USER TYPE NAME since
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
import msgspec

from holdfast.backend.locks import Lock
from holdfast.backend.logon import Logon, Purpose
from holdfast.backend.quotas import used_up, within
from holdfast.backend.session import BackendSession
from holdfast.backend.system import System, Systems
from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Record, Ref, State
from holdfast.core.session import Session
from holdfast.errors import LimitReached, SessionExpiredError, SessionNotFound

WORKSPACE: Final = "workspace"
BACKEND: Final = "backend"
LOCK: Final = "lock"
NAMES: Final = {BACKEND: "sessions", LOCK: "locks"}


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the principal (empty without authentication), what limits count, and the node sessions hang on.

    Without such a node, `logon` finds the one of the caller's logon when a session is opened.
    """

    owner: str = ""
    client: str = ""
    parent: Ref | None = None
    logon: Callable[[], Awaitable[Ref | None]] | None = None

    async def place(self) -> Ref | None:
        """Return the node on which a session that is opened hangs; None for one that begins a tree."""
        return await self.logon() if self.parent is None and self.logon is not None else self.parent


class Workspace(msgspec.Struct, kw_only=True):
    """The content of a workspace. `reading` is where its logon for reading is kept: its own, or one it shares."""

    system: str
    generation: int = 0
    reading: tuple[bytes, bytes] | None = None

    @property
    def reading_ref(self) -> Ref | None:
        """The place of the logon for reading."""
        return Ref(*self.reading) if self.reading else None


class Desk:
    """Manager, systems and settings of the ABAP face, and the small steps all its parts take."""

    def __init__(
        self,
        manager: Manager,
        systems: Systems,
        *,
        hold_limit: float = 900.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.manager, self.systems, self.hold_limit, self.sleep = manager, systems, hold_limit, sleep
        self.recent: dict[bytes, Session] = {}  # logons as this process has left them: copies with a version
        self.releasing: set[bytes] = set()  # locks given back here whose end is just being marked

    # -- nodes and drivers

    def driver(self, node: Session) -> BackendSession:
        """Return the driver of a logon's node."""
        return driver_of(self.systems, node)

    @asynccontextmanager
    async def in_flight(self, workspace: Session, logon: Session | None = None) -> AsyncIterator[None]:
        """Count what an agent sends in the block as a call in flight, and wait for its turn (A29).

        Whoever waits has sent nothing: the end of the session, or of the logon that is kept for it, ends the waiting,
        so that it holds up nobody who closes them.

        Raises:
            QuotaExceeded: It took too long.
            SessionEnded: The session has ended meanwhile.
        """
        system = self.systems.get(workspace_of(workspace).system)
        place = self.systems.quotas.call(system.account, system.settings, client=workspace.owner, agent=workspace.key)
        async with AsyncExitStack() as stack:
            async with self.manager.running(workspace), self.manager.running(logon or workspace):
                await stack.enter_async_context(place)
            yield

    def turn(self, workspace: Session, ref: Ref) -> AbstractAsyncContextManager[None]:
        """Wait for one's turn in a logon that several agents share; raises Busy."""
        wait = self.systems.get(workspace_of(workspace).system).settings.quota_wait
        return self.systems.turns.take(ref.key, anyio.current_time() + wait, party=workspace.key)

    async def log_on(self, purpose: Purpose, workspace: Session) -> Session:
        """Log on at the workspace's system and store the logon below it; if it has ended meanwhile, log off again.

        Raises:
            QuotaExceeded: The SAP user or the client has as many sessions as it may have.
        """
        system = self.systems.get(workspace_of(workspace).system)
        await self._refuse_in_vain(system)
        backend = BackendSession.fresh(system, purpose)
        async with self.in_flight(workspace):
            await backend.log_on()
        due_at = self.manager.clock() + self.manager.tuning.lease_ttl if purpose == "edit" else None
        try:
            return await self._open(BACKEND, system, workspace, backend.dump(), backend_label(backend), due_at)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await backend.log_off()
            raise

    async def intend(self, lock: Lock, logon: Session) -> Session:
        """Store the intent of a lock below its logon (A1). Raises QuotaExceeded."""
        return await self._open(LOCK, self.systems.get(lock.system), logon, lock.dump(), lock_label(lock))

    async def _open(
        self,
        kind: str,
        system: System,
        parent: Session,
        content: dict[str, Any],
        label: str,
        due_at: float | None = None,
    ) -> Session:
        """Open a node that counts for the SAP user; the check and the opening are one step in the store."""
        quota = self._quota(kind, system)
        try:
            return await self.manager.open(
                kind,
                content,
                parent=parent,
                owner=parent.owner,
                client=system.account,
                label=label,
                due_at=due_at,
                named=False,
                limits=quota,
            )
        except LimitReached as exc:
            raise used_up(NAMES[kind], system.account, quota) from exc

    async def _refuse_in_vain(self, system: System) -> None:
        """Raise QuotaExceeded before a logon that could not be kept."""
        quota = self._quota(BACKEND, system)
        nodes = [record async for record in self.manager.each("client", system.account)]
        if sum(is_live(record) for record in nodes if record.kind == BACKEND) >= (quota.per_client or 0):
            raise used_up(NAMES[BACKEND], system.account, quota)

    def _quota(self, kind: str, system: System) -> Limits:
        settings = system.settings
        most = settings.quota_sessions if kind == BACKEND else settings.quota_locks
        return within(self.manager.rules(kind)[1], most)

    # -- looking around

    async def workspace(self, caller: Caller, session_id: str) -> Session:
        """Return the caller's workspace; whatever else the id is, the session has expired (E3)."""
        try:
            return await self.manager.load(session_id, kind=WORKSPACE, owner=caller.owner)
        except SessionNotFound as exc:
            raise SessionExpiredError(
                f"Session expired: there is no session {session_id[:8]} (any more)",
                hint="Call GetSession and start the workflow again.",
            ) from exc

    async def of_caller(self, caller: Caller) -> AsyncIterator[Record]:
        """Yield the caller's nodes in any state: by principal, without one those below the same parent."""
        if caller.owner:
            async for record in self.manager.each("owner", caller.owner):
                yield record
        elif caller.parent is not None:
            async for record in self.manager.each("tree", caller.parent.tree):
                yield record

    async def below(self, workspace: Session) -> tuple[list[Record], list[Record]]:
        """Return the logons of a workspace and the locks below them, in any state."""
        tree = [record async for record in self.manager.each("tree", workspace.record.tree)]
        logons = [record for record in tree if record.parent == workspace.key and record.kind == BACKEND]
        keys = {record.key for record in logons}
        return logons, [record for record in tree if record.parent in keys and record.kind == LOCK]


def driver_of(systems: Systems, node: Session, *, shield: bool = True) -> BackendSession:
    """Return the driver of a logon's node. Raises BadInput if its system is not configured here."""
    logon = Logon.load(node.content)
    return BackendSession(systems.get(logon.system), logon, shield=shield)


def lock_of(node: Session) -> Lock:
    """Return the lock a node stands for."""
    return Lock.load(node.content)


def workspace_of(node: Session) -> Workspace:
    """Return the content of a workspace's node."""
    return msgspec.convert(node.content, Workspace)


def plain(workspace: Workspace) -> dict[str, Any]:
    """Return a workspace as a node's content."""
    content: dict[str, Any] = msgspec.to_builtins(workspace, builtin_types=(bytes,))
    return content


def backend_label(backend: BackendSession) -> str:
    """Return the label of a logon's node."""
    return f"{backend.system.account} {backend.logon.purpose} {backend.logon.since:.0f}"


def purpose_of(record: Record) -> str:
    """Return what a logon is for, read from its label."""
    return record.label.split(" ")[-2] if record.label.count(" ") >= 4 else ""


def lock_label(lock: Lock) -> str:
    """Return the label of a lock's node."""
    return f"{object_label(lock.system, lock.user, lock.type, lock.name)}{lock.taken_at:.0f}"


def object_label(system: str, user: str, object_type: str, name: str) -> str:
    """Return what the labels of all locks on an object by one user begin with."""
    return f"{system} {user} {object_type} {name} "


def is_live(record: Record) -> bool:
    """Say whether a record is not marked; what is above it may be."""
    return record.state is State.LIVE
