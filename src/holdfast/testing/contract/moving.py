"""What hangs where: locks below that keep a session, new names, and subtrees that move."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.ids import alias_of
from holdfast.core.model import MAX_DEPTH, Limit, Reason, Record, Ref, Scope
from holdfast.core.ports import Store
from holdfast.errors import BadInput, LimitReached, SessionConflict, SessionEnded, SessionExists
from holdfast.testing.contract.base import IDLE, NOW, Contract, below, chain, lives, refused, root, stored


class MoveContract(Contract):
    """`held`, and `rekey`."""

    async def test_a_lock_counts_at_every_ancestor(self) -> None:  # E7
        async with self.open() as store:
            top = root()
            middle = below(top)
            lock = below(middle, holds=True)
            await chain(store, top, middle, lock, below(middle), below(middle, holds=True))
            assert await _held(store, top, middle, lock) == [2, 2, 0]
            await store.sessions.delete([lock.ref])
            assert await _held(store, top, middle) == [1, 1]

    async def test_counting_locks_leaves_the_version_alone(self) -> None:  # E24
        async with self.open() as store:
            top = root()
            await chain(store, top, below(top, holds=True))
            await store.sessions.replace(replace(top, payload=b"new"), now=NOW)

    async def test_a_session_does_not_end_by_idleness_before_its_lock(self) -> None:  # E7
        async with self.open() as store:
            top = root(idle=IDLE, sliding=IDLE, slid_at=NOW, ends_at=NOW + 3 * IDLE)
            lock = await chain(store, top, below(top, holds=True))
            assert await lives(store, top, NOW + 2 * IDLE)
            assert not await lives(store, top, NOW + 3 * IDLE)
            assert await store.sessions.find("expired", NOW + 2 * IDLE) == []
            await store.sessions.delete([lock.ref])
            assert not await lives(store, top, NOW + 2 * IDLE)
            assert await store.sessions.find("expired", NOW + 2 * IDLE) == [top]

    async def test_a_new_id_works_and_the_old_one_is_dead_at_once(self) -> None:  # E20
        async with self.open() as store:
            top = root()
            node = below(top, name="old", mark="old", payload=b"p")
            leaf = await chain(store, top, node, below(node))
            renamed = await store.sessions.rekey(node, alias=alias_of("new"), mark="new", now=NOW)
            assert renamed == replace(node, alias=alias_of("new"), mark="new", version=1)
            assert await store.sessions.load(alias_of("old"), now=NOW) is None
            loaded = await store.sessions.load(alias_of("new"), now=NOW)
            assert loaded is not None
            assert loaded.record == renamed
            assert await lives(store, leaf)

    async def test_a_node_without_a_name_can_get_one(self) -> None:  # E20
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.rekey(node, alias=alias_of("new"), mark="new", now=NOW)
            assert await store.sessions.load(alias_of("new"), now=NOW) is not None

    async def test_a_taken_id_cannot_be_given_again(self) -> None:  # E20
        async with self.open() as store:
            first, second = root(name="one"), root(name="two")
            await chain(store, first, second)
            with refused(SessionExists):
                await store.sessions.rekey(second, alias=alias_of("one"), mark="", now=NOW)
            assert await stored(store, second) == second

    async def test_an_old_version_cannot_be_renamed(self) -> None:  # E20, E24
        async with self.open() as store:
            node = await chain(store, root(name="one"))
            await store.sessions.replace(node, now=NOW)
            with refused(SessionConflict):
                await store.sessions.rekey(node, alias=alias_of("two"), mark="", now=NOW)
            with refused(SessionConflict):
                await store.sessions.rekey(root(), alias=alias_of("two"), mark="", now=NOW)

    async def test_an_ended_node_cannot_be_renamed(self) -> None:  # E18, E20
        async with self.open() as store:
            top = root()
            node = await chain(store, top, below(top, name="one"))
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            with refused(SessionEnded):
                await store.sessions.rekey(node, alias=alias_of("two"), mark="", now=NOW)

    async def test_a_node_moves_with_all_below_it(self) -> None:  # E20
        async with self.open() as store:
            node, leaf, target = await _subtree_and_target(store)
            moved = await store.sessions.rekey(node, alias=alias_of("new"), mark="new", now=NOW, parent=target.ref)
            assert (moved.parent, moved.tree, moved.version) == (target.key, target.key, 1)
            now_leaf = await stored(store, leaf)
            assert now_leaf is not None
            assert now_leaf == replace(leaf, tree=target.key)
            loaded = await store.sessions.load(now_leaf.ref, now=NOW)
            assert loaded is not None
            assert loaded.above == (node.key, target.key)
            keys = {record.key for record in await store.sessions.find("tree", target.key)}
            assert keys == {target.key, node.key, leaf.key}
            assert [record.key for record in await store.sessions.find("parent", target.key)] == [node.key]

    async def test_a_moved_node_is_not_found_at_its_old_place(self) -> None:  # E20
        async with self.open() as store:
            node, leaf, target = await _subtree_and_target(store)
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
            assert not await lives(store, node)
            assert not await lives(store, leaf)
            with refused(SessionConflict):
                await store.sessions.replace(leaf, now=NOW)

    async def test_moved_locks_count_at_the_new_ancestors_and_no_more_at_the_old(self) -> None:  # E7, E20
        async with self.open() as store:
            old, new, common = root(), root(), root()
            left, right = below(common), below(common)
            node = below(old, name="n", holds=True)
            await chain(store, old, new, common, left, right, node, below(node, holds=True))
            assert await _held(store, old, node) == [2, 1]
            moved = await store.sessions.rekey(node, alias=alias_of("1"), mark="", now=NOW, parent=new.ref)
            assert await _held(store, old, new, node) == [0, 2, 1]
            moved = await store.sessions.rekey(moved, alias=alias_of("2"), mark="", now=NOW, parent=left.ref)
            moved = await store.sessions.rekey(moved, alias=alias_of("3"), mark="", now=NOW, parent=right.ref)
            assert await _held(store, new, common, left, right) == [0, 2, 0, 2]

    async def test_a_root_can_be_hung_below_a_logon(self) -> None:  # E20
        async with self.open() as store:
            node, logon = root(name="n"), root(kind="security")
            await chain(store, node, logon)
            moved = await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=logon.ref)
            await store.sessions.end(logon.ref, Reason.LOGOUT, now=NOW)
            assert not await lives(store, moved)

    async def test_nothing_moves_below_what_is_ending_or_absent(self) -> None:  # E17
        async with self.open() as store:
            node, _, target = await _subtree_and_target(store)
            await store.sessions.end(target.ref, Reason.LOGOUT, now=NOW)
            for parent in (target.ref, root().ref):
                with refused(SessionEnded):
                    await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=parent)
            assert await stored(store, node) == node
            assert await store.sessions.load(alias_of("new"), now=NOW) is None

    async def test_no_node_hangs_below_itself(self) -> None:  # E14
        async with self.open() as store:
            node, leaf, _ = await _subtree_and_target(store)
            for parent in (node, leaf):
                with refused(BadInput):
                    await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=parent.ref)

    async def test_no_move_makes_a_tree_too_deep(self) -> None:  # E14
        async with self.open() as store:
            node, _, target = await _subtree_and_target(store)
            for _ in range(MAX_DEPTH - 2):
                target = await chain(store, below(target))
            with refused(BadInput):
                await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
            assert target.parent is not None
            higher = Ref(target.tree, target.parent)
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=higher)

    async def test_events_and_fence_move_along(self) -> None:  # E20, E21
        async with self.open() as store:
            node, leaf, target = await _subtree_and_target(store)
            await store.events.append(leaf.ref, "s", b"1", now=NOW)
            first = await store.leases.acquire(leaf.ref, worker="w", now=NOW, ttl=15)
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
            moved = Ref(target.key, leaf.key)
            assert [entry.data for entry in await store.events.read(moved, "s")] == [b"1"]
            second = await store.leases.acquire(moved, worker="w", now=NOW + 15, ttl=15)
            assert first is not None
            assert second is not None
            assert second.fence > first.fence

    async def test_a_ref_of_another_tree_names_nothing(self) -> None:  # E20
        async with self.open() as store:
            node, _, target = await _subtree_and_target(store)
            with refused(SessionConflict):
                await store.sessions.rekey(replace(node, tree=root().key), alias=alias_of("new"), mark="", now=NOW)
            with refused(SessionEnded):
                wrong = Ref(node.tree, target.key)
                await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=wrong)
            assert await stored(store, node) == node
            assert await store.sessions.load(alias_of("new"), now=NOW) is None

    async def test_a_refused_move_changes_nothing(self) -> None:  # E20
        async with self.open() as store:
            old, taken, target = root(), root(name="taken"), root()
            node = below(old, name="node", holds=True)
            leaf = below(node, holds=True)
            await chain(store, old, taken, target, node, leaf)
            with refused(SessionExists):
                await store.sessions.rekey(node, alias=alias_of("taken"), mark="", now=NOW, parent=target.ref)
            assert await _held(store, old, node, target) == [2, 1, 0]
            for one in (leaf, taken, target):
                assert await lives(store, one)
            loaded = await store.sessions.load(alias_of("node"), now=NOW)
            assert loaded is not None
            assert loaded.above == (old.key,)

    async def test_limits_and_indexes_follow_a_moved_subtree(self) -> None:  # E11, E20
        async with self.open() as store:
            node, leaf, target = await _subtree_and_target(store)
            limit = [Limit(Scope.PARENT, 1)]
            await store.sessions.rekey(node, alias=alias_of("new"), mark="", now=NOW, parent=target.ref)
            with refused(LimitReached):
                await store.sessions.create(below(target), limit, now=NOW)
            moved = await stored(store, leaf)
            assert moved is not None
            await store.sessions.replace(replace(moved, owner="ann", due_at=NOW), now=NOW)
            assert [found.key for found in await store.sessions.find("owner", "ann")] == [leaf.key]
            claims = await store.sessions.claim(["mcp"], worker="w", now=NOW, ttl=15, count=9)
            assert [claim.lease.ref for claim in claims] == [Ref(target.key, leaf.key)]
            assert await store.sessions.delete([Ref(target.key, leaf.key), Ref(target.key, node.key)]) == 2


async def _held(store: Store, *nodes: Record) -> list[int]:
    found = [await stored(store, node) for node in nodes]
    return [record.held for record in found if record is not None]


async def _subtree_and_target(store: Store) -> tuple[Record, Record, Record]:
    """Store a root with a named node and a leaf below it, and another root; return all but the first."""
    top, target = root(), root()
    node = below(top, name="node")
    leaf = below(node)
    await chain(store, top, target, node, leaf)
    return node, leaf, target
