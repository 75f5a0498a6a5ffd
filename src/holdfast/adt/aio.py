"""The handlers of the source, to be awaited: `from holdfast.adt.aio import lock_class, update_class, …` (A12).

    session = await get_session()
    locked = await lock_class(class_name="ZCL_MY_CLASS", session_id=session["session_id"])

Without any configuration they work on a simulated system in memory; `HOLDFAST_SAP_URL`, `HOLDFAST_SAP_USER`, … point
them at a real one. They may be awaited in any event loop: the work is done in one of our own (`adt.runtime`).
"""

from typing import Any, Literal, TypedDict, Unpack

from holdfast.adt.answers import (
    Answer,
    Done,
    DraftList,
    ListAnswer,
    LockAnswer,
    LockList,
    ReadAnswer,
    ResumeAnswer,
    SessionList,
    UpdateAnswer,
    WriteAnswer,
)
from holdfast.adt.names import own_name
from holdfast.adt.runtime import runtime
from holdfast.adt.service import LOCAL_PACKAGE, State
from holdfast.adt.types import WORDS
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    BadInput,
    HoldfastError,
    LockLostError,
    LogonFailed,
    NotFound,
    ObjectChanged,
    ObjectLocked,
    QuotaExceeded,
    SessionExpiredError,
)


class OwnName(TypedDict, total=False):
    """The handlers' own names of the object's name; each takes its own and `object_name` (A34)."""

    class_name: str
    interface_name: str
    program_name: str


class In(TypedDict, total=False):
    """The session a call is made in. Without one it gets a session of its own, whose id is in the answer."""

    session_id: str | None
    session_state: State


class Handlers:
    """The handlers of one object type."""

    def __init__(self, word: str) -> None:
        self._row = WORDS[word]

    async def validate(
        self,
        object_name: str = "",
        *,
        description: str = "",
        package: str = LOCAL_PACKAGE,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> Answer:
        """Say whether an object of this name can be created."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(
            lambda abap, me: abap.validate(me, kind, name, description=description, package=package, **where)
        )

    async def create(
        self,
        object_name: str = "",
        *,
        description: str = "",
        package: str = LOCAL_PACKAGE,
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> Answer:
        """Create an object, in `$TMP` unless a package is named."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(
            lambda abap, me: abap.create(
                me, kind, name, description=description, package=package, transport=transport, **where
            )
        )

    async def read(
        self,
        object_name: str = "",
        *,
        version: Literal["", "active", "inactive"] = "",
        include: str = "main",
        properties: bool = False,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> ReadAnswer:
        """Read an object's source, the newest version unless one is named."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(
            lambda abap, me: abap.read(me, kind, name, version=version, include=include, properties=properties, **where)
        )

    async def lock(
        self,
        object_name: str = "",
        *,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> LockAnswer:
        """Lock an object for editing. Raises ObjectLocked if somebody else is editing it."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(lambda abap, me: abap.lock(me, kind, name, **where))

    async def update(
        self,
        object_name: str = "",
        *,
        source_code: str,
        lock_handle: str,
        include: str = "main",
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> WriteAnswer:
        """Write a source under its lock. Raises LockLostError or SessionExpiredError if nothing is locked any more.

        The error's `draft_id` then names where the source is kept: `resume_update` writes it after a new lock.
        """
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(
            lambda abap, me: abap.update(
                me, kind, name, source_code, lock_handle=lock_handle, include=include, transport=transport, **where
            )
        )

    async def check(
        self,
        object_name: str = "",
        *,
        source_code: str | None = None,
        version: Literal["active", "inactive"] = "inactive",
        include: str = "main",
        lock_handle: str | None = None,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> Answer:
        """Check the stored source, or the given one in its place."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        more: dict[str, Any] = {"version": version, "include": include, "lock_handle": lock_handle}
        return await runtime.run(lambda abap, me: abap.check(me, kind, name, source_code=source_code, **more, **where))

    async def unlock(
        self,
        object_name: str = "",
        *,
        lock_handle: str,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> UpdateAnswer:
        """Give a lock back."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(lambda abap, me: abap.unlock(me, kind, name, lock_handle=lock_handle, **where))

    async def activate(
        self,
        object_name: str = "",
        *,
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> UpdateAnswer:
        """Activate an object; `success` is false with the messages if SAP refuses."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(lambda abap, me: abap.activate(me, kind, name, **where))

    async def delete(
        self,
        object_name: str = "",
        *,
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
        **own: Unpack[OwnName],
    ) -> Answer:
        """Delete an object in all versions."""
        kind, name = self._named(object_name, own)
        where: In = {"session_id": session_id, "session_state": session_state}
        return await runtime.run(lambda abap, me: abap.delete(me, kind, name, transport=transport, **where))

    def _named(self, object_name: str, own: OwnName) -> tuple[str, str]:
        return self._row.type, own_name(self._row, object_name, dict(own))


async def get_session(force_new: bool = False, system: str | None = None) -> Answer:
    """Open a session and return its id; `force_new` logs on afresh."""
    return await runtime.run(lambda abap, me: abap.get_session(me, force_new=force_new, system=system))


async def list_sessions() -> SessionList:
    """List the sessions of this machine's handlers."""
    return await runtime.run(lambda abap, me: abap.list_sessions(me))


async def list_locks() -> LockList:
    """List the locks of this machine's handlers, in whatever state they are."""
    return await runtime.run(lambda abap, me: abap.list_locks(me))


async def close_session(session_id: str) -> Done:
    """End a session: what it locks is released, its logons are logged off."""
    return await runtime.run(lambda abap, me: abap.close_session(me, session_id))


async def resume_update(draft_id: str, *, session_id: str | None = None, session_state: State = None) -> ResumeAnswer:
    """Lock the object of a draft again and write its source; raises ObjectChanged if somebody has changed the object.

    The answer is that of update, with the `lock_handle` of the new lock: go on with check, unlock and activate.
    """
    where: In = {"session_id": session_id, "session_state": session_state}
    return await runtime.run(lambda abap, me: abap.resume_update(me, draft_id, **where))


async def list_drafts(draft_id: str | None = None) -> DraftList:
    """List the sources that could not be written; with `draft_id` that one alone, with its source."""
    return await runtime.run(lambda abap, me: abap.list_drafts(me, draft_id))


async def discard_draft(draft_id: str) -> Done:
    """Drop a draft."""
    return await runtime.run(lambda abap, me: abap.discard_draft(me, draft_id))


async def search_objects(
    query: str,
    *,
    object_type: str = "",
    package: str = "",
    max_results: int = 50,
    session_id: str | None = None,
    session_state: State = None,
) -> ListAnswer:
    """Search objects by a name pattern in which `*` and `?` are wild."""
    where: In = {"session_id": session_id, "session_state": session_state}
    return await runtime.run(
        lambda abap, me: abap.search(me, query, kind=object_type, package=package, max_results=max_results, **where)
    )


async def inactive_objects(*, session_id: str | None = None, session_state: State = None) -> ListAnswer:
    """List the SAP user's inactive objects."""
    where: In = {"session_id": session_id, "session_state": session_state}
    return await runtime.run(lambda abap, me: abap.inactive_objects(me, **where))


_class, _interface, _program = Handlers("class"), Handlers("interface"), Handlers("program")

validate_class, validate_interface, validate_program = _class.validate, _interface.validate, _program.validate
create_class, create_interface, create_program = _class.create, _interface.create, _program.create
read_class, read_interface, read_program = _class.read, _interface.read, _program.read
lock_class, lock_interface, lock_program = _class.lock, _interface.lock, _program.lock
update_class, update_interface, update_program = _class.update, _interface.update, _program.update
check_class, check_interface, check_program = _class.check, _interface.check, _program.check
unlock_class, unlock_interface, unlock_program = _class.unlock, _interface.unlock, _program.unlock
activate_class, activate_interface, activate_program = _class.activate, _interface.activate, _program.activate
delete_class, delete_interface, delete_program = _class.delete, _interface.delete, _program.delete

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "BadInput",
    "HoldfastError",
    "LockLostError",
    "LogonFailed",
    "NotFound",
    "ObjectChanged",
    "ObjectLocked",
    "QuotaExceeded",
    "SessionExpiredError",
    "activate_class",
    "activate_interface",
    "activate_program",
    "check_class",
    "check_interface",
    "check_program",
    "close_session",
    "create_class",
    "create_interface",
    "create_program",
    "delete_class",
    "delete_interface",
    "delete_program",
    "discard_draft",
    "get_session",
    "inactive_objects",
    "list_drafts",
    "list_locks",
    "list_sessions",
    "lock_class",
    "lock_interface",
    "lock_program",
    "read_class",
    "read_interface",
    "read_program",
    "resume_update",
    "search_objects",
    "unlock_class",
    "unlock_interface",
    "unlock_program",
    "update_class",
    "update_interface",
    "update_program",
    "validate_class",
    "validate_interface",
    "validate_program",
]
