"""What an adapter is, and how a receiver is called: within its time, and again if that is safe."""

import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
import httpx2
import msgspec

from holdfast.errors import BackendError, BackendUnavailable, ConfigurationError, HoldfastError
from holdfast.flows.model.flow import Retry
from holdfast.flows.runtime.message import Message
from holdfast.flows.runtime.retry import wait_s
from holdfast.flows.scopes import Channel


class Credential(msgspec.Struct, frozen=True):
    """What a name in a flow's `auth` stands for; for `bearer` the secret is the token."""

    user: str
    secret: str

    def __repr__(self) -> str:
        """Never show the secret."""
        return f"Credential({self.user!r})"


Credentials = Callable[[str], Credential]


def no_credentials(name: str) -> Credential:
    """Know none."""
    raise ConfigurationError(f"there is no credential {name!r}", hint="Give the flow its credentials.")


class Adapter(Protocol):
    """Speaks the protocol of one receiver. Cookies and their sessions are none of its business.

    `channel` says what the re-use of sessions has to know, `timeout` is in seconds.
    """

    channel: Channel
    timeout: float
    retry: Retry

    def repeatable(self, message: Message) -> bool:
        """Say whether the call for this message does no harm if it is carried out twice."""
        ...

    async def call(self, message: Message, session: httpx2.AsyncClient) -> Message:
        """Send the message over the channel's client and return the answer.

        Raises:
            NotCarriedOut: Nothing has happened at the receiver.
            BackendUnavailable: Something may have.
            BackendError: The receiver refused; so does any other exception count.
        """
        ...


class Patience(msgspec.Struct, frozen=True):
    """How to wait, and a source of chance, for tests to put in."""

    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    draw: Callable[[], float] = random.random


async def call(adapter: Adapter, message: Message, session: httpx2.AsyncClient, patience: Patience) -> Message:
    """Call a receiver until it has answered, or there is no more sense in it."""
    tried = 0
    while True:
        tried += 1
        try:
            return await _once(adapter, message, session)
        except HoldfastError as exc:
            repeatable = adapter.repeatable(message)
            wait = wait_s(adapter.retry, tried, exc, repeatable=repeatable, draw=patience.draw())
            if wait is None:
                raise
        await patience.sleep(wait)


async def _once(adapter: Adapter, message: Message, session: httpx2.AsyncClient) -> Message:
    name = adapter.channel.name
    with anyio.move_on_after(adapter.timeout):
        try:
            return await adapter.call(message, session)
        except HoldfastError:
            raise
        except Exception as exc:
            raise BackendError(f"{name}: the adapter failed with {type(exc).__name__}") from exc
    raise BackendUnavailable(f"{name} did not answer within {adapter.timeout:g} s")
