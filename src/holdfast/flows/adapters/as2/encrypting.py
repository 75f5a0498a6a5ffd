"""Content encrypted for the owner of a certificate (CMS, RFC 5652 §6; AES-GCM as in RFC 5084, OAEP as in RFC 3560)."""

import os
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat import asn1 as der
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509 import ObjectIdentifier as Oid

from holdfast.flows.adapters.as2 import asn1

OAEP: Final = Oid("1.2.840.113549.1.1.7")
SHA256: Final = Oid("2.16.840.1.101.3.4.2.1")
GCM_TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12


class Encryption(msgspec.Struct, frozen=True):
    """A cipher and its mode."""

    oid: Oid
    key_bytes: int
    algorithm: type[algorithms.AES | TripleDES] = algorithms.AES
    authenticated: bool = False


ENCRYPTIONS: Final = {
    "3des": Encryption(Oid("1.2.840.113549.3.7"), 24, TripleDES),
    "aes128-cbc": Encryption(Oid("2.16.840.1.101.3.4.1.2"), 16),
    "aes192-cbc": Encryption(Oid("2.16.840.1.101.3.4.1.22"), 24),
    "aes256-cbc": Encryption(Oid("2.16.840.1.101.3.4.1.42"), 32),
    "aes128-gcm": Encryption(Oid("2.16.840.1.101.3.4.1.6"), 16, authenticated=True),
    "aes192-gcm": Encryption(Oid("2.16.840.1.101.3.4.1.26"), 24, authenticated=True),
    "aes256-gcm": Encryption(Oid("2.16.840.1.101.3.4.1.46"), 32, authenticated=True),
}


def encrypt(content: bytes, certificate: x509.Certificate, *, how: str, oaep: bool) -> bytes:
    """Return the content, encrypted for the owner of a certificate that has an RSA key."""
    chosen = ENCRYPTIONS[how]
    public, key = certificate.public_key(), os.urandom(chosen.key_bytes)
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError("a certificate without an RSA key")
    mac: bytes | None = None
    parameters: bytes | asn1.GcmParameters
    if chosen.authenticated:
        nonce = os.urandom(NONCE_BYTES)
        both = AESGCM(key).encrypt(nonce, content, None)
        encrypted, mac = both[:-GCM_TAG_BYTES], both[-GCM_TAG_BYTES:]
        parameters = asn1.GcmParameters(nonce=nonce, tag_bytes=GCM_TAG_BYTES)
    else:
        parameters, encrypted = _chained(chosen, key, content)
    made = asn1.EnvelopedData(
        version=0,
        recipients=der.SetOf([_recipient(certificate, public, key, oaep=oaep)]),
        content=asn1.EncryptedContent(
            type=asn1.DATA, algorithm=asn1.Cipher(oid=chosen.oid, parameters=parameters), content=encrypted
        ),
        mac=mac,
    )
    return asn1.message(asn1.AUTH_ENVELOPED if chosen.authenticated else asn1.ENVELOPED, made)


def _chained(how: Encryption, key: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Return IV and encrypted content, in CBC."""
    algorithm = how.algorithm(key)
    start, filling = os.urandom(algorithm.block_size // 8), PKCS7(algorithm.block_size).padder()
    encryptor = Cipher(algorithm, modes.CBC(start)).encryptor()
    padded = filling.update(content) + filling.finalize()
    return start, encryptor.update(padded) + encryptor.finalize()


def _recipient(certificate: x509.Certificate, public: rsa.RSAPublicKey, key: bytes, *, oaep: bool) -> asn1.Recipient:
    if oaep:
        filling: padding.AsymmetricPadding = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        algorithm = asn1.KeyAlgorithm(oid=OAEP, parameters=asn1.padding(SHA256))
    else:
        filling, algorithm = padding.PKCS1v15(), asn1.KeyAlgorithm(oid=asn1.RSA, parameters=der.Null())
    encrypted = public.encrypt(key, filling)
    return asn1.Recipient(version=0, recipient=asn1.name_of(certificate), algorithm=algorithm, key=encrypted)
