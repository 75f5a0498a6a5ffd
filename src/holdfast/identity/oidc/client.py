"""How this site shows a provider who it is: by a secret, by a signature of its own, or not at all (OIDC Core §9)."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from holdfast.config import OidcSettings
from holdfast.errors import ConfigurationError
from holdfast.identity.keys import EDWARDS, RSA_ALGORITHMS, RSA_BITS

ASSERTION_S: Final = 60.0
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


class Shown(NamedTuple):
    """What goes along with a request: fields of its form, and a name and secret for its header."""

    form: dict[str, str]
    login: tuple[str, str] | None = None


class Client:
    """This site, to one provider.

    Args:
        settings: `[oidc]`.
        clock: Unix seconds.

    Raises:
        ConfigurationError: It should sign, and its key cannot be read or is of no use; or there is both key and secret.
    """

    def __init__(self, settings: OidcSettings, *, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._key = key_of(settings)

    def shows(self, endpoint: str) -> Shown:
        """Return what proves to an endpoint of the provider that it is this site."""
        settings = self._settings
        name, secret = settings.client_id, settings.client_secret.get_secret_value()
        if self._key is not None:
            form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(endpoint, *self._key)}
            return Shown({"client_id": name, **form})
        if settings.authentication == "client_secret_basic":
            return Shown({}, (name, secret))
        posted = {"client_secret": secret} if settings.authentication == "client_secret_post" else {}
        return Shown({"client_id": name, **posted})

    def _assertion(self, endpoint: str, key: PrivateKey, algorithm: str) -> str:
        """Return a signed statement that it is this site which asks, good once and for a minute (RFC 7523 §3)."""
        settings, now = self._settings, int(self._clock())
        claims = {
            "iss": settings.client_id,
            "sub": settings.client_id,
            "aud": settings.issuer if settings.client_key_audience == "issuer" else endpoint,
            "jti": secrets.token_urlsafe(32),
            "iat": now,
            "exp": now + int(ASSERTION_S),
        }
        headers = {"kid": settings.client_key_id} if settings.client_key_id else None
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def key_of(settings: OidcSettings) -> tuple[PrivateKey, str] | None:
    """Return the key to sign with and its algorithm; None for a site that does not sign.

    Raises:
        ConfigurationError: It should and cannot, or should not and could.
    """
    if (settings.authentication == "private_key_jwt") != (settings.client_key is not None):
        raise ConfigurationError("oidc.client_key: there is one if authentication is private_key_jwt, and only then")
    if settings.client_key is None:
        return None
    key = _read(settings.client_key)
    fitting = _algorithms(key)
    algorithm = settings.client_key_algorithm or fitting[0]
    if algorithm not in fitting:
        raise ConfigurationError(f"oidc.client_key does not sign by {algorithm}, but by {', '.join(fitting)}")
    return key, algorithm


def _read(path: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as exc:
        raise ConfigurationError(f"oidc.client_key {path} cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError) as exc:
        raise ConfigurationError(f"oidc.client_key {path} is no private key in PEM: {type(exc).__name__}") from None
    if not isinstance(key, PrivateKey) or (isinstance(key, RSAPrivateKey) and key.key_size not in RSA_BITS):
        raise ConfigurationError(f"oidc.client_key {path} is too weak, or of a kind that is not used for signatures")
    return key


def _algorithms(key: PrivateKey) -> list[str]:
    """Return by what a key signs, first what goes without saying."""
    if isinstance(key, RSAPrivateKey):
        return sorted(RSA_ALGORITHMS, key=lambda name: (name[0] != "R", name))
    if not isinstance(key, EllipticCurvePrivateKey):
        return sorted(EDWARDS)
    if key.curve.name not in CURVES:
        raise ConfigurationError(f"oidc.client_key: nothing is signed on the curve {key.curve.name}")
    return [CURVES[key.curve.name]]
