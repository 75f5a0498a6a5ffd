"""What an ID token must say before anybody is believed to be who it names (OIDC Core §3.1.3.7), and what it tells."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.identity.claims import LONGEST_NAME
from holdfast.identity.facts import InvalidToken
from holdfast.identity.oidc.request import Asked

TYPES: Final = ("", "JWT")  # not that of an access token, a logout token or any other
OLDEST_S: Final = 600.0  # since it was issued: it has come straight from the provider
MOST_ROLES: Final = 200
TWO_FACTORS: Final = "mfa"  # RFC 8176 §2


class IdClaims(msgspec.Struct, frozen=True):
    """The claims that are read here."""

    iss: str = ""
    sub: str = ""
    aud: str | list[str] = ""
    exp: float | None = None
    iat: float | None = None
    nonce: str = ""
    azp: str | None = None
    at_hash: str | None = None
    auth_time: float | None = None
    acr: str = ""
    amr: list[str] = []
    sid: str = ""
    session_expiry: float | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who has logged on at a provider.

    Args:
        issuer: The provider.
        subject: Who they are, unique there.
        at: When they proved it (Unix seconds).
        sid: What the provider calls its own session with them; empty if it does not say.
        acr: The class of authentication that the provider reached.
        amr: The methods it used (RFC 8176).
        ends_at: When the provider says that the logon ends at the latest (`session_expiry`, OpenID Connect Enterprise
            Extensions 1.0); None if it does not say.
        claims: Everything the token says.
        id_token: The token itself, which the provider wants to see again at logout.
    """

    issuer: str
    subject: str
    at: float
    sid: str = ""
    acr: str = ""
    amr: tuple[str, ...] = ()
    ends_at: float | None = None
    claims: Mapping[str, Any]
    id_token: str

    def __repr__(self) -> str:
        """Show who it is alone."""
        return f"<Person {self.issuer}|{self.subject}>"

    def level(self, levels: Mapping[str, int]) -> int:
        """Return how strongly they proved it: as their `acr` is rated, else 2 for several factors and 1 for one."""
        return levels.get(self.acr, 2 if TWO_FACTORS in self.amr else 1)

    def texts(self, claim: str) -> tuple[str, ...]:
        """Return the texts of a claim, a list or a single one; dots lead into claims within claims."""
        found: Any = self.claims.get(claim)
        if found is None:
            found = self.claims
            for name in claim.split("."):
                found = found.get(name) if isinstance(found, Mapping) else None
        listed = found if isinstance(found, list) else [found]
        return tuple(text for text in listed if isinstance(text, str) and 0 < len(text) <= LONGEST_NAME)[:MOST_ROLES]


class IdTokens:
    """Says whether ID tokens are for this client, now, and answer what it asked.

    Args:
        issuer: What `iss` must be, letter by letter.
        client_id: What `aud` must name; where it names others too, or there is an `azp`, that must be it.
        leeway: Seconds that the provider's clock may differ.
    """

    def __init__(self, *, issuer: str, client_id: str, leeway: float) -> None:
        self._issuer, self._client_id, self._leeway = issuer, client_id, leeway

    def check(self, claims: IdClaims, asked: Asked, *, access_token: str, now: float) -> float:
        """Return when they proved who they are; raise InvalidToken for a token that is not meant, or not now."""
        check_addressed(claims, issuer=self._issuer, client_id=self._client_id)
        self._check_party(claims)
        self._check_time(claims, now)
        if not hmac.compare_digest(claims.nonce.encode(), asked.nonce.encode()):
            raise InvalidToken("the token answers another request")
        if claims.at_hash is not None and access_token and claims.at_hash not in half_hashes(access_token):
            raise InvalidToken("the token came with another access token")
        if not claims.sub or max(len(claims.sub), len(claims.sid)) > LONGEST_NAME:
            raise InvalidToken("the token's subject is empty, or it or the session is too long")
        return self._proved_at(claims, asked, now)

    def _check_party(self, claims: IdClaims) -> None:
        several = isinstance(claims.aud, list) and len(claims.aud) > 1
        if claims.azp != self._client_id and (several or claims.azp is not None):
            raise InvalidToken("the token was issued to another party")

    def _check_time(self, claims: IdClaims, now: float) -> None:
        if claims.exp is None or claims.iat is None:
            raise InvalidToken("the token lacks a claim: exp and iat are needed")
        if claims.exp <= now - self._leeway or claims.iat <= now - self._leeway - OLDEST_S:
            raise InvalidToken("the token has expired")
        if claims.iat > now + self._leeway:
            raise InvalidToken("the token is not valid yet")

    def _proved_at(self, claims: IdClaims, asked: Asked, now: float) -> float:
        at = claims.auth_time
        if at is not None and at > now + self._leeway:
            raise InvalidToken("the token tells of a logon to come")
        if asked.max_age is not None and (at is None or at < now - self._leeway - asked.max_age):
            raise InvalidToken("the logon at the provider is older than was asked for")
        return min(now, at if at is not None else claims.iat or now)


def check_addressed(claims: Any, *, issuer: str, client_id: str) -> None:
    """Raise InvalidToken unless a token is of this issuer and for this client."""
    if claims.iss != issuer:
        raise InvalidToken("the token is of another issuer")
    if client_id not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
        raise InvalidToken("the token is for another client")


def half_hashes(token: str) -> frozenset[str]:
    """Return what `at_hash` may be for an access token, by whichever algorithm the ID token is signed (§3.1.3.6)."""
    digests = [hashlib.new(name, token.encode()).digest() for name in ("sha256", "sha384", "sha512")]
    return frozenset(base64.urlsafe_b64encode(d[: len(d) // 2]).rstrip(b"=").decode() for d in digests)
