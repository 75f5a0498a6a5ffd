"""What a token says, and what of it must be so: whichever way it came here, signed or told by its issuer."""

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from holdfast.identity.audience import Audience
from holdfast.identity.facts import Identity, InvalidToken

LONGEST_TOKEN: Final = 16 * 1024
LONGEST_NAME: Final = 1024  # of a subject or client


class Claims(msgspec.Struct, frozen=True):
    """The claims that are read here (RFC 9068 §2.2, RFC 7662 §2.2); whoever reads them says which must be there."""

    iss: str = ""
    sub: str = ""
    aud: str | list[str] = ""
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    auth_time: float | None = None
    scope: str | list[str] = ""
    scp: str | list[str] = ""
    client_id: str | None = None
    azp: str | None = None


class Expected:
    """What a token has to say.

    Args:
        issuer: What `iss` must be, letter by letter.
        audience: What `aud` must name one of; URIs are compared as such (RFC 8707).
        leeway: Seconds that the issuer's clock may differ.
        clock: Unix seconds.
    """

    def __init__(
        self, *, issuer: str, audience: Collection[str], clock: Callable[[], float], leeway: float = 0.0
    ) -> None:
        self.issuer, self._audience = issuer, Audience(audience)
        self._clock, self._leeway = clock, leeway

    def identity(self, claims: Claims, said: dict[str, Any]) -> Identity:
        """Return who a token speaks for; raise InvalidToken if it is not for this server now."""
        if claims.iss != self.issuer:
            raise InvalidToken("the token is of another issuer")
        if not self._audience.meets(claims.aud):
            raise InvalidToken("the token is for another audience")
        if max(claims.nbf or 0.0, claims.iat or 0.0) > self._clock() + self._leeway:
            raise InvalidToken("the token is not valid yet")
        client = claims.client_id or claims.azp or ""
        if not claims.sub or max(len(claims.sub), len(client)) > LONGEST_NAME:
            raise InvalidToken("the token's subject or client is empty or too long")
        return self.in_time(
            Identity(
                issuer=claims.iss,
                subject=claims.sub,
                client=client,
                scopes=_scopes(claims.scope) | _scopes(claims.scp),
                authenticated_at=claims.auth_time or claims.iat or 0.0,
                expires_at=claims.exp,
                claims=said,
            )
        )

    def in_time(self, identity: Identity) -> Identity:
        """Return an identity whose token has not expired; raise InvalidToken for any other."""
        if identity.expires_at is not None and identity.expires_at <= self._clock() - self._leeway:
            raise InvalidToken("the token has expired")
        return identity


def checked_length(token: str) -> str:
    """Return a token that is worth looking at; raise InvalidToken for any other."""
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken(f"the token is longer than {LONGEST_TOKEN} characters")
    return token


def _scopes(value: str | list[str]) -> frozenset[str]:
    """Return the scopes that a claim lists: words of a text (RFC 8693 §4.2), or a list."""
    return frozenset(value.split() if isinstance(value, str) else value)
