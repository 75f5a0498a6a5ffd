"""The logon that a server of the SDK or FastMCP has of its own, carried over: its verifier, and what it says.

A server that gives out tokens itself has routes for that, which are not served here: such a server is refused unless
another logon is chosen. Nobody who has put a lock on a door shall find it open. Imports the SDK, so it is loaded for
such servers only.
"""

import time
from collections.abc import Callable
from typing import Any

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.provider import TokenVerifier as SdkVerifier

from holdfast.config import OAuthSettings
from holdfast.errors import ConfigurationError
from holdfast.identity.audience import Audience
from holdfast.identity.facts import NO_CLAIMS, Identity, InvalidToken, TokenVerifier


class Carried:
    """A verifier of the SDK or FastMCP as one of ours.

    Args:
        theirs: It says None for a token that is not good.
        resource: What a token must be issued for; empty if the verifier looks at that itself.
    """

    def __init__(self, theirs: SdkVerifier, resource: str = "", *, clock: Callable[[], float] = time.time) -> None:
        self._theirs, self._clock = theirs, clock
        self._audience = Audience([resource]) if resource else None

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for; raise InvalidToken."""
        said = await self._theirs.verify_token(token)
        if said is None:
            raise InvalidToken("the token is not accepted here")
        if said.expires_at is not None and said.expires_at <= self._clock():
            raise InvalidToken("the token has expired")
        if self._audience is not None and not self._audience.meets(said.resource or ""):
            raise InvalidToken("the token is for another audience")
        return identity_of(said)


def identity_of(said: AccessToken) -> Identity:
    """Return what the SDK knows of a token in our words."""
    claims = said.claims or NO_CLAIMS
    return Identity(
        issuer=_text(claims.get("iss")),
        subject=said.subject or _text(claims.get("sub")) or said.client_id,
        client=said.client_id,
        scopes=frozenset(said.scopes),
        expires_at=None if said.expires_at is None else float(said.expires_at),
        claims=claims,
    )


def own_logon(server: Any, path: str) -> tuple[TokenVerifier, OAuthSettings] | None:
    """Return the verifier of a server and what stands in its settings of OAuth; None for a server without a logon.

    Args:
        path: Where its endpoint is.

    Raises:
        ConfigurationError: It gives out tokens itself.
    """
    settings = getattr(getattr(server, "settings", None), "auth", None)
    if settings is not None:
        return _of_sdk(server, settings)
    provider = getattr(server, "auth", None)
    return None if provider is None else _of_fastmcp(provider, path)


def _of_sdk(server: Any, settings: Any) -> tuple[TokenVerifier, OAuthSettings]:
    if getattr(server, "_auth_server_provider", None) is not None:
        raise _gives_tokens()
    resource = _text(settings.resource_server_url)
    verifier = Carried(server._token_verifier, resource if settings.validate_token_resource else "")
    return verifier, _told(_text(settings.issuer_url), resource, settings.required_scopes)


def _of_fastmcp(provider: Any, path: str) -> tuple[TokenVerifier, OAuthSettings]:
    if hasattr(provider, "register_client"):
        raise _gives_tokens()
    issuers = getattr(provider, "authorization_servers", ())
    resource = _text(provider._get_resource_url(path))
    return Carried(provider), _told(_text(next(iter(issuers), None)), resource, provider.required_scopes)


def _told(issuer: str, resource: str, scopes: list[str] | None) -> OAuthSettings:
    shown = {"issuer": issuer, "resource": resource} if issuer and resource else {}
    return OAuthSettings(**shown, scopes=scopes or [])  # type: ignore[arg-type]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _gives_tokens() -> ConfigurationError:
    return ConfigurationError(
        "the server gives out tokens itself, and its routes for that are not served here",
        hint="Run the authorization server beside it, and pass verifier=…, token=… or the settings of [oauth].",
    )
