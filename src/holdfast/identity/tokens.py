"""JSON Web Tokens as access tokens: signed by a key of the configured issuer, for this server, now (RFC 9068, R48).

What the token says about where its key is (`jku`, `x5u`, `jwk`, `x5c`) is never read. Signatures are PyJWT's; which
claims count, and the clock they are held against, are ours.
"""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

import jwt
import msgspec

from holdfast.errors import ConfigurationError
from holdfast.identity.claims import Claims, Expected, checked_length
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.identity.keys import CURVES, EDWARDS, RSA_ALGORITHMS, Key, KeySet, KeySource
from holdfast.identity.remembered import Remembered

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type
KNOWN_ALGORITHMS: Final = RSA_ALGORITHMS | EDWARDS | frozenset().union(*CURVES.values())  # public keys, all of them
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_S: Final = 30.0


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str = ""
    crit: None = None  # extensions that must be understood: none is


_CLAIMS: Final = msgspec.json.Decoder(Claims)
_ALL: Final = msgspec.json.Decoder(dict[str, Any])


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
        unknown = sorted(set(algorithms) - KNOWN_ALGORITHMS)
        if unknown or not algorithms:
            raise ConfigurationError(f"algorithms: {', '.join(unknown) or 'none'}: only those of public keys are taken")
        self._keys = keys
        self._expected = Expected(issuer=issuer, audience=audience, clock=clock, leeway=leeway)
        self._algorithms, self._types = frozenset(algorithms), frozenset(_media(name) for name in types)
        self._jws = jwt.PyJWS(algorithms=sorted(algorithms))
        self._known: Remembered[tuple[Identity, KeySet]] = Remembered()

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for.

        A signature is checked once for as long as the issuer's keys are the same; times are checked with each use.

        Raises:
            InvalidToken: It is not one of this issuer for this server now.
            IssuerUnavailable: The issuer's keys cannot be had.
        """
        keys = await self._keys.current()
        known = self._known.of(checked_length(token))
        if known is not None and known[1] is keys:
            return self._expected.in_time(known[0])
        payload, keys = await self._payload(token, keys)
        identity = self._identity(payload)
        self._known.keep(token, (identity, keys))
        return identity

    async def _payload(self, token: str, keys: KeySet) -> tuple[bytes, KeySet]:
        """Return what was signed, and the keys of which one fits."""
        header = self._header(token)
        fitting = keys.fitting(header.kid, header.alg)
        if not fitting:
            keys = await self._keys.after(keys)
            fitting = keys.fitting(header.kid, header.alg)
        for key in fitting:
            payload = self._signed(token, key, header.alg)
            if payload is not None:
                return payload, keys
        raise InvalidToken("the token is not signed with a key of its issuer")

    def _header(self, token: str) -> _Header:
        try:
            header = msgspec.convert(self._jws.get_unverified_header(token), _Header)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError):
            raise InvalidToken("the token is no signed JWT") from None
        if header.alg not in self._algorithms:
            raise InvalidToken("the token's algorithm is not accepted")
        if _media(header.typ) not in self._types:
            raise InvalidToken("the token's type is not that of an access token")
        return header

    def _signed(self, token: str, key: Key, algorithm: str) -> bytes | None:
        try:
            payload: bytes = self._jws.decode_complete(token, key.public, algorithms=[algorithm])["payload"]
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return payload

    def _identity(self, payload: bytes) -> Identity:
        try:
            claims, said = _CLAIMS.decode(payload), _ALL.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidToken("the token's claims cannot be read") from None
        if not (claims.iss and claims.sub and claims.aud) or claims.exp is None:
            raise InvalidToken("the token lacks a claim: iss, sub, aud and exp are needed")
        return self._expected.identity(claims, said)


def _media(typ: str) -> str:
    """Return a type in the form in which types are compared (RFC 9068 §4: with or without `application/`)."""
    return typ.lower().removeprefix("application/")
