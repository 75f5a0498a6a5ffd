"""Keys and certificates from files: PEM, DER or PKCS#12. What is wrong with them is told before anything is sent."""

import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key, pkcs12

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters.as2.signing import PrivateKey

MOST_BYTES: Final = 1024 * 1024
SHORT_BITS: Final = 2048
PEM: Final = b"-----BEGIN "
PEM_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
HINT: Final = "Give the right file, or ask the partner for a new one."


class Identity(msgspec.Struct, frozen=True):
    """Whoever signs: a key, and the certificate that says whose it is."""

    key: PrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        """Never show the key."""
        return f"Identity({self.certificate.subject.rfc4514_string()!r})"


def identity(folder: Path, key_file: str, certificate_file: str, passphrase: str) -> Identity:
    """Return key and certificate, which may be in one file. Raises ConfigurationError: which file is wrong, and why."""
    data = _content(folder, key_file)
    key, found = _key(data, key_file, passphrase.encode() or None)
    own = certificate(folder, certificate_file) if certificate_file else found
    if own is None:
        raise ConfigurationError(f"{key_file} holds no certificate", hint="Name the file of the `certificate`.")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"the key in {key_file} is neither RSA nor of an elliptic curve")
    if own.public_key() != key.public_key():
        raise ConfigurationError(f"the certificate in {certificate_file or key_file} does not match the key")
    return Identity(key, own)


def certificate(folder: Path, file: str) -> x509.Certificate:
    """Return the certificate in a file. Raises ConfigurationError."""
    return _certificate(_content(folder, file), file)


def check(certificate: x509.Certificate, whose: str, *, now: float, weak: bool) -> None:
    """Raise ConfigurationError if a certificate does not hold now, or its key is short and `weak` is not allowed."""
    at = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if at > certificate.not_valid_after_utc:
        raise ConfigurationError(
            f"{whose} certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}", hint=HINT
        )
    if at < certificate.not_valid_before_utc:
        raise ConfigurationError(f"{whose} certificate holds from {certificate.not_valid_before_utc:%Y-%m-%d} only")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORT_BITS and not weak:
        raise ConfigurationError(f"{whose} key has {key.key_size} bits", hint=f"Use {SHORT_BITS}, or say `weak: true`.")


def check_encrypts(certificate: x509.Certificate) -> None:
    """Raise ConfigurationError if nothing can be encrypted for the owner of a certificate."""
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise ConfigurationError("the partner's certificate has no RSA key: nothing can be encrypted for it")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return
    if not usage.key_encipherment:
        raise ConfigurationError("the partner's certificate is not for encrypting (key usage)", hint=HINT)


def _content(folder: Path, file: str) -> bytes:
    try:
        with (folder / file).open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{file} cannot be read ({type(exc).__name__})") from exc
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"{file} has more than {MOST_BYTES:,} bytes: that is no key or certificate")
    return data


def _certificate(data: bytes, file: str) -> x509.Certificate:
    try:
        return (x509.load_pem_x509_certificate if PEM in data else x509.load_der_x509_certificate)(data)
    except ValueError as exc:
        raise ConfigurationError(f"{file} holds no certificate", hint=HINT) from exc


def _key(data: bytes, file: str, passphrase: bytes | None) -> tuple[object, x509.Certificate | None]:
    """Return the key in a file, and the certificate if there is one."""
    try:
        if PEM in data:
            key = load_pem_private_key(data, passphrase)
            return key, _certificate(data, file) if PEM_CERTIFICATE in data else None
        if (found := _pkcs12(data, passphrase)) is not None:
            return found
        return load_der_private_key(data, passphrase), None
    except TypeError as exc:  # a passphrase for a key that has none, or the other way round
        said = "needs no passphrase" if passphrase else "needs a passphrase"
        raise ConfigurationError(f"the key in {file} {said}", hint="See `passphrase`.") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        said = "no key, or its passphrase is another" if passphrase else "no key that can be read without a passphrase"
        raise ConfigurationError(f"{file} holds {said}", hint="Look at the file and at `passphrase`.") from exc


def _pkcs12(data: bytes, passphrase: bytes | None) -> tuple[object, x509.Certificate | None] | None:
    """Return what a PKCS#12 file holds, None if this is a key in DER."""
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(data, passphrase)
    except ValueError as exc:
        if "password" in str(exc).lower():
            raise
        return None
    if key is None:
        raise ValueError("no key")
    return key, certificate
