"""What the back end refuses, as typed errors: ADT §8 as a table. Findings about an object are no errors but answers."""

from collections.abc import Callable
from typing import Final

import msgspec

from holdfast.adt.xml import Element, attribute, each, first_text, local, parse
from holdfast.backend.wire import Reply
from holdfast.errors import BackendError, BackendUnavailable, LockLostError, NotFound, ObjectLocked

LONGEST_MESSAGE: Final = 500


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An `exc:exception`, or what stands in its place. `t100` names a message (`EU/510`), `variables` are V1 to V4."""

    status: int
    type: str = ""
    message: str = ""
    t100: str = ""
    variables: tuple[str, ...] = ()


class AdtError(BackendError):
    """ADT refused the request; the message is SAP's own."""

    code = "adt_refused"
    default_hint = "Read SAP's message; the object is as it was before."

    def __init__(self, refusal: Refusal, doing: str, *, hint: str | None = None) -> None:
        super().__init__(_said(refusal, doing), hint=hint)
        self.refusal = refusal


class NotAuthorized(AdtError):
    """The SAP user lacks an authorisation."""

    code = "not_authorized"
    status = 403
    default_hint = "Ask for the authorisation that SAP's message names, or use another user."


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: what matches, and what becomes of it. Empty fields match everything."""

    make: Callable[[Refusal, str], Exception]
    status: int = 0
    type: str = ""
    t100: str = ""

    def matches(self, refusal: Refusal) -> bool:
        """Say whether this line is meant."""
        return (
            self.status in (0, refusal.status) and self.type in ("", refusal.type) and self.t100 in ("", refusal.t100)
        )


def _said(refusal: Refusal, doing: str) -> str:
    said = refusal.message or "no message"
    return f"{doing}: {said} ({refusal.t100 or refusal.type or refusal.status})"


def _locked(refusal: Refusal, doing: str) -> Exception:
    return ObjectLocked(_said(refusal, doing))


def _lock_lost(refusal: Refusal, doing: str) -> Exception:
    # SAP's message repeats the lock handle, which is a secret: it stays out
    return LockLostError(f"{doing}: the lock is not valid any more ({refusal.t100 or refusal.status})")


def _absent(refusal: Refusal, doing: str) -> Exception:
    return NotFound(_said(refusal, doing), hint="Check the name, or search for it.")


def _overloaded(refusal: Refusal, doing: str) -> Exception:
    return BackendUnavailable(_said(refusal, doing), hint="Try again in a minute.")


TABLE: Final = (
    Row(t100="EU/510", make=_locked),
    Row(type="ExceptionResourceLockedByAnotherUser", make=_locked),
    Row(type="ExceptionResourceInvalidLockHandle", make=_lock_lost),
    Row(status=423, make=_lock_lost),
    Row(status=404, make=_absent),
    Row(type="ExceptionResourceNotFound", make=_absent),
    Row(type="ExceptionNotAuthorized", make=NotAuthorized),
    Row(status=503, make=_overloaded),
)
EXISTS: Final = ("ExceptionResourceAlreadyExists", "ExceptionResourceCreationFailure")
CREATE_FINDINGS: Final = (*EXISTS, "ExceptionResourceLockConflict", "ExceptionResourceNoAccess", "ExceptionInvalidData")
SAVE_FINDINGS: Final = ("SBD_MESSAGES/007",)


def read_refusal(reply: Reply) -> Refusal | None:
    """Return what an answer refuses, None if it refuses nothing. An exception inside 200 counts too (ADT §24.8)."""
    if reply.media.endswith("xml") and b"exception" in reply.body[:400]:
        root = parse(reply.body, "a request")
        if local(root) == "exception":
            return _from_xml(reply.status, root)
    if reply.status < 400:
        return None
    plain = reply.text.strip() if reply.media == "text/plain" else reply.reason
    return Refusal(status=reply.status, message=plain[:LONGEST_MESSAGE])


def error_for(refusal: Refusal, doing: str) -> Exception:
    """Return the error a refusal is; `doing` says what was tried, for example `PUT ZCL_A`."""
    row = next((row for row in TABLE if row.matches(refusal)), None)
    return row.make(refusal, doing) if row else AdtError(refusal, doing)


def raise_for(reply: Reply, doing: str) -> None:
    """Raise the typed error of an answer that refuses."""
    refusal = read_refusal(reply)
    if refusal is not None:
        raise error_for(refusal, doing)


def accepted(reply: Reply, doing: str) -> Reply:
    """Return an answer that refuses nothing, or raise its typed error."""
    raise_for(reply, doing)
    return reply


def locked_by(refusal: Refusal | None) -> str | None:
    """Return the user who holds the object if that is what was refused, else None."""
    if refusal is None or refusal.t100 != "EU/510":
        return None
    return refusal.variables[0].upper() if refusal.variables else ""


def _from_xml(status: int, root: Element) -> Refusal:
    entries = {attribute(entry, "key"): (entry.text or "").strip() for entry in each(root, "entry")}
    kind = next((attribute(element, "id") for element in each(root, "type")), "")
    number, group = entries.get("T100KEY-NO", ""), entries.get("T100KEY-ID", "")
    message = first_text(root, "localizedMessage") or first_text(root, "message")
    return Refusal(
        status=status,
        type=kind,
        message=message[:LONGEST_MESSAGE],
        t100=f"{group}/{number}" if group else "",
        variables=tuple(entries[key] for n in range(1, 5) if (key := f"T100KEY-V{n}") in entries),
    )
