"""Drafts: a source that could not be written is kept until it is resumed, discarded, or a day old (A8).

A draft is the root of a tree of its own, so the end of a session or a logon does not reach it; its owner is the
principal, and to all others it is not there. The text lies below it in pieces, which keeps every node small, and the
list of what a principal has as well.
"""

import contextlib
import enum
import math
from typing import Any, Final

import msgspec

from holdfast.adt.desk import Caller, Desk, object_label
from holdfast.backend.locks import digest_of
from holdfast.core.events import Event, Fact
from holdfast.core.model import KEY_BYTES, Reason, Record, Ref, State
from holdfast.core.policy import expires_at
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.errors import HoldfastError, NotFound, PayloadTooLarge, SessionNotFound

DRAFT: Final = "draft"
DRAFT_TEXT: Final = "draft_text"
LONGEST_DRAFT: Final = 8 * 1024 * 1024
LIFE_S: Final = 86_400.0
MOST_DRAFTS: Final = 20  # of one principal; the oldest makes room
PIECE: Final = 512 * 1024
SLACK_S: Final = 10.0  # stamps of versions have seconds, and the clocks of two machines differ


class DraftNotFound(NotFound):
    """Malformed, unknown, expired, discarded and foreign ids of drafts all get this one answer (E3)."""

    code = "draft_not_found"
    default_hint = "Call ListDrafts: it names the drafts there are. They are kept for 24 hours."


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with a source. `held_at` is the back end's clock when it gave the lock, Unix seconds.

    `base` is the digest of the source before, empty where nothing has been written under the lock; then `writes`, how
    many writes of ours this source had seen before the lock, and the time decide whether somebody has changed it.
    """

    system: str
    user: str
    type: str
    name: str
    part: str
    transport: str
    digest: bytes
    size: int
    why: str
    held_at: float
    writes: int = 0
    base: bytes = b""
    whole: bool = False  # all pieces of the text are there

    def is_for(self, other: "Draft") -> bool:
        """Say whether both are the same text for the same source."""
        mine, theirs = ((*msgspec.structs.astuple(draft)[:5], draft.digest) for draft in (self, other))
        return mine == theirs


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it is now: digest, writes of ours, and who changed the object when, where the system tells it."""

    digest: bytes
    writes: int = 0
    changed_at: float | None = None
    changed_by: str = ""


class Verdict(enum.Enum):
    """What is to be done about a draft."""

    WRITE = "write"
    ALREADY = "already applied"
    CHANGED = "changed by somebody"


def judge(draft: Draft, seen: Seen) -> Verdict:
    """Decide about a draft whose object is locked again. What cannot be told counts as changed."""
    if seen.digest == draft.digest:
        return Verdict.ALREADY
    if draft.base:
        return Verdict.WRITE if seen.digest == draft.base else Verdict.CHANGED
    return Verdict.CHANGED if _others_wrote(draft, seen) or _changed_since(draft, seen) else Verdict.WRITE


def _others_wrote(draft: Draft, seen: Seen) -> bool:
    """Say whether a counter that starts anew from time to time has moved."""
    return seen.writes not in (draft.writes, 0)


def _changed_since(draft: Draft, seen: Seen) -> bool:
    """Say whether the object was changed after it was locked; our own user may have done so right before."""
    if seen.changed_at is None:
        return True
    ours = seen.changed_by.upper() == draft.user
    return seen.changed_at >= (draft.held_at + SLACK_S if ours else math.floor(draft.held_at))


def writes_of(system: str, object_type: str, name: str, part: str) -> str:
    """Return the name of the counter of writes to a source."""
    return f"adt:writes:{system}:{object_type}:{name}:{part}"


class Drafts:
    """Keeps, finds and drops drafts."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def keep(self, caller: Caller, draft: Draft, source: str) -> str:
        """Keep a source and return the id of its draft; the same text for the same source is kept once.

        Raises:
            PayloadTooLarge: It is longer than 8 MiB.
        """
        text = source.encode()
        if len(text) > LONGEST_DRAFT:
            raise PayloadTooLarge(f"the source has {len(text)} bytes; a draft has at most {LONGEST_DRAFT}")
        manager = self._desk.manager
        for node, kept in await self.of(caller):
            if kept.is_for(draft):
                return await self._set(node, draft)
        since = f"{manager.clock():.0f}"
        label = object_label(draft.system, draft.user, draft.type, draft.name) + since
        node = await manager.open(
            DRAFT, _plain(draft), owner=caller.owner, client=caller.client, label=label, named=False
        )
        step = min(PIECE, manager.tuning.max_payload_bytes // 2)
        for number, start in enumerate(range(0, len(text), step)):
            piece = {"number": number, "text": text[start : start + step]}
            await manager.open(DRAFT_TEXT, piece, parent=node, label=label, named=False)
        return await self._set(node, draft)

    async def find(self, caller: Caller, draft_id: str) -> tuple[Session, Draft]:
        """Return a draft of the caller's. Raises DraftNotFound."""
        try:
            key = bytes.fromhex(draft_id) if len(draft_id) == 2 * KEY_BYTES else b""
            node = await self._desk.manager.get(Ref(key, key))
        except (ValueError, SessionNotFound) as exc:
            raise self._unknown(caller, draft_id) from exc
        if (node.record.kind, node.owner) != (DRAFT, caller.owner) or not _draft(node).whole:
            raise self._unknown(caller, draft_id)
        return node, _draft(node)

    async def text(self, node: Session) -> str:
        """Return the source that a draft keeps."""
        pieces = await self._desk.manager.children(node.ref, DRAFT_TEXT)
        pieces.sort(key=lambda piece: int(piece.content["number"]))
        text = b"".join(piece.content["text"] for piece in pieces).decode()
        if digest_of(text) != _draft(node).digest:
            raise DraftNotFound("the draft is ending")
        return text

    async def of(self, caller: Caller) -> list[tuple[Session, Draft]]:
        """Return the caller's drafts, the oldest first. One that cannot be read is not there."""
        now = self._desk.manager.clock()
        found = []
        async for record in self._desk.of_caller(caller):
            if record.kind == DRAFT and record.state is State.LIVE and expires_at(record) > now:
                with contextlib.suppress(Unreadable):
                    node = await self._desk.manager.read(record)
                    found.append((node, _draft(node)))
        return sorted([pair for pair in found if pair[1].whole], key=lambda pair: pair[0].record.created_at)

    async def discard(self, node: Session) -> None:
        """Drop a draft."""
        await self._desk.manager.end(node, Reason.CLIENT)

    async def written(self, caller: Caller, draft: Draft) -> None:
        """Drop what is kept of a text that has been written after all; a draft that stays does no harm."""
        with contextlib.suppress(HoldfastError):
            for node, kept in await self.of(caller):
                if kept.is_for(draft):
                    await self.discard(node)

    async def _set(self, node: Session, draft: Draft) -> str:
        node.content = _plain(msgspec.structs.replace(draft, whole=True))
        await self._desk.manager.save(node)
        return id_of(node.record)

    def _unknown(self, caller: Caller, draft_id: str) -> DraftNotFound:
        manager = self._desk.manager
        manager.sink.emit(
            Event(
                fact=Fact.UNKNOWN_ID,
                at=manager.clock(),
                kind=DRAFT,
                mark=draft_id[:8],
                owner=caller.owner,
                client=caller.client,
            )
        )
        return DraftNotFound(f"there is no draft {draft_id[:8]} (any more)")


def say_kept(error: HoldfastError, draft_id: str) -> None:
    """Have an error say where the source is kept and what to call next; its hint is the way without the draft."""
    error.draft_id = draft_id
    said = f"the source is kept as draft {draft_id}: call ResumeUpdate with this draft_id to lock again and write it"
    error.args = (f"{error}; {said}",)


def id_of(record: Record) -> str:
    """Return what `draft_id` is: it opens nothing by itself, for a draft is looked up with its owner."""
    return record.key.hex()


def _draft(node: Session) -> Draft:
    return msgspec.convert(node.content, Draft)


def _plain(draft: Draft) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(draft, builtin_types=(bytes,))
    return plain
