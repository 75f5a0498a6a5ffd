"""What every part of the ABAP service stands on: its sessions, and the frame each call runs in (A9-A11, A31)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio

from holdfast.adt.answers import Answer, Done, LockList, SessionList
from holdfast.adt.changing import Changing
from holdfast.adt.desk import WORKSPACE, Caller, Desk, Workspace, lock_of, plain
from holdfast.adt.drafts import Drafts
from holdfast.adt.listing import Listing
from holdfast.adt.locking import Locking, is_about
from holdfast.adt.reading import Reading
from holdfast.adt.removing import Removing
from holdfast.adt.tokens import Ticket, Tokens
from holdfast.adt.types import ObjectType
from holdfast.adt.visit import Visit
from holdfast.backend.errands import Errands
from holdfast.backend.system import Systems
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, SessionExpiredError

State = Mapping[str, Any] | None


class Sessions:
    """Sessions of callers, and calls in them.

    Args:
        manager: The tree.
        systems: The back ends of this process.
        errands: Where back-end work goes on when its caller has gone.
        strict: Refuse a stale `session_state` instead of warning (A11).
        form: `plain` shows cookies and tokens in `session_state`, for trusted callers only (A10).
    """

    def __init__(
        self,
        manager: Manager,
        systems: Systems,
        errands: Errands,
        *,
        hold_limit: float = 900.0,
        strict: bool = False,
        form: Literal["sealed", "plain"] = "sealed",
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        more = {} if sleep is None else {"sleep": sleep}
        self._desk = Desk(manager, systems, hold_limit=hold_limit, **more)
        self._tokens, self._strict = Tokens(manager.keys, form), strict
        self._reading = Reading(self._desk, errands)
        self._locking = Locking(self._desk, errands)
        self._changing = Changing(self._desk, errands)
        self._removing = Removing(self._locking, self._changing)
        self._listing = Listing(self._desk)
        self._drafts = Drafts(self._desk)
        self.opened: list[Ref] | None = None  # a list here has every session noted that is opened (`adt.runtime`)

    async def get_session(self, caller: Caller, *, force_new: bool = False, system: str | None = None) -> Answer:
        """Open a session and return its id (A9, A31). What the caller has otherwise stays as it is.

        Args:
            force_new: Log on afresh instead of using the caller's living logon.
            system: A configured system; the default one if left out.
        Raises:
            LogonFailed, BackendUnavailable: The system cannot be logged on to; no session was opened.
        """
        manager, found = self._desk.manager, self._desk.systems.get(system)
        node = await manager.open(
            WORKSPACE,
            plain(Workspace(system=found.name)),
            parent=await caller.place(),
            owner=caller.owner,
            client=caller.client,
            label=found.name,
        )
        if self.opened is not None:
            self.opened.append(node.ref)
        try:
            backend, stamp = await self._reading.attach(caller, node, fresh=force_new)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await manager.end(node, Reason.CLIENT)
            raise
        visit = Visit(self._tokens, caller, node, node.id or "")
        text = f"Session opened on {found.name} as {backend.logon.user}. Use this session_id in the following calls."
        return visit.answer(True, " ".join((text, found.note)).strip(), backend, stamp)

    async def list_sessions(self, caller: Caller) -> SessionList:
        """List the caller's sessions."""
        return await self._listing.sessions(caller)

    async def list_locks(self, caller: Caller) -> LockList:
        """List the caller's locks in whatever state they are, stranded ones included (A7)."""
        return await self._listing.locks(caller)

    async def end_opened(self) -> None:
        """End the sessions that were opened here and wait until they are closed: for a program that ends."""
        manager, opened = self._desk.manager, self.opened or []
        for ref in opened:
            await manager.end(ref, Reason.SHUTDOWN)
        for ref in opened:
            await manager.gone(ref, timeout=manager.tuning.closer_timeout)

    async def close_session(self, caller: Caller, session_id: str) -> Done:
        """End a session: what it locks is released and its logons are logged off."""
        manager = self._desk.manager
        node = await self._desk.workspace(caller, session_id)
        await manager.end(node, Reason.CLIENT)
        gone = await manager.gone(node.ref, timeout=manager.tuning.closer_timeout)
        return {
            "success": True,
            "message": "Session closed." if gone else "Session closed; its log-off goes on in the background.",
        }

    # -- for the parts built on this

    @asynccontextmanager
    async def _visit(self, caller: Caller, session_id: str | None, state: State) -> AsyncIterator[Visit]:
        """Run a call in its workspace: it counts as use, and is cancelled if the workspace ends (E18)."""
        if session_id is None:
            session_id = (await self.get_session(caller))["session_id"]
        node = await self._desk.workspace(caller, session_id)
        visit = Visit(self._tokens, caller, node, session_id, state=state, strict=self._strict)
        try:
            async with self._desk.manager.running(node):
                yield visit
        except SessionEnded as exc:
            raise SessionExpiredError(f"Session expired: session {session_id[:8]} has ended") from exc

    async def _locked(self, visit: Visit, lock_handle: str, row: ObjectType, name: str) -> tuple[Ticket, Session]:
        """Return what a lock handle names and the lock's node, after the checks of A11."""
        ticket = self._tokens.ticket(lock_handle, owner=visit.workspace.owner)
        node = await self._changing.find(ticket, row, name)
        visit.look_at_lock(node, lock_of(node))
        return ticket, node

    async def _note_use(self, workspace: Session, row: ObjectType, name: str) -> None:
        """Count a call about an object as use of this session's lock on it (A3)."""
        if not workspace.record.held:
            return
        _, locks = await self._desk.below(workspace)
        for record in locks:
            if is_about(record, row, name):
                await self._locking.touch(record)
