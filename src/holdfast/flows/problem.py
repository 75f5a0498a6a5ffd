"""How a failure is told over HTTP: a problem in JSON (RFC 9457), with its stable code."""

from http import HTTPStatus
from typing import Final

import msgspec

from holdfast.flows.paths import Told

PROBLEM: Final = "application/problem+json"


def problem(status: int, code: str, detail: str = "") -> Told:
    """Return the answer; an empty `detail` is left out."""
    said = {"title": HTTPStatus(status).phrase, "status": status, "code": code}
    return Told(status, msgspec.json.encode({**said, "detail": detail} if detail else said), {"Content-Type": PROBLEM})
