"""Who has a stream that several come back for: in whatever order the store answers and letters arrive, the last."""

from types import SimpleNamespace
from typing import Any

import anyio
from anyio.abc import TaskGroup
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.mcp.inbox import TAKEN_TOPIC, Inbox
from holdfast.mcp.journal import EventStore, Serving

STREAM = "s" + "0" * 16
WORKERS = 2


class Asked:
    """A connection that has asked the store for its rank."""

    def __init__(self) -> None:
        self.rank, self.answered = 0, anyio.Event()


class Place:
    """Two workers, and a store that answers and delivers letters when it is told to."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._ranks = 0
        self.asked: list[Asked] = []
        self.letters: list[tuple[int, Any]] = []
        self.open: dict[int, Serving] = {}
        store = SimpleNamespace(counters=SimpleNamespace(add=self._add), channel=SimpleNamespace(publish=self._publish))
        manager: Any = SimpleNamespace(store=store, clock=lambda: 0.0)
        self.events = [EventStore(manager) for _ in range(WORKERS)]
        self.inboxes = [Inbox(manager, lambda session, request: None, events) for events in self.events]

    async def come(self, worker: int, number: int) -> None:
        """Let a client come back for the stream."""

        async def let_go() -> None:
            del self.open[number]

        self.open[number] = self.events[worker].served(STREAM, let_go, rank=None)
        self._tasks.start_soon(self.inboxes[worker].take_over, STREAM, self.open[number])
        await anyio.wait_all_tasks_blocked()

    def grant(self, which: int) -> None:
        """Let the store count one of those that have asked it."""
        waiting = [asked for asked in self.asked if not asked.rank]
        if waiting:
            self._ranks += 1
            waiting[which % len(waiting)].rank = self._ranks

    async def answer(self, which: int) -> None:
        """Let the store's answer arrive."""
        counted = [asked for asked in self.asked if asked.rank and not asked.answered.is_set()]
        if counted:
            counted[which % len(counted)].answered.set()
            await anyio.wait_all_tasks_blocked()

    async def deliver(self, which: int) -> None:
        """Let a letter arrive."""
        if self.letters:
            worker, letter = self.letters.pop(which % len(self.letters))
            await self.inboxes[worker]._read(letter)
            await anyio.wait_all_tasks_blocked()

    async def _add(self, name: str, **more: Any) -> int:
        asked = Asked()
        self.asked.append(asked)
        await asked.answered.wait()
        return asked.rank

    async def _publish(self, topic: str, data: bytes) -> None:
        assert topic == TAKEN_TOPIC
        self.letters += [(worker, SimpleNamespace(topic=topic, data=data)) for worker in range(WORKERS)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "come", "grant", "answer", "deliver"]), st.integers(0, 5)), max_size=40
)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_of_all_who_come_back_for_a_stream_the_last_has_it_and_nobody_else(steps: list[tuple[str, int]]) -> None:
    # M14
    anyio.run(_the_last_has_it, steps)


async def _the_last_has_it(steps: list[tuple[str, int]]) -> None:
    async with anyio.create_task_group() as tasks:
        place = Place(tasks)
        async with place.events[0].running(), place.events[1].running():
            for number, (step, which) in enumerate(steps):
                match step:
                    case "come":
                        await place.come(which % WORKERS, number)
                    case "grant":
                        place.grant(which)
                    case "answer":
                        await place.answer(which)
                    case _:
                        await place.deliver(which)
            for _ in place.asked:
                place.grant(0)
                await place.answer(0)
            while place.letters:
                await place.deliver(0)
            last = [len(place.asked)] if place.asked else []
            assert [connection.rank for connection in place.open.values()] == last
