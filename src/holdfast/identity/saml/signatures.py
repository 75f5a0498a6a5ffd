"""Signatures: made and checked by signxml, and by cryptography for those over a query; only what they cover is read.

A signature is believed if a certificate of the party's metadata verifies it, it stands directly in what it signs, has
one reference, to just that element, and uses SHA-256 or better. What is returned is what was signed, parsed from the
very bytes that were: nothing beside it can be taken for it (Core §5.4; the rule "see only what is signed").
The keys and certificates that a message carries itself count for nothing, and neither does the age of a certificate:
what is believed stands in the metadata, as long as they are valid.
"""

import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import InvalidSignature as RawInvalid
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from holdfast.identity.saml.names import ds, saml
from holdfast.identity.saml.parties import Credentials
from holdfast.identity.saml.refusals import SamlBadSignature, SamlUnsigned
from holdfast.identity.saml.xml import Element, children, id_of, only, parser

logging.getLogger("signxml.processor").setLevel(logging.INFO)  # at DEBUG it tells whole messages

MOST_CERTIFICATES: Final = 8
EXCLUSIVE: Final = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
TRANSFORMS: Final = frozenset({ENVELOPED, EXCLUSIVE.value, EXCLUSIVE.value + "WithComments"})
METHODS: Final = frozenset(
    {
        *(SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512),
        *(SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384, SignatureMethod.ECDSA_SHA512),
        *(SignatureMethod.SHA256_RSA_MGF1, SignatureMethod.SHA384_RSA_MGF1, SignatureMethod.SHA512_RSA_MGF1),
    }
)
DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
QUERY_ALGORITHM: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_FAILURES: Final = (
    *(SignXMLException, RawInvalid, UnsupportedAlgorithm, etree.LxmlError, binascii.Error),
    *(ValueError, TypeError, AttributeError, LookupError, OverflowError),
)


def verified(element: Element, certificates: Iterable[x509.Certificate]) -> Element:
    """Return an element as its signature covers it, read anew from the bytes that were signed.

    Raises:
        SamlUnsigned: It has no signature of its own.
        SamlBadSignature: It has one that is not believed.
    """
    if not children(element, ds("Signature")):
        raise SamlUnsigned("the message, or the assertion in it, is not signed")
    _check_shape(element)
    for certificate in list(certificates)[:MOST_CERTIFICATES]:
        signed = _by(element, certificate)
        if signed is not None:
            if signed.tag != element.tag or signed.get("ID") != element.get("ID"):
                break
            return signed
    raise SamlBadSignature("no certificate in the sender's metadata verifies the signature")


def _check_shape(element: Element) -> None:
    """Refuse a signature that could cover anything but the element it stands in."""
    signed_info = only(only(element, ds("Signature")), ds("SignedInfo"))
    reference = only(signed_info, ds("Reference"))
    if reference.get("URI") != "#" + id_of(element):
        raise SamlBadSignature("the signature covers another element")
    transforms = children(only(reference, ds("Transforms")), ds("Transform"))
    named = {transform.get("Algorithm") for transform in transforms}
    if len(transforms) > 2 or not named <= TRANSFORMS or ENVELOPED not in named:
        raise SamlBadSignature("the signature transforms what it covers in ways that are not accepted")


def _by(element: Element, certificate: x509.Certificate) -> Element | None:
    """Return what a certificate's key has signed; None if it has not."""
    wanted = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=METHODS,
        digest_algorithms=DIGESTS,
        verification_time=certificate.not_valid_before_utc,
    )
    try:
        result: Any = XMLVerifier().verify(element, x509_cert=certificate, parser=parser(), expect_config=wanted)
    except _FAILURES:
        return None
    signed: Element | None = result.signed_xml
    return signed


def signed(element: Element, credentials: Credentials) -> Element:
    """Return a copy of an element with its signature, behind its Issuer where it has one (the schema's order)."""
    placeholder = etree.Element(ds("Signature"), nsmap={"ds": ds("")[1:-1]})
    placeholder.set("Id", "placeholder")
    element.insert(len(children(element, saml("Issuer"))), placeholder)
    rsa = isinstance(credentials.key, RSAPrivateKey)
    method = SignatureMethod.RSA_SHA256 if rsa else SignatureMethod.ECDSA_SHA256
    signer = XMLSigner(signature_algorithm=method, digest_algorithm=DigestAlgorithm.SHA256, c14n_algorithm=EXCLUSIVE)
    made: Element = signer.sign(element, key=credentials.key, cert=[credentials.certificate])
    return made


# -- over a query (Bindings §3.4.4.1)


def signed_query(query: str, credentials: Credentials) -> str:
    """Return a query with `SigAlg` and `Signature` behind it."""
    kind = "rsa-sha256" if isinstance(credentials.key, RSAPrivateKey) else "ecdsa-sha256"
    covered = f"{query}&SigAlg={quote_from_bytes((QUERY_ALGORITHM + kind).encode(), safe='')}"
    return f"{covered}&Signature={quote_from_bytes(b64encode(_raw_signature(covered.encode(), credentials)), safe='')}"


def verify_query(covered: bytes, algorithm: bytes, signature: bytes, certificates: Iterable[x509.Certificate]) -> None:
    """Return if the bytes of a query, as they came, are signed by one of the certificates.

    `algorithm` and `signature` are the values in the query, still percent-encoded.

    Raises:
        SamlBadSignature: They are not.
    """
    kind, _, digest = unquote_to_bytes(algorithm).decode("latin-1").removeprefix(QUERY_ALGORITHM).partition("-")
    hashed = HASHES.get(digest)
    try:
        raw = b64decode(unquote_to_bytes(signature), validate=True)
    except binascii.Error:
        raise SamlBadSignature("the signature of the query cannot be read") from None
    if hashed is not None:
        for certificate in list(certificates)[:MOST_CERTIFICATES]:
            if _is_signed(covered, raw, kind, hashed(), certificate):
                return
    raise SamlBadSignature("no certificate in the sender's metadata verifies the signature")


def _raw_signature(data: bytes, credentials: Credentials) -> bytes:
    key = credentials.key
    if isinstance(key, RSAPrivateKey):
        return key.sign(data, PKCS1v15(), hashes.SHA256())
    half = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ECDSA(hashes.SHA256())))
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


def _is_signed(data: bytes, raw: bytes, kind: str, hashed: hashes.HashAlgorithm, certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    try:
        if kind == "rsa" and isinstance(key, RSAPublicKey):
            key.verify(raw, data, PKCS1v15(), hashed)
            return True
        if kind == "ecdsa" and isinstance(key, EllipticCurvePublicKey):
            key.verify(_as_der(raw, (key.curve.key_size + 7) // 8), data, ECDSA(hashed))
            return True
    except (RawInvalid, ValueError):
        return False
    return False


def _as_der(raw: bytes, half: int) -> bytes:
    """Return an ECDSA signature of two numbers side by side (RFC 4050 §3.3) in the form that libraries check."""
    if len(raw) != 2 * half:
        raise ValueError("the signature has another length")
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
