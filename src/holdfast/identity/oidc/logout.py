"""What a logout token must say before anybody is logged off (OIDC Back-Channel Logout 1.0 §2.6, ASVS 10.5.5, R46)."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from holdfast.identity.claims import LONGEST_NAME
from holdfast.identity.facts import InvalidToken
from holdfast.identity.oidc.id_token import check_addressed

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
FRESH_S: Final = 300.0  # a token is sent when it is made
LONGEST_S: Final = 600.0  # that it may be valid for; the specification recommends two minutes

Once = Callable[[str, float], Awaitable[bool]]
"""Says whether a name is there for the first time within so many seconds, over all workers."""


class LogoutClaims(msgspec.Struct, frozen=True):
    """The claims that are read here."""

    iss: str = ""
    aud: str | list[str] = ""
    iat: float | None = None
    exp: float | None = None
    jti: str = ""
    sub: str = ""
    sid: str = ""
    events: dict[str, Any] = {}


class LoggedOut(msgspec.Struct, frozen=True):
    """Who has logged off at an issuer: one of its sessions, a person, or a person's one session."""

    issuer: str
    subject: str = ""
    sid: str = ""


class LogoutTokens:
    """Says whether logout tokens are meant for this client, now, and for the first time.

    Args:
        issuer: What `iss` must be, letter by letter.
        client_id: What `aud` must name.
        leeway: Seconds that the provider's clock may differ.
    """

    def __init__(self, *, issuer: str, client_id: str, leeway: float) -> None:
        self._issuer, self._client_id, self._leeway = issuer, client_id, leeway

    async def check(self, claims: LogoutClaims, said: dict[str, Any], once: Once, *, now: float) -> LoggedOut:
        """Return who has logged off; raise InvalidToken for a token that is not meant, not now, or not the first."""
        check_addressed(claims, issuer=self._issuer, client_id=self._client_id)
        if not isinstance(claims.events.get(EVENT), dict):
            raise InvalidToken("the token tells of no logout")
        if "nonce" in said:
            raise InvalidToken("the token has a nonce, as only ID tokens do")
        if not (claims.sub or claims.sid) or max(len(claims.sub), len(claims.sid)) > LONGEST_NAME:
            raise InvalidToken("the token names nobody who logs off, or at too great length")
        left = self._left(claims, now)
        if not 0 < len(claims.jti) <= LONGEST_NAME:
            raise InvalidToken("the token has no name, or one that is too long")
        name = hashlib.sha256(msgspec.json.encode([claims.iss, claims.jti])).hexdigest()
        if not await once(f"oidc.logout.{name}", left):
            raise InvalidToken("the token has been here before")
        return LoggedOut(claims.iss, claims.sub, claims.sid)

    def _left(self, claims: LogoutClaims, now: float) -> float:
        """Return for how many seconds it would still be taken."""
        if claims.exp is None or claims.iat is None:
            raise InvalidToken("the token lacks a claim: exp and iat are needed")
        if claims.exp - claims.iat > LONGEST_S:
            raise InvalidToken("the token is valid for too long")
        if claims.exp <= now - self._leeway or claims.iat <= now - self._leeway - FRESH_S:
            raise InvalidToken("the token has expired")
        if claims.iat > now + self._leeway:
            raise InvalidToken("the token is not valid yet")
        return claims.exp + self._leeway - now + 1.0
