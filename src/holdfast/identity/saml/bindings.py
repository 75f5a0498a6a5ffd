"""How a message travels: in a query (Redirect), in a form (POST), or in an envelope (SOAP). Bindings §3.2, §3.4, §3.5.

What comes in is `Received`: bytes that nobody has vouched for yet. `trusted` says which element of it may be read.
"""

import binascii
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import msgspec
from cryptography import x509
from lxml import etree

from holdfast.identity.saml.names import SOAP_ENVELOPE, saml
from holdfast.identity.saml.parties import Credentials
from holdfast.identity.saml.refusals import SamlMalformed, SamlTooLarge, SamlUnsigned
from holdfast.identity.saml.signatures import signed, signed_query, verified, verify_query
from holdfast.identity.saml.xml import MESSAGE_BYTES, Element, only, optional, parse, text_of, to_bytes

REQUEST: Final = "SAMLRequest"
RESPONSE: Final = "SAMLResponse"
RELAY_STATE: Final = "RelayState"
RELAY_STATE_BYTES: Final = 80  # Bindings §3.4.3
BASE64_BYTES: Final = MESSAGE_BYTES * 3 // 2  # with line breaks in it
_SPACE: Final = re.compile(rb"[ \t\r\n]+")


class Detached(msgspec.Struct, frozen=True):
    """A signature that stands beside the message, in the query."""

    covered: bytes
    algorithm: bytes
    signature: bytes


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it came. Nothing of it is true yet.

    Args:
        root: The message.
        kind: `SAMLRequest` or `SAMLResponse`; empty in an envelope, where there is but one place.
        relay_state: What came with it.
        in_query: It came in a query, where the signature covers the query instead of the message.
        detached: That signature, if it is there.
    """

    root: Element
    kind: str = ""
    relay_state: str = ""
    in_query: bool = False
    detached: Detached | None = None

    @property
    def claimed_issuer(self) -> str:
        """Who it says it comes from: good to look keys up, and for nothing else."""
        issuer = optional(self.root, saml("Issuer"))
        return "" if issuer is None else text_of(issuer)

    def trusted(self, certificates: Iterable[x509.Certificate]) -> Element:
        """Return the message as its sender has signed it.

        Raises:
            SamlUnsigned, SamlBadSignature: Nobody with these certificates has.
        """
        if not self.in_query:
            return verified(self.root, certificates)
        if self.detached is None:
            raise SamlUnsigned("the message in the query is not signed")
        verify_query(self.detached.covered, self.detached.algorithm, self.detached.signature, certificates)
        return self.root


# -- Redirect


def to_redirect(
    message: Element, location: str, credentials: Credentials, *, kind: str = REQUEST, relay_state: str = ""
) -> str:
    """Return the address to send a browser to: the message deflated, and the query signed."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(to_bytes(message)) + packer.flush()
    query = f"{kind}={quote_from_bytes(b64encode(packed), safe='')}"
    if relay_state:
        query += f"&{RELAY_STATE}={quote(relay_state, safe='')}"
    return location + ("&" if "?" in location else "?") + signed_query(query, credentials)


def from_redirect(query: bytes) -> Received:
    """Return the message in a query, given as it came: its signature is over those very bytes.

    Raises:
        SamlMalformed, SamlTooLarge: There is none that could be read.
    """
    if len(query) > BASE64_BYTES:
        raise SamlTooLarge(f"the query has {len(query)} bytes; the limit is {BASE64_BYTES}")
    raw = _raw_parts(query)
    kind = _kind(list(raw))
    signature = raw.get("Signature")
    covered = [name for name in (kind, RELAY_STATE, "SigAlg") if name in raw]
    detached = Detached(
        b"&".join(name.encode() + b"=" + raw[name] for name in covered), raw.get("SigAlg", b""), signature or b""
    )
    if unquote_to_bytes(raw.get("SAMLEncoding", b"")) not in (
        b"",
        b"urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE",
    ):
        raise SamlMalformed("the message in the query is encoded in a way that is not known")
    return Received(
        root=parse(_inflated(_from_base64(_unquoted(raw[kind])))),
        kind=kind,
        relay_state=_relay_state(_unquoted(raw.get(RELAY_STATE, b""))),
        in_query=True,
        detached=None if signature is None else detached,
    )


def _raw_parts(query: bytes) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        text = name.decode("latin-1")
        if text in parts:
            raise SamlMalformed("the query names something twice")
        parts[text] = value
    return parts


def _unquoted(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def _inflated(data: bytes) -> bytes:
    """Return what was deflated, as long as it is within bounds: a small message may unfold to a huge one."""
    unpacker = zlib.decompressobj(-15)
    try:
        unpacked = unpacker.decompress(data, MESSAGE_BYTES + 1)
    except zlib.error:
        raise SamlMalformed("the message is not deflated") from None
    if len(unpacked) > MESSAGE_BYTES:
        raise SamlTooLarge(f"the message unfolds to more than {MESSAGE_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise SamlMalformed("the deflated message is cut off, or something follows it")
    return unpacked


# -- POST


def to_form(
    message: Element, credentials: Credentials, *, kind: str = REQUEST, relay_state: str = ""
) -> dict[str, str]:
    """Return the fields of the form that a browser posts; the message is signed."""
    fields = {kind: b64encode(to_bytes(signed(message, credentials))).decode()}
    return {**fields, RELAY_STATE: relay_state} if relay_state else fields


def from_form(fields: Sequence[tuple[str, str]]) -> Received:
    """Return the message in the fields of a form.

    Raises:
        SamlMalformed, SamlTooLarge: There is none that could be read.
    """
    kind = _kind([name for name, _ in fields])
    named = dict(fields)
    if len(named) != len(fields):
        raise SamlMalformed("the form names something twice")
    root = parse(_from_base64(named[kind].encode("utf-8", "replace")))
    relay_state = _relay_state(named.get(RELAY_STATE, "").encode("utf-8", "replace"))
    return Received(root=root, kind=kind, relay_state=relay_state)


# -- SOAP


def to_envelope(message: Element, credentials: Credentials) -> bytes:
    """Return an envelope with the message, which is signed."""
    return enveloped(signed(message, credentials))


def enveloped(content: Element) -> bytes:
    """Return an envelope with an element."""
    envelope = etree.Element(f"{{{SOAP_ENVELOPE}}}Envelope", nsmap={"soap": SOAP_ENVELOPE})
    etree.SubElement(envelope, f"{{{SOAP_ENVELOPE}}}Body").append(content)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + to_bytes(envelope)


def from_envelope(data: bytes) -> Received:
    """Return the message in an envelope.

    Raises:
        SamlMalformed, SamlTooLarge: There is none that could be read.
    """
    envelope = parse(data)
    if envelope.tag != f"{{{SOAP_ENVELOPE}}}Envelope":
        raise SamlMalformed("this is no SOAP envelope")
    body = only(envelope, f"{{{SOAP_ENVELOPE}}}Body")
    if len(body) != 1:
        raise SamlMalformed("the SOAP body does not hold one message")
    return Received(root=body[0])


# -- what they share


def _kind(names: list[str]) -> str:
    found = [name for name in names if name in (REQUEST, RESPONSE)]
    if len(found) != 1:
        raise SamlMalformed("there is no SAML message, or more than one")
    return found[0]


def _from_base64(data: bytes) -> bytes:
    if len(data) > BASE64_BYTES:
        raise SamlTooLarge(f"the encoded message has {len(data)} bytes; the limit is {BASE64_BYTES}")
    try:
        return b64decode(_SPACE.sub(b"", data), validate=True)
    except binascii.Error:
        raise SamlMalformed("the message is not in base64") from None


def _relay_state(data: bytes) -> str:
    if len(data) > RELAY_STATE_BYTES:
        raise SamlTooLarge(f"RelayState has {len(data)} bytes; the limit is {RELAY_STATE_BYTES}")
    return data.decode("utf-8", "replace")
