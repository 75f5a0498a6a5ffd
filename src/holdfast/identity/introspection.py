"""Opaque tokens: the issuer is asked what they say (RFC 7662). What it answers stands for a few seconds."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final

import anyio
import msgspec

from holdfast.identity.audience import Audience
from holdfast.identity.facts import Identity, InvalidToken, IssuerUnavailable
from holdfast.identity.fetching import Fetch
from holdfast.identity.tokens import LONGEST_NAME, LONGEST_TOKEN, scopes_in

ANSWER_BYTES: Final = 64 * 1024
REMEMBERED: Final = 4096
REMEMBERED_S: Final = 10.0
TIMEOUT_S: Final = 5.0


class _Answer(msgspec.Struct, frozen=True):
    active: bool
    iss: str = ""
    sub: str = ""
    aud: str | list[str] = ""
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    auth_time: float | None = None
    scope: str | list[str] = ""
    client_id: str = ""


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
        self._fetch, self._endpoint, self._login, self._issuer = fetch, endpoint, login, issuer
        self._audience, self._clock, self._remembered, self._timeout = Audience(audience), clock, remembered, timeout
        self._known: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for.

        Raises:
            InvalidToken: The issuer says that it is not active, or it is not for this server.
            IssuerUnavailable: The issuer does not answer.
        """
        if not token.isascii() or len(token) > LONGEST_TOKEN:
            raise InvalidToken(f"the token is not ASCII, or longer than {LONGEST_TOKEN} characters")
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        identity, until = self._known.get(digest, (None, 0.0))
        if identity is None or now >= until:
            identity = self._identity(*await self._asked(token))
            self._known[digest] = identity, now + self._remembered
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if identity.expires_at is not None and identity.expires_at <= now:
            raise InvalidToken("the token has expired")
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
        if answer.iss not in ("", self._issuer):
            raise InvalidToken("the token is of another issuer")
        if not self._audience.meets(answer.aud):
            raise InvalidToken("the token is for another audience")
        if (answer.nbf or 0.0) > self._clock():
            raise InvalidToken("the token is not valid yet")
        subject = answer.sub or answer.client_id  # a client that acts for itself has no `sub` everywhere
        if not subject or max(len(subject), len(answer.client_id)) > LONGEST_NAME:
            raise InvalidToken("the token's subject or client is empty or too long")
        return Identity(
            issuer=self._issuer,
            subject=subject,
            client=answer.client_id,
            scopes=scopes_in(answer.scope),
            authenticated_at=answer.auth_time or answer.iat or 0.0,
            expires_at=answer.exp,
            claims=said,
        )
