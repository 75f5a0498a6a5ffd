"""Arguments of calls, checked before anything is sent."""

from typing import Final

from holdfast.adt.mistakes import SessionMissing
from holdfast.adt.types import ObjectType, object_type
from holdfast.errors import BadInput

LONGEST_SOURCE: Final = 4 * 1024 * 1024


def checked(kind: str, name: str) -> tuple[ObjectType, str]:
    """Return the object type and the name in upper case, or raise BadInput that names the rule."""
    row = object_type(kind)
    return row, row.checked_name(name)


def one_of(value: str, allowed: tuple[str, ...], argument: str) -> None:
    """Raise BadInput unless the value is one of those allowed."""
    if value not in allowed:
        listed = ", ".join(repr(name) for name in allowed if name)
        raise BadInput(f"{argument} is {value!r}", hint=f"Use one of: {listed}.")


def needed(session_id: str | None, operation: str) -> str:
    """Return the session id, or raise SessionMissing (A11)."""
    if not session_id:
        raise SessionMissing(f"{operation} needs the session_id that holds the lock")
    return session_id


def checked_source(text: str) -> str:
    """Return a source that can be sent, or raise BadInput."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise BadInput("source_code is not valid Unicode text", hint="Send it as UTF-8.") from exc
    if size > LONGEST_SOURCE:
        raise BadInput(f"source_code has {size} bytes; at most {LONGEST_SOURCE} are accepted", hint="Split the object.")
    return text
