"""Creating, loading, touching: what is there, from when on it is not, and what a use leaves behind."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.ids import alias_of, new_key
from holdfast.core.model import MAX_DEPTH, Reason, Ref, State
from holdfast.errors import BadInput, SessionEnded, SessionExists
from holdfast.testing.contract.base import (
    DAY,
    IDLE,
    NOW,
    Contract,
    all_at_once,
    below,
    chain,
    elsewhere,
    refused,
    root,
    stored,
)


class LoadContract(Contract):
    """`create` and `load`."""

    async def test_a_node_comes_back_as_it_went_in(self) -> None:  # E21
        node = root(
            name="an id",
            mark="an id",
            owner="ann",
            client="10.0.0.1",
            label="DEV ZCL_X, since noon: ä",
            payload=bytes(range(256)),
            idle=IDLE,
            sliding=600.0,
            slides_after=300.0,
            slid_at=NOW,
            busy_until=NOW + 1.5,
            due_at=NOW + 60.25,
            attempts=2,
        )
        async with self.open() as store:
            created = await store.sessions.create(node, now=NOW)
            assert created.record == node
            assert created.replaced == ()
            by_place = await store.sessions.load(node.ref, now=NOW)
            by_alias = await store.sessions.load(alias_of("an id"), now=NOW)
        assert by_place is not None
        assert by_place.record == node
        assert by_place.above == ()
        assert by_alias == by_place

    async def test_version_and_held_of_a_new_node_are_the_stores(self) -> None:  # E21
        async with self.open() as store:
            created = await store.sessions.create(root(version=7, held=3), now=NOW)
            assert (created.record.version, created.record.held) == (0, 0)
            assert await stored(store, created.record) == created.record

    async def test_what_is_not_there_is_none(self) -> None:  # E3
        async with self.open() as store:
            node = await chain(store, root())
            assert await store.sessions.load(Ref(new_key(), new_key()), now=NOW) is None
            assert await store.sessions.load(alias_of("unknown"), now=NOW) is None
            assert await store.sessions.load(elsewhere(node), now=NOW) is None

    async def test_a_taken_key_is_refused_and_the_old_node_stays(self) -> None:  # E21
        async with self.open() as store:
            old = await chain(store, root(payload=b"old"))
            with refused(SessionExists):
                await store.sessions.create(root(key=old.key, payload=b"new"), now=NOW)
            assert await stored(store, old) == old

    async def test_a_taken_id_is_refused_and_the_old_node_stays(self) -> None:  # E4
        async with self.open() as store:
            old = await chain(store, root(name="one"))
            new = root(name="one")
            with refused(SessionExists):
                await store.sessions.create(new, now=NOW)
            assert await stored(store, new) is None
            loaded = await store.sessions.load(alias_of("one"), now=NOW)
            assert loaded is not None
            assert loaded.record == old

    async def test_of_parallel_creations_with_one_id_one_succeeds(self) -> None:  # E4
        async with self.open() as store:
            results = await all_at_once(*(store.sessions.create(root(name="one"), now=NOW) for _ in range(20)))
            assert sum(isinstance(result, SessionExists) for result in results) == 19
            assert len(await store.sessions.find("all", b"")) == 1

    async def test_a_session_is_gone_at_the_very_instant_it_ends(self) -> None:  # E7, E9
        async with self.open() as store:
            node = await chain(store, root(ends_at=NOW + 100))
            assert await store.sessions.load(node.ref, now=NOW + 99.999) is not None
            assert await store.sessions.load(node.ref, now=NOW + 100) is None
            assert await store.sessions.load(node.ref, now=NOW + 101) is None
            assert await stored(store, node) == node

    async def test_idleness_counts_from_the_last_use(self) -> None:  # E7, E9
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            later = NOW + IDLE - 1
            assert await store.sessions.load(node.ref, now=later, touch_after=0.0) is not None
            assert await store.sessions.load(node.ref, now=later + IDLE - 1) is not None
            assert await store.sessions.load(node.ref, now=later + IDLE) is None

    async def test_the_sliding_clock_moves_after_its_threshold_only(self) -> None:  # E7
        async with self.open() as store:
            node = await chain(store, root(sliding=600.0, slides_after=300.0, slid_at=NOW))
            await store.sessions.load(node.ref, now=NOW + 299, touch_after=0.0)
            early = await stored(store, node)
            await store.sessions.load(node.ref, now=NOW + 300, touch_after=0.0)
            late = await stored(store, node)
            assert early is not None
            assert late is not None
            assert (early.slid_at, late.slid_at) == (NOW, NOW + 300)
            assert await store.sessions.load(node.ref, now=NOW + 899) is not None
            assert await store.sessions.load(node.ref, now=NOW + 900) is None

    async def test_a_use_is_recorded_at_most_once_per_interval(self) -> None:  # E8
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            early = await store.sessions.load(node.ref, now=NOW + 29.9, touch_after=30.0)
            assert early is not None
            assert early.record.used_at == NOW
            late = await store.sessions.load(node.ref, now=NOW + 30, touch_after=30.0)
            assert late is not None
            assert late.record.used_at == NOW + 30
            assert await stored(store, node) == late.record

    async def test_loading_without_touching_records_nothing(self) -> None:  # E8
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            await store.sessions.load(node.ref, now=NOW + 1000)
            assert await stored(store, node) == node

    async def test_a_touch_changes_neither_version_nor_due_time(self) -> None:  # E10
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE, due_at=NOW + 5, busy_until=NOW))
            await store.sessions.load(node.ref, now=NOW + 40, touch_after=30.0, busy_until=NOW + 70)
            expected = replace(node, used_at=NOW + 40, busy_until=NOW + 70)
            assert await stored(store, node) == expected

    async def test_a_running_call_is_recorded_before_the_interval_is_over(self) -> None:  # E12
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            await store.sessions.load(node.ref, now=NOW + 1, touch_after=30.0, busy_until=NOW + 60)
            await store.sessions.load(node.ref, now=NOW + 2, touch_after=30.0, busy_until=NOW + 50)
            now_stored = await stored(store, node)
            assert now_stored is not None
            assert (now_stored.busy_until, now_stored.used_at) == (NOW + 60, NOW + 1)

    async def test_a_foreign_owner_finds_nothing_and_leaves_no_trace(self) -> None:  # E3
        async with self.open() as store:
            node = await chain(store, root(name="one", owner="ann", idle=IDLE))
            assert await store.sessions.load(node.ref, now=NOW + 60, touch_after=0.0, owner="bob") is None
            assert await store.sessions.load(alias_of("one"), now=NOW + 60, touch_after=0.0, owner="") is None
            assert await stored(store, node) == node
            assert await store.sessions.load(node.ref, now=NOW + 60, owner="ann") is not None

    async def test_a_loaded_node_names_its_ancestors_nearest_first(self) -> None:  # E14
        async with self.open() as store:
            top = root()
            middle = below(top)
            leaf = below(middle, name="leaf")
            await chain(store, top, middle, leaf)
            for at in (leaf.ref, alias_of("leaf")):
                loaded = await store.sessions.load(at, now=NOW)
                assert loaded is not None
                assert loaded.record == leaf
                assert loaded.above == (middle.key, top.key)

    async def test_nothing_below_an_ended_node_loads(self) -> None:  # E14
        async with self.open() as store:
            top = root()
            middle = below(top)
            leaf = below(middle, name="leaf")
            await chain(store, top, middle, leaf)
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            for at in (top.ref, middle.ref, leaf.ref, alias_of("leaf")):
                assert await store.sessions.load(at, now=NOW, touch_after=0.0) is None
            assert await stored(store, leaf) == leaf

    async def test_nothing_below_an_expired_node_loads(self) -> None:  # E9, E14
        async with self.open() as store:
            top = root(ends_at=NOW + 10)
            leaf = await chain(store, top, below(top, ends_at=NOW + 100))
            assert await store.sessions.load(leaf.ref, now=NOW + 9) is not None
            assert await store.sessions.load(leaf.ref, now=NOW + 10) is None

    async def test_a_stranded_node_does_not_load(self) -> None:  # E16
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.replace(replace(node, state=State.STRANDED), now=NOW)
            assert await store.sessions.load(node.ref, now=NOW) is None
            assert await stored(store, node) is not None

    async def test_nothing_opens_below_a_node_that_is_ending(self) -> None:  # E17
        async with self.open() as store:
            top = root()
            middle = await chain(store, top, below(top))
            await store.sessions.end(top.ref, Reason.ADMIN, now=NOW)
            for parent in (top, middle):
                with refused(SessionEnded):
                    await store.sessions.create(below(parent), now=NOW)
            assert len(await store.sessions.find("all", b"")) == 2

    async def test_nothing_opens_below_what_is_expired_or_absent(self) -> None:  # E9, E17
        async with self.open() as store:
            top = await chain(store, root(ends_at=NOW + 10))
            with refused(SessionEnded):
                await store.sessions.create(below(top), now=NOW + 10)
            with refused(SessionEnded):
                await store.sessions.create(below(root()), now=NOW)
            with refused(SessionEnded):
                await store.sessions.create(below(top, tree=new_key()), now=NOW)

    async def test_a_tree_is_six_nodes_deep_at_most(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            for _ in range(MAX_DEPTH - 1):
                node = await chain(store, below(node))
            loaded = await store.sessions.load(node.ref, now=NOW)
            assert loaded is not None
            assert len(loaded.above) == MAX_DEPTH - 1
            with refused(BadInput):
                await store.sessions.create(below(node), now=NOW)

    async def test_a_root_names_itself_as_its_tree(self) -> None:  # E27
        async with self.open() as store:
            with refused(BadInput):
                await store.sessions.create(replace(root(), tree=new_key()), now=NOW)

    async def test_a_node_without_an_end_never_ends(self) -> None:  # E7
        async with self.open() as store:
            node = await chain(store, root(ends_at=float("inf")))
            assert await store.sessions.load(node.ref, now=NOW + 1000 * DAY) is not None
            assert await store.sessions.find("expired", NOW + 1000 * DAY) == []

    async def test_a_use_is_that_of_the_node_alone(self) -> None:  # E7, E8
        async with self.open() as store:
            top = root(idle=IDLE, due_at=NOW + 5)
            leaf = await chain(store, top, below(top, idle=IDLE, due_at=NOW + 5))
            loaded = await store.sessions.load(leaf.ref, now=NOW + 60, touch_after=0.0)
            assert loaded is not None
            assert loaded.record == replace(leaf, used_at=NOW + 60)
            assert await stored(store, top) == top
