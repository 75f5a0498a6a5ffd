"""Requests that another site's page makes a browser send (S11, R58, R59).

A request that changes something must come from a page of this very origin; another host of the same site is not it.
Browsers say so: `Sec-Fetch-Site`, else `Origin`. Where neither came, a token of the session must: in a form its field
`csrf_token`, elsewhere `X-CSRF-Token`. A token that came must be right in any case. Headers that pretend another method
are not read: what counts is the method of the request itself.

The token is an HMAC under the session's id, which only its browser and this server know. It ends with that id, so none
from before a logon works after it. Sources: OWASP's cheat sheet on cross-site request forgery; W3C Fetch Metadata.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable
from typing import Final, Literal
from urllib.parse import parse_qsl

from holdfast._asgi import Receive, Scope, header
from holdfast.errors import Forbidden
from holdfast.web.address import Proxies
from holdfast.web.guard import listed

Csrf = Literal["auto", "token", "off"]
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1
FIELD: Final = "csrf_token"
HEADER: Final = b"x-csrf-token"
PURPOSE: Final = b"holdfast csrf"
SALT_BYTES: Final = 16
MAC_BYTES: Final = 32
DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
URLENCODED: Final = b"application/x-www-form-urlencoded"
MULTIPART: Final = b"multipart/form-data"


class CrossSite(Forbidden):
    """The request may come from a page of another site, or from none of this session's."""

    code = "cross_site"
    default_hint = "Send it from a page of this site, with its csrf_token or X-CSRF-Token."


def comes_from_here(scope: Scope, proxies: Proxies, allowed: Collection[str] = ()) -> bool | None:
    """Say whether a request comes from a page of this origin, or one that is allowed; None if its headers say nothing.

    A WebSocket has no `Sec-Fetch-Site` in every browser, but always an `Origin` (R61).
    """
    found = {name: value for name, value in scope["headers"] if name in (b"sec-fetch-site", b"origin", b"host")}
    origin = found.get(b"origin", b"").decode("latin-1")
    if origin and listed(origin, allowed):
        return True
    site = found.get(b"sec-fetch-site")
    if site is not None:
        return site in (b"same-origin", b"none")
    return origin == _own_origin(scope, proxies, found.get(b"host", b"").decode("latin-1")) if origin else None


def check_origin(scope: Scope, proxies: Proxies) -> None:
    """Refuse a form that a page of another site has sent; where headers say nothing, it is let through (R49)."""
    if comes_from_here(scope, proxies) is False:
        raise CrossSite("the form was sent by a page of another site", hint="Send it from a page of this site.")


def new_token(session_id: str) -> str:
    """Return a token for pages of a session; each is other than the last, so that no compression tells of it."""
    salt = secrets.token_bytes(SALT_BYTES)
    return urlsafe_b64encode(salt + _mac(session_id, salt)).rstrip(b"=").decode()


def is_token_of(token: str, session_ids: Iterable[str]) -> bool:
    """Say whether a token belongs to one of these sessions, in a time that tells nothing of it."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except ValueError:
        return False
    salt, mac = raw[:SALT_BYTES], raw[SALT_BYTES:]
    return len(mac) == MAC_BYTES and any(hmac.compare_digest(mac, _mac(one, salt)) for one in session_ids)


def check(here: bool | None, token: str | None, session_ids: Collection[str], *, strict: bool = False) -> None:
    """Let a request through that is known to come from here, or to know the session's token; `strict` wants both.

    Raises:
        CrossSite: It does not.
    """
    if here is False:
        raise CrossSite("the request comes from another site")
    if token is not None and not is_token_of(token, session_ids):
        raise CrossSite("the token that came with the request is none of this session")
    if token is None and (strict or here is None):
        raise CrossSite("the request does not say that it comes from this site, and has no token")


def token_in_header(scope: Scope) -> str | None:
    """Return the token that came in `X-CSRF-Token`."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == HEADER), None)


async def token_in(scope: Scope, receive: Receive, most: int) -> tuple[str | None, Receive]:
    """Return the token that came with a request, and what gives its body to the application all the same.

    Of a form no more than `most` bytes are read here; a field behind them is not found.
    """
    token = token_in_header(scope)
    if token is not None:
        return token, receive
    kind, _, parameters = header(scope, b"content-type").partition(b";")
    kind = kind.strip().lower()
    if kind not in (URLENCODED, MULTIPART):
        return None, receive
    body, again = await _peeked(receive, most)
    return (_in_form(body) if kind == URLENCODED else _in_parts(body, parameters)), again


# -- inside


def _own_origin(scope: Scope, proxies: Proxies, host: str) -> str:
    """Return the origin of the pages that this request was sent to, as browsers write it."""
    scheme = {"ws": "http", "wss": "https"}.get(said := proxies.scheme_of(scope), said)
    return f"{scheme}://{host.lower().removesuffix(DEFAULT_PORTS.get(scheme, ''))}"


def _mac(session_id: str, salt: bytes) -> bytes:
    parts = (PURPOSE, salt)
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(session_id.encode(), message, hashlib.sha256)


async def _peeked(receive: Receive, most: int) -> tuple[bytes, Receive]:
    """Read a body up to `most` bytes, and return it with what gives the same messages once more."""
    messages = []
    read = b""
    while len(read) < most:
        messages.append(message := await receive())
        read += message.get("body", b"")
        if not message.get("more_body", False):
            break
    waiting = iter(messages)

    async def again() -> dict[str, object]:
        message = next(waiting, None)
        return dict(message) if message is not None else dict(await receive())

    return read, again


def _in_form(body: bytes) -> str | None:
    try:
        fields = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    except ValueError:
        return None
    return next((value for name, value in fields if name == FIELD), None)


def _in_parts(body: bytes, parameters: bytes) -> str | None:
    """Return the field's value in a multipart form (RFC 7578)."""
    boundary = parameters.partition(b"boundary=")[2].partition(b";")[0].strip().strip(b'"')
    if not boundary:
        return None
    for part in body.split(b"--" + boundary):
        head, _, value = part.partition(b"\r\n\r\n")
        if b'name="%s"' % FIELD.encode() in head:
            return value.removesuffix(b"\r\n").decode("latin-1")
    return None
