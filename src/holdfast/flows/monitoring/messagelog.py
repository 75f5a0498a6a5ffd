"""The log of messages: what flows have done with each, and which may be sent again (F10, F17).

async with open_engine(url, kinds=flow_kinds()) as engine:
    for entry in (await MessageLog(engine.manager).list("orders", "failed")).entries: …
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from holdfast.core.manager import Manager
from holdfast.core.model import Record, State
from holdfast.core.policy import expires_at
from holdfast.core.sealing import Unreadable
from holdfast.core.together import every
from holdfast.errors import BadInput, Busy, NotFound
from holdfast.flows.monitoring.entries import OUTCOMES, Entry, Run
from holdfast.flows.monitoring.pages import PAGE, Pages, Retention, alone, entries_of, may_have

MOST: Final = 1000  # messages of one answer
READ: Final = 100
PREFIX_CHARS: Final = 6  # a message's id may be shortened to so many


class Listed(msgspec.Struct, frozen=True):
    """Messages, the newest first; `after` brings those that follow, and is empty if there are none."""

    entries: list[Entry]
    after: str = ""


class Place(NamedTuple):
    """So many messages of a page have been seen, and all pages before it."""

    page: bytes = b""
    number: int = 0


class MessageLog:
    """Reads and writes the log. `manager` is of an engine that was opened with `flow_kinds()`."""

    def __init__(self, manager: Manager, retention: Retention = Retention()) -> None:  # noqa: B008 - immutable
        self.manager, self.retention = manager, retention
        self._pages = Pages(manager, retention)

    async def list(
        self,
        flow: str = "",
        outcome: str = "",
        *,
        since: float = 0.0,
        until: float = float("inf"),
        after: str = "",
        count: int = 50,
    ) -> Listed:
        """Return messages whose last run ended from `since` on and before `until` (Unix seconds), the newest first.

        They are in the order of their pages; those that ended within a quarter of a second are in no certain order.

        Args:
            flow: Of this flow alone.
            outcome: `done`, `filtered`, `failed`, or `running` for those that are being sent again.
            after: What an earlier answer gave.
            count: 1,000 at most.
        """
        if outcome and outcome not in OUTCOMES:
            raise BadInput(f"{outcome!r} is no outcome; there are {', '.join(OUTCOMES)}")
        found: list[Entry] = []
        async for place, entry in self._each(flow, outcome, _place(after)):
            ended_at = entry.last.ended_at or entry.last.began_at
            if since <= ended_at < until:
                found.append(entry)
                if len(found) >= min(count, MOST):
                    return Listed(found, place)
        return Listed(found)

    async def get(self, message: str, flow: str = "") -> Entry:
        """Return the message with this id, or the only one whose id begins so (six characters at least).

        Raises NotFound.
        """
        if flow and (page := await self._pages.find(flow, message)) is not None:
            return alone(page)
        found: dict[tuple[str, str], Entry] = {}
        async for _, entry in self._each(flow, "", Place()):
            if entry.id == message or (len(message) >= PREFIX_CHARS and entry.id.startswith(message)):
                found.setdefault((entry.flow, entry.id), entry)  # the newest
        exact = [entry for entry in found.values() if entry.id == message]
        near = exact or list(found.values())
        if len(near) != 1:
            said = f"{len(near)} messages in the log are called" if near else "the log has no message"
            raise NotFound(f"{said} {message!r}", hint="`holdfast flow log` lists what there is.")
        return near[0]

    async def write(self, entries: Iterable[Entry], known: Collection[str] = (), *, all_of_them: bool = True) -> None:
        """Write how runs ended; it may be done twice.

        Args:
            known: Ids of messages that may have failed earlier: then it is noted there.
            all_of_them: The log is to have those too that went well.
        """
        entries = list(entries)
        flows = {entry.flow for entry in entries if entry.id in known}
        failing = {flow for flow in flows if await self._pages.some(flow)}  # in most flows nothing has failed
        alone, shared = list[Entry](), list[Entry]()
        for entry in entries:
            by_itself = entry.outcome == "failed" or (entry.id in known and entry.flow in failing)
            (alone if by_itself else shared).append(entry)
        rest = [entry for entry in await every(self._pages.settle, alone) if entry is not None]
        if all_of_them:
            await self._pages.share([*shared, *rest])

    async def claim(self, message: Entry, run: Run) -> None:
        """Note that a message is being sent again; of several who do so at once, one succeeds.

        Raises:
            Busy: Another one has.
            BadInput: It has not failed.
            NotFound: It is not there any more.
        """
        while (page := await self._pages.find(message.flow, message.id)) is not None:
            entry = alone(page)
            if entry.outcome == "running":
                raise Busy(
                    f"message {entry.id} is being sent again already, by worker {entry.last.worker}",
                    hint="Look at it in the log.",
                )
            if entry.outcome != "failed":
                raise BadInput(f"message {entry.id} has not failed: it is {entry.outcome}", hint="Look into the log.")
            if await self._pages.put(page, msgspec.structs.replace(entry, runs=(run,))):
                return
        raise NotFound(f"the log has no message {message.id!r} that failed")

    async def _each(self, flow: str, outcome: str, begin: Place) -> AsyncIterator[tuple[str, Entry]]:
        """Yield messages, and the place behind each."""
        after = _before(begin.page)
        while found := await self.manager.store.sessions.find("kind", PAGE, after=after, count=READ):
            for record in found:
                entries = await self._entries(record) if may_have(record, flow, outcome) else []
                first = begin.number if record.key == begin.page else 0
                for number, entry in enumerate(entries[first:], start=first + 1):
                    if outcome in ("", entry.outcome) and flow in ("", entry.flow):
                        yield f"{record.key.hex()}.{number}", entry
            after = found[-1].key

    async def _entries(self, record: Record) -> Sequence[Entry]:
        """Return the messages of a page, the newest first; of one that has run out, or cannot be read, none."""
        if record.state is not State.LIVE or expires_at(record) <= self.manager.clock():
            return []
        try:
            return entries_of(await self.manager.read(record))[::-1]
        except Unreadable:
            return []


def _place(after: str) -> Place:
    """Return what `Listed.after` names; raise BadInput if it is of somebody's own making."""
    page, _, number = after.partition(".")
    try:
        return Place(bytes.fromhex(page), int(number or 0)) if after else Place()
    except ValueError:
        raise BadInput(f"{after!r} is no place in the log") from None


def _before(key: bytes) -> bytes:
    """Return the greatest key that is less, empty if there is none."""
    number = int.from_bytes(key, "big")
    return (number - 1).to_bytes(len(key), "big") if number else b""
