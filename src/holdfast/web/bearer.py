"""The bearer token of a request: who sends it, what it allows, and what who may not come in is told (RFC 6750).

A token is read from `Authorization` alone, never from the query or the body, and verified with every request.
"""

from collections.abc import Collection
from typing import Final

from holdfast.identity.facts import (
    NOBODY,
    Identity,
    InsufficientScope,
    InvalidToken,
    TokenMissing,
    TokenVerifier,
)
from holdfast.identity.static import StaticToken
from holdfast.web.oauth import ProtectedResource
from holdfast.web.reply import Header

REALM: Final = "holdfast"
Denied = InvalidToken | InsufficientScope


class Bearer:
    """Checks `Authorization: Bearer …`.

    Args:
        verifier: Says who sends a token; without one everybody comes in, as nobody.
        resource: Where clients learn how to get a token.
        scopes: What a token must allow for anything at all.
    """

    def __init__(
        self,
        verifier: TokenVerifier | None = None,
        *,
        resource: ProtectedResource | None = None,
        scopes: Collection[str] = (),
    ) -> None:
        self._verifier, self.resource, self._scopes = verifier, resource, frozenset(scopes)

    async def identity_of(self, authorization: bytes | None) -> Identity:
        """Return who sends this `Authorization` header, and may come in.

        Raises:
            InvalidToken: Nobody who is known.
            InsufficientScope: Somebody who may not.
            IssuerUnavailable: It cannot be said.
        """
        if self._verifier is None:
            return NOBODY
        identity = await self._verifier.verify(_token(authorization))
        if not self._scopes <= identity.scopes:
            raise self.denied(identity)
        return identity

    def denied(self, identity: Identity, more: Collection[str] = ()) -> InsufficientScope:
        """Return the refusal of somebody whose token does not allow `more`.

        It names everything that a new token has to allow for the request, and what the old one allows of what is
        known here: a client that asks for these loses nothing (MCP authorization, step-up; 2025-11-25).
        """
        needed = self._scopes.union(more)
        missing = " ".join(sorted(needed - identity.scopes))
        granted = identity.scopes & (self.resource.scopes if self.resource else frozenset())
        return InsufficientScope(f"the token does not allow {missing}", needed | granted)

    def challenge(self, denied: Denied) -> Header:
        """Return the `WWW-Authenticate` header for a refusal: why, what is needed, and where to get it."""
        scopes = denied.scopes if isinstance(denied, InsufficientScope) else self._scopes
        said = {"realm": REALM}
        if not isinstance(denied, TokenMissing):  # who sent nothing is told of no error (RFC 6750 §3.1)
            said |= {"error": denied.code, "error_description": str(denied)}
        if scopes:
            said["scope"] = " ".join(sorted(scopes))
        if self.resource is not None:
            said["resource_metadata"] = self.resource.metadata_url
        words = ", ".join(f'{name}="{_quotable(value)}"' for name, value in said.items())
        return b"www-authenticate", f"Bearer {words}".encode("ascii", "replace")


class StaticBearer(Bearer):
    """Checks against one token; an empty one lets everybody in without a name."""

    def __init__(self, token: str = "", *, principal: str = "") -> None:
        super().__init__(StaticToken(token, principal=principal) if token else None)


def _token(authorization: bytes | None) -> str:
    scheme, _, token = (authorization or b"").partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise TokenMissing("a bearer token is needed")
    return token.strip().decode(errors="replace")


def _quotable(text: str) -> str:
    """Return a text as it may stand between quotes: an application's verifier may say anything."""
    return "".join(sign if " " <= sign <= "~" and sign not in '"\\' else "'" for sign in text)
