"""The public keys of an issuer (JWKS, RFC 7517): read within bounds, only from where the configuration says.

Keys are asked for anew when they are ten minutes old, and when a token names one that is not there. At most one
request for them is under way, and none within ten seconds of the last. While the issuer does not answer, the keys
that are known go on for six hours.
"""

import binascii
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWTError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from holdfast.identity.discovery import discover
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.fetching import Fetch, offered
from holdfast.identity.source import Source

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
JWKS_BYTES: Final = 256 * 1024
MOST_KEYS: Final = 64
MOST_TRIED: Final = 4
RSA_BITS: Final = range(2048, 8193)
LIFETIME_S: Final = 600.0
PAUSE_S: Final = 10.0
STALE_S: Final = 6 * 3600.0
TIMEOUT_S: Final = 5.0

RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES: Final = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})}
EDWARDS: Final = frozenset({"EdDSA"})


class _Jwk(msgspec.Struct, frozen=True):
    """A key as it is written, without its private parts, should somebody publish them."""

    kty: str
    kid: str | None = None
    use: str = "sig"
    alg: str | None = None
    key_ops: list[str] | None = None
    crv: str | None = None
    n: str | None = None
    e: str | None = None
    x: str | None = None
    y: str | None = None


class _Jwks(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class Key(msgspec.Struct, frozen=True):
    """One key, and the algorithms it verifies."""

    kid: str | None
    algorithms: frozenset[str]
    public: PublicKey


class KeySet:
    """The keys of an issuer at one time."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def fitting(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """Return the keys that a token with this header may be signed with; without a `kid` a few are tried."""
        named = (key for key in self._keys if kid is None or key.kid == kid)
        return tuple(key for key in named if algorithm in key.algorithms)[:MOST_TRIED]


def read_keys(jwks: bytes) -> KeySet:
    """Return the keys for signatures; such that cannot be read, or are too weak or too large, are left out.

    Raises:
        IssuerUnavailable: It is no key set, or holds more than 64 keys.
    """
    try:
        entries = msgspec.json.decode(jwks, type=_Jwks).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise IssuerUnavailable("the issuer's key set cannot be read") from None
    if len(entries) > MOST_KEYS:
        raise IssuerUnavailable(f"the issuer's key set has {len(entries)} keys; at most {MOST_KEYS} are read")
    return KeySet(key for entry in entries if (key := read_key(entry)) is not None)


class KeySource(Source[KeySet]):
    """Keeps the keys of an issuer.

    Args:
        fetch: Asks the issuer.
        issuer: Whose keys; its metadata says where they are, unless `jwks_uri` does.
        clock: Seconds, monotonic.
        lifetime: Seconds after which keys are asked for anew.
        pause: Seconds between two requests at least.
        stale: Seconds for which keys go on while the issuer does not answer.
        timeout: Seconds in which it has to.
    """

    def __init__(
        self,
        fetch: Fetch,
        issuer: str,
        jwks_uri: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        lifetime: float = LIFETIME_S,
        pause: float = PAUSE_S,
        stale: float = STALE_S,
        timeout: float = TIMEOUT_S,
    ) -> None:
        super().__init__(
            self._load, f"keys of {issuer}", clock=clock, lifetime=lifetime, pause=pause, stale=stale, timeout=timeout
        )
        self._fetch, self._issuer, self._jwks_uri = fetch, issuer, jwks_uri

    async def _load(self) -> KeySet:
        uri = self._jwks_uri or offered((await discover(self._fetch, self._issuer)).jwks_uri, named="jwks_uri")
        return read_keys(await self._fetch(uri, limit=JWKS_BYTES))


def read_key(entry: bytes | msgspec.Raw) -> Key | None:
    """Return one key for signatures as it is written (JWK); None if it cannot be read, or is too weak or too large."""
    try:
        jwk = msgspec.json.decode(entry, type=_Jwk)
        algorithms = _algorithms(jwk)
        if not algorithms:
            return None
        public = _public(jwk)
    except (msgspec.DecodeError, PyJWTError, ValueError, TypeError, binascii.Error, RecursionError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size not in RSA_BITS:
        return None
    return Key(jwk.kid, algorithms, public)


def _algorithms(jwk: _Jwk) -> frozenset[str]:
    """Return what a key may verify: what its type allows, and of that only what it is meant for."""
    if jwk.use != "sig" or (jwk.key_ops is not None and "verify" not in jwk.key_ops):
        return frozenset()
    by_type = {"RSA": RSA_ALGORITHMS, "EC": CURVES.get(jwk.crv or "", frozenset()), "OKP": EDWARDS}
    fitting = by_type.get(jwk.kty, frozenset())
    return fitting if jwk.alg is None else fitting & {jwk.alg}


def _public(jwk: _Jwk) -> PublicKey:
    written: dict[str, Any] = {name: value for name, value in msgspec.to_builtins(jwk).items() if value is not None}
    if jwk.kty == "RSA":
        if len(jwk.n or "") > RSA_BITS.stop:  # of six bits each: not worth the arithmetic
            raise ValueError("too large")
        return RSAAlgorithm.from_jwk(written)  # type: ignore[return-value] # without `d` it is a public one
    if jwk.kty == "EC":
        return ECAlgorithm.from_jwk(written)  # type: ignore[return-value]
    return OKPAlgorithm.from_jwk(written)  # type: ignore[return-value]
