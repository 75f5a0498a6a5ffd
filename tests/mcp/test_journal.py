"""The journal in any order of writing, reading, coming back, forgetting and trimming: nothing lost, nothing twice."""

import asyncio
import contextlib
import re
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.errors import StoreUnavailable
from holdfast.mcp import KINDS
from holdfast.mcp.journal import BLOCK, OWN, Bounds, EventStore, Journal, head_of
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.replay import Cursor, Replay, cursor_of
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock

STREAMS = ("s" + "0" * 16, "answer")
EVENTS = re.compile(rb"id: ([0-9a-z.]+)\ndata: (.*)\n\n")
readers = st.integers(0, 2)
streams = st.sampled_from(STREAMS)


class Reader:
    """A client of one stream: what it has seen, and the connection that it reads on, if it has one."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.seen: list[bytes] = []
        self.replay: Replay | None = None


class Forgetful:
    """The store's event log, which may take an event and not answer."""

    def __init__(self, events: Any) -> None:
        self._events, self.mute = events, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    async def append(self, *args: Any, **named: Any) -> int:
        number: int = await self._events.append(*args, **named)
        if self.mute:
            raise StoreUnavailable("no answer came")
        return number


class JournalMachine(RuleBasedStateMachine):
    """Two streams of one session, their writers, and three readers of each."""

    @initialize(count=st.integers(3, 30), size=st.sampled_from([300, 2_000, 10**6]))
    def begin(self, count: int, size: int) -> None:
        self.runner = asyncio.Runner()
        self.clock, store = Clock(), memory_store()
        self.log = Forgetful(store.events)
        manager = Manager(
            replace(store, events=self.log), KeyRing.parse(new_key_text()), KINDS, worker="w", clock=self.clock
        )
        self.session: Session = self.run(manager.open(SESSION, {OWN: [STREAMS[0]]}))
        self.events = EventStore(manager, Bounds(count, size, 100.0))
        self.journal = Journal(self.events, self.session)
        self.journal.begin()
        self.said: dict[str, list[bytes]] = {STREAMS[0]: [], self.journal.stream: []}
        self.over = False
        self.run(self.write())
        self.readers: dict[str, list[Reader]] = {}
        self.names = dict(zip(STREAMS, self.said, strict=True))
        for name in self.said:
            start = 0 if name in STREAMS else 1
            self.readers[name] = [Reader(Cursor(name, start)) for _ in range(3)]

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()

    async def write(self) -> None:
        async for _ in self.journal.kept():
            pass

    # -- writing

    @rule(text=st.binary(max_size=60))
    def push(self, text: bytes) -> None:
        """A message goes to the session's own stream."""
        text, name = text.hex().encode(), STREAMS[0]
        block = b"data: " + text + b"\n\n"
        self.run(self.events.add(self.session.ref, name, head_of(BLOCK), block, own=[name]))
        self.said[name].append(text)

    @precondition(lambda self: not self.over)
    @rule(text=st.binary(max_size=60), mute=st.booleans(), last=st.booleans())
    def say(self, text: bytes, mute: bool, last: bool) -> None:
        """An answer's event is written, again if no answer came."""
        text, self.over = text.hex().encode(), last
        self.journal.add(text, last=last)
        self.said[self.journal.stream].append(text)
        self.log.mute = mute
        with contextlib.suppress(StoreUnavailable):
            self.run(self.write())
        self.log.mute = False
        self.run(self.write())

    @rule(seconds=st.sampled_from([1.0, 40.0, 101.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def prune(self) -> None:
        """What is kept is within its bounds, but for the newest event of the session's own stream."""
        self.run(self.events.prune(self.session.ref, [STREAMS[0]]))
        kept = [entry for name in self.said for entry in self.run(self.log.read(self.session.ref, name, count=9_999))]
        own = self.run(self.log.read(self.session.ref, STREAMS[0], count=9_999))[-1:]
        rest = [entry for entry in kept if entry not in own]
        assert len(rest) <= self.events.bounds.count
        assert sum(len(entry.data) for entry in rest) <= self.events.bounds.size
        assert all(entry.at >= self.clock() - self.events.bounds.age for entry in rest)

    # -- reading

    @rule(stream=streams, which=readers)
    def come_back(self, stream: str, which: int) -> None:
        """A reader opens a connection after what it has seen; it is refused only if something is gone."""
        name = self.names[stream]
        reader = self.readers[name][which]
        cursor = cursor_of(reader.cursor.id)
        assert cursor == reader.cursor
        replay = Replay(self.events, self.session.ref, cursor)
        if self.run(replay.begin(known=stream == STREAMS[0] and cursor.number == 0)):
            reader.replay = replay
        else:
            reader.replay = None
            assert self.is_gone(name, cursor.number)

    @rule(stream=streams, which=readers)
    def read(self, stream: str, which: int) -> None:
        """A reader takes the next page on its connection."""
        reader = self.readers[self.names[stream]][which]
        if reader.replay is None:
            return
        page = self.run(reader.replay.page())
        found = EVENTS.findall(page.replace(b"event: message\n", b""))
        for id_, text in found:
            reader.seen.append(text)
            following = cursor_of(id_.decode())
            assert following is not None
            assert following.number == reader.cursor.number + 1  # no gap, none twice
            reader.cursor = following
        if reader.replay.lost:
            assert self.is_gone(reader.cursor.stream, reader.cursor.number)
            reader.replay = None

    @rule(stream=streams, which=readers)
    def read_on(self, stream: str, which: int) -> None:
        """A reader who gets all that is left has seen everything."""
        name = self.names[stream]
        reader = self.readers[name][which]
        for _ in range(20):
            self.read(stream, which)
        if reader.replay is not None:
            assert reader.seen == self.said[name][reader.cursor.number - len(reader.seen) - (name != STREAMS[0]) :]
            assert reader.replay.over == (name != STREAMS[0] and self.over)

    # -- what always holds

    def is_gone(self, name: str, number: int) -> bool:
        """Say whether an event after a place, or an answer's event at the place itself, is kept no longer."""
        kept = self.run(self.log.read(self.session.ref, name, count=10_000))
        numbers = {int.from_bytes(entry.data[1:5], "big") or entry.seq for entry in kept}
        total = len(self.said[name]) + (name != STREAMS[0])
        return not set(range(max(number, 1), total + 1)) <= numbers

    @invariant()
    def everybody_has_seen_what_was_said_in_its_order(self) -> None:
        for name, some in getattr(self, "readers", {}).items():
            for reader in some:
                assert reader.seen == self.said[name][: len(reader.seen)]


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
