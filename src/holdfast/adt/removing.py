"""Deleting an object: by the deletion service, or under a lock where a release has none (ADT §15)."""

import anyio

from holdfast.adt import calls
from holdfast.adt.changing import Changing
from holdfast.adt.documents import Message, message, read_deletion
from holdfast.adt.locking import Locking
from holdfast.adt.refusals import error_for, read_refusal
from holdfast.adt.types import ObjectType
from holdfast.backend.session import BackendSession
from holdfast.core.session import Session

FINDINGS = ("ExceptionResourceNoAccess", "ExceptionResourceLockConflict")


class Removing:
    """The two ways to delete."""

    def __init__(self, locking: Locking, changing: Changing) -> None:
        self._locking, self._changing = locking, changing

    async def by_service(
        self, backend: BackendSession, kind: ObjectType, name: str, transport: str
    ) -> list[Message] | None:
        """Delete without a lock; return what speaks against it, or None if this release has no deletion service."""
        reply = await backend.send(calls.delete(kind, name, transport=transport))
        refusal = read_refusal(reply)
        if refusal is None:
            return read_deletion(reply.body)[1]
        if refusal.status in (404, 405):
            return None
        if refusal.type in FINDINGS:
            return [message("E", refusal.message)]
        raise error_for(refusal, f"delete {name}")

    async def under_lock(self, workspace: Session, kind: ObjectType, name: str, transport: str) -> list[Message]:
        """Lock, delete, and let go of the lock, which went with the object."""
        locked = await self._locking.lock(workspace, kind, name)
        try:
            refusal = await self._changing.delete(workspace, locked.ticket, kind, name, transport=transport)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._locking.give_up(locked)
            raise
        if refusal is None:
            return []
        if refusal.type in FINDINGS:
            return [message("E", refusal.message)]
        raise error_for(refusal, f"delete {name}")
