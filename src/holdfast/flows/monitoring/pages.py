"""Pages of the log in the store, sealed. A node is a page.

Messages that went well share pages. One that failed has a page of its own, found by the message's id, where it stands
what became of it when it was sent again. Keys begin with the time backwards, so pages come newest first. How long pages
are kept, and how many, depends on how their messages ended.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from holdfast.config import FlowSettings
from holdfast.core.events import Fact
from holdfast.core.ids import BEGUN_BYTES, NEVER_MS
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import KEY_BYTES, LABEL_BYTES, Reason, Record
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionExists, SessionNotFound, StoreUnavailable
from holdfast.flows.monitoring.entries import Entry, fitting, merged

PAGE: Final = "flow_log"
AT_MOST: Final = 200  # messages of a page
TRIMS: Final = 10  # in as many new pages as are kept, those that are too many are removed so often
MARGIN_BYTES: Final = 256  # what a page has besides its messages, generously
ENTRIES: Final = "entries"
NEVER: Final = NEVER_MS.to_bytes(BEGUN_BYTES, "big")
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[Entry]).decode


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds a flow's messages are kept, and on about how many pages, those that failed and the others.

    `body_bytes`: of a message that failed, with its headers and properties; a longer one cannot be sent again.
    """

    failed_for: float = 30 * 86_400.0
    done_for: float = 86_400.0
    failed_pages: int = 10_000
    done_pages: int = 1_000
    body_bytes: int = 256 * 1024

    @classmethod
    def of(cls, settings: FlowSettings) -> "Retention":
        """Return what the settings say."""
        return cls(
            failed_for=settings.log_failed_for, done_for=settings.log_done_for, body_bytes=settings.log_body_bytes
        )


class Pages:
    """Finds and writes pages."""

    def __init__(self, manager: Manager, retention: Retention) -> None:
        self._manager, self._retention = manager, retention
        self._room = manager.tuning.max_payload_bytes - MARGIN_BYTES

    async def find(self, flow: str, message: str) -> Session | None:
        """Return a message's own page."""
        loaded = await self._manager.store.sessions.load(_alias(flow, message), now=self._manager.clock())
        try:
            return await self._manager.get(loaded.record.ref) if loaded is not None else None
        except SessionNotFound:
            return None

    async def some(self, flow: str) -> bool:
        """Say whether any message of the flow has a page of its own."""
        return bool(await self._manager.store.sessions.find("client", _client(flow, failed=True), count=1))

    async def settle(self, entry: Entry) -> Entry | None:
        """Write what has become known of a message to its own page, which is made if it has failed.

        Returns the message if it has no page of its own.
        """
        while True:
            session = await self.find(entry.flow, entry.id)
            if session is None and entry.outcome != "failed":
                return entry
            if await (self._add_alone(entry) if session is None else self.put(session, entry)):
                return None

    async def put(self, session: Session, entry: Entry) -> bool:
        """Add to a message's own page what has become known; False if somebody else has written it, or it has gone."""
        known = merged(alone(session), entry)
        session.content = {ENTRIES: _encode([msgspec.Raw(self._fitted(known))])}
        try:
            await self._manager.save(session, label=_label(known.outcome, known.flow, known.id))
        except (SessionConflict, SessionNotFound):
            return False
        return True

    async def share(self, entries: Iterable[Entry]) -> None:
        """Add pages of messages that went well."""
        by_flow: dict[str, list[bytes]] = {}
        for entry in entries:
            by_flow.setdefault(entry.flow, []).append(self._fitted(entry))
        for flow, encoded in by_flow.items():
            for page in _packed(encoded, self._room):
                label = _label("done", flow, f"{len(page)} messages")
                while not await self._open(flow, page, label, failed=False):
                    pass  # the key was taken: once in four thousand million

    async def _add_alone(self, entry: Entry) -> bool:
        label, alias = _label(entry.outcome, entry.flow, entry.id), _alias(entry.flow, entry.id)
        return await self._open(entry.flow, [self._fitted(entry)], label, failed=True, alias=alias)

    async def _open(
        self, flow: str, encoded: Sequence[bytes], label: str, *, failed: bool, alias: bytes | None = None
    ) -> bool:
        """Add a page; False if its key or alias is taken. Now and then, those that are too many go."""
        kept, manager, client = self._retention, self._manager, _client(flow, failed=failed)
        try:
            await manager.open(
                PAGE,
                {ENTRIES: _encode([msgspec.Raw(one) for one in encoded])},
                named=False,
                alias=alias,
                key=_key(manager.clock()),
                client=client,
                label=label,
                clocks=Clocks(absolute=kept.failed_for if failed else kept.done_for),
            )
        except SessionExists:
            return False
        most = kept.failed_pages if failed else kept.done_pages
        if secrets.randbelow(most) < TRIMS:
            with suppress(StoreUnavailable):  # the page is there
                await self._trim(client, most)
        return True

    async def _trim(self, client: str, most: int) -> None:
        """Remove all but the newest pages. To do it each time would cost as much as there are pages."""
        manager, seen, after = self._manager, 0, b""
        while page := await manager.store.sessions.find("client", client, after=after, count=AT_MOST):
            old = page[max(most - seen, 0) :]
            if await manager.store.sessions.delete([record.ref for record in old]) == len(old):
                for record in old:
                    manager.tell(Fact.ENDED, record, reason=Reason.REPLACED, gone=True)
            seen, after = seen + len(page), page[-1].key

    def _fitted(self, entry: Entry) -> bytes:
        """Return an entry encoded, with as much of it as the store takes."""
        encoded = b""
        for smaller in fitting(entry):
            encoded = _encode(smaller)
            if len(encoded) <= self._room:
                break
        return encoded


def entries_of(session: Session) -> list[Entry]:
    """Return the messages of a page."""
    return _decode(session.content[ENTRIES])


def alone(session: Session) -> Entry:
    """Return the message of a page that it has for itself."""
    return entries_of(session)[0]


def may_have(record: Record, flow: str, outcome: str) -> bool:
    """Say, without opening it, whether a page may have messages of this flow and outcome; empty for any."""
    its_outcome, _, rest = record.label.partition(" ")
    its_own = record.alias is not None
    fits = outcome in ("", its_outcome) or (outcome == "filtered" and not its_own)
    return fits and (not flow or rest.startswith(f"{flow} "))


def _packed(encoded: Iterable[bytes], room: int) -> Iterator[list[bytes]]:
    """Yield what goes together into a page."""
    page: list[bytes] = []
    size = 0
    for one in encoded:
        if page and (len(page) == AT_MOST or size + len(one) > room):
            yield page
            page, size = [], 0
        page.append(one)
        size += len(one)
    if page:
        yield page


def _alias(flow: str, message: str) -> bytes:
    return hashlib.sha256(f"{PAGE}\0{flow}\0{message}".encode()).digest()


def _client(flow: str, *, failed: bool) -> str:
    """Return among which pages the oldest gives way."""
    return f"{flow}/{'failed' if failed else 'done'}"


def _key(now: float) -> bytes:
    """Return a fresh key that comes before those of earlier instants, and names a tree that began at none."""
    backwards = (NEVER_MS - int(now * 1000)).to_bytes(BEGUN_BYTES, "big")
    return backwards + secrets.token_bytes(KEY_BYTES - 2 * BEGUN_BYTES) + NEVER


def _label(outcome: str, flow: str, what: str) -> str:
    return f"{outcome} {flow} {what}".encode()[:LABEL_BYTES].decode(errors="ignore")


PAGE_KIND: Final = Kind(name=PAGE, spared=True)
