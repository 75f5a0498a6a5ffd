"""A session as an operator may see it: `session_debug` and `holdfast sessions show` (M26).

The id is cut to 8 characters. Of the data nothing is shown whose name says that it is a secret, however deep it lies,
nor the session's fingerprint.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from holdfast.core.model import Record
from holdfast.mcp import session_events

SECRET: Final = re.compile(r"passw|secret|token|credential|cookie|authoriz|api.?key|private.?key|otp", re.IGNORECASE)
FINGERPRINT: Final = "fingerprint"
HIDDEN: Final = "***"


def shown(record: Record, content: Mapping[str, Any], connections: int) -> dict[str, Any]:
    """Return what there is to know of a session: the source's fields."""
    return {
        "session": record.mark or record.hex,
        "data": {name: _visible(name, value) for name, value in content.items() if name != FINGERPRINT},
        "connections": connections,
        "created": session_events.iso(record.created_at),
        "last_accessed": session_events.iso(record.used_at),
    }


def _visible(name: str, value: Any) -> Any:
    if SECRET.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(part): _visible(str(part), below) for part, below in value.items()}
    if isinstance(value, list | tuple):
        return [_visible("", below) for below in value]
    return value
