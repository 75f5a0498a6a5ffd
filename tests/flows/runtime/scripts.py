"""Functions that the flows of these tests name."""

import asyncio
import time
from typing import Any

from holdfast.flows.runtime import Message


def append_block(message: Message) -> Message:
    """Put what was fetched behind what is there already."""
    blocks = [*message.properties.get("blocks", []), message.body]
    return message.changed(properties={"blocks": blocks})


def mark(message: Message) -> None:
    """Change the message in place, as no script should."""
    message.body["seen"] = [*message.body.get("seen", []), message.properties["mine"]]
    message.properties["mine"] = "spoilt"


def fails(message: Message) -> Message:
    raise ValueError(f"no {message.body}")


def leaves(message: Message) -> Message:
    raise SystemExit(3)


async def doubled(message: Message) -> Any:
    await asyncio.sleep(0)
    return message.body * 2


async def never(message: Message) -> Any:
    await asyncio.Event().wait()


def slow(message: Message) -> Any:
    time.sleep(0.3)


def uncopied(message: Message) -> Any:
    return [(each for each in "a generator")]


def total(bodies: list[int]) -> int:
    return sum(bodies)


class Later:
    """A callable that is no coroutine function and still gives one."""

    async def __call__(self, message: Message) -> str:
        return f"later {message.body}"


later = Later()
