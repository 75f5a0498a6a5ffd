"""What a caller has: its sessions and its locks, read from unsealed records (A7, A27)."""

from collections.abc import Sized

from holdfast.adt.answers import LockInfo, LockList, SessionInfo, SessionList
from holdfast.adt.desk import BACKEND, LOCK, WORKSPACE, Caller, Desk, is_live
from holdfast.core.model import Record, State
from holdfast.core.policy import expires_at


class Listing:
    """Lists of nodes of one caller."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def sessions(self, caller: Caller) -> SessionList:
        """Return the caller's live sessions, the oldest first."""
        nodes = [record async for record in self._desk.of_caller(caller)]
        now = self._desk.manager.clock()
        living = [r for r in nodes if r.kind == WORKSPACE and is_live(r) and expires_at(r) > now]
        found = [_session(record, nodes) for record in sorted(living, key=lambda record: record.created_at)]
        return {"success": True, "sessions": found, "message": _counted(found, "session")}

    async def locks(self, caller: Caller) -> LockList:
        """Return the caller's locks in any state, the oldest first."""
        nodes = [record async for record in self._desk.of_caller(caller)]
        by_key = {record.key: record for record in nodes}
        locks = sorted((r for r in nodes if r.kind == LOCK), key=lambda record: record.created_at)
        found = [self._lock(record, by_key) for record in locks]
        return {"success": True, "locks": found, "message": _counted(found, "lock")}

    def _lock(self, record: Record, by_key: dict[bytes, Record]) -> LockInfo:
        system, user, object_type, name, _ = record.label.rsplit(" ", 4)
        backend = by_key.get(record.parent or b"")
        workspace = by_key.get(backend.parent or b"") if backend else None
        found: LockInfo = {
            "id": record.hex,
            "object": f"{object_type} {name}",
            "system": system,
            "user": user,
            "session": workspace.mark if workspace else "",
            "since": record.created_at,
            "expected_end": min(record.used_at + self._desk.hold_limit, record.ends_at),
            "state": str(record.state),
        }
        if record.state is State.STRANDED:
            found["sm12"] = {"user": user, "argument": name}
        return found


def _session(record: Record, nodes: list[Record]) -> SessionInfo:
    logons = [node for node in nodes if node.kind == BACKEND and node.parent == record.key and is_live(node)]
    return {
        "session": record.mark,
        "system": record.label,
        "opened_at": record.created_at,
        "last_used_at": record.used_at,
        "expected_end": expires_at(record),
        "logons": len(logons),
        "locks": record.held,
    }


def _counted(found: Sized, word: str) -> str:
    return f"{len(found)} {word}{'' if len(found) == 1 else 's'}."
