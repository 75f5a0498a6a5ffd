"""Compressed content, and what pretends to be some. Few builds of openssl have zlib: the peers have another reader."""

import zlib

import pytest
from cryptography import x509
from cryptography.hazmat import asn1 as der
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.adapters.as2 import asn1
from holdfast.flows.adapters.as2.ber import MAX_DEPTH, normalised
from holdfast.flows.adapters.as2.compressing import ZLIB, compress, decompress

STREAM = zlib.compress(b"hello")


def made(stream: bytes | None, algorithm: x509.ObjectIdentifier = ZLIB) -> bytes:
    content = asn1.Content(type=asn1.DATA, content=stream)
    compressed = asn1.CompressedData(version=0, algorithm=asn1.Hash(oid=algorithm), content=content)
    return asn1.message(asn1.COMPRESSED, compressed)


def indefinite(tag: int, *parts: bytes) -> bytes:
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=1000))
def test_what_is_compressed_comes_back(content: bytes) -> None:
    assert decompress(compress(content), len(content)) == content


def test_content_in_pieces_of_indefinite_length_is_read() -> None:
    # X.690 §8.1.3.6, §8.7.3: as programs send it that do not know the length beforehand
    pieces = [der.encode_der(STREAM[at : at + 3]) for at in range(0, len(STREAM), 3)]
    inner = indefinite(0x30, der.encode_der(asn1.DATA), indefinite(0xA0, indefinite(0x24, *pieces)))
    algorithm = indefinite(0x30, der.encode_der(ZLIB))
    compressed = indefinite(0x30, der.encode_der(0), algorithm, inner)
    message = indefinite(0x30, der.encode_der(asn1.COMPRESSED), indefinite(0xA0, compressed))
    assert normalised(message) == made(STREAM)
    assert decompress(message, 5) == b"hello"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (made(STREAM), "more than 4 bytes"),
        (made(zlib.compress(b"a" * 10_000_000)), "more than 4 bytes"),
        (made(zlib.compress(b"a")[:-1]), "malformed"),
        (made(zlib.compress(b"a") + b"a"), "malformed"),
        (made(b"hello"), "malformed"),
        (made(None), "not compressed by zlib"),
        (made(STREAM, asn1.DATA), "not compressed by zlib"),
        (asn1.message(asn1.SIGNED, asn1.Content(type=asn1.DATA)), "another type of message"),
        (made(STREAM) + b"\0", "something follows the message"),
        (made(STREAM)[:-1], "it ends too early"),
        (b"", "it ends too early"),
        (b"\x04\x80", "a length is missing"),
        (b"\x30\x85\0\0\0\0\1a", "a length is malformed"),
        (b"\x30\x82\1", "a length is malformed"),
        (b"\x1f\x81\0", "no structure of CMS"),
        (b"\x30\x80" * (MAX_DEPTH + 2), "no structure of CMS"),
        (b"\x24\x02\x05\x00", "a string has a piece that is none"),
    ],
)
def test_what_is_not_compressed_content_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decompress(data, 4)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_nothing_else_is_read(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        decompress(data, 1000)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.binary(max_size=200), lambda below: st.lists(below, max_size=4), max_leaves=12), st.data())
def test_the_same_is_read_however_its_lengths_are_written(tree: object, data: st.DataObject) -> None:
    def written(node: object, *, freely: bool) -> bytes:
        if isinstance(node, bytes) and not (freely and len(node) > 1 and data.draw(st.booleans())):
            return der.encode_der(node)
        if isinstance(node, bytes):
            return indefinite(0x24, der.encode_der(node[:1]), der.encode_der(node[1:]))
        assert isinstance(node, list)
        content = b"".join(written(one, freely=freely) for one in node)
        if freely and data.draw(st.booleans()):
            return indefinite(0x30, content)
        if freely:
            return b"\x30\x84" + len(content).to_bytes(4, "big") + content
        return normalised(b"\x30\x84" + len(content).to_bytes(4, "big") + content)

    assert normalised(written(tree, freely=True)) == written(tree, freely=False)
