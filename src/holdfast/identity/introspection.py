"""Opaque tokens: the issuer is asked what they say (RFC 7662). What it answers stands for a few seconds."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

import anyio
import msgspec

from holdfast.identity.claims import Claims, Expected, checked_length
from holdfast.identity.facts import Identity, InvalidToken, IssuerUnavailable
from holdfast.identity.fetching import Fetch
from holdfast.identity.remembered import Remembered

ANSWER_BYTES: Final = 64 * 1024
REMEMBERED_S: Final = 10.0
TIMEOUT_S: Final = 5.0


class _Answer(Claims, frozen=True, kw_only=True):
    active: bool


class IntrospectingVerifier:
    """Verifies tokens by asking their issuer.

    Args:
        fetch: Asks it.
        endpoint: Where it answers.
        login: Name and secret of this server at the issuer.
        issuer: Whose tokens they are; an answer that names another is refused.
        audience: As for `JwtVerifier`; an answer without `aud` is refused.
        clock: Unix seconds.
        remembered: Seconds for which an answer stands: so late is a revoked token refused.
        timeout: Seconds in which the issuer has to answer.
    """

    def __init__(
        self,
        fetch: Fetch,
        endpoint: str,
        *,
        login: tuple[str, str],
        issuer: str,
        audience: Collection[str],
        clock: Callable[[], float] = time.time,
        remembered: float = REMEMBERED_S,
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._fetch, self._endpoint, self._login = fetch, endpoint, login
        self._expected = Expected(issuer=issuer, audience=audience, clock=clock)
        self._clock, self._stands, self._timeout = clock, remembered, timeout
        self._known: Remembered[tuple[Identity, float]] = Remembered()

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for.

        Raises:
            InvalidToken: The issuer says that it is not active, or it is not for this server.
            IssuerUnavailable: The issuer does not answer.
        """
        if not token.isascii():
            raise InvalidToken("the token is not ASCII")
        now = self._clock()
        known = self._known.of(checked_length(token))
        if known is not None and now < known[1]:
            return self._expected.in_time(known[0])
        identity = self._identity(*await self._asked(token))
        self._known.keep(token, (identity, now + self._stands))
        return identity

    async def _asked(self, token: str) -> tuple[_Answer, dict[str, Any]]:
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            with anyio.fail_after(self._timeout):
                body = await self._fetch(self._endpoint, limit=ANSWER_BYTES, form=form, login=self._login)
            return msgspec.json.decode(body, type=_Answer), msgspec.json.decode(body, type=dict[str, Any])
        except (TimeoutError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise IssuerUnavailable("the issuer does not say whether the token is good") from None

    def _identity(self, answer: _Answer, said: dict[str, Any]) -> Identity:
        if not answer.active:
            raise InvalidToken("the token is not active")
        issuer = answer.iss or self._expected.issuer
        subject = answer.sub or answer.client_id or ""  # a client that acts for itself has no `sub` everywhere
        return self._expected.identity(msgspec.structs.replace(answer, iss=issuer, sub=subject), said)
