"""Multipart bodies (RFC 2046 §5.1), byte for byte: XI messages are such, with their attachments, and AS2 messages.

The `email` package reads headers here, and no bodies: it goes into parts of parts without a bound, and takes the end
of a body that was cut off for the end of its last part.
"""

import binascii
import quopri
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

import msgspec

MOST_PARTS: Final = 1000
MOST_HEADER_BYTES: Final = 16 * 1024
BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
END_OF_HEADERS: Final = re.compile(rb"(?:\A|\r?\n)\r?\n")
DECODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "base64": binascii.a2b_base64,
    "quoted-printable": quopri.decodestring,
}
AS_THEY_ARE: Final = ("", "7bit", "8bit", "binary")


class Part(msgspec.Struct, frozen=True):
    """One part, its headers by their names in lower case. `raw`, headers and content, is what a signature is over."""

    headers: Mapping[str, str] = {}
    content: bytes = b""
    raw: bytes = b""

    @property
    def content_type(self) -> str:
        """With its parameters; text, if it does not say."""
        return self.headers.get("content-type", "text/plain")

    @property
    def content_id(self) -> str:
        """Without the angle brackets."""
        return self.headers.get("content-id", "").strip().removeprefix("<").removesuffix(">")


def parameter(value: str, name: str) -> str:
    """Return a parameter of a header such as Content-Type, without its quotes; empty if it is not there."""
    header = Message()
    header["content-type"] = value
    found = header.get_param(name)
    return found if isinstance(found, str) else ""


def parts_of(content_type: str, content: bytes) -> tuple[Part, ...]:
    """Return the parts of a body. Raises ValueError: it is malformed, cut off, or has too many."""
    boundary = parameter(content_type, "boundary")
    if BOUNDARY.fullmatch(boundary) is None:
        raise ValueError("it names no boundary of its parts")
    return tuple(map(part_of, _raw_parts(boundary.encode(), content)))


def multipart(parts: Iterable[tuple[Mapping[str, str], bytes]], boundary: str) -> bytes:
    """Return a body of parts, each with its headers. The boundary may stand in none of them."""
    lines = []
    for headers, content in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        lines.append(f"--{boundary}\r\n{head}\r\n".encode() + content + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def _raw_parts(boundary: bytes, content: bytes) -> Iterator[bytes]:
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    begin = None
    for number, found in enumerate(delimiter.finditer(content)):
        if number > MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS} parts")
        if begin is not None:
            yield re.sub(rb"\A\r?\n", b"", content[begin : found.start()], count=1)
        if found[1]:
            return
        begin = found.end()
    raise ValueError("it has no end" if begin is not None else "it has no part")


def part_of(raw: bytes) -> Part:
    """Return a part of which these are headers and content. Raises ValueError: they are malformed."""
    blank = END_OF_HEADERS.search(raw, 0, MOST_HEADER_BYTES)
    end = blank.end() if blank else len(raw)  # RFC 2046 §5.1.1: a part of headers alone needs no blank line
    if end > MOST_HEADER_BYTES:
        raise ValueError("one of its parts has too long headers")
    headers = {name.lower(): str(value) for name, value in BytesHeaderParser().parsebytes(raw[:end]).items()}
    return Part(headers, _decoded(raw[end:], headers.get("content-transfer-encoding", "")), raw)


def _decoded(content: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in AS_THEY_ARE:
        return content
    if encoding not in DECODERS:
        raise ValueError("one of its parts has an unknown transfer encoding")
    return DECODERS[encoding](content)
