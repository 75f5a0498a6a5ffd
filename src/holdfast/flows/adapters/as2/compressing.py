"""Compressed content (CMS, RFC 3274)."""

import zlib
from typing import Final

from cryptography.x509 import ObjectIdentifier as Oid

from holdfast.flows.adapters.as2 import asn1

ZLIB: Final = Oid("1.2.840.113549.1.9.16.3.8")


def compress(content: bytes) -> bytes:
    """Return the content, compressed."""
    inner = asn1.Content(type=asn1.DATA, content=zlib.compress(content))
    return asn1.message(asn1.COMPRESSED, asn1.CompressedData(version=0, algorithm=asn1.Hash(oid=ZLIB), content=inner))


def decompress(data: bytes, most: int) -> bytes:
    """Return what was compressed. Raises ValueError: it is malformed, or has more than `most` bytes."""
    found = asn1.read(asn1.COMPRESSED, asn1.CompressedData, data)
    if found.algorithm.oid != ZLIB or found.content.content is None:
        raise ValueError("not compressed by zlib")
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(found.content.content, most + 1)
    except zlib.error as exc:
        raise ValueError("the compressed content is malformed") from exc
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes when it is no more compressed")
    if not machine.eof or machine.unused_data:
        raise ValueError("the compressed content is malformed")
    return content
