"""The structures of CMS that AS2 needs (RFC 5652, 5083, 3274), as types that `cryptography` writes and reads.

It reads DER alone. Partners may send BER, so `normalised` comes first: definite lengths, strings in one piece.
"""

from typing import Annotated, Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier as Oid

from holdfast.flows.adapters.as2.ber import normalised

DATA: Final = Oid("1.2.840.113549.1.7.1")
SIGNED: Final = Oid("1.2.840.113549.1.7.2")
ENVELOPED: Final = Oid("1.2.840.113549.1.7.3")
AUTH_ENVELOPED: Final = Oid("1.2.840.113549.1.9.16.1.23")
COMPRESSED: Final = Oid("1.2.840.113549.1.9.16.1.9")
CONTENT_TYPE: Final = Oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = Oid("1.2.840.113549.1.9.4")
SIGNING_TIME: Final = Oid("1.2.840.113549.1.9.5")
RSA: Final = Oid("1.2.840.113549.1.1.1")
MGF1: Final = Oid("1.2.840.113549.1.1.8")
T = TypeVar("T")


@asn1.sequence
class Hash:
    """The AlgorithmIdentifier of a hash."""

    oid: Oid
    parameters: asn1.Null | None = None


@asn1.sequence
class MaskGeneration:
    """That of MGF1 with a hash."""

    oid: Oid
    parameters: Hash


@asn1.sequence
class Padding:
    """RSASSA-PSS-params, and without the last two RSAES-OAEP-params (RFC 4055 §3.1, §4.1)."""

    hash: Annotated[Hash | None, asn1.Explicit(0)] = None
    mask: Annotated[MaskGeneration | None, asn1.Explicit(1)] = None
    salt: Annotated[int | None, asn1.Explicit(2)] = None
    trailer: Annotated[int | None, asn1.Explicit(3)] = None


@asn1.sequence
class KeyAlgorithm:
    """The AlgorithmIdentifier of what is done with a key: signing, or encrypting another key."""

    oid: Oid
    parameters: asn1.Null | Padding | None = None


@asn1.sequence
class GcmParameters:
    """RFC 5084 §3.2."""

    nonce: bytes
    tag_bytes: int


@asn1.sequence
class Cipher:
    """The AlgorithmIdentifier of a cipher, with its IV or nonce."""

    oid: Oid
    parameters: bytes | GcmParameters


@asn1.sequence
class IssuerAndSerial:
    """Names a certificate (RFC 5652 §10.2.4)."""

    issuer: asn1.TLV
    serial: int


@asn1.sequence
class Content:
    """Content with its type; absent where it stands elsewhere."""

    type: Oid
    content: Annotated[bytes | None, asn1.Explicit(0)] = None


@asn1.sequence
class Message:
    """ContentInfo (RFC 5652 §3)."""

    type: Oid
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class Attribute:
    """RFC 5652 §5.3."""

    type: Oid
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class SignerInfo:
    """RFC 5652 §5.3. The attributes are a list, so that they stay in the order in which they came."""

    version: int
    signer: IssuerAndSerial | Annotated[bytes, asn1.Implicit(0)]
    digest: Hash
    attributes: Annotated[list[Attribute] | None, asn1.Implicit(0)]
    algorithm: KeyAlgorithm
    signature: bytes
    unsigned: Annotated[list[Attribute] | None, asn1.Implicit(1)] = None


@asn1.sequence
class SignedData:
    """RFC 5652 §5.1."""

    version: int
    digests: asn1.SetOf[Hash]
    content: Content
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    revocations: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)] = None
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class Recipient:
    """KeyTransRecipientInfo (RFC 5652 §6.2.1)."""

    version: int
    recipient: IssuerAndSerial
    algorithm: KeyAlgorithm
    key: bytes


@asn1.sequence
class EncryptedContent:
    """RFC 5652 §6.1."""

    type: Oid
    algorithm: Cipher
    content: Annotated[bytes, asn1.Implicit(0)]


@asn1.sequence
class EnvelopedData:
    """RFC 5652 §6.1, and with the `mac` AuthEnvelopedData (RFC 5083 §2.1)."""

    version: int
    recipients: asn1.SetOf[Recipient]
    content: EncryptedContent
    mac: bytes | None = None


@asn1.sequence
class CompressedData:
    """RFC 3274 §1.1."""

    version: int
    algorithm: Hash
    content: Content


def name_of(certificate: x509.Certificate) -> IssuerAndSerial:
    """Return what names a certificate."""
    issuer = asn1.decode_der(asn1.TLV, certificate.issuer.public_bytes())
    return IssuerAndSerial(issuer=issuer, serial=certificate.serial_number)


def padding(digest: Oid, *, salt: int | None = None) -> Padding:
    """Return the parameters of a padding that uses one hash for all."""
    plain = Hash(oid=digest, parameters=asn1.Null())
    return Padding(hash=plain, mask=MaskGeneration(oid=MGF1, parameters=plain), salt=salt)


def any_of(value: Any) -> asn1.TLV:
    """Return a value as one of any type."""
    return asn1.decode_der(asn1.TLV, asn1.encode_der(value))


def message(kind: Oid, content: Any) -> bytes:
    """Return a whole message of a type, in DER."""
    return asn1.encode_der(Message(type=kind, content=any_of(content)))


def read(kind: Oid, of: type[T], data: bytes) -> T:
    """Return what a message of this type holds. Raises ValueError: it is another one, or malformed."""
    found = asn1.decode_der(Message, normalised(data))
    if found.type != kind:
        raise ValueError("another type of message")
    return asn1.decode_der(of, asn1.encode_der(found.content))
