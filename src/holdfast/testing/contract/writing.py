"""Replacing, ending, deleting: of two writers one is told, nothing is resurrected, leaves go first."""

# ruff: noqa: S101 - a test asserts

import anyio
from msgspec.structs import replace

from holdfast.core.ids import alias_of
from holdfast.core.model import Reason, Record, State
from holdfast.core.ports import Index, Store
from holdfast.errors import LeaseLost, SessionConflict, SessionEnded
from holdfast.testing.contract.base import (
    IDLE,
    NOW,
    PATIENCE_S,
    Contract,
    all_at_once,
    below,
    chain,
    lives,
    refused,
    root,
    stored,
)


class WriteContract(Contract):
    """`replace`, `end` and `delete`."""

    async def test_a_write_returns_the_record_one_version_higher(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root())
            changed = replace(node, payload=b"new", label="new", owner="ann", client="c", due_at=NOW + 1, idle=IDLE)
            written = await store.sessions.replace(changed, now=NOW)
            assert written == replace(changed, version=1)
            assert await stored(store, node) == written

    async def test_a_payload_can_be_emptied(self) -> None:  # E6
        async with self.open() as store:
            node = await chain(store, root(payload=b"secret"))
            await store.sessions.replace(replace(node, payload=b""), now=NOW)
            now_stored = await stored(store, node)
            assert now_stored is not None
            assert now_stored.payload == b""

    async def test_of_two_writers_of_one_version_the_second_is_refused(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root())
            await store.sessions.replace(replace(node, payload=b"first"), now=NOW)
            with refused(SessionConflict):
                await store.sessions.replace(replace(node, payload=b"second"), now=NOW)
            now_stored = await stored(store, node)
            assert now_stored is not None
            assert now_stored.payload == b"first"

    async def test_of_parallel_writers_of_one_version_one_wins(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root())
            writers = [replace(node, payload=bytes([number])) for number in range(20)]
            results = await all_at_once(*(store.sessions.replace(writer, now=NOW) for writer in writers))
            winners = [result for result in results if isinstance(result, Record)]
            assert len(winners) == 1
            assert sum(isinstance(result, SessionConflict) for result in results) == 19
            assert await stored(store, node) == winners[0]

    async def test_fifty_parallel_increments_are_all_kept(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root(payload=b"0"))

            async def increment() -> None:
                while True:
                    current = await stored(store, node)
                    assert current is not None
                    try:
                        await store.sessions.replace(
                            replace(current, payload=b"%d" % (int(current.payload) + 1)), now=NOW
                        )
                    except SessionConflict:
                        continue
                    return

            with anyio.fail_after(3 * PATIENCE_S):
                async with anyio.create_task_group() as group:
                    for _ in range(50):
                        group.start_soon(increment)
            now_stored = await stored(store, node)
            assert now_stored is not None
            assert (now_stored.payload, now_stored.version) == (b"50", 50)

    async def test_a_write_to_what_is_absent_is_a_conflict(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            with refused(SessionConflict):
                await store.sessions.replace(root(), now=NOW)
            with refused(SessionConflict):
                await store.sessions.replace(replace(node, tree=root().key), now=NOW)

    async def test_what_identifies_a_node_stays_whatever_a_writer_says(self) -> None:  # E4
        async with self.open() as store:
            top = root()
            node = await chain(store, top, below(top, name="id", mark="id"))
            claimed = replace(
                node, parent=None, alias=alias_of("x"), mark="x", kind="x", holds=True, held=9, created_at=0.0
            )
            assert await store.sessions.replace(claimed, now=NOW) == replace(node, version=1)

    async def test_instants_of_use_never_shrink(self) -> None:  # E7
        async with self.open() as store:
            node = await chain(store, root(used_at=NOW, slid_at=NOW, busy_until=NOW))
            older = replace(node, used_at=NOW - 1, slid_at=NOW - 1, busy_until=NOW - 1)
            newer = replace(node, used_at=NOW + 1, slid_at=NOW + 1, busy_until=NOW + 1)
            first = await store.sessions.replace(older, now=NOW)
            assert (first.used_at, first.slid_at, first.busy_until) == (NOW, NOW, NOW)
            second = await store.sessions.replace(replace(newer, version=1), now=NOW)
            assert (second.used_at, second.slid_at, second.busy_until) == (NOW + 1, NOW + 1, NOW + 1)

    async def test_a_write_that_crosses_a_touch_keeps_the_use(self) -> None:  # E7, E8
        async with self.open() as store:
            node = await chain(store, root(idle=IDLE))
            await store.sessions.load(node.ref, now=NOW + 60, touch_after=0.0)
            written = await store.sessions.replace(replace(node, payload=b"new"), now=NOW + 60)
            assert (written.used_at, written.payload) == (NOW + 60, b"new")

    async def test_a_late_write_to_an_ended_node_is_refused(self) -> None:  # E18
        async with self.open() as store:
            top = root()
            node = await chain(store, top, below(top))
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            for late in (top, node):
                with refused(SessionEnded):
                    await store.sessions.replace(replace(late, payload=b"late"), now=NOW)
            assert not await lives(store, top)
            assert await stored(store, node) == node

    async def test_a_late_write_to_an_expired_node_is_refused(self) -> None:  # E9, E18
        async with self.open() as store:
            node = await chain(store, root(ends_at=NOW + 10))
            with refused(SessionEnded):
                await store.sessions.replace(replace(node, ends_at=NOW + 100), now=NOW + 10)
            assert not await lives(store, node, NOW + 10)

    async def test_under_a_fence_an_ending_node_can_be_written(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
            ending = await store.sessions.end(node.ref, Reason.CLIENT, now=NOW)
            assert lease is not None
            assert ending is not None
            done = await store.sessions.replace(replace(ending, payload=b"done"), now=NOW, fence=lease.fence)
            assert (done.payload, done.state, done.version) == (b"done", State.ENDING, 2)

    async def test_an_old_fence_writes_nothing(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            old = await store.leases.acquire(node.ref, worker="w1", now=NOW, ttl=15)
            assert old is not None
            await store.leases.acquire(node.ref, worker="w2", now=NOW + 15, ttl=15)
            with refused(LeaseLost):
                await store.sessions.replace(replace(node, payload=b"late"), now=NOW + 15, fence=old.fence)
            assert await stored(store, node) == node

    async def test_a_fence_does_not_excuse_another_version(self) -> None:  # E18, E24
        async with self.open() as store:
            node = await chain(store, root())
            lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
            assert lease is not None
            await store.sessions.replace(node, now=NOW)
            with refused(SessionConflict):
                await store.sessions.replace(node, now=NOW, fence=lease.fence)

    async def test_ending_marks_once(self) -> None:  # E14, E19
        async with self.open() as store:
            node = await chain(store, root(payload=b"p"))
            ended = await store.sessions.end(node.ref, Reason.ADMIN, now=NOW + 1)
            assert ended == replace(
                node, state=State.ENDING, reason=Reason.ADMIN, due_at=NOW + 1, ended_at=NOW + 1, version=1
            )
            assert await stored(store, node) == ended
            assert await store.sessions.end(node.ref, Reason.IDLE, now=NOW + 2) is None
            assert await stored(store, node) == ended

    async def test_what_is_absent_cannot_be_ended(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            assert await store.sessions.end(root().ref, Reason.ADMIN, now=NOW) is None
            assert await store.sessions.end(replace(node, tree=root().key).ref, Reason.ADMIN, now=NOW) is None
            assert await lives(store, node)

    async def test_an_expired_node_is_marked_all_the_same(self) -> None:  # E9, E14
        async with self.open() as store:
            node = await chain(store, root(ends_at=NOW + 10))
            ended = await store.sessions.end(node.ref, Reason.EXPIRED, now=NOW + 20)
            assert ended is not None
            assert ended.reason is Reason.EXPIRED

    async def test_of_parallel_ends_one_marks(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            results = await all_at_once(*(store.sessions.end(node.ref, Reason.ADMIN, now=NOW) for _ in range(10)))
            assert sum(result is not None for result in results) == 1

    async def test_a_deleted_node_is_gone_with_its_name(self) -> None:  # E4, E14
        async with self.open() as store:
            node = await chain(store, root(name="id"))
            assert await store.sessions.delete([node.ref]) == 1
            assert await stored(store, node) is None
            assert await store.sessions.load(alias_of("id"), now=NOW) is None
            await chain(store, root(name="id"))

    async def test_leaves_go_first_and_a_parent_waits_for_them(self) -> None:  # E14
        async with self.open() as store:
            top, leaf = await _pair(store)
            assert await store.sessions.delete([top.ref, leaf.ref]) == 1
            assert await stored(store, top) is not None
            assert await store.sessions.delete([top.ref]) == 1

    async def test_one_call_removes_a_tree_from_its_leaves_up(self) -> None:  # E14
        async with self.open() as store:
            top, leaf = await _pair(store)
            assert await store.sessions.delete([leaf.ref, top.ref]) == 2
            assert await store.sessions.find("all", b"") == []

    async def test_deleting_what_is_absent_removes_nothing(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            assert await store.sessions.delete([]) == 0
            assert await store.sessions.delete([root().ref, replace(node, tree=root().key).ref]) == 0
            assert await store.sessions.delete([node.ref, node.ref]) == 1

    async def test_a_fence_guards_what_a_closing_run_removes(self) -> None:  # E15
        async with self.open() as store:
            top, leaf = await _pair(store)
            lease = await store.leases.acquire(top.ref, worker="w1", now=NOW, ttl=15)
            assert lease is not None
            later = await store.leases.acquire(top.ref, worker="w2", now=NOW + 15, ttl=15)
            assert later is not None
            with refused(LeaseLost):
                await store.sessions.delete([leaf.ref, top.ref], fence=lease.fence)
            assert await stored(store, leaf) is not None
            assert await store.sessions.delete([leaf.ref, top.ref], fence=later.fence) == 2

    async def test_a_fence_of_a_node_that_is_gone_is_lost(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
            assert lease is not None
            await store.sessions.delete([node.ref])
            with refused(LeaseLost):
                await store.sessions.delete([node.ref], fence=lease.fence)

    async def test_a_tree_of_a_thousand_is_marked_by_one_write(self) -> None:  # E14
        async with self.open() as store:
            top = await chain(store, root())
            leaves = [below(top) for _ in range(1000)]
            await all_at_once(*(store.sessions.create(leaf, now=NOW) for leaf in leaves))
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            assert not await lives(store, leaves[0])
            assert await stored(store, leaves[0]) == leaves[0]
            assert await store.sessions.delete([*(leaf.ref for leaf in leaves), top.ref]) == 1001

    async def test_a_late_write_below_what_has_expired_is_refused(self) -> None:  # E9, E18
        async with self.open() as store:
            top = root(idle=10.0)
            node = await chain(store, top, below(top))
            await store.sessions.replace(node, now=NOW + 9)
            with refused(SessionEnded):
                await store.sessions.replace(replace(node, version=1), now=NOW + 10)

    async def test_of_two_errors_the_lease_rules_over_the_chain_and_the_chain_over_the_version(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            lease = await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
            assert lease is not None
            await store.leases.acquire(node.ref, worker="x", now=NOW + 15, ttl=15)
            stale = replace(await store.sessions.replace(node, now=NOW), version=7)
            await store.sessions.end(node.ref, Reason.ADMIN, now=NOW)
            with refused(SessionEnded):
                await store.sessions.replace(stale, now=NOW)
            with refused(SessionEnded):
                await store.sessions.rekey(stale, alias=alias_of("new"), mark="", now=NOW)
            with refused(SessionEnded):
                await store.leases.acquire(node.ref, worker="w", now=NOW + 60, ttl=15, put=[stale])
            with refused(LeaseLost):
                await store.sessions.replace(stale, now=NOW, fence=lease.fence)
            with refused(LeaseLost):
                await store.leases.renew(lease, now=NOW, ttl=15, put=[stale])
            with refused(LeaseLost):
                await store.leases.release(lease, put=[stale])

    async def test_what_is_stranded_is_not_marked_again(self) -> None:  # E14, E16
        async with self.open() as store:
            node = await chain(store, root())
            stranded = await store.sessions.replace(replace(node, state=State.STRANDED), now=NOW)
            assert await store.sessions.end(node.ref, Reason.ADMIN, now=NOW) is None
            assert await stored(store, node) == stranded

    async def test_one_call_removes_nodes_of_many_trees(self) -> None:  # E10
        async with self.open() as store:
            trees = [await _pair(store) for _ in range(12)]
            leaves = [leaf.ref for _, leaf in trees]
            assert await store.sessions.delete([*leaves, root().ref]) == 12
            assert await store.sessions.delete([top.ref for top, _ in trees]) == 12
            assert await store.sessions.find("all", b"") == []

    async def test_a_node_of_a_deleted_key_begins_anew(self) -> None:  # E14, E18
        async with self.open() as store:
            node = await chain(store, root(name="id", owner="ann", due_at=NOW, idle=5.0))
            await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=15)
            await store.sessions.delete([node.ref])
            values: dict[Index, bytes | str | float] = {"owner": "ann", "due": NOW, "expired": NOW + 9, "all": b""}
            for index, value in values.items():
                assert await store.sessions.find(index, value) == []
            again = await chain(store, root(key=node.key))
            assert await stored(store, again) == again
            lease = await store.leases.acquire(again.ref, worker="x", now=NOW, ttl=15)
            assert lease is not None
            assert await store.sessions.load(alias_of("id"), now=NOW) is None


async def _pair(store: Store) -> tuple[Record, Record]:
    top = root()
    return top, await chain(store, top, below(top))
