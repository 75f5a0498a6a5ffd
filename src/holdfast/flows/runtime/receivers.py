"""How a receiver is called: within its time, and again if that is safe."""

import random
import uuid
from collections.abc import Awaitable, Callable

import anyio
import httpx2
import msgspec

from holdfast.errors import BackendError, BackendUnavailable, HoldfastError
from holdfast.flows.adapters.adapter import Adapter
from holdfast.flows.message import Message
from holdfast.flows.runtime.retry import wait_s


class Patience(msgspec.Struct, frozen=True):
    """How to wait, and a source of chance, for tests to put in."""

    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    draw: Callable[[], float] = random.random


async def call(
    adapter: Adapter, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID, patience: Patience
) -> Message:
    """Call a receiver until it has answered, or there is no more sense in it."""
    tried = 0
    while True:
        tried += 1
        try:
            return await _once(adapter, message, session, delivery)
        except HoldfastError as exc:
            repeatable = adapter.repeatable(message)
            wait = wait_s(adapter.retry, tried, exc, repeatable=repeatable, draw=patience.draw())
            if wait is None:
                raise
        await patience.sleep(wait)


async def _once(adapter: Adapter, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
    name = adapter.channel.name
    with anyio.move_on_after(adapter.timeout):
        try:
            return await adapter.call(message, session, delivery)
        except HoldfastError:
            raise
        except Exception as exc:
            raise BackendError(f"{name}: the adapter failed with {type(exc).__name__}") from exc
    raise BackendUnavailable(f"{name} did not answer within {adapter.timeout:g} s")
