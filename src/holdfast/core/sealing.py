"""Secrets stay inside: AES-256-GCM under a ring of keys. The first key seals, all of them open (E5).

A sealed text is: one byte of format, 4 bytes that name the key, 12 bytes nonce, ciphertext with its 16-byte tag. What
it belongs to is bound as associated data, so a sealed text moved elsewhere does not open.
"""

import base64
import binascii
import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.errors import ConfigurationError

FORMAT: Final = b"\x01"
KEY_BYTES: Final = 32
NAME_BYTES: Final = 4
NONCE_BYTES: Final = 12
HEAD_BYTES: Final = 1 + NAME_BYTES + NONCE_BYTES


class Unreadable(Exception):
    """A sealed text that no key of the ring opens: of another ring, of another place, or damaged."""


def new_key_text() -> str:
    """Return a fresh key as `HOLDFAST_KEYS` takes it: 32 random bytes in base64url without padding."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).rstrip(b"=").decode()


class KeyRing:
    """Seals and opens byte strings."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys:
            raise ConfigurationError("no sealing key is configured", hint="Make one with `holdfast keys new`.")
        if any(len(key) != KEY_BYTES for key in keys):
            raise ConfigurationError(
                f"a sealing key must have {KEY_BYTES} bytes", hint="Make one with `holdfast keys new`."
            )
        self._ciphers = {hashlib.sha256(key).digest()[:NAME_BYTES]: AESGCM(key) for key in keys}
        self._head = FORMAT + hashlib.sha256(keys[0]).digest()[:NAME_BYTES]
        self._sealer = AESGCM(keys[0])

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Return the ring of `HOLDFAST_KEYS`: keys in base64url, separated by commas or white space."""
        try:
            keys = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.replace(",", " ").split()]
        except (binascii.Error, ValueError) as exc:
            raise ConfigurationError(
                "a sealing key is not base64url", hint="Make one with `holdfast keys new`."
            ) from exc
        return cls(keys)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Return `plain` sealed under the first key."""
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((self._head, nonce, self._sealer.encrypt(nonce, plain, bound_to)))

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Return what was sealed for `bound_to`, or raise `Unreadable`."""
        cipher = self._ciphers.get(sealed[1 : 1 + NAME_BYTES])
        if cipher is None or sealed[:1] != FORMAT:
            raise Unreadable
        try:
            return cipher.decrypt(sealed[1 + NAME_BYTES : HEAD_BYTES], sealed[HEAD_BYTES:], bound_to)
        except (InvalidTag, ValueError) as exc:
            raise Unreadable from exc
