"""The shapes of what handlers answer. The first four fields are the source's own (A9)."""

from typing import NotRequired, TypedDict

from holdfast.adt.documents import Message, ObjectReference
from holdfast.backend.locks import Outcome


class SessionState(TypedDict):
    """What the source calls `session_state`. Its values are sealed references, or the real ones in plain form (A10)."""

    cookies: str
    csrf_token: str
    cookie_store: dict[str, str]


class Warned(TypedDict):
    """A remark about the call; `code` is stable."""

    code: str
    message: str


class Answer(TypedDict):
    """What every handler answers. `success` is false for findings; `messages` say what was found."""

    success: bool
    session_id: str
    session_state: SessionState
    message: str
    messages: NotRequired[list[Message]]
    warnings: NotRequired[list[Warned]]


class LockAnswer(Answer):
    """The answer to Lock. `lock_handle` names our lock: it stays valid whatever becomes of SAP's own."""

    lock_handle: str
    transport: NotRequired[str]


class UpdateAnswer(Answer):
    """The answer to Unlock and Activate: what became of the change (A6)."""

    outcome: Outcome


class WriteAnswer(UpdateAnswer):
    """The answer to Update. `draft_id` names where a source is kept that was not written, or not for certain (A8)."""

    draft_id: NotRequired[str]


class ResumeAnswer(WriteAnswer):
    """The answer to ResumeUpdate: that of Update, with the handle of the lock it has taken."""

    lock_handle: str


class ReadAnswer(Answer):
    """The answer to Read."""

    source_code: str
    version: str
    etag: NotRequired[str]
    properties: NotRequired[dict[str, str]]


class ListAnswer(Answer):
    """The answer to a search, or to the question what is inactive."""

    objects: list[ObjectReference]


class SessionInfo(TypedDict):
    """One session of the caller. Only the first characters of its id are known. Instants are Unix seconds."""

    session: str
    system: str
    opened_at: float
    last_used_at: float
    expected_end: float
    logons: int
    locks: int


class LockInfo(TypedDict):
    """One lock of the caller, in whatever state it is. `expected_end` is when it goes if it is not used any more.

    `sm12` is what an administrator deletes by hand if the lock is stranded: user and argument.
    """

    id: str
    object: str
    system: str
    user: str
    session: str
    since: float
    expected_end: float
    state: str
    sm12: NotRequired[dict[str, str]]


class SessionList(TypedDict):
    """The answer to ListSessions."""

    success: bool
    sessions: list[SessionInfo]
    message: str


class LockList(TypedDict):
    """The answer to ListLocks."""

    success: bool
    locks: list[LockInfo]
    message: str


class DraftInfo(TypedDict):
    """A source that could not be written. Instants are Unix seconds; `reason` is the code of what went wrong."""

    draft_id: str
    object: str
    include: str
    system: str
    bytes: int
    reason: str
    kept_at: float
    expires_at: float
    transport: NotRequired[str]
    source_code: NotRequired[str]


class DraftList(TypedDict):
    """The answer to ListDrafts."""

    success: bool
    drafts: list[DraftInfo]
    message: str


class Done(TypedDict):
    """The answer to CloseSession and DiscardDraft."""

    success: bool
    message: str
