"""Receipts (MDN, RFC 4130 §7; RFC 8098): what one says, and whether it is the one that is expected."""

import hmac
from collections.abc import Mapping
from email.parser import BytesHeaderParser
from typing import Final

import msgspec
from cryptography import x509

from holdfast.flows.adapters.as2.compressing import decompress
from holdfast.flows.adapters.as2.signing import HASHES, STRONG, NotVerified, verify
from holdfast.flows.adapters.mime import Part, parameter, part_of, parts_of
from holdfast.flows.failures import BadReceipt, DispositionRefused

MOST_BYTES: Final = 256 * 1024
MOST_LAYERS: Final = 3
SHOWN_CHARS: Final = 500
END_OF_LINE: Final = b"\r\n"
NOTIFICATION: Final = "message/disposition-notification"
ALREADY: Final = "duplicate-document"  # RFC 4130 §7.5.5: it was delivered before


class Signed(msgspec.Struct, frozen=True):
    """What is signed, to the byte, and the signature of it."""

    content: bytes
    signature: bytes


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt says, and itself; nothing of it is to be believed before `authenticate`."""

    message_id: str
    disposition: str
    mic: str = ""
    text: str = ""
    content_type: str = ""
    content: bytes = b""
    signed: Signed | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the receipt for a message that was sent.

    Args:
        mics: In base64, each with the name of its hash, as in a receipt; first the one that was asked for.
        certificate: Whose signature it must have, in DER; empty if it need not be signed.
        weak: SHA-1 will do.
        warnings: A message that was processed with a warning counts as processed.
    """

    message_id: str
    mics: tuple[str, ...]
    certificate: bytes = b""
    weak: bool = False
    warnings: bool = False


def read(headers: Mapping[str, str], content: bytes) -> Receipt:
    """Return what a receipt says. Raises BadReceipt: this is none."""
    part = Part({name.lower(): value for name, value in headers.items()}, content, content)
    try:
        receipt = _read(part)
        return msgspec.structs.replace(receipt, content_type=part.content_type, content=content)
    except ValueError as exc:
        raise BadReceipt(f"what came instead of a receipt: {exc}") from exc


def authenticate(expected: Expected, receipt: Receipt) -> None:
    """Raise BadReceipt unless a receipt is for this message, and the partner's if it has to be signed."""
    if receipt.message_id != expected.message_id:
        raise BadReceipt("the receipt is for another message")
    if not expected.certificate:
        return
    if receipt.signed is None:
        raise BadReceipt(f"the receipt is not signed; it says: {receipt.disposition}")
    certificate = x509.load_der_x509_certificate(expected.certificate)
    allowed = frozenset(HASHES) if expected.weak else STRONG
    try:
        _verify(receipt.signed, certificate, allowed)
    except NotVerified as exc:
        raise BadReceipt(f"the receipt is not the partner's: {exc}") from exc


def _verify(signed: Signed, certificate: x509.Certificate, allowed: frozenset[str]) -> None:
    """Raise NotVerified unless the partner has signed what came, or this without an end of line behind it.

    Some partners write one more end of line behind a part than they sign (libas2 0.8.2 does): it says nothing.
    """
    try:
        verify(signed.signature, signed.content, certificate, allowed=allowed)
    except NotVerified:
        if not signed.content.endswith(END_OF_LINE):
            raise
        verify(signed.signature, signed.content.removesuffix(END_OF_LINE), certificate, allowed=allowed)


def judge(expected: Expected, receipt: Receipt) -> None:
    """Raise what an authentic receipt means for a message that was not processed as it was sent."""
    said = receipt.disposition.partition(";")[2].strip()
    kind, _, modifier = said.partition("/")
    modifier, _, detail = modifier.partition(":")
    warned = modifier.strip().lower() == "warning"
    already = warned and detail.strip().lower() == ALREADY
    if kind.strip().lower() != "processed" or (modifier and not already and not (warned and expected.warnings)):
        raise DispositionRefused(said or receipt.disposition, receipt.text)
    if receipt.mic:
        _compare(expected.mics, receipt.mic)
    elif expected.certificate and not already:
        raise BadReceipt("the receipt does not say which content came")


def _compare(sent: tuple[str, ...], came: str) -> None:
    """Raise BadReceipt unless a MIC is among those of what was sent, its hash being written in either way."""
    value, _, name = came.partition(",")
    known = {_plain(mic.rpartition(",")[2]): mic.partition(",")[0] for mic in sent}
    if _plain(name) not in known:
        asked = sent[0].rpartition(",")[2].strip()
        raise BadReceipt(f"the receipt is by {name.strip() or 'no named hash'}, not by {asked}")
    if not hmac.compare_digest("".join(value.split()).encode(), known[_plain(name)].encode()):
        raise BadReceipt("the partner got another content than was sent")


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "")


# -- reading


def _read(part: Part) -> Receipt:
    """Go through what is around the report. Raises ValueError."""
    signed: Signed | None = None
    for _ in range(MOST_LAYERS):
        kind = part.content_type.partition(";")[0].strip().lower()
        if kind == "multipart/report":
            return _reported(part, signed)
        if kind == "multipart/signed" and signed is None:
            inside = parts_of(part.content_type, part.content)
            if len(inside) != 2:
                raise ValueError("a signed receipt has not two parts")
            signed, part = Signed(inside[0].raw, inside[1].content), inside[0]
        elif kind.endswith("pkcs7-mime") and parameter(part.content_type, "smime-type") == "compressed-data":
            part = part_of(decompress(part.content, MOST_BYTES))
        else:
            raise ValueError(f"it is {kind[:100]!r}, no report")
    raise ValueError("it has too many layers")


def _reported(report: Part, signed: Signed | None) -> Receipt:
    parts = parts_of(report.content_type, report.content)
    told = [part for part in parts if part.content_type.partition(";")[0].strip().lower() == NOTIFICATION]
    if len(told) != 1:
        raise ValueError("a report without one disposition notification")
    fields = _fields(told[0].content)
    text = "" if parts[0] is told[0] else _line(parts[0].content.decode(errors="replace"))[:SHOWN_CHARS]
    if not fields.get("disposition"):
        raise ValueError("a notification without a disposition")
    return Receipt(
        f"<{fields.get('original-message-id', '').strip('<>')}>",  # some partners leave the brackets out
        fields["disposition"][:SHOWN_CHARS],
        fields.get("received-content-mic", ""),
        text,
        signed=signed,
    )


def _fields(data: bytes) -> dict[str, str]:
    """Return the fields of a notification, in one line each; of one that comes twice the first."""
    found: dict[str, str] = {}
    for name, value in BytesHeaderParser().parsebytes(data.lstrip()).items():
        found.setdefault(name.lower(), _line(str(value)))
    return found


def _line(text: str) -> str:
    """Return a text in one line, fit to be shown."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
