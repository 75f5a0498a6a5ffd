"""OData's errors, and how any error is told in its JSON format: code, message, target, details (Part 1 §9.4; JSON §21).

* HoldfastError
  - ODataError             the request cannot be served as it is; `target` names the part of it that is wrong
    . BadRequest           400 the request is malformed: change it
    . WrongValue           400 a property or parameter is unknown, or has a value that it cannot have
    . NoSuchResource       404 nothing has this address
    . MethodNotAllowed     405 it has, but not for this method
    . Conflict             409 what is there is in the way
    . OutsideSession       409 the entity set changes inside of a sticky session only (O5)
    . PreconditionFailed   412 the entity has changed since it was read
    . UnsupportedType      415 the body's format is none that is read here
    . Refused              422 the service's own rules forbid it
    . NotSupported         501 OData has this; this service has not
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from holdfast.errors import HoldfastError

INTERNAL: Final = "the service has failed; its log says why"


class Detail(msgspec.Struct, frozen=True):
    """One of several things that are wrong; `target` names the property."""

    message: str
    target: str = ""
    code: str = "wrong_value"


class ODataError(HoldfastError):
    """The request cannot be served as it is.

    `target` is a property path relative to the addressed entity, a parameter, or a query option such as `$filter`.
    """

    code: ClassVar[str] = "odata_error"
    status: ClassVar[int] = 400
    default_hint = "Correct what the target names."

    def __init__(
        self, message: str, *, target: str = "", details: Sequence[Detail] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.target, self.details = target, tuple(details)


class BadRequest(ODataError):
    """The request is malformed."""

    code = "bad_request"


class WrongValue(ODataError):
    """A property or parameter is unknown, missing, or has a value that it cannot have."""

    code = "wrong_value"


class NoSuchResource(ODataError):
    """Nothing has this address."""

    code = "no_such_resource"
    status = 404
    default_hint = "Look for entity sets in the service document, and for keys in the entity set."


class MethodNotAllowed(ODataError):
    """The resource is there, but has no such method."""

    code = "method_not_allowed"
    status = 405
    default_hint = "See $metadata for what the resource can do."


class Conflict(ODataError):
    """What is there is in the way, such as an entity with the same key."""

    code = "conflict"
    status = 409
    default_hint = "Read what is there, and choose another key."


class OutsideSession(ODataError):
    """The entity set changes inside of a sticky session only (O5)."""

    code = "sticky_session_required"
    status = 409
    default_hint = "Call its new or edit action first, and send the SAP-ContextId of the answer."


class PreconditionFailed(ODataError):
    """The entity has changed since it was read."""

    code = "precondition_failed"
    status = 412
    default_hint = "Read the entity again and repeat the change with its new ETag."


class UnsupportedType(ODataError):
    """The body's format is none that is read here."""

    code = "unsupported_media_type"
    status = 415
    default_hint = "Send application/json; to $batch also multipart/mixed."


class Refused(ODataError):
    """The service's own rules forbid it: for handlers to raise, with the property as `target`."""

    code = "refused"
    status = 422
    default_hint = "Correct the entity and try again."


class NotSupported(ODataError):
    """OData has this; this service has not."""

    code = "not_supported"
    status = 501
    default_hint = "Do without what the message names."


def error_body(error: BaseException) -> dict[str, Any]:
    """Return an error in OData's JSON format. What is no error of ours is told without its message."""
    if not isinstance(error, HoldfastError):
        return {"error": {"code": HoldfastError.code, "message": INTERNAL}}
    told: dict[str, Any] = {"code": error.code, "message": str(error)}
    if target := getattr(error, "target", ""):
        told["target"] = target
    if details := getattr(error, "details", ()):
        told["details"] = [
            {"code": one.code, "message": one.message} | ({"target": one.target} if one.target else {})
            for one in details
        ]
    return {"error": told | {"innererror": {"hint": error.hint}}}


def status_of(error: BaseException) -> int:
    """Return the HTTP status that an error is answered with."""
    return error.status if isinstance(error, HoldfastError) else HoldfastError.status
