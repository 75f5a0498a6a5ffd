"""Finding nodes: by what they have, by when they end, by when they are due."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.model import Reason, Record
from holdfast.core.ports import Index, Store
from holdfast.testing.contract.base import IDLE, NOW, Contract, below, chain, root


class FindContract(Contract):
    """`find`."""

    async def test_nodes_are_found_by_each_of_their_values(self) -> None:  # E21
        async with self.open() as store:
            top = root(owner="ann", client="c")
            leaf = below(top, kind="lock", owner="bob", client="d")
            other = root(kind="http", owner="eve", client="e")
            await chain(store, top, leaf, other)
            assert await _keys(store, "key", leaf.key) == [leaf.key]
            assert await _keys(store, "tree", top.key) == sorted([top.key, leaf.key])
            assert await _keys(store, "parent", top.key) == [leaf.key]
            assert await _keys(store, "owner", "bob") == [leaf.key]
            assert await _keys(store, "client", "e") == [other.key]
            assert await _keys(store, "kind", "lock") == [leaf.key]
            assert await _keys(store, "all", b"") == sorted([top.key, leaf.key, other.key])

    async def test_what_nobody_has_finds_nothing(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root())
            leaf = await chain(store, below(node))
            assert await _keys(store, "key", root().key) == []
            assert await _keys(store, "tree", leaf.key) == []
            assert await _keys(store, "parent", leaf.key) == []
            assert await _keys(store, "owner", "nobody") == []
            assert await _keys(store, "owner", "") == sorted([node.key, leaf.key])

    async def test_nodes_are_found_in_any_state(self) -> None:  # E14
        async with self.open() as store:
            expired, ended = root(ends_at=NOW - 1), root()
            await store.sessions.create(expired, now=NOW - 2)
            await chain(store, ended)
            await store.sessions.end(ended.ref, Reason.ADMIN, now=NOW)
            assert await _keys(store, "kind", "mcp") == sorted([expired.key, ended.key])

    async def test_a_changed_value_is_found_under_the_new_one_only(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root(owner="ann", client="c"))
            await store.sessions.replace(replace(node, owner="bob", client="d"), now=NOW)
            assert await _keys(store, "owner", "ann") == []
            assert await _keys(store, "client", "c") == []
            assert await _keys(store, "owner", "bob") == [node.key]
            assert await _keys(store, "client", "d") == [node.key]

    async def test_pages_follow_one_another_in_order_of_the_key(self) -> None:  # E21
        async with self.open() as store:
            top = root(owner="ann", client="c")
            nodes = [top, *(below(top, owner="ann", client="c") for _ in range(24))]
            await chain(store, *nodes, root(kind="http", owner="bob"))
            expected = sorted(node.key for node in nodes)
            values: dict[Index, bytes | str] = {"tree": top.key, "owner": "ann", "client": "c", "kind": "mcp"}
            for index, value in values.items():
                assert await _pages(store, index, value) == expected
            assert await _pages(store, "parent", top.key) == [key for key in expected if key != top.key]
            assert len(await _pages(store, "all", b"")) == 26

    async def test_a_count_of_nothing_finds_nothing(self) -> None:  # E21
        async with self.open() as store:
            await chain(store, root(due_at=NOW))
            for index in ("all", "due", "kind"):
                assert await store.sessions.find(index, "mcp" if index == "kind" else NOW, count=0) == []

    async def test_expired_nodes_are_found_earliest_first(self) -> None:  # E10
        async with self.open() as store:
            late, early = root(ends_at=NOW + 20), root(idle=5.0)
            future, slid = root(ends_at=NOW + 100), root(sliding=10.0, slid_at=NOW)
            await chain(store, late, early, future, slid)
            assert await _keys(store, "expired", NOW + 4.9) == []
            assert await _keys(store, "expired", NOW + 5) == [early.key]
            assert await _keys(store, "expired", NOW + 20) == [early.key, slid.key, late.key]
            assert [node.key for node in await store.sessions.find("expired", NOW + 20, count=2)] == [
                early.key,
                slid.key,
            ]

    async def test_a_use_puts_expiry_off(self) -> None:  # E7, E10
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            await store.sessions.load(node.ref, now=NOW + 1000, touch_after=0.0)
            assert await _keys(store, "expired", NOW + IDLE) == []
            assert await _keys(store, "expired", NOW + 999 + IDLE) == []
            assert await _keys(store, "expired", NOW + 1000 + IDLE) == [node.key]

    async def test_a_shortened_life_is_found_expired(self) -> None:  # E10
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.replace(replace(node, ends_at=NOW + 10), now=NOW)
            assert await _keys(store, "expired", NOW + 10) == [node.key]

    async def test_what_is_marked_is_no_more_expired(self) -> None:  # E10, E14
        async with self.open() as store:
            node = await chain(store, root(ends_at=NOW + 10))
            await store.sessions.end(node.ref, Reason.EXPIRED, now=NOW + 10)
            assert await _keys(store, "expired", NOW + 1000) == []

    async def test_due_nodes_are_found_earliest_first(self) -> None:  # E10
        async with self.open() as store:
            late, early, never = root(due_at=NOW + 20), root(due_at=NOW + 5.5), root()
            await chain(store, late, early, never)
            assert await _keys(store, "due", NOW + 5.4) == []
            assert await _keys(store, "due", NOW + 5.5) == [early.key]
            assert await _keys(store, "due", NOW + 20) == [early.key, late.key]
            assert await _keys(store, "due", float("inf")) == [early.key, late.key]
            assert [node.key for node in await store.sessions.find("due", NOW + 20, count=1)] == [early.key]

    async def test_a_changed_due_time_is_found_at_the_new_time(self) -> None:  # E10
        async with self.open() as store:
            node = await chain(store, root(due_at=NOW + 5))
            later = await store.sessions.replace(replace(node, due_at=NOW + 50), now=NOW)
            assert await _keys(store, "due", NOW + 49) == []
            assert await _keys(store, "due", NOW + 50) == [node.key]
            await store.sessions.replace(replace(later, due_at=None), now=NOW)
            assert await _keys(store, "due", NOW + 100) == []

    async def test_what_is_marked_is_due_at_once(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.end(node.ref, Reason.ADMIN, now=NOW)
            assert await _keys(store, "due", NOW) == [node.key]

    async def test_values_are_any_text(self) -> None:  # E21
        async with self.open() as store:
            texts = ["a b", "\u00e4", "{x}", "a:b", "a'b\"", "*", "o" * 300]
            nodes = {text: root(owner=text, client=text, label=text[:200]) for text in texts}
            await chain(store, *nodes.values())
            for text, node in nodes.items():
                assert await store.sessions.find("owner", text) == [node]
                assert await store.sessions.find("client", text) == [node]

    async def test_what_moves_in_time_is_found_where_it_is(self) -> None:  # E10
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE, due_at=NOW + 5))
            changed = await store.sessions.replace(replace(node, idle=None, ends_at=float("inf"), due_at=None), now=NOW)
            assert await _keys(store, "expired", NOW + 1e6) == await _keys(store, "due", NOW + 1e6) == []
            await store.sessions.replace(replace(changed, sliding=5.0, slid_at=NOW, due_at=NOW - 5), now=NOW)
            assert await _keys(store, "expired", NOW + 5) == await _keys(store, "due", NOW - 5) == [node.key]


async def _keys(store: Store, index: Index, value: bytes | str | float) -> list[bytes]:
    return [node.key for node in await store.sessions.find(index, value)]


async def _pages(store: Store, index: Index, value: bytes | str) -> list[bytes]:
    """Return the keys that pages of seven give."""
    found: list[Record] = []
    while page := await store.sessions.find(index, value, after=found[-1].key if found else b"", count=7):
        found += page
    return [node.key for node in found]
