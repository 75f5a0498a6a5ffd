"""Application state behind handles: what a tool keeps between calls, found again at any worker, after any restart.

    baskets = Handles("basket", opened_by="open_basket")

    async def open_basket(customer: str) -> str:
        return await baskets.open({"customer": customer, "items": []}, ttl=3600)

    async def add_item(basket: str, item: str) -> str:
        def add(content): content["items"].append(item)
        await baskets.update(basket, add)

A handle is an ordinary text in a result and in arguments, for the model to keep. It is a node of the tree like a
session: bound to the principal, expiring, counted, shown by `holdfast sessions`. Whoever names one that is dead, of
another collection or of another principal gets one and the same answer, which says what to call instead. It works in
any tool that Holdfast serves: those of an SDK server, of a FastMCP server, and our own.
Source: MCP 2026-07-28, "Stateful tools", SEP-2567 (mcp.md §7).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from holdfast.core.events import ADDRESS
from holdfast.core.model import LABEL_BYTES, Reason, State
from holdfast.core.policy import expires_at
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.errors import BadInput, ConfigurationError, SessionConflict, SessionError, SessionNotFound
from holdfast.mcp.calling import calling
from holdfast.web.address import network_of

HANDLE: Final = "handle"
DEFAULT_TTL_S: Final = 3600.0
LEAST_TTL_S: Final = 10.0
_ID, _CONTENT = "id", "content"
T = TypeVar("T")

# What else a dead handle's error is, so that a server which hides the words of unexpected errors shows these.
SHOWN: Final[list[type[Exception]]] = []


class HandleGone(SessionError):
    """A handle that was never given, has expired, was closed, or is another principal's."""

    code = "handle_gone"
    status = 404


class Open(msgspec.Struct, frozen=True):
    """An open handle, as listed. Instants are Unix seconds, UTC; `expires_at` moves with every use."""

    handle: str
    opened_at: float
    used_at: float
    expires_at: float


class Kept:
    """What is behind a handle: a mapping that may be changed and saved."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def content(self) -> dict[str, Any]:
        """The application's own values."""
        content: dict[str, Any] = self._session.content[_CONTENT]
        return content

    @property
    def session(self) -> Session:
        """The node that keeps it."""
        return self._session


class Handles:
    """One collection of handles.

    Args:
        name: What is behind them, as a model reads it: "basket".
        opened_by: The tool that opens new ones, for the words of an error.
        with_session: Handles opened in a legacy session end with it; left out, they outlive it.
    """

    def __init__(self, name: str, *, opened_by: str = "", with_session: bool = False) -> None:
        if not name or len(name.encode()) > LABEL_BYTES:
            raise ConfigurationError(f"a collection of handles needs a name of 1 to {LABEL_BYTES} bytes")
        self.name, self._opened_by, self._with_session = name, opened_by, with_session

    async def open(self, content: Mapping[str, Any] | None = None, *, ttl: float = DEFAULT_TTL_S) -> str:
        """Keep `content` and return the handle to it, which every worker knows from now on.

        It expires `ttl` seconds after its last use, at least 10, and at the latest when `[kinds.handle]` says so.
        Of more than `[kinds.handle] per_client` (1,000), the least recently used one makes room.

        Raises:
            PayloadTooLarge: The content is larger than a session's may be.
        """
        if ttl < LEAST_TTL_S:
            raise BadInput(f"the ttl of a handle is {ttl} s; it must be {LEAST_TTL_S:g} s at least")
        manager, context = calling().manager, calling().context
        clocks = manager.rules(HANDLE)[0]
        session = await manager.open(
            HANDLE,
            {_CONTENT: dict(content or {})},
            parent=context.session if self._with_session else None,
            owner=context.principal,
            client=context.principal or network_of(ADDRESS.get()),
            label=self.name,
            clocks=msgspec.structs.replace(clocks, idle=ttl),
        )
        if context.principal:  # who is known may have it listed; the store keeps no id that is not sealed
            session.content[_ID] = session.id
            await manager.save(session)
        return str(session.id)

    async def load(self, handle: str) -> Kept:
        """Return what is behind a handle; raise HandleGone."""
        manager, context = calling().manager, calling().context
        try:
            session = await manager.load(handle, kind=HANDLE, owner=context.principal)
        except SessionNotFound:
            raise self._gone(handle) from None
        if session.record.label != self.name:
            raise self._gone(handle)
        return Kept(session)

    async def save(self, kept: Kept) -> None:
        """Write what was changed.

        Raises:
            SessionConflict: Another call has written since it was loaded; `update` repeats its change instead.
            HandleGone: It was closed meanwhile.
        """
        try:
            await calling().manager.save(kept.session)
        except SessionConflict:
            raise
        except SessionError:
            raise self._gone("") from None

    async def update(self, handle: str, change: Callable[[dict[str, Any]], T]) -> T:
        """Change what is behind a handle, and return what `change` returns; repeated if another call was faster."""
        while True:
            kept = await self.load(handle)
            result = change(kept.content)
            try:
                await self.save(kept)
            except SessionConflict:
                continue
            return result

    async def close(self, handle: str) -> None:
        """End a handle and drop what is behind it; raise HandleGone if it is dead already."""
        kept = await self.load(handle)
        await calling().manager.end(kept.session, Reason.CLIENT)

    async def list(self) -> list[Open]:
        """Return the caller's open handles of this collection, oldest first.

        Without authentication nobody is told of any: a handle is all that shows whose it is.
        """
        manager, context = calling().manager, calling().context
        if not context.principal:
            return []
        now, found = manager.clock(), []
        async for record in manager.each("owner", context.principal):
            wanted = record.kind == HANDLE and record.label == self.name and record.state is State.LIVE
            if not wanted or expires_at(record) <= now:
                continue
            try:
                handle = (await manager.read(record)).content.get(_ID)
            except Unreadable:
                continue
            if isinstance(handle, str):
                found.append(Open(handle, record.created_at, record.used_at, expires_at(record)))
        return sorted(found, key=lambda one: one.opened_at)

    def _gone(self, handle: str) -> HandleGone:
        named = f"the {self.name} {handle[:8]}…" if handle else f"the {self.name}"
        next_step = f"Call {self._opened_by} for a new one." if self._opened_by else "Open a new one."
        text = f"{named} is not there: it has expired, was closed, or never was yours"
        return gone_error(text, next_step)


def gone_error(text: str, hint: str) -> HandleGone:
    """Return the error of a dead handle, in a form that every server that is loaded shows to its clients."""
    if not SHOWN:
        return HandleGone(text, hint=hint)
    shown = type("HandleGone", (HandleGone, *SHOWN), {"__str__": lambda self: f"{self.args[0]}. {self.hint}"})
    error = shown(text, hint=hint)
    assert isinstance(error, HandleGone)  # noqa: S101 - by its bases
    return error
