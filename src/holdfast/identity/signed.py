"""Signed JSON Web Tokens of one issuer, whatever they are for: what was signed comes out, if a key of it fits (R48).

What a token says about where its key is (`jku`, `x5u`, `jwk`, `x5c`) is never read. Signatures are PyJWT's.
"""

from collections.abc import Collection
from typing import Any, Final, TypeVar

import jwt
import msgspec

from holdfast.errors import ConfigurationError
from holdfast.identity.claims import checked_length
from holdfast.identity.facts import InvalidToken
from holdfast.identity.keys import CURVES, EDWARDS, RSA_ALGORITHMS, Key, KeySet, KeySource

KNOWN_ALGORITHMS: Final = RSA_ALGORITHMS | EDWARDS | frozenset().union(*CURVES.values())  # public keys, all of them
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_S: Final = 30.0
Claimed = TypeVar("Claimed")


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str = ""
    crit: None = None  # extensions that must be understood: none is


_ALL: Final = msgspec.json.Decoder(dict[str, Any])


class Signed:
    """Opens tokens.

    Args:
        keys: The issuer's keys.
        types: What `typ` may be, with or without `application/`; an empty text takes tokens without one.
        algorithms: Those that are taken; all are of public keys.

    Raises:
        ConfigurationError: An algorithm is none of public keys.
    """

    def __init__(self, keys: KeySource, *, types: Collection[str], algorithms: Collection[str] = ALGORITHMS) -> None:
        unknown = sorted(set(algorithms) - KNOWN_ALGORITHMS)
        if unknown or not algorithms:
            raise ConfigurationError(f"algorithms: {', '.join(unknown) or 'none'}: only those of public keys are taken")
        self.keys = keys
        self._algorithms, self._types = frozenset(algorithms), frozenset(_media(name) for name in types)
        self._jws = jwt.PyJWS(algorithms=sorted(algorithms))

    async def payload(self, token: str, keys: KeySet | None = None) -> tuple[bytes, KeySet]:
        """Return what was signed, and the keys of which one fits; the issuer is asked for new ones if none does.

        Raises:
            InvalidToken: It is too long, of another type or algorithm, or no key of the issuer's fits.
            IssuerUnavailable: The issuer's keys cannot be had.
        """
        header = self._header(checked_length(token))
        keys = keys or await self.keys.current()
        fitting = keys.fitting(header.kid, header.alg)
        if not fitting:
            keys = await self.keys.after(keys)
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
            raise InvalidToken("the token's type is not that of the tokens that are taken here")
        return header

    def _signed(self, token: str, key: Key, algorithm: str) -> bytes | None:
        try:
            payload: bytes = self._jws.decode_complete(token, key.public, algorithms=[algorithm])["payload"]
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return payload


def read_claims(payload: bytes, decoder: msgspec.json.Decoder[Claimed]) -> tuple[Claimed, dict[str, Any]]:
    """Return the claims that are read here, and all there are; raise InvalidToken if they cannot be read."""
    try:
        return decoder.decode(payload), _ALL.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidToken("the token's claims cannot be read") from None


def _media(typ: str) -> str:
    """Return a type in the form in which types are compared (RFC 9068 §4: with or without `application/`)."""
    return typ.lower().removeprefix("application/")
