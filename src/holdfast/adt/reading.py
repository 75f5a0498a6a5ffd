"""Requests that need no lock: they travel stateless in a logon of their own and cannot reach a lock's context (A2)."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from holdfast.adt.desk import BACKEND, Caller, Desk, plain, workspace_of
from holdfast.adt.tokens import Stamp
from holdfast.backend.errands import Errands
from holdfast.backend.logon import Logon
from holdfast.backend.session import BackendSession, LogonGone
from holdfast.core.model import Reason, Ref, State
from holdfast.core.session import Session
from holdfast.errors import Busy, SessionConflict, SessionEnded, SessionNotFound

T = TypeVar("T")
TRIES: Final = 3
Work = Callable[[BackendSession], Awaitable[T]]
Look = Callable[[Stamp], None]


class Reading:
    """Finds or opens the logon for reading of a workspace, and runs requests in it, one at a time."""

    def __init__(self, desk: Desk, errands: Errands) -> None:
        self._desk, self._errands = desk, errands

    async def run(self, workspace: Session, work: Work[T], *, look: Look) -> tuple[T, BackendSession, Stamp]:
        """Do `work` with the logon for reading; return its result, the driver and the stamp of its state.

        `look` is shown the stamp as it is before anything is sent, and may raise.

        A logon found dead is replaced and the refused request sent in the new one: nothing was bound to it. It goes
        on when the caller is cancelled.
        """
        return await self._errands.run(partial(self._run, workspace, work, look))

    async def attach(self, caller: Caller, workspace: Session, *, fresh: bool) -> tuple[BackendSession, Stamp]:
        """Give a new workspace its logon for reading: a living one of the caller's, unless `fresh` (A31)."""
        shared = None if fresh else await self._living(caller, workspace)
        node = shared or await self._desk.manager.get(await self._open(workspace))
        if shared is not None:  # it may end at any time with the session it belongs to: then `run` opens another
            await self._point_to(workspace, shared.ref)
        backend = self._desk.driver(node)
        return backend, _stamp(workspace, node.ref, backend)

    async def state(self, workspace: Session) -> tuple[BackendSession, Stamp]:
        """Return the driver and the stamp of the logon for reading, without sending anything."""

        async def nothing(_: BackendSession) -> None:
            return None

        _, backend, stamp = await self.run(workspace, nothing, look=lambda _: None)
        return backend, stamp

    async def _run(self, workspace: Session, work: Work[T], look: Look) -> tuple[T, BackendSession, Stamp]:
        async def looked(backend: BackendSession) -> T:
            look(_stamp(workspace, ref, backend))
            return await work(backend)

        for _ in range(TRIES):
            ref = workspace_of(workspace).reading_ref or await self._open(workspace)
            try:
                result, backend = await self._in_turn(workspace, ref, looked)
            except (SessionEnded, SessionNotFound):
                await self._point_to(workspace, None)  # the shared logon has ended with the session it belonged to
                continue
            return result, backend, _stamp(workspace, ref, backend)
        raise Busy("the logon for reading ends again and again")

    async def _in_turn(self, workspace: Session, ref: Ref, work: Work[T]) -> tuple[T, BackendSession]:
        """Do work when it is this agent's turn in this logon. It holds nothing at SAP, so no lease is taken for it."""
        async with self._desk.turn(workspace, ref):
            node = await self._desk.manager.get(ref)
            async with self._desk.in_flight(workspace, node):
                return await self._work(node, work)

    async def _work(self, node: Session, work: Work[T]) -> tuple[T, BackendSession]:
        backend = self._desk.driver(node)
        try:
            return await work(backend), backend
        except LogonGone as gone:
            if not gone.refused:
                raise
        finally:
            if backend.changed:
                await self._keep(node, backend)
        backend = await self._renewed(node.ref, Logon.load(node.content).version)
        return await work(backend), backend

    async def _keep(self, node: Session, backend: BackendSession) -> None:
        """Store changed cookies; where another worker has stored its own, those are as good."""
        node.content = backend.dump()
        with contextlib.suppress(SessionConflict, SessionEnded):
            await self._desk.manager.save(node)

    async def _renewed(self, ref: Ref, version: int) -> BackendSession:
        """Log on afresh, once, whichever worker finds out first that the logon is gone."""
        manager = self._desk.manager
        async with manager.hold(ref) as held:
            node = await manager.get(ref)
            backend = self._desk.driver(node)
            if backend.logon.broken or backend.logon.version == version:
                await backend.log_on()
                node.content = backend.dump()
                held.put(node)
            return backend

    async def _living(self, caller: Caller, workspace: Session) -> Session | None:
        """Return a living logon for reading of the caller's at the workspace's system."""
        desk, system = self._desk, self._desk.systems.get(workspace_of(workspace).system)
        wanted = f"{system.account} read "
        async for record in desk.of_caller(caller):
            if record.kind == BACKEND and record.state is State.LIVE and record.label.startswith(wanted):
                try:
                    node = await desk.manager.get(record.ref)
                except SessionNotFound:
                    continue
                if not desk.driver(node).logon.broken:
                    return node
        return None

    async def _open(self, workspace: Session) -> Ref:
        """Log on and store it below the workspace; of two at once the second uses the first one's."""
        node = await self._desk.log_on("read", workspace)
        used = await self._point_to(workspace, node.ref) or node.ref
        if used != node.ref:
            await self._desk.manager.end(node, Reason.REPLACED)
        return used

    async def _point_to(self, workspace: Session, ref: Ref | None) -> Ref | None:
        """Make the workspace use this logon; return the one it uses now."""
        before = workspace_of(workspace).reading
        while True:
            content = workspace_of(workspace)
            content.reading = (ref.tree, ref.key) if ref else None
            workspace.content = plain(content)
            try:
                await self._desk.manager.save(workspace)
            except SessionConflict:
                fresh = await self._desk.manager.get(workspace.ref)
                workspace.record, workspace.content = fresh.record, fresh.content
                theirs = workspace_of(workspace).reading_ref
                if workspace_of(workspace).reading not in (None, before):
                    return theirs
            else:
                return ref


def _stamp(workspace: Session, ref: Ref, backend: BackendSession) -> Stamp:
    return Stamp(workspace_of(workspace).generation, ref.key, backend.logon.version)
