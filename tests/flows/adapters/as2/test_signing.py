"""Signatures in both directions against openssl, and what is no signature of the partner's."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat import asn1 as der
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.adapters.as2.world import certified, openssl
from holdfast.flows.adapters.as2 import asn1, signing
from holdfast.flows.adapters.as2.signing import HASHES, NotVerified, PrivateKey, sign, verify

CONTENT = b"Content-Type: text/plain\r\n\r\nhello\nworld\r\n"
ALL = frozenset(HASHES)
NOW = 1_800_000_000.0
KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = certified(KEY, "partner")
PSS = ("-keyopt", "rsa_padding_mode:pss")


def key_of(folder: Path, name: str) -> tuple[PrivateKey, x509.Certificate]:
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    return key, x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())  # type: ignore[return-value]


def by_openssl(folder: Path, name: str, *more: str, digest: str = "sha256") -> bytes:
    arguments = (
        "-sign",
        "-binary",
        "-outform",
        "DER",
        "-md",
        digest,
        "-signer",
        f"{name}.pem",
        "-inkey",
        f"{name}.key",
    )
    return openssl(folder, *arguments, *more, data=CONTENT)


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize(("name", "pss"), [("partner", False), ("partner", True), ("partner_ec", False)])
def test_openssl_and_we_agree_on_signatures(folder: Path, name: str, pss: bool, digest: str) -> None:
    # F16
    key, certificate = key_of(folder, name)
    ours = sign(CONTENT, key, certificate, digest=digest, pss=pss, now=NOW)
    file = folder / "ours.der"
    file.write_bytes(ours)
    arguments = ("-verify", "-binary", "-inform", "DER", "-in", "ours.der", "-content", "/dev/stdin")
    there = openssl(folder, *arguments, "-certfile", f"{name}.pem", "-nointern", "-noverify", data=CONTENT)
    assert there == CONTENT
    assert b"2027-01-15" in ours or b"270115" in ours  # when it was signed
    for signature in (ours, by_openssl(folder, name, *(PSS if pss else ()), digest=digest)):
        verify(signature, CONTENT, certificate, allowed=frozenset({digest}))
        with pytest.raises(NotVerified, match="the content is another"):
            verify(signature, CONTENT + b" ", certificate, allowed=frozenset({digest}))
        with pytest.raises(NotVerified, match=f"the hash {digest} is not allowed"):
            verify(signature, CONTENT, certificate, allowed=ALL - {digest})


def test_a_salt_of_any_length_is_read(folder: Path) -> None:
    for salt in ("0", "20", "max"):
        signature = by_openssl(folder, "partner", *PSS, "-keyopt", f"rsa_pss_saltlen:{salt}")
        verify(signature, CONTENT, key_of(folder, "partner")[1], allowed=ALL)


def test_a_padding_with_another_hash_is_refused(folder: Path) -> None:
    signature = by_openssl(folder, "partner", *PSS, "-keyopt", "rsa_mgf1_md:sha512")
    with pytest.raises(NotVerified, match="padding is made with another hash"):
        verify(signature, CONTENT, key_of(folder, "partner")[1], allowed=ALL)


def test_who_is_named_by_the_keys_identifier_is_known(folder: Path) -> None:
    signature = by_openssl(folder, "partner", "-keyid")
    verify(signature, CONTENT, key_of(folder, "partner")[1], allowed=ALL)
    with pytest.raises(NotVerified, match="signed by somebody else"):
        verify(signature, CONTENT, key_of(folder, "other")[1], allowed=ALL)


def test_two_signatures_are_not_one(folder: Path) -> None:
    signature = by_openssl(folder, "partner", "-signer", "other.pem", "-inkey", "other.key")
    with pytest.raises(NotVerified, match="2 signatures instead of one"):
        verify(signature, CONTENT, key_of(folder, "partner")[1], allowed=ALL)


def test_a_certificate_that_the_signature_brings_proves_nothing(folder: Path) -> None:
    """Somebody signs, names the partner as signer, and brings a certificate of the partner's name with his own key."""
    partner = key_of(folder, "partner")[1]
    signature = sign(CONTENT, key_of(folder, "other")[0], partner, digest="sha256", pss=False, now=NOW)
    with pytest.raises(NotVerified, match="the signature is wrong"):
        verify(signature, CONTENT, partner, allowed=ALL)


# -- made by hand


def attribute(kind: x509.ObjectIdentifier, *values: Any) -> asn1.Attribute:
    return asn1.Attribute(type=kind, values=der.SetOf([asn1.any_of(value) for value in values]))


def digest_of(content: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    return digest.finalize()


KIND = attribute(asn1.CONTENT_TYPE, asn1.DATA)
DIGEST = attribute(asn1.MESSAGE_DIGEST, digest_of(CONTENT))


def made(attributes: list[asn1.Attribute] | None, *, content: bytes | None = None, **changes: Any) -> bytes:
    """Return a signature by the right key, with whatever is changed."""
    if attributes is not None:
        attributes = sorted(attributes, key=der.encode_der)
    data = CONTENT if attributes is None else der.encode_der(der.SetOf(attributes))
    fields: dict[str, Any] = {
        "version": 1,
        "signer": asn1.name_of(CERTIFICATE),
        "digest": asn1.Hash(oid=HASHES["sha256"].oid, parameters=der.Null()),
        "attributes": attributes,
        "algorithm": asn1.KeyAlgorithm(oid=asn1.RSA, parameters=der.Null()),
        "signature": KEY.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    }
    signer = asn1.SignerInfo(**fields | changes)
    signed = asn1.SignedData(
        version=1,
        digests=der.SetOf([signer.digest]),
        content=asn1.Content(type=asn1.DATA, content=content),
        certificates=None,
        signers=der.SetOf([signer]),
    )
    return asn1.message(asn1.SIGNED, signed)


def test_one_that_is_made_by_hand_holds() -> None:
    verify(made([KIND, DIGEST]), CONTENT, CERTIFICATE, allowed=ALL)
    with_rsa = asn1.KeyAlgorithm(oid=HASHES["sha256"].with_rsa, parameters=der.Null())
    verify(made([KIND, DIGEST], algorithm=with_rsa), CONTENT, CERTIFICATE, allowed=ALL)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (made(None), "its signed attributes do not say what it is a signature of"),
        (made([]), "its signed attributes do not say what it is a signature of"),
        (made([DIGEST]), "its signed attributes do not say what it is a signature of"),
        (made([KIND]), "the content is another than what was signed"),
        (made([KIND, KIND, DIGEST]), "its signed attributes do not say what it is a signature of"),
        (made([KIND, DIGEST, DIGEST]), "the content is another than what was signed"),
        (made([KIND, attribute(asn1.MESSAGE_DIGEST, digest_of(CONTENT), b"")]), "the content is another"),
        (made([attribute(asn1.CONTENT_TYPE, asn1.SIGNED), DIGEST]), "its signed attributes do not say"),
        (made([KIND, DIGEST], content=CONTENT), "the signature is not detached"),
        (made([KIND, DIGEST], signature=b"\0" * 256), "the signature is wrong"),
        (made([KIND, DIGEST], signature=b""), "the signature is wrong"),
        (made([KIND, DIGEST], signer=b"\0" * 20), "it is signed by somebody else"),
        (
            made([KIND, DIGEST], algorithm=asn1.KeyAlgorithm(oid=HASHES["sha384"].with_rsa)),
            "its algorithm does not go with the partner's key",
        ),
        (
            made([KIND, DIGEST], algorithm=asn1.KeyAlgorithm(oid=HASHES["sha256"].with_ecdsa)),
            "its algorithm does not go with the partner's key",
        ),
        (made([KIND, DIGEST], algorithm=asn1.KeyAlgorithm(oid=signing.PSS)), "its padding is malformed"),
        (
            made(
                [KIND, DIGEST],
                algorithm=asn1.KeyAlgorithm(oid=signing.PSS, parameters=asn1.padding(HASHES["sha256"].oid, salt=-1)),
            ),
            "its padding is malformed",
        ),
        (asn1.message(asn1.ENVELOPED, asn1.Content(type=asn1.DATA)), "the signature is malformed"),
        (b"", "the signature is malformed"),
        (b"\x30\x80" * 100, "the signature is malformed"),
        (b"\x30" * (64 * 1024 + 1), "the signature is too long to be one"),
    ],
)
def test_what_is_no_signature_is_refused(signature: bytes, said: str) -> None:
    with pytest.raises(NotVerified, match=said):
        verify(signature, CONTENT, CERTIFICATE, allowed=ALL)


def test_a_certificate_without_an_identifier_of_its_key_is_named_by_issuer_and_number() -> None:
    name = CERTIFICATE.subject
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1)
    builder = builder.not_valid_before(CERTIFICATE.not_valid_before_utc)
    bare = builder.not_valid_after(CERTIFICATE.not_valid_after_utc).sign(KEY, hashes.SHA256())
    with pytest.raises(NotVerified, match="signed by somebody else"):
        verify(made([KIND, DIGEST], signer=b"\0" * 20), CONTENT, bare, allowed=ALL)


RIGHT = made([KIND, DIGEST])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_no_changed_content_is_verified(at: int, by: int) -> None:
    changed = CONTENT[:at] + bytes([CONTENT[at] ^ by]) + CONTENT[at + 1 :]
    with pytest.raises(NotVerified):
        verify(RIGHT, changed, CERTIFICATE, allowed=ALL)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(RIGHT) - 1), st.integers(1, 255), st.booleans())
def test_a_changed_signature_is_refused_or_says_the_same(at: int, by: int, cut: bool) -> None:
    changed = RIGHT[:at] if cut else RIGHT[:at] + bytes([RIGHT[at] ^ by]) + RIGHT[at + 1 :]
    try:
        verify(changed, CONTENT, CERTIFICATE, allowed=ALL)
    except NotVerified:
        return
    found = asn1.read(asn1.SIGNED, asn1.SignedData, changed).signers.as_list()[0]
    right = asn1.read(asn1.SIGNED, asn1.SignedData, RIGHT).signers.as_list()[0]
    assert found.signature == right.signature
    assert der.encode_der(der.SetOf(found.attributes)) == der.encode_der(der.SetOf(right.attributes))
