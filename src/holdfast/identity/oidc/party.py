"""A relying party: one client of one OpenID provider."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

from holdfast.config import OidcSettings
from holdfast.errors import ConfigurationError
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.fetching import Fetch, checked, offered, within
from holdfast.identity.keys import KeySource
from holdfast.identity.oidc.client import Client, key_of
from holdfast.identity.oidc.id_token import TYPES, IdClaims, IdTokens, Person
from holdfast.identity.oidc.logout import LoggedOut, LogoutClaims, LogoutTokens, Once
from holdfast.identity.oidc.provider import ProviderSource
from holdfast.identity.oidc.request import Asked, with_query
from holdfast.identity.oidc.userinfo import ANSWER_BYTES, told_of
from holdfast.identity.signed import Signed, read_claims

ID_CLAIMS: Final = msgspec.json.Decoder(IdClaims)
LOGOUT_CLAIMS: Final = msgspec.json.Decoder(LogoutClaims)


class _Answer(msgspec.Struct, frozen=True):
    """Of the token endpoint; whatever else is in it is dropped."""

    id_token: str
    access_token: str = ""


class RelyingParty:
    """Sends people to a provider, and believes what comes back only if all of it fits.

    Args:
        fetch: Asks the provider.
        settings: `[oidc]`.
        clock: Unix seconds.
        monotonic: Seconds, monotonic.

    Raises:
        ConfigurationError: A setting is missing or contradicts another.
    """

    def __init__(
        self,
        fetch: Fetch,
        settings: OidcSettings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check(settings)
        self.settings, self._fetch, self._clock = settings, fetch, clock
        self._provider = ProviderSource(fetch, settings.issuer, clock=monotonic, timeout=settings.timeout)
        keys = KeySource(fetch, settings.issuer, settings.jwks_uri, clock=monotonic, timeout=settings.timeout)
        self._id = Signed(keys, types=TYPES, algorithms=settings.algorithms)
        self._logout = Signed(keys, types=settings.logout_token_types, algorithms=settings.algorithms)
        expected: dict[str, Any] = {
            "issuer": settings.issuer,
            "client_id": settings.client_id,
            "leeway": settings.leeway,
        }
        self._client = Client(settings, clock=clock)
        self._id_tokens, self._logout_tokens = IdTokens(**expected), LogoutTokens(**expected)

    def asks(self, *, max_age: float | None = None) -> Asked:
        """Return a request for one browser; the stricter of this and the configured `max_age` counts."""
        ages = [age for age in (max_age, self.settings.max_age) if age is not None]
        return Asked.fresh(max_age=min(ages, default=None))

    async def authorization_url(self, asked: Asked, *, state: str, level: int = 1) -> str:
        """Return where to send the browser; raise IssuerUnavailable if the provider does not say where.

        With a `level` above 1, the classes of authentication that are rated so high are asked for, and with a
        `max_age` of 0 the provider must not go by its own session (R29).
        """
        provider = await self._provider.current()
        classes = [acr for acr, reached in self.settings.acr_levels.items() if reached >= level > 1]
        parameters = asked.parameters(
            client_id=self.settings.client_id,
            redirect_uri=self.redirect_uri,
            scopes=self.settings.scopes,
            state=state,
            prompt=self.settings.prompt or ("login" if asked.max_age == 0 else ""),
            acr=" ".join(classes),
        )
        return with_query(offered(provider.authorization_endpoint, named="authorization_endpoint"), parameters)

    async def takes(self, asked: Asked, code: str) -> Person:
        """Return who has logged on, for the code that the provider gave their browser.

        Raises:
            InvalidToken: The ID token is not one that answers what was asked, or what is told besides is of another.
            IssuerRefused: The provider does not take the code, or the access token it gave for it.
            IssuerUnavailable: It does not answer, or with nonsense.
        """
        with within(self.settings.timeout):
            answer = await self._redeemed(asked, code)
        payload, _ = await self._id.payload(answer.id_token)
        claims, said = read_claims(payload, ID_CLAIMS)
        at = self._id_tokens.check(claims, asked, access_token=answer.access_token, now=self._clock())
        if self.settings.userinfo:
            said = {**await self._told_of(claims.sub, answer.access_token), **said}  # what is signed counts for more
        return Person(
            issuer=claims.iss,
            subject=claims.sub,
            at=at,
            sid=claims.sid,
            acr=claims.acr,
            amr=tuple(claims.amr),
            ends_at=claims.session_expiry,
            claims=said,
            id_token=answer.id_token,
        )

    async def answers_for(self, issuer: str | None) -> bool:
        """Say whether an authorization response is this provider's, by its `iss` if it sends one (RFC 9207 §2.4)."""
        if issuer is None:
            return not (await self._provider.current()).authorization_response_iss_parameter_supported
        return issuer == self.settings.issuer

    async def logged_out(self, token: str, once: Once) -> LoggedOut:
        """Return who has logged off, as a logout token says.

        Raises:
            InvalidToken: It is none that counts here, now, and for the first time.
            IssuerUnavailable: The provider's keys cannot be had.
        """
        payload, _ = await self._logout.payload(token)
        claims, said = read_claims(payload, LOGOUT_CLAIMS)
        return await self._logout_tokens.check(claims, said, once, now=self._clock())

    async def logout_url(self, *, id_token: str = "", state: str = "") -> str:
        """Return where to send the browser to log off at the provider (RP-Initiated Logout 1.0); empty if nowhere.

        The provider is asked whether it is there, so that a browser is not sent to one that is not.

        Raises:
            IssuerUnavailable: It is not.
        """
        provider = await self._provider.fresh()
        if not provider.end_session_endpoint:
            return ""
        said = {
            "client_id": self.settings.client_id,
            "post_logout_redirect_uri": f"{self._base}/logged-out",
            "id_token_hint": id_token,
            "state": state,
        }
        endpoint = offered(provider.end_session_endpoint, named="end_session_endpoint")
        return with_query(endpoint, {name: value for name, value in said.items() if value})

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to; it is registered there."""
        return f"{self._base}/callback"

    @property
    def _base(self) -> str:
        return self.settings.url.rstrip("/")

    async def _told_of(self, subject: str, access_token: str) -> dict[str, Any]:
        with within(self.settings.timeout):
            provider = await self._provider.current()
            endpoint = offered(provider.userinfo_endpoint, named="userinfo_endpoint")
            return await told_of(self._fetch, endpoint, access_token, subject)

    async def _redeemed(self, asked: Asked, code: str) -> _Answer:
        endpoint = offered((await self._provider.current()).token_endpoint, named="token_endpoint")
        shown = self._client.shows(endpoint)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": asked.verifier,
            **shown.form,
        }
        body = await self._fetch(endpoint, limit=ANSWER_BYTES, form=form, login=shown.login)
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise IssuerUnavailable("the provider's answer to a code cannot be read") from None


def check(settings: OidcSettings) -> None:
    """Raise ConfigurationError for settings that nobody can log on with."""
    for name in ("issuer", "client_id", "url"):
        if not getattr(settings, name):
            raise ConfigurationError(f"oidc.{name} is missing")
    for name in ("issuer", "url", *(["jwks_uri"] if settings.jwks_uri else [])):
        checked(getattr(settings, name), named=f"oidc.{name}")
    if bool(settings.client_secret.get_secret_value()) == (settings.authentication in ("none", "private_key_jwt")):
        raise ConfigurationError("oidc.client_secret: a client has one, or another authentication; not both")
    key_of(settings)
    _check_url(settings.url)


def _check_url(url: str) -> None:
    wrong: Collection[str] = [mark for mark in "?#@\\" if mark in url]
    if wrong:
        raise ConfigurationError(f"oidc.url: {url!r} has more than scheme, host, port and path")
