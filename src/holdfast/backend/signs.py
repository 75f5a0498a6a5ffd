"""What an answer says about the session it was given in, apart from what it says about the object. Pure.

Sources: ADT §2.2 (token), §2.6 (logon), §5.2 (context gone), §8.2 (overload).
"""

import enum
from typing import Final

from holdfast.backend.wire import Reply

CONTEXT_COOKIE: Final = "sap-contextid"
SECURITY_COOKIES: Final = ("SAP_SESSIONID_",)
GONE_HEADERS: Final = ("sap-err-id", "x-sap-icm-err-id")
GONE_WORDS: Final = ("icmenosession", "session timed out", "session not found", "session no longer exists")
HTML: Final = "text/html"
REDIRECTS: Final = (301, 302, 303, 307, 308)


class Sign(enum.Enum):
    """One fact about the session."""

    FINE = "fine"
    TOKEN_REFUSED = "token refused"  # noqa: S105 - a name, not a secret
    LOGGED_OUT = "logged out"  # 401, a logon page, or a way to one
    CONTEXT_GONE = "context gone"
    OVERLOADED = "overloaded"


def sign_of(reply: Reply, *, html_expected: bool = False) -> Sign:
    """Return what an answer says about its session.

    ADT never answers a resource with HTML and 200, nor with a redirect, so these are the way to a logon page.
    """
    if reply.status == 401 or (reply.status in REDIRECTS and not html_expected):
        return Sign.LOGGED_OUT
    if reply.status == 200 and reply.media == HTML and not html_expected:
        return Sign.LOGGED_OUT
    if reply.status == 403 and reply.headers.get("x-csrf-token", "").lower() == "required":
        return Sign.TOKEN_REFUSED
    if reply.status == 400 and _says_gone(reply):
        return Sign.CONTEXT_GONE
    if reply.status == 503 or (reply.status == 400 and "service cannot be reached" in _page(reply)):
        return Sign.OVERLOADED
    return Sign.FINE


def ends_context(reply: Reply) -> bool:
    """Say whether the answer deletes the context cookie: whatever its status, the context has ended (ADT §4.2)."""
    lines = [line.partition(";")[0].strip() for line in reply.cookies]
    return f"{CONTEXT_COOKIE}=0" in lines


def offered_token(reply: Reply) -> str | None:
    """Return the CSRF token an answer brings, None if it brings none."""
    token = reply.headers.get("x-csrf-token", "")
    return None if token.lower() in ("", "required", "fetch") else token


def _says_gone(reply: Reply) -> bool:
    if any(reply.headers.get(name, "").upper() == "ICMENOSESSION" for name in GONE_HEADERS):
        return True
    return any(word in _page(reply) or word in reply.reason.lower() for word in GONE_WORDS)


def _page(reply: Reply) -> str:
    """The text of an HTML page; an XML answer is never taken for one, whatever its message says."""
    return reply.text.lower() if reply.media == HTML or not reply.media else ""
