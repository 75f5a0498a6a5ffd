"""What goes out: content, wrapped as a partner wants it, and the MIC by which a receipt proves what came.

Which bytes the MIC is of (RFC 4130 §7.3.1, RFC 5402 §4): what was signed; of what is only compressed or encrypted the
entity as it was before, with its headers; of what is neither the content alone.
"""

import base64
import hashlib
from typing import Final

import msgspec
from cryptography import x509

from holdfast.flows.adapters.as2 import mime
from holdfast.flows.adapters.as2.compressing import compress
from holdfast.flows.adapters.as2.encrypting import ENCRYPTIONS, encrypt
from holdfast.flows.adapters.as2.keys import Identity
from holdfast.flows.adapters.as2.signing import sign

NAMES: Final = {"sha1": "sha1", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}  # RFC 8551 §3.5.3.2


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How messages to a partner are wrapped; None and empty: not at all. `mics` are hashes that a receipt may be by."""

    hash: str = "sha256"
    mics: tuple[str, ...] = ()
    me: Identity | None = None
    pss: bool = False
    partner: x509.Certificate | None = None
    encrypt: str = ""
    oaep: bool = False
    compress: str = ""

    @property
    def micalg(self) -> str:
        """The hash's name on the wire."""
        return NAMES[self.hash]


class Made(msgspec.Struct, frozen=True):
    """A message, and its MICs as receipts write them: by the hash that is asked for, then by others."""

    entity: mime.Entity
    mics: tuple[str, ...]


def make(manner: Manner, inner: mime.Entity, *, now: float) -> Made:
    """Return the message for an entity. Raises BadInput: one of its headers would begin another one."""
    signed = manner.me is not None
    part = _compressed(inner) if manner.compress and (manner.compress == "before_signing" or not signed) else inner
    outer = part
    if manner.me is not None:
        outer = mime.signed(part, _signature(manner, manner.me, part, now), manner.micalg)
        if manner.compress == "after_signing":
            outer = _compressed(outer)
    if manner.partner is not None and manner.encrypt:
        kind = "authEnveloped-data" if ENCRYPTIONS[manner.encrypt].authenticated else "enveloped-data"
        outer = mime.enclosed(encrypt(outer.whole, manner.partner, how=manner.encrypt, oaep=manner.oaep), kind)
    if signed:
        return Made(outer, _mics(manner, part.whole))
    return Made(outer, _mics(manner, inner.content if outer is inner else inner.whole))


def _signature(manner: Manner, me: Identity, part: mime.Entity, now: float) -> bytes:
    return sign(part.whole, me.key, me.certificate, digest=manner.hash, pss=manner.pss, now=now)


def _compressed(entity: mime.Entity) -> mime.Entity:
    return mime.enclosed(compress(entity.whole), "compressed-data")


def _mics(manner: Manner, data: bytes) -> tuple[str, ...]:
    names = dict.fromkeys((manner.hash, *manner.mics))
    return tuple(f"{base64.b64encode(hashlib.new(name, data).digest()).decode()}, {NAMES[name]}" for name in names)
