"""BER as partners may send it, made readable for who reads DER: definite lengths, strings in one piece (X.690 §8)."""

from typing import Final

MAX_DEPTH: Final = 40
CONSTRUCTED: Final = 0x20
OCTET_STRING: Final = 0x04


def normalised(data: bytes) -> bytes:
    """Return BER with definite lengths and strings in one piece. Raises ValueError: it is malformed."""
    element, rest = _element(memoryview(data), 0)
    if len(rest):
        raise ValueError("something follows the message")
    return element


def _element(data: memoryview, depth: int) -> tuple[bytes, memoryview]:
    """Return the first element of the data, and what follows it."""
    tag = _byte(data, 0)
    if tag & 0x1F == 0x1F or depth > MAX_DEPTH:
        raise ValueError("no structure of CMS")
    length, start = _length(data)
    if length is None:
        if not tag & CONSTRUCTED:
            raise ValueError("a length is missing")
        parts, rest = _until_the_end(data[start:], depth)
    else:
        if len(data) < start + length:
            raise ValueError("it ends too early")
        content, rest = data[start : start + length], data[start + length :]
        parts = _elements(content, depth) if tag & CONSTRUCTED else [bytes(content)]
    if tag == OCTET_STRING | CONSTRUCTED:
        return _written(OCTET_STRING, b"".join(_content(part) for part in parts)), rest
    return _written(tag, b"".join(parts)), rest


def _elements(data: memoryview, depth: int) -> list[bytes]:
    parts = []
    while len(data):
        part, data = _element(data, depth + 1)
        parts.append(part)
    return parts


def _until_the_end(data: memoryview, depth: int) -> tuple[list[bytes], memoryview]:
    parts = []
    while bytes(data[:2]) != b"\0\0":
        part, data = _element(data, depth + 1)
        parts.append(part)
    return parts, data[2:]


def _length(data: memoryview) -> tuple[int | None, int]:
    """Return how long the content is, None for one whose end is marked, and where it begins."""
    first = _byte(data, 1)
    if first < 0x80:
        return first, 2
    count = first & 0x7F
    if count > 4 or len(data) < 2 + count:
        raise ValueError("a length is malformed")
    return (int.from_bytes(data[2 : 2 + count], "big") if count else None), 2 + count


def _written(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _content(element: bytes) -> bytes:
    """Return the content of a piece of a string."""
    if element[0] != OCTET_STRING:
        raise ValueError("a string has a piece that is none")
    return element[_length(memoryview(element))[1] :]


def _byte(data: memoryview, at: int) -> int:
    if len(data) <= at:
        raise ValueError("it ends too early")
    return data[at]
