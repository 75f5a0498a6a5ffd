"""What FastMCP keeps for its sessions (`ctx.set_state`, `Session`, visibility rules), in our store instead of memory.

FastMCP 4 takes a key-value store for this (`session_state_store=…`). A server that was given none gets this one: each
value is a node of the tree. State of a legacy session hangs below that session and ends with it; state of FastMCP's own
sessions and users begins a tree. Both are bound to the principal.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, SupportsFloat
from weakref import WeakKeyDictionary

import anyio
import msgspec

from holdfast.core.events import ADDRESS
from holdfast.core.policy import expires_at
from holdfast.core.sealing import Unreadable
from holdfast.core.session import Session
from holdfast.errors import Busy, SessionConflict, SessionExists
from holdfast.mcp.calling import Calling, calling
from holdfast.mcp.kinds import STATE
from holdfast.mcp.stays_behind import servers_of
from holdfast.web.address import network_of

VALUE: Final = "value"
OF_ITS_OWN: Final = ("session:", "user:")  # keys that FastMCP makes of a principal: they outlive a connection
PAUSES: Final = (0.0, 0.01, 0.05, 0.25, 1.0, 5.0)


class _Place:
    """Where a key of this request is kept."""

    def __init__(self, key: str, collection: str, call: Calling) -> None:
        context = call.context
        session = context.session
        self.manager, self.owner = call.manager, context.principal
        self.parent = session if session is not None and key.startswith(f"{session.id}:") else None
        self.kept = self.parent is not None or key.startswith(OF_ITS_OWN)
        self.text = "\0".join((STATE, self.owner, collection, key))
        self.alias = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()

    async def load(self) -> Session | None:
        """Return the node with the value, and record its use."""
        touch = self.manager.rules(STATE)[0].touch_after
        loaded = await self.manager.store.sessions.load(
            self.alias, now=self.manager.clock(), touch_after=touch, owner=self.owner
        )
        try:
            return await self.manager.read(loaded.record, above=loaded.above) if loaded is not None else None
        except Unreadable:
            return None

    async def open(self, content: Mapping[str, Any], lasts: float) -> None:
        """Add the node."""
        clocks = msgspec.structs.replace(self.manager.rules(STATE)[0], absolute=lasts)
        client = self.owner or network_of(ADDRESS.get())
        await self.manager.open(
            STATE, content, alias=self.alias, parent=self.parent, owner=self.owner, client=client, clocks=clocks
        )

    async def write(self, content: Mapping[str, Any], lasts: float) -> None:
        """Add the node, or write over it; raise SessionExists or SessionConflict if another call is in between."""
        session = await self.load()
        if session is None:
            await self.open(content, lasts)
            return
        session.content = dict(content)
        session.record = msgspec.structs.replace(session.record, ends_at=self.manager.clock() + lasts)
        await self.manager.save(session)

    async def clear(self) -> bool:
        """Remove the node at once, even one that has run out, so that its place is free."""
        sessions = self.manager.store.sessions
        loaded = await sessions.load(self.alias, now=0.0)
        return loaded is not None and await sessions.delete([loaded.record.ref]) > 0

    async def make_room(self) -> None:
        """Remove what has run out and was not cleaned up yet."""
        if await self.load() is None:
            await self.clear()


class StateStore:
    """FastMCP's key-value protocol (`key_value.aio`), over the store of the request that is being answered.

    A request of the modern era has no session, so what it keeps is its own, as with FastMCP's transport: it stays in
    this process, and goes with the request.

    Args:
        name: Keeps the state of several servers apart; the same at every worker.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._requests: WeakKeyDictionary[Calling, dict[str, dict[str, Any]]] = WeakKeyDictionary()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """Return a value, None if there is none."""
        return (await self.ttl(key, collection=collection))[0]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """Return a value and the seconds that it is still kept."""
        place = self._place(key, collection)
        if not place.kept:
            return self._of_request().get(place.text), None
        session = await place.load()
        if session is None:
            return None, None
        return session.content[VALUE], expires_at(session.record) - place.manager.clock()

    async def put(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> None:
        """Keep a value for `ttl` seconds. Of two calls that write at once the later wins.

        Raises:
            PayloadTooLarge: It is larger than what a session may keep.
            SessionEnded: The session has ended meanwhile.
        """
        place = self._place(key, collection)
        if not place.kept:
            self._of_request()[place.text] = dict(value)
            return
        lasts = place.manager.rules(STATE)[0].absolute if ttl is None else float(ttl)
        for pause in PAUSES:
            await anyio.sleep(pause)
            try:
                await place.write({VALUE: dict(value)}, lasts)
            except SessionConflict:
                continue
            except SessionExists:
                await place.make_room()
            else:
                return
        raise Busy("other calls keep writing this state")

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Forget a value; return whether there was one."""
        place = self._place(key, collection)
        if place.kept:
            return await place.clear()
        return self._of_request().pop(place.text, None) is not None

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """Return several values."""
        return [await self.get(key, collection=collection) for key in keys]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """Return several values and how long they are kept."""
        return [await self.ttl(key, collection=collection) for key in keys]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Keep several values."""
        for key, value in zip(keys, values, strict=True):
            await self.put(key, value, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Forget several values; return how many there were."""
        return sum([await self.delete(key, collection=collection) for key in keys])

    def _of_request(self) -> dict[str, dict[str, Any]]:
        return self._requests.setdefault(calling(), {})

    def _place(self, key: str, collection: str | None) -> _Place:
        return _Place(key, f"{self._name}\0{collection or ''}", calling())


def share_state(server: Any) -> None:
    """Let a FastMCP server, and those mounted in it, keep their state in our store, unless one has a store already."""
    for number, each in enumerate(servers_of(server)):
        if each._state_storage is None:
            each._state_storage = StateStore(str(number))
