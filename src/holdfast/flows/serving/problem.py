"""How a failure is told over HTTP: a problem in JSON (RFC 9457), with its stable code."""

from http import HTTPStatus
from typing import Final

import msgspec

from holdfast.flows.serving.paths import Told
from holdfast.web.reply import RETRY_AFTER_S, come_back

PROBLEM: Final = "application/problem+json"


def problem(status: int, code: str, detail: str = "", *, retry_after: float = RETRY_AFTER_S) -> Told:
    """Return the answer; an empty `detail` is left out. With 429 and 503 it says in how many seconds to come back."""
    said = {"title": HTTPStatus(status).phrase, "status": status, "code": code}
    later = {name.decode(): value.decode() for name, value in come_back(status, retry_after)}
    body = msgspec.json.encode({**said, "detail": detail} if detail else said)
    return Told(status, body, {"Content-Type": PROBLEM, **later})
