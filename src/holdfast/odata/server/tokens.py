"""CSRF tokens as SAP's clients fetch them (O13): `X-CSRF-Token: Fetch` is answered with one, 403 with `Required`.

A token belongs to the logon, not to a sticky session: it is made of the session ids that the client has, of its bearer
token, or, where nobody logs on, of a cookie that comes with it. So what a page of another site makes a browser send has
none.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import Final

from holdfast._asgi import Scope
from holdfast.errors import Forbidden
from holdfast.web.cookies import Cookie
from holdfast.web.csrf import SAFE, is_token_of, new_token
from holdfast.web.reply import Header

TOKEN: Final = b"x-csrf-token"
FETCH: Final = "fetch"
REQUIRED: Final[Header] = (TOKEN, b"Required")
COOKIE: Final = "holdfast-xsrf"
SECRET_BYTES: Final = 24


class TokenRequired(Forbidden):
    """A request that changes something came without a token of its client."""

    code = "csrf_token_required"
    default_hint = "Send any GET or HEAD with X-CSRF-Token: Fetch, and the token of its answer with this request."


def check(method: str, sent: str | None, known: Collection[str]) -> None:
    """Let pass what changes nothing, or comes with a token of this client.

    Raises:
        TokenRequired: It does not.
    """
    if method in SAFE:
        return
    if sent is None or sent.lower() == FETCH or not is_token_of(sent, known):
        raise TokenRequired("CSRF token validation failed")


def fetched(scope: Scope, sent: str | None, known: Sequence[str], cookie: Cookie) -> list[Header]:
    """Return the headers that give a client its token, if it asks for one; who is nobody gets the cookie as well."""
    if sent is None or sent.lower() != FETCH:
        return []
    if known:
        return [(TOKEN, new_token(known[0]).encode())]
    made = secrets.token_urlsafe(SECRET_BYTES)
    put = cookie.put(scope, made)
    return [(TOKEN, new_token(made).encode()), *([put] if put else [])]
