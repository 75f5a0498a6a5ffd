"""What goes wrong for a client of a sticky service.

* SessionExpiredError
  - StickySessionLost    the session is gone, and with it all that was unsaved in it
* BackendError
  - ServiceError         the service has answered with an error: read its message, code and target
    . EntityChanged      412: somebody has changed the entity since it was read
"""

from typing import Any, Final

import msgspec

from holdfast.backend.wire import Reply
from holdfast.errors import BackendError, SessionExpiredError
from holdfast.odata.errors import Detail

LONGEST_MESSAGE: Final = 2000


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A session that ended with something unsaved in it.

    Args:
        why: What was seen of it, in words.
        unsaved: The entities whose changes are lost, sorted.
        at: When it was noticed, in Unix seconds.
        locked_until: When the server lets their locks go at the latest; None if it has already, or has never said.
        given_up: True if it was this client that let it go: after its cap, or because it was closed.
    """

    why: str
    unsaved: tuple[str, ...]
    at: float
    locked_until: float | None = None
    given_up: bool = False


class StickySessionLost(SessionExpiredError):
    """The session is gone, and with it all that was unsaved in it. Nothing is sent again by itself."""

    code = "sticky_session_lost"
    default_hint = "Begin again with the edit or new action, and repeat the changes."

    def __init__(self, loss: Loss) -> None:
        super().__init__(f"the sticky session is lost: {loss.why}")
        self.loss = loss


class ServiceError(BackendError):
    """The service's answer is an error. A session that is open stays open, unless the client says otherwise.

    `answer_status` is the HTTP status; `odata_code`, `target` and `details` are of the answer's OData error, if it has
    one; `retry_after` says after how many seconds the service wants to be asked again, None if it does not say.
    """

    code = "service_error"

    def __init__(self, message: str, reply: Reply, error: dict[str, Any]) -> None:
        super().__init__(message)
        self.answer_status = reply.status
        self.odata_code = _text(error.get("code"))
        self.target = _text(error.get("target"))
        self.details = _details(error.get("details"))
        wait = reply.headers.get("retry-after", "")
        self.retry_after = float(wait) if wait.isascii() and wait.isdigit() else None


class EntityChanged(ServiceError):
    """Somebody has changed the entity since it was read; nothing was done."""

    code = "entity_changed"
    status = 412
    default_hint = "Discard, edit the entity again, and repeat the changes."


def service_error(what: str, reply: Reply) -> ServiceError:
    """Return the error that an answer tells. `what` names the request."""
    error = _error_of(reply)
    said = _text(error.get("message")) or f"HTTP status {reply.status}"
    kind = EntityChanged if reply.status == 412 else ServiceError
    return kind(f"{what}: {said}"[:LONGEST_MESSAGE], reply, error)


def _error_of(reply: Reply) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _details(value: Any) -> tuple[Detail, ...]:
    found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return tuple(Detail(_text(one.get("message")), _text(one.get("target")), _text(one.get("code"))) for one in found)
