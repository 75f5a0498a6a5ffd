"""A provider tells that somebody has logged off: by a token over the back channel, or in a frame of its own page.

OpenID Connect Back-Channel Logout 1.0 and Front-Channel Logout 1.0. Either ends logons in the store, so it does not
matter which worker hears it (R47).
"""

from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from holdfast._asgi import Receive, Scope
from holdfast.errors import BadInput, HoldfastError
from holdfast.identity.claims import LONGEST_NAME, LONGEST_TOKEN
from holdfast.identity.oidc import RelyingParty
from holdfast.web.body import read_body
from holdfast.web.notice import HTML, Notice
from holdfast.web.query import query_of
from holdfast.web.reply import JSON_TYPE, come_back
from holdfast.web.site import Running

BODY_BYTES: Final = 2 * LONGEST_TOKEN
FORM: Final = "application/x-www-form-urlencoded"


async def back_channel(party: RelyingParty, running: Running, scope: Scope, receive: Receive) -> Notice:
    """Return the answer to a logout token: 200 once all it names have been logged off, also if that is nobody.

    A token that counts for nothing is answered 400 with the reason; one that cannot be judged now, 503.
    """
    manager = running.manager

    async def once(name: str, ttl: float) -> bool:
        return await manager.store.counters.once(name, now=manager.clock(), ttl=ttl)

    try:
        token = await _token(scope, receive)
        gone = await party.logged_out(token, once)
        await running.logons.end_at_issuer(gone.issuer, subject=gone.subject, sid=gone.sid)
    except HoldfastError as exc:
        return _refused(exc)
    return Notice(200)


async def front_channel(issuer: str, running: Running, scope: Scope) -> Notice:
    """Return the answer to a frame of the provider's page, which names its session (Front-Channel Logout 1.0 §2).

    The cookies of this site are not sent into a foreign frame, so it is the session named that is logged off, and one
    that is not named cannot be.
    """
    try:
        query = query_of(scope)
        sid = query.get("sid", "")
        if query.get("iss") != issuer or not 0 < len(sid) <= LONGEST_NAME:
            raise BadInput("the address must name this provider and one of its sessions: iss and sid")
        await running.logons.end_at_issuer(issuer, sid=sid)
    except HoldfastError as exc:
        return _refused(exc)
    return Notice(200, b"<!doctype html><title>Logged out</title>", (HTML, _framed_by(issuer)))


def _framed_by(issuer: str) -> tuple[bytes, bytes]:
    parts = urlsplit(issuer)
    return b"content-security-policy", (
        f"default-src 'none'; frame-ancestors {parts.scheme}://{parts.netloc}; base-uri 'none'".encode()
    )


async def _token(scope: Scope, receive: Receive) -> str:
    headers = dict(scope["headers"])
    body = await read_body(receive, BODY_BYTES, headers.get(b"content-length", b""))
    if headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower() != FORM:
        raise BadInput(f"a logout token is sent as {FORM}")
    try:
        sent = parse_qsl(body.decode(), max_num_fields=10)
    except ValueError:
        raise BadInput("the form cannot be read") from None
    tokens = [value for name, value in sent if name == "logout_token"]
    if len(tokens) != 1:
        raise BadInput("the form must have one logout_token")
    return tokens[0]


def _refused(error: HoldfastError) -> Notice:
    """Return an answer as RFC 6749 §5.2 has it, which the specification of the back channel asks for."""
    status = error.status if error.status >= 500 else 413 if error.status == 413 else 400
    body = msgspec.json.encode({"error": "invalid_request", "error_description": f"{error} ({error.code})"})
    return Notice(status, body, (JSON_TYPE, *come_back(status)))
