"""JSON Web Tokens as access tokens: signed by a key of the configured issuer, for this server, now (RFC 9068, R48).

Which claims count, and the clock they are held against, are ours; see `signed` for the rest.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from holdfast.identity.claims import Claims, Expected, checked_length
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.identity.keys import KeySet, KeySource
from holdfast.identity.remembered import Remembered
from holdfast.identity.signed import ALGORITHMS, LEEWAY_S, Signed, read_claims

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type
_CLAIMS: Final = msgspec.json.Decoder(Claims)


class JwtVerifier:
    """Verifies tokens of one issuer.

    Args:
        keys: The issuer's keys.
        issuer: What `iss` must be, letter by letter.
        audience: What `aud` must name one of: the canonical URI of the resource (RFC 8707), or what else the issuer
            writes there. URIs are compared as such.
        algorithms: Those that are taken; all are of public keys.
        types: What `typ` may be; `at+jwt` says that it is an access token. An empty text takes tokens without one.
        leeway: Seconds that the issuer's clock may differ.
        clock: Unix seconds.

    Raises:
        ConfigurationError: An algorithm is none of public keys.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: Collection[str],
        algorithms: Collection[str] = ALGORITHMS,
        types: Collection[str] = (ACCESS_TOKEN,),
        leeway: float = LEEWAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signed = Signed(keys, types=types, algorithms=algorithms)
        self._expected = Expected(issuer=issuer, audience=audience, clock=clock, leeway=leeway)
        self._known: Remembered[tuple[Identity, KeySet]] = Remembered()

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for.

        A signature is checked once for as long as the issuer's keys are the same; times are checked with each use.

        Raises:
            InvalidToken: It is not one of this issuer for this server now.
            IssuerUnavailable: The issuer's keys cannot be had.
        """
        keys = await self._signed.keys.current()
        known = self._known.of(checked_length(token))
        if known is not None and known[1] is keys:
            return self._expected.in_time(known[0])
        payload, keys = await self._signed.payload(token, keys)
        identity = self._identity(payload)
        self._known.keep(token, (identity, keys))
        return identity

    def _identity(self, payload: bytes) -> Identity:
        claims, said = read_claims(payload, _CLAIMS)
        if not (claims.iss and claims.sub and claims.aud) or claims.exp is None:
            raise InvalidToken("the token lacks a claim: iss, sub, aud and exp are needed")
        return self._expected.identity(claims, said)
