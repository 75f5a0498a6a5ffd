"""What answers hold: an error, or a body with control information. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from holdfast.backend.signs import Sign, sign_of
from holdfast.backend.wire import Call, Reply
from holdfast.errors import BackendError, LogonFailed
from holdfast.odata.client.errors import service_error

DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
ETAG: Final = "@odata.etag"
NEXT: Final = "@odata.nextLink"


def fine(reply: Reply) -> bool:
    """Say whether an answer is a service's and no error; a page for a browser is none."""
    return 200 <= reply.status < 300 and sign_of(reply) is not Sign.LOGGED_OUT


def check(call: Call, reply: Reply) -> None:
    """Raise `ServiceError` or `LogonFailed` for an answer that is an error."""
    if fine(reply):
        return
    if sign_of(reply) is Sign.LOGGED_OUT:
        raise LogonFailed("the service asks for a logon", hint="Check `auth`.")
    raise service_error(f"{call.method} {call.path}", reply)


def body_of(reply: Reply) -> dict[str, Any]:
    """Return the JSON object of an answer, empty if it has no body; anything else but an object becomes its "value".

    Raises:
        BackendError: It is no JSON.
    """
    if not reply.body:
        return {}
    try:
        body = DECODER.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BackendError("the service's answer is no JSON") from exc
    return body if isinstance(body, dict) else {"value": body}


def good_body(call: Call, reply: Reply) -> dict[str, Any]:
    """Return the JSON object of a good answer, or raise what it says."""
    check(call, reply)
    return body_of(reply)


def etag_of(body: Mapping[str, Any], reply: Reply) -> str:
    """Return the ETag of an entity, empty if it has none."""
    found = body.get(ETAG) or reply.headers.get("etag", "")
    return found if isinstance(found, str) else ""


def if_match(etag: str) -> dict[str, str]:
    """Return the header that makes a request hold for one version only, none without an ETag."""
    return {"if-match": etag} if etag else {}
