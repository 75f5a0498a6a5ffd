"""The sender `schedule`: a message without a body whenever it is time.

    sender: {adapter: schedule, cron: "0 6 * * MON-FRI", zone: Europe/Berlin}

Of all workers one lets the flow process what is due; with a worker that is killed in the middle of it, that one time is
gone, and the next is another worker's. What was due while no worker ran is not made up for.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

from holdfast.errors import Busy, HoldfastError, ServerStopping
from holdfast.flows.message import Message
from holdfast.flows.senders.post import Post, Turn
from holdfast.flows.senders.sender import SenderMeans
from holdfast.flows.senders.timing import Timing

LOOK_S: Final = 30.0  # how long is waited without a look at the clock, which may have been set
log = logging.getLogger(__name__)


class Scheduled(Timing, frozen=True, kw_only=True, tag_field="adapter", tag="schedule"):
    """A schedule. The message's header `due` is the instant, in UTC (ISO 8601)."""


class Clockwork:
    """Does something at every due time, at one of all workers, through what is `work` of the flow."""

    def __init__(self, timing: Timing, means: SenderMeans, do: Callable[[float, Turn | None], Awaitable[None]]) -> None:
        self._timing, self._means, self._do = timing, means, do
        self._post = Post(means.manager, means.flow)

    async def run(self) -> None:
        """Begin what is due, when it is, until cancelled."""
        clock = self._means.manager.clock
        due = self._timing.due_after(clock())
        while True:
            while (left := due - clock()) > 0:
                await self._means.sleep(min(left, LOOK_S))
            with suppress(ServerStopping):
                self._means.work.leave(partial(self._begin, due))
            due = self._timing.due_after(max(due, clock()))

    async def _begin(self, due: float) -> None:
        """Do what is due, unless another worker does, or the last time is still being dealt with."""
        try:
            await self._means.work.do(partial(self._at, due))
        except Busy:
            log.info("flow %s: what is due at %s is left out: the last time is not over", self._means.flow, _text(due))
        except HoldfastError as exc:
            log.warning("flow %s, due at %s: %s", self._means.flow, _text(due), exc)

    async def _at(self, due: float) -> None:
        async with AsyncExitStack() as stack:
            turn = None if self._timing.overlap else await stack.enter_async_context(self._post.turn())
            if await self._post.first(due):
                await self._do(due, turn)


class ScheduleSender:
    """Makes a message whenever it is due."""

    def __init__(self, options: Scheduled, means: SenderMeans) -> None:
        self._means = means
        self._clockwork = Clockwork(options, means, self._send)

    async def run(self) -> None:
        """Make messages until cancelled."""
        await self._clockwork.run()

    async def _send(self, due: float, turn: Turn | None) -> None:
        await self._means.process(Message(headers={"due": _text(due)}))


def _text(due: float) -> str:
    return datetime.fromtimestamp(due, UTC).isoformat()
