"""Every error Holdfast raises, sorted by what the caller does next.

* HoldfastError
  - BadInput               the call is wrong: change the call
    . NotFound, PayloadTooLarge
  - ConfigurationError     the set-up is wrong: change the settings
  - SessionError           this session cannot serve it: start another, or wait
    . SessionNotFound, SessionEnded, SessionExists, SessionConflict, LimitReached, Busy
  - LeaseLost              another worker has taken over: do not send anything more
  - StoreUnavailable       our store is out of reach: try later
  - ServerStopping         this server is going down: try again, at another one
  - BackendError           the back end refused or answered badly: read its message
    . SessionExpiredError, LockLostError, LogonFailed, BackendUnavailable, QuotaExceeded, ObjectLocked, ObjectChanged

`code` is stable: safe to show to a client and to count in a metric. `status` is the HTTP status a server answers with.
`hint` says what to do next. No message holds a secret.
"""

from typing import ClassVar


class HoldfastError(Exception):
    """Base class of all errors of this package."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    default_hint: ClassVar[str] = "Report it with the log line that names this error."
    draft_id: str = ""  # where the text is kept that could not be written (A8)

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class BadInput(HoldfastError):
    """An argument is missing, malformed or contradicts another."""

    code = "bad_input"
    status = 400
    default_hint = "Correct the argument that the message names."


class NotFound(BadInput):
    """What was named is not there."""

    code = "not_found"
    status = 404
    default_hint = "Check the name."


class PayloadTooLarge(BadInput):
    """What was to be stored is larger than allowed; the message names both sizes, the old content stays (E6)."""

    code = "payload_too_large"
    status = 413
    default_hint = "Store less, or raise the limit that the message names."


class ConfigurationError(HoldfastError):
    """A setting is missing or wrong; raised before anything is served."""

    code = "configuration"
    default_hint = "Correct the setting that the message names."


class SessionError(HoldfastError):
    """This session cannot serve the call."""

    code = "session_error"
    status = 409


class SessionNotFound(SessionError):
    """Malformed, unknown, expired and foreign ids all get this one answer (E3)."""

    code = "session_not_found"
    status = 404
    default_hint = "Open a new session."


class SessionEnded(SessionError):
    """The session, or one above it, is ending: nothing can be opened or changed below it (E17)."""

    code = "session_ended"
    status = 404
    default_hint = "Open a new session."


class SessionExists(SessionError):
    """A node with this key or id is there already; it was left as it was."""

    code = "session_exists"


class SessionConflict(SessionError):
    """Somebody wrote the node since it was read; nothing was written."""

    code = "session_conflict"
    default_hint = "Read the session again and repeat the change."


class LimitReached(SessionError):
    """A limit is full and nothing may be replaced (E12)."""

    code = "limit_reached"
    status = 429
    default_hint = "End a session you no longer need, or wait for one to expire."


class Busy(SessionError):
    """Another request holds the session for longer than this one was willing to wait."""

    code = "session_busy"
    status = 503
    default_hint = "Send the request again in a few seconds."


class LeaseLost(HoldfastError):
    """The lease ran out and may be held by another worker; what was to be written was not."""

    code = "lease_lost"
    status = 503
    default_hint = "Send the request again; another worker goes on with the session."


class StoreUnavailable(HoldfastError):
    """The session store is out of reach (E26)."""

    code = "store_unavailable"
    status = 503
    default_hint = "Try again in a few seconds."


class ServerStopping(HoldfastError):
    """The server is going down and did not wait any longer for the call, which may have been carried out (M18)."""

    code = "server_stopping"
    status = 503
    default_hint = "See whether it was carried out, and if not send it again in a few seconds."


class BackendError(HoldfastError):
    """The back end refused the request, or its answer makes no sense."""

    code = "backend_error"
    status = 502
    default_hint = "Read the back end's message."


class BackendUnavailable(BackendError):
    """The back end cannot be reached, or did not answer in time."""

    code = "backend_unavailable"
    status = 503
    default_hint = "Check the system's URL and that it is up, then try again."


class QuotaExceeded(BackendUnavailable):
    """One SAP user or one client has as much of the system as it may have; nothing was sent (A29).

    `retry_after` says in how many seconds it is worth asking again.
    """

    code = "quota_exceeded"
    status = 429
    default_hint = "Let your other calls finish, then send this one again in 5 seconds."

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 5.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class LogonFailed(BackendError):
    """The back end refused the credentials."""

    code = "logon_failed"
    status = 401
    default_hint = "Check user, password and client of the system in the configuration."


class SessionExpiredError(BackendError):
    """The back end has let its session go, and with it unsaved work and held locks (A8, A13)."""

    code = "session_expired"
    status = 409
    default_hint = "Call GetSession, then start the workflow again from Lock."


class LockLostError(BackendError):
    """The lock is gone: released for idleness, deleted by an administrator, or lost with its context."""

    code = "lock_lost"
    status = 409
    default_hint = "Lock the object again, read it, and repeat the update."


class ObjectLocked(BackendError):
    """Somebody else holds the object's lock; the message names the user."""

    code = "object_locked"
    status = 423
    default_hint = "Wait until the owner has released the object, or ask them to."


class ObjectChanged(BackendError):
    """Somebody has changed the object since it was locked for what was to be written now; it was left as it is (A8)."""

    code = "object_changed"
    status = 409
    default_hint = "Read the object, put both changes together, then lock and update it."


class NotLoggedOn(HoldfastError):
    """The request is nobody's, and what it asks for is somebody's (S17)."""

    code = "not_logged_on"
    status = 401
    default_hint = "Log on."


class StepUpNeeded(HoldfastError):
    """What is asked for needs a fresher logon, or one of `level` (S14). The session goes on afterwards."""

    code = "step_up_needed"
    status = 401
    default_hint = "Log on again, as strongly as is asked for."

    def __init__(self, message: str, *, hint: str | None = None, level: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.level = level


class Forbidden(HoldfastError):
    """Whoever asks may not have it."""

    code = "forbidden"
    status = 403
