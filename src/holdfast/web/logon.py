"""How requests log on, as the settings have it: one token for all, an authorization server, a verifier, or nothing."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from holdfast.config import OAuthSettings, Settings
from holdfast.errors import ConfigurationError
from holdfast.identity.facts import TokenVerifier
from holdfast.identity.fetching import Fetch, checked
from holdfast.identity.introspection import IntrospectingVerifier
from holdfast.identity.keys import KeySource
from holdfast.identity.static import StaticToken
from holdfast.identity.tokens import JwtVerifier
from holdfast.web.bearer import Bearer
from holdfast.web.fetch import open_fetch
from holdfast.web.oauth import ProtectedResource


class Logon:
    """What the settings say of tokens, checked; `open` makes a bearer of it.

    Args:
        settings: `token` and `[oauth]`.
        token: Instead of that of the settings; empty for none.
        principal: A name for who sends the token.
        verifier: Says who sends a token, instead of the settings; `[oauth]` may say the rest.
        tool_scopes: What calls of a tool need, by its name, instead of that of the settings.

    Raises:
        ConfigurationError: The settings contradict each other, or lack something.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        token: str | None = None,
        principal: str = "",
        verifier: TokenVerifier | None = None,
        tool_scopes: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._oauth, self._verifier = settings.oauth, verifier
        self.tool_scopes: Mapping[str, Collection[str]] = (
            self._oauth.tool_scopes if tool_scopes is None else tool_scopes
        )
        self._token = settings.token.get_secret_value() if token is None else token
        self._principal = principal
        if self._token and (verifier is not None or self._oauth.issuer):
            raise ConfigurationError(
                "a token and an authorization server are set: one of them", hint="Leave out token, or [oauth] issuer."
            )
        if (self._oauth.scopes or self.tool_scopes) and not (verifier or self._oauth.issuer):
            raise ConfigurationError(
                "scopes are demanded, but no token says any", hint="Set [oauth] issuer, or pass a verifier."
            )
        self.resource = self._resource()

    @asynccontextmanager
    async def open(self, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Bearer]:
        """Give what checks tokens until the block ends; `clock` is Unix seconds."""
        if self._token:
            yield Bearer(StaticToken(self._token, principal=self._principal))
        elif self._verifier is not None or self._oauth.issuer:
            async with open_fetch() as fetch:
                verifier = self._verifier or verifier_for(self._oauth, fetch, clock)
                yield Bearer(verifier, resource=self.resource, scopes=self._oauth.scopes)
        else:
            yield Bearer()

    def _resource(self) -> ProtectedResource | None:
        """Return what is told of this server; None if it is none of OAuth."""
        oauth = self._oauth
        if not oauth.issuer:
            return None
        _check(oauth)
        scopes = {*oauth.scopes, *(scope for needed in self.tool_scopes.values() for scope in needed)}
        return ProtectedResource(oauth.resource, [oauth.issuer], scopes=scopes, name=oauth.name)


def verifier_for(oauth: OAuthSettings, fetch: Fetch, clock: Callable[[], float]) -> TokenVerifier:
    """Return the verifier that the settings describe."""
    audience = oauth.audience or [oauth.resource]
    if oauth.introspection_endpoint:
        return IntrospectingVerifier(
            fetch,
            oauth.introspection_endpoint,
            login=(oauth.client_id, oauth.client_secret.get_secret_value()),
            issuer=oauth.issuer,
            audience=audience,
            clock=clock,
            timeout=oauth.timeout,
        )
    keys = KeySource(
        fetch,
        oauth.issuer,
        oauth.jwks_uri,
        lifetime=oauth.jwks_lifetime,
        stale=oauth.jwks_stale,
        timeout=oauth.timeout,
    )
    return JwtVerifier(
        keys,
        issuer=oauth.issuer,
        audience=audience,
        algorithms=oauth.algorithms,
        types=oauth.token_types,
        leeway=oauth.leeway,
        clock=clock,
    )


def _check(oauth: OAuthSettings) -> None:
    if not oauth.resource:
        raise ConfigurationError("oauth.resource is missing: the URL of the MCP endpoint as clients see it")
    for name in ("issuer", "jwks_uri", "introspection_endpoint"):
        if getattr(oauth, name):
            checked(getattr(oauth, name), named=f"oauth.{name}")
    if oauth.introspection_endpoint and not oauth.client_id:
        raise ConfigurationError("oauth.client_id is missing: introspection needs the name and secret of this server")
