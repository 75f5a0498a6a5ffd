"""Many small errands at the store at once, but not too many; and listening to a channel through an outage."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Never, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from holdfast.core.model import Message
from holdfast.core.ports import Channel
from holdfast.errors import StoreUnavailable

AT_ONCE: Final = 16
STORE_DOWN_S: Final = 1.0  # how long to leave a store alone that was out of reach

MANY: Final = 256

Item = TypeVar("Item")
Result = TypeVar("Result")


async def together(errand: Callable[[Item], Awaitable[object]], items: Iterable[Item]) -> None:
    """Do an errand for every item, 16 at a time. An errand must not raise: it would end the others.

    After each of them others have their turn, however many there are.
    """
    left = iter(items)

    async def work() -> None:
        for item in left:
            await errand(item)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(work)


async def every(errand: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
    """Do a short errand for every item, 256 at a time, and return what each has returned.

    A store takes what comes at once together: one transaction, one trip. What an errand raises is raised here once all
    are done; of several, that of the first item.
    """
    results: dict[int, Result] = {}
    errors: dict[int, Exception] = {}
    left = iter(enumerate(items))

    async def work() -> None:
        for place, item in left:
            try:
                results[place] = await errand(item)
            except Exception as exc:  # noqa: BLE001 - raised below
                errors[place] = exc

    async with anyio.create_task_group() as tasks:
        for _ in items[:MANY]:
            tasks.start_soon(work)
    if errors:
        raise errors[min(errors)]
    return [results[place] for place in range(len(items))]


async def listen(
    channel: Channel,
    topics: Iterable[str],
    take: Callable[[Message], Awaitable[object]],
    *,
    back: Callable[[], object] = lambda: None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> Never:
    """Take what is published under these topics until cancelled; subscribe anew when the store is back (E26).

    What was published during an outage is not heard: a message is a hint. `back` is called after it, since there may
    be news. It counts as started once it has subscribed, or has found the store out of reach.
    """
    ready: Callable[[], object] = task_status.started
    while True:
        try:
            async with channel.subscribe(*topics) as messages:
                ready()
                ready = back
                async for message in messages:
                    await take(message)
        except StoreUnavailable:
            if ready is not back:
                ready()
                ready = back
        await anyio.sleep(STORE_DOWN_S)
