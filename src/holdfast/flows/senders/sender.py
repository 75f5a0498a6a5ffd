"""What a sender is: it makes messages for one flow, out of requests, of time, or of what it reads elsewhere."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
import httpx2
import msgspec

from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.message import Message
from holdfast.flows.senders.work import Work
from holdfast.flows.sessions.scopes import Channel


class Process(Protocol):
    """Lets a flow process a message, as `DeployedFlow.process`."""

    def __call__(self, message: Message, logon: Session | None = None) -> Awaitable[Message | None]:
        """Return what the flow makes of it."""
        ...


class Accept(Protocol):
    """Stores a message and returns what processes it, as `DeployedFlow.accept`."""

    def __call__(
        self, message: Message, logon: Session | None = None
    ) -> Awaitable[Callable[[], Awaitable[Message | None]]]:
        """Return it once the message is stored."""
        ...


class SenderMeans(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender has to work with.

    Args:
        flow: The flow's name.
        process, accept: Give the flow a message.
        work: What is under way here: whatever a sender does beside waiting is done through it.
        manager: Of the engine: all workers share its store.
        adapter: What adapters have: credentials, the file's folder, the clock, paths of the server.
        client: Returns a client whose calls are in the flow's sessions.
        exchange: Begins an exchange of the flow, for calls that belong to no message.
        sleep: Waits for so many seconds.
    """

    flow: str
    process: Process
    accept: Accept
    work: Work
    manager: Manager
    adapter: Means
    client: Callable[[Channel], httpx2.AsyncClient]
    exchange: Callable[[], AbstractAsyncContextManager[None]]
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class Sender(Protocol):
    """Makes messages for one flow. What is made of its settings may raise ConfigurationError: what is wrong."""

    async def run(self) -> None:
        """Make messages until cancelled, or return if others call it."""
        ...
