"""What is known of who calls, and the interface by which an application brings a verifier of its own.

class Staff:
    async def verify(self, token: str) -> Identity:
        person = await look_up(token)
        if person is None:
            raise InvalidToken("nobody has this token")
        return Identity(issuer="staff", subject=person.id, scopes=frozenset(person.rights))
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

import msgspec

from holdfast.errors import HoldfastError

PLAIN: Final = ":/?#[]@!$&'()*+,;=-._~"  # what URLs and names hold and no list of principals is confused by
NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})


class InvalidToken(HoldfastError):
    """The token is none that is accepted here; the message says why and quotes nothing of it (RFC 6750 §3.1)."""

    code = "invalid_token"
    status = 401
    default_hint = "Get a token for this server from its authorization server."


class TokenMissing(InvalidToken):
    """No token was sent."""

    code = "token_missing"


class InsufficientScope(HoldfastError):
    """The token is good, but does not allow this; `scopes` are those that would (RFC 6750 §3.1)."""

    code = "insufficient_scope"
    status = 403
    default_hint = "Ask the authorization server for a token with the scopes that are named."

    def __init__(self, message: str, scopes: Collection[str]) -> None:
        super().__init__(message)
        self.scopes = frozenset(scopes)


class IssuerUnavailable(HoldfastError):
    """Whether the token is good cannot be found out: its issuer does not answer, or answers nonsense."""

    code = "issuer_unavailable"
    status = 503
    default_hint = "Try again in a few seconds."


class IssuerRefused(IssuerUnavailable):
    """The issuer answers, and refuses what was asked of it."""

    code = "issuer_refused"
    status = 400
    default_hint = "Log on again."


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, as a verified token says.

    Args:
        issuer: Who vouches for it: the `iss` of the token.
        subject: Who it is, unique at the issuer; empty for nobody.
        client: The program that acts for them.
        scopes: What the token allows.
        authenticated_at: When they logged on (Unix seconds); 0 if that is not known.
        expires_at: When the token expires; None if it does not.
        claims: Everything the token says. Not kept anywhere.
    """

    issuer: str = ""
    subject: str = ""
    client: str = ""
    scopes: frozenset[str] = frozenset()
    authenticated_at: float = 0.0
    expires_at: float | None = None
    claims: Mapping[str, Any] = NO_CLAIMS

    @property
    def principal(self) -> str:
        """The name under which everything of theirs is kept: issuer, subject and client in one text (M12)."""
        return _principal(self.issuer, self.subject, self.client)

    def __repr__(self) -> str:
        """Show the principal alone: claims may be anything."""
        return f"<Identity {self.principal}>"


NOBODY: Final = Identity()


def named(principal: str) -> Identity:
    """Return what a principal's name alone says: nothing of scopes or times, so it allows nothing."""
    parts = [unquote(part) for part in principal.split("|")]
    return (
        Identity(subject=parts[0]) if len(parts) == 1 else Identity(issuer=parts[0], subject=parts[1], client=parts[2])
    )


class TokenVerifier(Protocol):
    """Says who sends a token."""

    async def verify(self, token: str) -> Identity:
        """Return who it is, for a token that is meant for this server and allows something now.

        Raises:
            InvalidToken: It is none of that. The client is told the message, which must quote nothing of the token.
            IssuerUnavailable: Nobody can say at the moment.
        """
        ...


@lru_cache(maxsize=1024)
def _principal(issuer: str, subject: str, client: str) -> str:
    """Return one text for the three, different for different ones: what is between them is escaped within them."""
    parts = [quote(part, safe=PLAIN) for part in (issuer, subject, client)]
    return "|".join(parts) if issuer or client else parts[1]
