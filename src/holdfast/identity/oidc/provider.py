"""Where an OpenID provider answers, as it says itself (OpenID Connect Discovery 1.0 §4)."""

from collections.abc import Callable
from typing import Final

import anyio

from holdfast.identity.discovery import Metadata, discover_at
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.fetching import Fetch, within

LIFETIME_S: Final = 600.0
PAUSE_S: Final = 2.0


class Provider(Metadata, frozen=True):
    """The part of it that a relying party reads; an endpoint that is not there is empty."""

    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""
    userinfo_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class ProviderSource:
    """Keeps what a provider says of itself.

    Args:
        fetch: Asks it.
        issuer: The provider.
        clock: Seconds, monotonic.
        timeout: Seconds in which it has to answer.
    """

    def __init__(self, fetch: Fetch, issuer: str, *, clock: Callable[[], float], timeout: float) -> None:
        self._fetch, self._issuer, self._clock, self._timeout = fetch, issuer, clock, timeout
        self._found: Provider | None = None
        self._asked_at = float("-inf")
        self._flight = anyio.Lock()

    async def current(self) -> Provider:
        """Return what it said in the last ten minutes; raise IssuerUnavailable if that is nothing and it is silent."""
        if self._found is not None and self._clock() - self._asked_at < LIFETIME_S:
            return self._found
        return await self.fresh()

    async def fresh(self) -> Provider:
        """Return what it says now, which shows that it is there; what it said two seconds ago counts as that.

        Raises:
            IssuerUnavailable: It does not answer, or with nonsense.
        """
        async with self._flight:
            if self._clock() - self._asked_at >= PAUSE_S:
                self._found = None
                try:
                    with within(self._timeout):
                        self._found = await self._read()
                finally:
                    self._asked_at = self._clock()
        if self._found is None:
            raise IssuerUnavailable("the provider did not answer a moment ago")
        return self._found

    async def _read(self) -> Provider:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        return await discover_at(self._fetch, self._issuer, [url], Provider)
