"""What can go wrong with a message.

* StepFailed           where it failed, and the `cause`: one of those below or of `holdfast.errors`
* ScriptFailed         the script raised, or did not come to an end
* LoopTooLong          a loop reached its `max` and would have gone on
* CallRefused          the receiver answered 300 or more; `answer` is what it said
* Unavailable          the receiver did not serve the call, though something may have happened there
  - NotCarriedOut      nothing has: the call may be sent again
"""

from holdfast.errors import BackendError, BackendUnavailable, HoldfastError


class StepFailed(HoldfastError):
    """A step failed: `place` is its file and line, or its path in a flow that was made in Python."""

    code = "step_failed"
    status = 502

    def __init__(self, place: str, kind: str, cause: HoldfastError) -> None:
        super().__init__(f"{place}: {kind}: {cause}", hint=cause.hint)
        self.place, self.kind, self.cause = place, kind, cause


class ScriptFailed(HoldfastError):
    """A script raised, or did not come to an end in time."""

    code = "script_failed"
    default_hint = "Correct the script where the message says."


class LoopTooLong(HoldfastError):
    """A loop has had all the rounds it may have, and its condition still holds."""

    code = "loop_too_long"
    default_hint = "See why its condition stays true, or raise `max`."


class CallRefused(BackendError):
    """A receiver answered with an error; `answer` is its body."""

    code = "call_refused"

    def __init__(self, message: str, *, http_status: int, answer: object = None) -> None:
        super().__init__(message)
        self.http_status, self.answer = http_status, answer


class Unavailable(BackendUnavailable):
    """The receiver did not serve the call, perhaps having begun; it asks for `retry_after` seconds, if it says."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotCarriedOut(Unavailable):
    """The call has not reached the receiver, or was turned away unread."""
