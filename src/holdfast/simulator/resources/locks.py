"""LOCK and UNLOCK, and what a lock handle is good for (ADT §7, §8.2)."""

from typing import Final
from urllib.parse import unquote

from holdfast.simulator.answers import Answer, adt_error, parameter_missing
from holdfast.simulator.call import Call
from holdfast.simulator.documents import asx, elements
from holdfast.simulator.enqueue import LockEntry
from holdfast.simulator.repository import WorkbenchObject

DATANAME: Final = "com.sap.adt.lock.Result"
"""With a capital R: a real client insists on it (ADT §7.1)."""


def lock(call: Call, target: WorkbenchObject) -> Answer:
    """Lock the object for the request's context, or refuse with the owner's name."""
    call.accept("application/vnd.sap.as+xml")
    switches = call.system.switches
    held = call.system.locks.get(target.key, call.now)
    if held is not None:
        own = held.owner == call.context.key and not held.releasing
        if own and switches.same_context_relock == "same_handle":
            return lock_result(held.handle)
        raise currently_editing(held, target.name, switches.lock_error_status)
    entry = call.system.locks.add(target.key, user=call.user, owner=call.context.key, now=call.now)
    return lock_result(entry.handle)


def unlock(call: Call, target: WorkbenchObject | None) -> Answer:
    """Release the lock if the handle is right; answer 200 in every case (ADT §7.2)."""
    handle = call.need("lockHandle")
    entry = call.system.locks.get(target.key, call.now) if target is not None else None
    if entry is not None and not entry.releasing and _may_release(call, entry, handle):
        call.system.locks.remove(entry)
    return Answer()


def _may_release(call: Call, entry: LockEntry, handle: str) -> bool:
    switches = call.system.switches
    fits = entry.handle == handle or (switches.lenient_unlock and entry.handle == unquote(handle))
    return fits and (entry.owner == call.context.key or switches.unlock_across_contexts)


def lock_result(handle: str, *, dataname: str = DATANAME) -> Answer:
    """Return the lock structure; every package of the simulator is local, so no request is named."""
    values = {
        "LOCK_HANDLE": handle,
        "CORRNR": "",
        "CORRUSER": "",
        "CORRTEXT": "",
        "IS_LOCAL": "X",
        "IS_LINK_UP": "",
        "MODIFICATION_SUPPORT": "",
        "SCOPE_MESSAGES": "",
    }
    return asx(elements(values), dataname)


def require_lock(
    call: Call, target: WorkbenchObject, *, word: str | None = None, inner: str | None = None
) -> LockEntry:
    """Return the entry the handle in the query names, or refuse: 400 without a handle, 423 with a wrong one."""
    handle = call.query.get("lockHandle", "")
    if not handle:
        raise parameter_missing("lockHandle")
    locks = call.system.locks
    stateful = call.session_type == "stateful" or not call.system.profile.put_needs_header
    entry = locks.get(target.key, call.now)
    if (
        entry is None
        or not stateful
        or not locks.holds(target.key, handle=handle, owner=call.context.key, now=call.now)
    ):
        word, inner = word or target.kind.lock_word, inner or target.name
        text = f"Resource {word} {inner} is not locked (invalid lock handle: {handle})"
        found = [word, inner, handle]
        raise adt_error(423, "ExceptionResourceInvalidLockHandle", text, t100="SADT_RESOURCE/026", variables=found)
    return entry


def currently_editing(held: LockEntry, name: str, status: int = 403) -> Exception:
    """Return the refusal that names the holder (ADT §8.2)."""
    text = f"User {held.user} is currently editing {name}"
    return adt_error(status, "ExceptionResourceNoAccess", text, t100="EU/510", variables=[held.user, name])
