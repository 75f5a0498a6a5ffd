"""Event logs: numbered without gaps, read from any point, trimmed from the old end, gone with their node."""

# ruff: noqa: S101 - a test asserts

from functools import partial

from holdfast.core.model import LogEntry, Reason, Record
from holdfast.core.ports import Store
from holdfast.errors import SessionEnded
from holdfast.testing.contract.base import NOW, Contract, all_at_once, chain, elsewhere, refused, root


class EventLogContract(Contract):
    """`EventLog`."""

    async def test_events_are_numbered_from_one(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root())
            numbers = [await store.events.append(node.ref, "s", b"%d" % n, now=NOW + n) for n in range(3)]
            assert numbers == [1, 2, 3]
            assert await store.events.read(node.ref, "s") == [
                LogEntry(1, NOW, b"0"),
                LogEntry(2, NOW + 1, b"1"),
                LogEntry(3, NOW + 2, b"2"),
            ]

    async def test_streams_and_nodes_count_apart(self) -> None:  # E21
        async with self.open() as store:
            one, two = root(), root()
            await chain(store, one, two)
            assert await store.events.append(one.ref, "s", b"", now=NOW) == 1
            assert await store.events.append(one.ref, "t", b"", now=NOW) == 1
            assert await store.events.append(two.ref, "s", b"", now=NOW) == 1

    async def test_parallel_events_get_numbers_without_gap_or_repeat(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root())
            numbers = await all_at_once(*(store.events.append(node.ref, "s", b"", now=NOW) for _ in range(50)))
            assert {number for number in numbers if isinstance(number, int)} == set(range(1, 51))

    async def test_reading_goes_on_after_a_number(self) -> None:  # E21
        async with self.open() as store:
            node = await _filled(store, 10)
            assert [e.seq for e in await store.events.read(node.ref, "s", after=4, count=3)] == [5, 6, 7]
            assert [e.seq for e in await store.events.read(node.ref, "s", after=8)] == [9, 10]
            assert await store.events.read(node.ref, "s", after=10) == []
            assert await store.events.read(node.ref, "s", count=0) == []

    async def test_what_is_unknown_reads_as_empty(self) -> None:  # E21
        async with self.open() as store:
            node = await _filled(store, 1)
            assert await store.events.read(node.ref, "unknown") == []
            assert await store.events.read(root().ref, "s") == []
            assert await store.events.read(elsewhere(node), "s") == []
            assert await store.events.trim(node.ref, "unknown") == 0
            assert await store.events.trim(elsewhere(node), "s") == 0

    async def test_a_node_that_is_gone_takes_no_event(self) -> None:  # E17
        async with self.open() as store:
            node = await chain(store, root())
            for ref in (root().ref, elsewhere(node)):
                with refused(SessionEnded):
                    await store.events.append(ref, "s", b"", now=NOW)

    async def test_an_ending_node_takes_its_last_event(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.end(node.ref, Reason.ADMIN, now=NOW)
            assert await store.events.append(node.ref, "s", b"bye", now=NOW) == 1

    async def test_trimming_keeps_the_newest_and_never_uses_a_number_again(self) -> None:  # E21
        async with self.open() as store:
            node = await _filled(store, 5)
            assert await store.events.trim(node.ref, "s", keep=2) == 3
            assert [e.seq for e in await store.events.read(node.ref, "s")] == [4, 5]
            assert await store.events.trim(node.ref, "s", before=NOW + 100) == 2
            assert await store.events.read(node.ref, "s") == []
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 6

    async def test_a_stream_that_is_trimmed_without_bounds_is_forgotten(self) -> None:  # E21
        async with self.open() as store:
            node = await _filled(store, 5)
            await store.events.append(node.ref, "t", b"", now=NOW)
            assert await store.events.trim(elsewhere(node), "s") == 0
            assert await store.events.trim(node.ref, "s") == 5
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 1
            assert await store.events.append(node.ref, "t", b"", now=NOW) == 2

    async def test_trimming_by_age_leaves_what_is_younger_or_among_the_newest(self) -> None:  # E21
        async with self.open() as store:
            node = await _filled(store, 6)
            assert await store.events.trim(node.ref, "s", before=NOW + 2) == 2
            assert await store.events.trim(node.ref, "s", keep=3, before=NOW + 100) == 1
            assert [e.seq for e in await store.events.read(node.ref, "s")] == [4, 5, 6]
            assert await store.events.trim(node.ref, "s", keep=9) == 0

    async def test_pruning_drops_the_oldest_events_of_all_streams_of_the_node_and_of_no_other(self) -> None:  # M14
        async with self.open() as store:
            node, other = await _filled(store, 3), await _filled(store, 3)
            for place in range(3):
                await store.events.append(node.ref, "t", b"%d" % place, now=NOW + 1.5 + place)
            assert await store.events.prune(node.ref, count=6, size=100, before=NOW) == 0
            assert await store.events.prune(node.ref, count=4, size=100, before=NOW) == 2
            assert await _left(store, node) == {"s": [3], "t": [1, 2, 3]}
            assert await store.events.prune(node.ref, count=100, size=3, before=NOW) == 1
            assert await _left(store, node) == {"s": [3], "t": [2, 3]}
            assert await store.events.prune(node.ref, count=100, size=100, before=NOW + 3) == 2
            assert await _left(store, node) == {"s": [], "t": [3]}
            assert await store.events.prune(elsewhere(other), count=0, size=0, before=NOW) == 0
            assert await _left(store, other) == {"s": [1, 2, 3], "t": []}

    async def test_pruning_forgets_a_stream_of_which_nothing_is_left(self) -> None:  # M14
        async with self.open() as store:
            node = await _filled(store, 3)
            await store.events.append(node.ref, "t", b"", now=NOW + 9)
            assert await store.events.prune(node.ref, count=1, size=100, before=NOW) == 3
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 1
            assert await store.events.append(node.ref, "t", b"", now=NOW) == 2

    async def test_pruning_leaves_no_gap_though_the_clocks_of_workers_differ(self) -> None:  # M14
        async with self.open() as store:
            node = await chain(store, root())
            for at in (NOW, NOW + 5, NOW + 1, NOW + 6, NOW + 2):
                await store.events.append(node.ref, "s", b"", now=at)
            assert await store.events.prune(node.ref, count=100, size=0, before=NOW + 5) == 1
            assert await _left(store, node) == {"s": [2, 3, 4, 5], "t": []}
            assert await store.events.prune(node.ref, count=2, size=0, before=NOW) == 2
            assert await _left(store, node) == {"s": [4, 5], "t": []}

    async def test_pruning_leaves_the_newest_event_of_what_is_spared(self) -> None:  # M14
        async with self.open() as store:
            node = await _filled(store, 3)
            for stream in ("t", "u", "u"):
                await store.events.append(node.ref, stream, b"", now=NOW + 9)
            prune = partial(store.events.prune, node.ref, count=1, size=0, before=NOW + 10)
            assert await prune(spare=("s", "u", "unknown")) == 4
            assert await _left(store, node) == {"s": [3], "t": []}
            assert [entry.seq for entry in await store.events.read(node.ref, "u")] == [2]
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 4
            assert await prune() == 3
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 1

    async def test_events_go_with_their_node(self) -> None:  # E14
        async with self.open() as store:
            node = await _filled(store, 3)
            await store.sessions.delete([node.ref])
            assert await store.events.read(node.ref, "s") == []
            await chain(store, root(key=node.key))
            assert await store.events.read(node.ref, "s") == []
            assert await store.events.append(node.ref, "s", b"", now=NOW) == 1

    async def test_an_event_is_any_bytes_of_any_length(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root())
            events = [b"", bytes(range(256)), b"\x00" * 300_000]
            for data in events:
                await store.events.append(node.ref, "a stream: \u00e4/'\"", data, now=NOW)
            assert [entry.data for entry in await store.events.read(node.ref, "a stream: \u00e4/'\"")] == events

    async def test_reading_and_trimming_change_no_node(self) -> None:  # E10, E24
        async with self.open() as store:
            node = await _filled(store, 3)
            await store.events.trim(node.ref, "s", keep=1)
            assert await store.sessions.find("key", node.key) == [node]


async def _left(store: Store, node: Record) -> dict[str, list[int]]:
    """Return the numbers of the events there are in streams `s` and `t`."""
    return {stream: [entry.seq for entry in await store.events.read(node.ref, stream)] for stream in "st"}


async def _filled(store: Store, number: int) -> Record:
    """Return a node with that many events in stream `s`, one a second."""
    node = await chain(store, root())
    for place in range(number):
        await store.events.append(node.ref, "s", b"%d" % place, now=NOW + place)
    return node
