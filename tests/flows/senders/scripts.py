"""Functions that flows of these tests call."""

import anyio

from holdfast.flows.message import Message

seen: list[Message] = []
gates: dict[str, anyio.Event] = {}


def note(message: Message) -> None:
    """Remember what came."""
    seen.append(message)


async def wait(message: Message) -> None:
    """Stay until the gate is opened, having noted the message."""
    seen.append(message)
    await gates["here"].wait()


def fail(message: Message) -> None:
    """Raise, with something in the text that nobody should see."""
    raise ValueError("the password is hunter2")


async def linger(message: Message) -> None:
    """Take as long as the message says."""
    await anyio.sleep(float(message.headers.get("x-seconds", "0.5")))


async def stop_at_c(message: Message) -> None:
    """Note the message, and stay if it is the third."""
    seen.append(message)
    if message.body["id"] == "c":
        await gates["here"].wait()


def fail_at_a(message: Message) -> None:
    """Note the message, and fail if it is the first."""
    seen.append(message)
    if message.body["id"] == "a":
        raise ValueError("not this one")
