"""What leaves for a client and comes back: `session_state` and `lock_handle`, sealed and bound to their owner (A10).

A sealed `session_state` holds no cookie and no token, only which version of them it stands for: the engine keeps the
newest by itself. Nothing sealed here opens for another principal, in another session, or as another kind of thing.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from holdfast.adt.answers import SessionState
from holdfast.adt.mistakes import BadLockHandle, ForeignSessionState
from holdfast.backend.session import BackendSession
from holdfast.core.model import Ref
from holdfast.core.sealing import KeyRing, Unreadable

VERSION: Final = "v1."
STATE: Final = b"session_state\0"
TOKEN: Final = b"csrf_token\0"
HANDLE: Final = b"lock_handle\0"


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """Which state of affairs a `session_state` stands for.

    `generation` counts the locks of the workspace, `version` the changes of cookies and token of the logon `backend`.
    """

    generation: int
    backend: bytes
    version: int


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a `lock_handle` names: our lock node and the logon it lives in.

    The rest is what a draft has to know when both have gone: the system, its clock when it gave the lock, and how many
    writes of ours each part of the object had seen by then.
    """

    tree: bytes
    backend: bytes
    lock: bytes
    system: str = ""
    held_at: float = 0.0
    writes: dict[str, int] = {}

    @property
    def lock_ref(self) -> Ref:
        """Where the lock node is kept."""
        return Ref(self.tree, self.lock)

    @property
    def backend_ref(self) -> Ref:
        """Where its logon is kept."""
        return Ref(self.tree, self.backend)


class Tokens:
    """Seals and opens what clients carry. `form="plain"` gives real cookies and tokens to trusted callers."""

    def __init__(self, keys: KeyRing, form: Literal["sealed", "plain"] = "sealed") -> None:
        self._keys, self._form = keys, form

    def state(self, stamp: Stamp, backend: BackendSession, *, owner: str, workspace: bytes) -> SessionState:
        """Return the `session_state` of an answer."""
        place = _place(owner, workspace)
        if self._form == "plain":
            mark = {"holdfast": self._seal(msgspec.msgpack.encode(stamp), STATE + place)}
            return {"cookies": backend.cookie_header(), "csrf_token": backend.logon.token, "cookie_store": mark}
        return {
            "cookies": self._seal(msgspec.msgpack.encode(stamp), STATE + place),
            "csrf_token": self._seal(msgspec.msgpack.encode(stamp.version), TOKEN + place),
            "cookie_store": {},
        }

    def stamp(self, state: Mapping[str, Any] | None, *, owner: str, workspace: bytes) -> Stamp | None:
        """Return what a client's `session_state` stands for, None if it was left out.

        Raises:
            ForeignSessionState: It is of another session or principal, or damaged.
        """
        if not state or not any(state.values()):
            return None
        text = state.get("cookies")
        if self._form == "plain":
            store = state.get("cookie_store")
            text = store.get("holdfast") if isinstance(store, Mapping) else None
        try:
            return msgspec.msgpack.decode(self._open(text, STATE + _place(owner, workspace)), type=Stamp)
        except Unreadable as exc:
            raise ForeignSessionState("session_state does not belong to this session, or is damaged") from exc

    def handle(self, ticket: Ticket, *, owner: str) -> str:
        """Return the `lock_handle` for a lock."""
        return self._seal(msgspec.msgpack.encode(ticket), HANDLE + owner.encode())

    def ticket(self, handle: str, *, owner: str) -> Ticket:
        """Return what a client's `lock_handle` names. Raises BadLockHandle."""
        try:
            return msgspec.msgpack.decode(self._open(handle, HANDLE + owner.encode()), type=Ticket)
        except Unreadable as exc:
            raise BadLockHandle("lock_handle is not one that this server has given to you") from exc

    def _seal(self, plain: bytes, bound_to: bytes) -> str:
        return VERSION + base64.urlsafe_b64encode(self._keys.seal(plain, bound_to)).rstrip(b"=").decode()

    def _open(self, text: object, bound_to: bytes) -> bytes:
        if not isinstance(text, str) or not text.startswith(VERSION):
            raise Unreadable
        encoded = text.removeprefix(VERSION)
        try:
            sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Unreadable from exc
        return self._keys.open(sealed, bound_to)


def _place(owner: str, workspace: bytes) -> bytes:
    return workspace + owner.encode()
