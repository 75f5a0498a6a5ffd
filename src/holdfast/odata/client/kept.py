"""A session that outlives its client: what another process needs to go on with it, sealed.

The id is as good as a password for what is in the session, and so are the cookies of its logon: they leave the process
under a key only. What is kept for one service cannot be opened for another.
"""

import base64
import binascii
from typing import Any, Final

import msgspec

from holdfast.core.sealing import KeyRing, Unreadable
from holdfast.errors import BadInput
from holdfast.odata.client.standing import Standing

PURPOSE: Final = b"sticky session of "


class Kept(msgspec.Struct, frozen=True):
    """Where a client stands, its cookies and its token, the action import that discards, ETags by entity."""

    standing: Standing
    jar: list[Any]
    token: str
    discard: str
    etags: dict[str, str]


def sealed(kept: Kept, root: str, keys: KeyRing) -> str:
    """Return it as a text that only these keys open, for the service of this root."""
    return base64.urlsafe_b64encode(keys.seal(msgspec.msgpack.encode(kept), PURPOSE + root.encode())).decode()


def opened(text: str, root: str, keys: KeyRing) -> Kept:
    """Return what `sealed` made a text of; raise BadInput if it is another service's, other keys' or damaged."""
    try:
        plain = keys.open(base64.urlsafe_b64decode(text.encode()), PURPOSE + root.encode())
        return msgspec.msgpack.decode(plain, type=Kept)
    except (Unreadable, binascii.Error, ValueError) as exc:
        raise BadInput("this is no session of this service, or other keys have sealed it") from exc
