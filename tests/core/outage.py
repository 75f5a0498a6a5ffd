"""A store with a switch: up, down, hanging until its timeout, or taking what it is told without an answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
import msgspec

from holdfast.core.manager import Manager
from holdfast.core.model import Message
from holdfast.core.ports import Store
from holdfast.core.session import Session
from holdfast.errors import StoreUnavailable

TIMEOUT_S = 0.05
Mode = Literal["up", "down", "hanging", "mute"]
AWAY: list[Mode] = ["down", "hanging"]


class Switch:
    """How the store is. `calls` are the names of what it was asked for, `refused` of what it did not answer."""

    def __init__(self) -> None:
        self.mode: Mode = "up"
        self.calls: list[str] = []
        self.refused: list[str] = []
        self._changed = anyio.Event()

    def set(self, mode: Mode) -> None:
        self.mode = mode
        self._changed.set()
        self._changed = anyio.Event()

    async def changes(self) -> None:
        await self._changed.wait()

    async def out(self, name: str) -> None:
        """Raise as a store does that cannot be reached."""
        self.refused.append(name)
        if self.mode == "hanging":
            await anyio.sleep(TIMEOUT_S)
        raise StoreUnavailable("the store is out of reach")


class _Port:
    def __init__(self, port: Any, switch: Switch) -> None:
        self._port, self._switch = port, switch

    def __getattr__(self, name: str) -> Any:
        method, switch = getattr(self._port, name), self._switch

        async def call(*args: Any, **kwargs: Any) -> Any:
            switch.calls.append(name)
            if switch.mode in ("down", "hanging"):
                await switch.out(name)
            answer = await method(*args, **kwargs)
            if switch.mode == "mute":
                await switch.out(name)
            return answer

        return call


class _Channel(_Port):
    @asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
        if self._switch.mode != "up":
            await self._switch.out("subscribe")
        async with self._port.subscribe(*topics) as messages:
            yield self._messages(messages)

    async def _messages(self, messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """Deliver until the store goes: then the connection breaks."""
        while (message := await self._next(messages)) is not None:
            yield message
        await self._switch.out("subscribe")

    async def _next(self, messages: AsyncIterator[Message]) -> Message | None:
        found: list[Message] = []
        while not found and self._switch.mode == "up":
            async with anyio.create_task_group() as tasks:

                async def next_one() -> None:
                    found.append(await anext(messages))
                    tasks.cancel_scope.cancel()

                async def cut() -> None:
                    await self._switch.changes()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(next_one)
                tasks.start_soon(cut)
        return found[0] if found and self._switch.mode == "up" else None


def switched(store: Store) -> tuple[Store, Switch]:
    """Return the store behind a switch."""
    switch = Switch()
    ports = {name: _Port(getattr(store, name), switch) for name in ("sessions", "leases", "events", "counters")}
    return msgspec.structs.replace(store, **ports, channel=_Channel(store.channel, switch)), switch


async def opened(manager: Manager, **more: Any) -> Session:
    return await manager.open("http", {"n": 1}, owner="ann", **more)


async def load(manager: Manager, session: Session, owner: str = "ann") -> Session:
    assert session.id is not None
    return await manager.load(session.id, kind="http", owner=owner)
