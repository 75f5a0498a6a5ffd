"""Signatures of content (CMS, RFC 5652 §5; PSS as in RFC 4056): made, and verified.

Verifying is strict: one signature, detached, with signed attributes, made with the key of the certificate that is
given. Certificates that a message brings are not looked at.
"""

import datetime
import hashlib
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat import asn1 as der
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ObjectIdentifier as Oid

from holdfast.flows.adapters.as2 import asn1

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PSS: Final = Oid("1.2.840.113549.1.1.10")
DEFAULT_SALT: Final = 20  # RFC 4055 §3.1
MOST_SALT: Final = 512
MOST_BYTES: Final = 64 * 1024


class Hash(msgspec.Struct, frozen=True):
    """A hash, and what signatures with it are called."""

    oid: Oid
    algorithm: type[hashes.HashAlgorithm]
    with_rsa: Oid
    with_ecdsa: Oid


HASHES: Final = {
    "sha1": Hash(Oid("1.3.14.3.2.26"), hashes.SHA1, Oid("1.2.840.113549.1.1.5"), Oid("1.2.840.10045.4.1")),
    "sha256": Hash(
        Oid("2.16.840.1.101.3.4.2.1"), hashes.SHA256, Oid("1.2.840.113549.1.1.11"), Oid("1.2.840.10045.4.3.2")
    ),
    "sha384": Hash(
        Oid("2.16.840.1.101.3.4.2.2"), hashes.SHA384, Oid("1.2.840.113549.1.1.12"), Oid("1.2.840.10045.4.3.3")
    ),
    "sha512": Hash(
        Oid("2.16.840.1.101.3.4.2.3"), hashes.SHA512, Oid("1.2.840.113549.1.1.13"), Oid("1.2.840.10045.4.3.4")
    ),
}
STRONG: Final = frozenset(HASHES) - {"sha1"}


class NotVerified(Exception):
    """A signature does not hold; the text says why, for people."""


# -- signing


def sign(
    content: bytes, key: PrivateKey, certificate: x509.Certificate, *, digest: str, pss: bool, now: float
) -> bytes:
    """Return a detached signature of the content, with the certificate in it."""
    how = HASHES[digest]
    at = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    attributes = [
        _attribute(asn1.CONTENT_TYPE, asn1.DATA),
        _attribute(asn1.MESSAGE_DIGEST, hashlib.new(digest, content).digest()),
        _attribute(asn1.SIGNING_TIME, der.UTCTime(at)),
    ]
    algorithm, signature = _signature(key, _signed_form(attributes), how, pss=pss)
    signer = asn1.SignerInfo(
        version=1,
        signer=asn1.name_of(certificate),
        digest=asn1.Hash(oid=how.oid, parameters=der.Null()),
        attributes=sorted(attributes, key=der.encode_der),  # as in what is signed
        algorithm=algorithm,
        signature=signature,
    )
    signed = asn1.SignedData(
        version=1,
        digests=der.SetOf([signer.digest]),
        content=asn1.Content(type=asn1.DATA),
        certificates=[asn1.any_of(certificate)],
        signers=der.SetOf([signer]),
    )
    return asn1.message(asn1.SIGNED, signed)


def _attribute(kind: Oid, value: object) -> asn1.Attribute:
    return asn1.Attribute(type=kind, values=der.SetOf([asn1.any_of(value)]))


def _signed_form(attributes: list[asn1.Attribute]) -> bytes:
    """Return what is signed of attributes: their SET in DER (RFC 5652 §5.4)."""
    return der.encode_der(der.SetOf(attributes))


def _signature(key: PrivateKey, data: bytes, how: Hash, *, pss: bool) -> tuple[asn1.KeyAlgorithm, bytes]:
    chosen = how.algorithm()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return asn1.KeyAlgorithm(oid=how.with_ecdsa), key.sign(data, ec.ECDSA(chosen))
    if pss:
        filling = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
        parameters = asn1.padding(how.oid, salt=chosen.digest_size)
        return asn1.KeyAlgorithm(oid=PSS, parameters=parameters), key.sign(data, filling, chosen)
    algorithm = asn1.KeyAlgorithm(oid=asn1.RSA, parameters=der.Null())
    return algorithm, key.sign(data, padding.PKCS1v15(), chosen)


# -- verifying


def verify(signature: bytes, content: bytes, certificate: x509.Certificate, *, allowed: frozenset[str]) -> None:
    """Raise NotVerified unless this is the certificate's owner's signature of the content, with an allowed hash."""
    if len(signature) > MOST_BYTES:
        raise NotVerified("the signature is too long to be one")
    try:
        signed = asn1.read(asn1.SIGNED, asn1.SignedData, signature)
    except ValueError as exc:
        raise NotVerified("the signature is malformed") from exc
    signers = signed.signers.as_list()
    if len(signers) != 1:
        raise NotVerified(f"{len(signers)} signatures instead of one")
    if signed.content.type != asn1.DATA or signed.content.content:
        raise NotVerified("the signature is not detached")
    if not _names(signers[0].signer, certificate):
        raise NotVerified("it is signed by somebody else than the partner's certificate says")
    _verify(signers[0], content, certificate, allowed)


def _verify(signer: asn1.SignerInfo, content: bytes, certificate: x509.Certificate, allowed: frozenset[str]) -> None:
    name = next((name for name, one in HASHES.items() if one.oid == signer.digest.oid), None)
    if name is None or name not in allowed:
        raise NotVerified(f"the hash {name or signer.digest.oid.dotted_string} is not allowed")
    attributes = signer.attributes or []
    if _only(attributes, asn1.CONTENT_TYPE) != der.encode_der(asn1.DATA):
        raise NotVerified("its signed attributes do not say what it is a signature of")
    if _only(attributes, asn1.MESSAGE_DIGEST) != der.encode_der(hashlib.new(name, content).digest()):
        raise NotVerified("the content is another than what was signed")
    try:
        _check_key(signer, _signed_form(attributes), certificate, HASHES[name])
    except InvalidSignature as exc:
        raise NotVerified("the signature is wrong") from exc


def _names(signer: asn1.IssuerAndSerial | bytes, certificate: x509.Certificate) -> bool:
    """Say whether the signer is named as the certificate is: by issuer and number, or by its key's identifier."""
    if isinstance(signer, asn1.IssuerAndSerial):
        issuer = der.encode_der(signer.issuer)
        return issuer == certificate.issuer.public_bytes() and signer.serial == certificate.serial_number
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return signer == found.value.digest


def _only(attributes: list[asn1.Attribute], kind: Oid) -> bytes | None:
    """Return the value of an attribute that is there once and has one value, as DER."""
    values = [value for attribute in attributes if attribute.type == kind for value in attribute.values.as_list()]
    return der.encode_der(values[0]) if len(values) == 1 else None


def _check_key(signer: asn1.SignerInfo, data: bytes, certificate: x509.Certificate, how: Hash) -> None:
    """Check the signature itself. Raises InvalidSignature, NotVerified."""
    key, algorithm, chosen = certificate.public_key(), signer.algorithm, how.algorithm()
    if isinstance(key, ec.EllipticCurvePublicKey) and algorithm.oid == how.with_ecdsa:
        key.verify(signer.signature, data, ec.ECDSA(chosen))
    elif isinstance(key, rsa.RSAPublicKey) and algorithm.oid in (asn1.RSA, how.with_rsa):
        key.verify(signer.signature, data, padding.PKCS1v15(), chosen)
    elif isinstance(key, rsa.RSAPublicKey) and algorithm.oid == PSS:
        key.verify(signer.signature, data, padding.PSS(padding.MGF1(chosen), _salt(algorithm, how)), chosen)
    else:
        raise NotVerified("its algorithm does not go with the partner's key")


def _salt(algorithm: asn1.KeyAlgorithm, how: Hash) -> int:
    """Return how long the salt of PSS is, if the padding is made with the hash of the digest (RFC 4055 §3.1)."""
    found, sha1 = algorithm.parameters, HASHES["sha1"].oid
    if not isinstance(found, asn1.Padding):
        raise NotVerified("its padding is malformed")
    mask = found.mask or asn1.MaskGeneration(oid=asn1.MGF1, parameters=asn1.Hash(oid=sha1))
    if (found.hash.oid if found.hash else sha1, mask.oid, mask.parameters.oid) != (how.oid, asn1.MGF1, how.oid):
        raise NotVerified("its padding is made with another hash")
    salt = DEFAULT_SALT if found.salt is None else found.salt
    if not 0 <= salt <= MOST_SALT or found.trailer not in (None, 1):
        raise NotVerified("its padding is malformed")
    return salt
