"""JSON Web Tokens as access tokens: signed by a key of the configured issuer, for this server, now (RFC 9068, R48).

What the token says about where its key is (`jku`, `x5u`, `jwk`, `x5c`) is never read. Signatures are PyJWT's; which
claims count, and the clock they are held against, are ours.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final

import jwt
import msgspec

from holdfast.errors import ConfigurationError
from holdfast.identity.audience import Audience
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.identity.keys import CURVES, EDWARDS, RSA_ALGORITHMS, Key, KeySet, KeySource

LONGEST_TOKEN: Final = 16 * 1024
LONGEST_NAME: Final = 1024  # of an issuer, subject or client
REMEMBERED: Final = 4096
ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type
KNOWN_ALGORITHMS: Final = RSA_ALGORITHMS | EDWARDS | frozenset().union(*CURVES.values())  # public keys, all of them
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_S: Final = 30.0


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str = ""
    crit: None = None  # extensions that must be understood: none is


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    nbf: float | None = None
    iat: float | None = None
    auth_time: float | None = None
    scope: str | list[str] = ""
    scp: str | list[str] = ""
    client_id: str | None = None
    azp: str | None = None


_CLAIMS: Final = msgspec.json.Decoder(_Claims)
_ALL: Final = msgspec.json.Decoder(dict[str, Any])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


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
        self._keys, self._issuer, self._audience = keys, issuer, Audience(audience)
        self._algorithms, self._types = frozenset(algorithms), frozenset(_media(name) for name in types)
        self._leeway, self._clock = leeway, clock
        self._jws = jwt.PyJWS(algorithms=sorted(algorithms))
        self._known: OrderedDict[bytes, tuple[Identity, KeySet]] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Return who a token speaks for.

        A signature is checked once for as long as the issuer's keys are the same; times are checked with each use.

        Raises:
            InvalidToken: It is not one of this issuer for this server now.
            IssuerUnavailable: The issuer's keys cannot be had.
        """
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken(f"the token is longer than {LONGEST_TOKEN} characters")
        keys = await self._keys.current()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] is keys:
            self._known.move_to_end(digest)
            self._check_expiry(known[0].expires_at or 0.0)
            return known[0]
        payload, keys = await self._payload(token, keys)
        identity = self._identity(payload)
        self._known[digest] = identity, keys
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
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
        except _UNREADABLE:
            raise InvalidToken("the token lacks a claim: iss, sub, aud and exp are needed") from None
        if claims.iss != self._issuer:
            raise InvalidToken("the token is of another issuer")
        if not self._audience.meets(claims.aud):
            raise InvalidToken("the token is for another audience")
        self._check_expiry(claims.exp)
        if max(claims.nbf or 0.0, claims.iat or 0.0) > self._clock() + self._leeway:
            raise InvalidToken("the token is not valid yet")
        client = claims.client_id or claims.azp or ""
        if not claims.sub or max(len(claims.sub), len(client)) > LONGEST_NAME:
            raise InvalidToken("the token's subject or client is empty or too long")
        return Identity(
            issuer=claims.iss,
            subject=claims.sub,
            client=client,
            scopes=scopes_in(claims.scope) | scopes_in(claims.scp),
            authenticated_at=claims.auth_time or claims.iat or 0.0,
            expires_at=claims.exp,
            claims=said,
        )

    def _check_expiry(self, expires_at: float) -> None:
        if expires_at <= self._clock() - self._leeway:
            raise InvalidToken("the token has expired")


def scopes_in(value: str | list[str]) -> frozenset[str]:
    """Return the scopes that a claim lists: words of a text (RFC 8693 §4.2), or a list."""
    return frozenset(value.split() if isinstance(value, str) else value)


def _media(typ: str) -> str:
    """Return a type in the form in which types are compared (RFC 9068 §4: with or without `application/`)."""
    return typ.lower().removeprefix("application/")
