"""The mistakes of the source, caught before SAP is asked (A11). Each error says which it is, and the fix."""

from holdfast.errors import BadInput


class SessionMissing(BadInput):
    """Update or Unlock without a session."""

    code = "session_missing"
    default_hint = "Pass the session_id that the Lock answer gave."


class SessionMismatch(BadInput):
    """Another session than the one that holds the lock, while that one lives."""

    code = "session_mismatch"
    default_hint = "Use the session_id that the Lock answer gave."


class StaleSessionState(BadInput):
    """An older `session_state` than the newest, with `strict` on."""

    code = "stale_session_state"
    default_hint = "Pass the session_state of the last answer, or leave it out: the session_id is enough."


class ForeignSessionState(BadInput):
    """A `session_state` that belongs to another session, or is damaged."""

    code = "foreign_session_state"
    default_hint = "Pass the session_state of the last answer in this session, or leave it out."


class BadLockHandle(BadInput):
    """A `lock_handle` that this server has not given to this caller."""

    code = "bad_lock_handle"
    default_hint = "Pass the lock_handle of the Lock answer, unchanged."


class TwoNames(BadInput):
    """`object_name` and the handler's own argument name different objects (A34)."""

    code = "two_names"
    default_hint = "Give the name once."
