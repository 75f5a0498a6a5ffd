"""Whose credentials a request carries, as far as they tell. Nothing of them is kept but a name, or a keyed hash.

A token says who its owner is if it is a JSON Web Token: whether that is true, the receiver judges. Of any other, only
that it is another one can be seen, and it may be a new token of the same user.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.flows.sessions.trace import digest_of

OPAQUE: Final = "#"
USERNAME: Final = re.compile(r'\busername="([^"]*)"')  # RFC 7616 §3.4


class Claims(msgspec.Struct):
    """What of a token's claims names its owner (RFC 7519 §4.1)."""

    sub: str = ""
    iss: str = ""


def user_of(credentials: Iterable[tuple[bytes, bytes]], salt: bytes) -> str:
    """Return the user whom headers with credentials name; `#` and a hash where they do not; empty if there are none.

    Schemes whose credentials are others with each call, such as Negotiate, stand for themselves.
    """
    given = [(name.lower(), value.decode("latin-1")) for name, value in credentials]
    authorization = next((value for name, value in given if name == b"authorization"), "")
    scheme, _, rest = authorization.partition(" ")
    if not rest:  # another header, or a token without a scheme
        return _hashed("".join(value for _, value in given), salt)
    match scheme.lower():
        case "basic":
            return _decoded(rest).decode(errors="replace").partition(":")[0] or "basic"
        case "bearer":
            return _subject(rest) or _hashed(rest, salt)
        case "digest" if (named := USERNAME.search(rest)) is not None:
            return named[1]
    return scheme.lower()


def is_named(user: str) -> bool:
    """Say whether this is a name, so that another one is another user."""
    return not user.startswith(OPAQUE)


def _hashed(value: str, salt: bytes) -> str:
    return OPAQUE + digest_of(value, salt) if value else ""


def _subject(token: str) -> str:
    """Return subject and issuer of a JSON Web Token, empty if it is none."""
    try:
        claims = msgspec.json.decode(_decoded(token.split(".")[1]), type=Claims)
    except (IndexError, msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return f"{claims.sub} of {claims.iss}" if claims.sub and claims.iss else claims.sub


def _decoded(text: str) -> bytes:
    """Return what Base64 stands for, in either alphabet and with or without its padding; empty if it is none."""
    try:
        return base64.b64decode(text.translate({45: "+", 95: "/"}) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
