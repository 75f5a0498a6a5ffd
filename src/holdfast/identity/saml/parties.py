"""Who speaks: this service provider, with its keys and addresses, and an identity provider, as its metadata says."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, unquote

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from holdfast.errors import ConfigurationError
from holdfast.identity.saml.names import UNSPECIFIED

RSA_BITS: Final = range(2048, 8193)
CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
Signed = Literal["either", "assertion", "response", "both"]


class Credentials:
    """A private key and the certificate that shows its public half.

    Args:
        key: The key as PEM, RSA of 2048 bits or more, or on a NIST curve.
        certificate: The certificate as PEM.

    Raises:
        ConfigurationError: They cannot be read, do not belong together, or are too weak.
    """

    def __init__(self, key: bytes, certificate: bytes) -> None:
        try:
            private = load_pem_private_key(key, None)
            self.certificate = x509.load_pem_x509_certificate(certificate)
        except (ValueError, TypeError) as exc:
            raise ConfigurationError(f"the SAML key or certificate cannot be read: {type(exc).__name__}") from None
        if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey) or not is_strong(self.certificate):
            raise ConfigurationError("the SAML key is too weak, or of a kind that is not used for signatures here")
        if private.public_key() != self.certificate.public_key():
            raise ConfigurationError("the SAML certificate belongs to another key")
        self.key: RSAPrivateKey | EllipticCurvePrivateKey = private

    @classmethod
    def read(cls, key: Path | str, certificate: Path | str) -> "Credentials":
        """Return those in two files."""
        return cls(Path(key).read_bytes(), Path(certificate).read_bytes())


def is_strong(certificate: x509.Certificate) -> bool:
    """Say whether a certificate's key is one whose signatures are believed."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        return key.key_size in RSA_BITS
    return isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVES


class ServiceProvider:
    """What we are to identity providers.

    Args:
        url: Where the routes stand, as browsers and identity providers see it: `https://site.example/saml`.
        credentials: The first signs; the others are told in the metadata as well, while keys roll over.
        entity_id: Our name; the address of our metadata if left out.
        decrypts: Open what identity providers encrypt for us, RSA keys all; the first is the one they are told to
            encrypt for. Left out, nothing that is encrypted is read, and none is asked to encrypt.

    Raises:
        ConfigurationError: There are no credentials, or one that cannot decrypt.
    """

    def __init__(
        self, url: str, *credentials: Credentials, entity_id: str = "", decrypts: Sequence[Credentials] = ()
    ) -> None:
        if not credentials:
            raise ConfigurationError("a SAML service provider needs a key and a certificate")
        self.decryption_keys = tuple(one.key for one in decrypts if isinstance(one.key, RSAPrivateKey))
        if len(self.decryption_keys) != len(decrypts):
            raise ConfigurationError("a SAML key that decrypts is an RSA key")
        self.decrypts = tuple(decrypts)
        self.url = url.rstrip("/")
        self.credentials = credentials
        self.entity_id = entity_id or self.url + "/metadata"
        self.acs, self.slo, self.soap = self.url + "/acs", self.url + "/slo", self.url + "/slo/soap"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a party takes messages, and where answers go."""

    location: str
    response_location: str


class IdentityProvider(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider.

    Args:
        entity_id: Its name.
        certificates: Any of these may have signed its messages; nothing else counts.
        logon: Where requests for a logon go, by binding.
        logout: Where messages of single logout go, by binding.
        valid_until: When its metadata cease to be believed (Unix seconds); None if they do not say.
        name: What it calls itself to people.
    """

    entity_id: str
    certificates: tuple[x509.Certificate, ...]
    logon: dict[str, str]
    logout: dict[str, Endpoint]
    valid_until: float | None = None
    name: str = ""

    @property
    def called(self) -> str:
        """What to call it on a page."""
        return self.name or self.entity_id


class NameId(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity provider calls somebody (Core §2.2.2)."""

    value: str
    format: str = ""
    name_qualifier: str = ""
    sp_name_qualifier: str = ""

    @property
    def text(self) -> str:
        """The name in one line, from which `of` makes it again."""
        return _text(self.value, self.format, self.name_qualifier, self.sp_name_qualifier)

    @classmethod
    def of(cls, text: str) -> "NameId":
        """Return the name that a line tells."""
        value, name_format, name_qualifier, sp_name_qualifier = map(unquote, text.split(" "))
        return cls(value=value, format=name_format, name_qualifier=name_qualifier, sp_name_qualifier=sp_name_qualifier)

    def spellings(self, idp: str, sp: str) -> list[str]:
        """Return the lines of all names that mean the same: what goes without saying may be said or not (§8.3)."""
        formats = _either(self.format, UNSPECIFIED)
        theirs, ours = _either(self.name_qualifier, idp), _either(self.sp_name_qualifier, sp)
        return [_text(self.value, *parts) for parts in product(formats, theirs, ours)]


def _text(*parts: str) -> str:
    return " ".join(quote(part, safe="@:/.-_~") for part in parts)


def _either(said: str, usual: str) -> tuple[str, ...]:
    return ("", usual) if said in ("", usual) else (said,)
