"""One call of a client in its workspace: what it brought, what it is warned of, what it is answered (A9-A11)."""

from collections.abc import Mapping
from typing import Any

from holdfast.adt.answers import Answer, SessionState, Warned
from holdfast.adt.desk import Caller
from holdfast.adt.documents import Message
from holdfast.adt.mistakes import SessionMismatch, StaleSessionState
from holdfast.adt.tokens import Stamp, Tokens
from holdfast.backend.locks import Lock
from holdfast.backend.session import BackendSession
from holdfast.core.session import Session

STALE = "stale_session_state"


class Visit:
    """A call in progress."""

    def __init__(
        self,
        tokens: Tokens,
        caller: Caller,
        workspace: Session,
        session_id: str,
        *,
        state: Mapping[str, Any] | None = None,
        strict: bool = False,
    ) -> None:
        self.caller, self.workspace, self.session_id = caller, workspace, session_id
        self.warnings: list[Warned] = []
        self._tokens, self._strict = tokens, strict
        self._given = tokens.stamp(state, owner=workspace.owner, workspace=workspace.key)

    def look(self, current: Stamp) -> None:
        """Compare what the client brought with a logon's state now: older of the same logon is stale."""
        given = self._given
        if given is not None and given.backend == current.backend and given.version < current.version:
            self._stale("cookies or token have changed since")

    def look_at_lock(self, node: Session, lock: Lock) -> None:
        """Check that this is the lock's session, and that what the client brought is not from before the lock."""
        if self.workspace.key not in node.above:
            raise SessionMismatch("the lock belongs to another session, which is still there")
        if self._given is not None and self._given.generation < lock.generation:
            self._stale("it is from before the Lock")

    def warn(self, code: str, message: str) -> None:
        """Put a remark into the answer."""
        self.warnings.append({"code": code, "message": message})

    def state(self, backend: BackendSession, stamp: Stamp) -> SessionState:
        """Return the `session_state` to answer."""
        return self._tokens.state(stamp, backend, owner=self.workspace.owner, workspace=self.workspace.key)

    def answer(
        self,
        success: bool,
        text: str,
        backend: BackendSession,
        stamp: Stamp,
        *,
        messages: list[Message] | None = None,
    ) -> Answer:
        """Return what every handler answers; nothing that is empty is said."""
        answer: Answer = {
            "success": success,
            "session_id": self.session_id,
            "session_state": self.state(backend, stamp),
            "message": text,
        }
        if messages is not None:
            answer["messages"] = messages
        if self.warnings:
            answer["warnings"] = self.warnings
        return answer

    def _stale(self, why: str) -> None:
        text = f"session_state is stale: {why}"
        if self._strict:
            raise StaleSessionState(text)
        if not any(warned["code"] == STALE for warned in self.warnings):
            self.warn(STALE, f"{text}; the newest was used. Always pass the session_state of the last answer.")
