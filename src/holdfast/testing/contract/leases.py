"""Leases: one holder at a time, numbers that only grow, and content that is written with them or not at all."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.model import Lease, Reason, Record, State
from holdfast.core.ports import Store
from holdfast.errors import BadInput, LeaseLost, SessionConflict, SessionEnded
from holdfast.testing.contract.base import (
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

TTL = 15.0


class LeaseContract(Contract):
    """`Leases`."""

    async def test_a_lease_says_whose_it_is_and_until_when(self) -> None:  # E21
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _acquire(store, node)
            assert lease == Lease(ref=node.ref, worker="w", fence=1, until=NOW + TTL)

    async def test_there_are_never_two_holders(self) -> None:  # E15, E18
        async with self.open() as store:
            node = await chain(store, root())
            calls = [store.leases.acquire(node.ref, worker=f"w{i}", now=NOW, ttl=TTL) for i in range(30)]
            results = await all_at_once(*calls)
            assert sum(isinstance(result, Lease) for result in results) == 1
            assert sum(result is None for result in results) == 29

    async def test_a_workers_own_lease_refuses_as_well(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            assert await _acquire(store, node) is not None
            assert await _acquire(store, node) is None

    async def test_a_lease_ends_at_its_instant(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            await _acquire(store, node)
            assert await _acquire(store, node, now=NOW + TTL - 0.001) is None
            assert await _acquire(store, node, now=NOW + TTL) is not None

    async def test_a_fence_only_grows(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            fences = []
            for turn in range(5):
                lease = await _acquire(store, node, now=NOW + turn * TTL)
                assert lease is not None
                fences.append(lease.fence)
                if turn % 2:
                    await store.leases.release(lease)
            assert fences == [1, 2, 3, 4, 5]

    async def test_leases_of_two_nodes_are_apart(self) -> None:  # E21
        async with self.open() as store:
            top = root()
            leaf = await chain(store, top, below(top))
            assert await _acquire(store, top) is not None
            assert await _acquire(store, leaf) is not None

    async def test_what_has_ended_is_leased_for_closing_only(self) -> None:  # E15, E17
        async with self.open() as store:
            top = root()
            leaf = await chain(store, top, below(top))
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            for node in (top, leaf):
                with refused(SessionEnded):
                    await _acquire(store, node)
                assert await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=TTL, closing=True)

    async def test_what_has_expired_is_leased_for_closing_only(self) -> None:  # E9
        async with self.open() as store:
            node = await chain(store, root(ends_at=NOW + 10))
            with refused(SessionEnded):
                await _acquire(store, node, now=NOW + 10)
            assert await store.leases.acquire(node.ref, worker="w", now=NOW + 10, ttl=TTL, closing=True)

    async def test_what_is_absent_cannot_be_leased(self) -> None:  # E17
        async with self.open() as store:
            node = await chain(store, root())
            for ref in (root().ref, elsewhere(node)):
                for closing in (False, True):
                    with refused(SessionEnded):
                        await store.leases.acquire(ref, worker="w", now=NOW, ttl=TTL, closing=closing)

    async def test_acquiring_writes_content_in_the_same_step(self) -> None:  # E25
        async with self.open() as store:
            top = root()
            leaf = await chain(store, top, below(top))
            put = [replace(top, payload=b"top"), replace(leaf, payload=b"leaf", due_at=NOW + 1)]
            assert await _acquire(store, top, put=put) is not None
            assert await stored(store, top) == replace(put[0], version=1)
            assert await stored(store, leaf) == replace(put[1], version=1)

    async def test_content_of_another_version_leases_and_writes_nothing(self) -> None:  # E24
        async with self.open() as store:
            top = root()
            leaf = await chain(store, top, below(top))
            stale = replace(leaf, version=3)
            for put in ([replace(top, payload=b"x"), stale], [stale, top], [below(top)], [top, top]):
                with refused(SessionConflict):
                    await _acquire(store, top, put=put)
            assert await stored(store, top) == top
            lease = await _acquire(store, top)
            assert lease is not None
            assert lease.fence == 1

    async def test_a_refused_lease_writes_nothing(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            await _acquire(store, node)
            assert await _acquire(store, node, put=[replace(node, payload=b"x")]) is None
            assert await stored(store, node) == node

    async def test_content_of_another_tree_is_refused(self) -> None:  # E27
        async with self.open() as store:
            node, other = root(), root()
            await chain(store, node, other)
            with refused(BadInput):
                await _acquire(store, node, put=[other])

    async def test_renewing_puts_the_end_off_and_keeps_the_fence(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            renewed = await store.leases.renew(lease, now=NOW + 10, ttl=TTL)
            assert renewed == replace(lease, until=NOW + 10 + TTL)
            assert await _acquire(store, node, now=NOW + 10 + TTL - 0.001) is None

    async def test_a_lease_that_ran_out_can_be_renewed_if_nobody_took_it(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await store.leases.renew(lease, now=NOW + 100, ttl=TTL)
            assert await _acquire(store, node, now=NOW + 101) is None

    async def test_a_lease_that_was_taken_over_is_lost(self) -> None:  # E15, E18
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await _held(store, node, now=NOW + TTL)
            put = [replace(node, payload=b"late")]
            with refused(LeaseLost):
                await store.leases.renew(lease, now=NOW + TTL, ttl=TTL, put=put)
            with refused(LeaseLost):
                await store.leases.release(lease, put=put)
            with refused(LeaseLost):
                await store.leases.release(lease)
            assert await stored(store, node) == node
            assert await _acquire(store, node, now=NOW + TTL) is None

    async def test_renewing_writes_content_even_of_an_ending_node(self) -> None:  # E18
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            ending = await store.sessions.end(node.ref, Reason.CLIENT, now=NOW)
            assert ending is not None
            await store.leases.renew(lease, now=NOW, ttl=TTL, put=[replace(ending, payload=b"done")])
            now_stored = await stored(store, node)
            assert now_stored == replace(ending, payload=b"done", version=2)
            assert now_stored is not None
            assert now_stored.state is State.ENDING

    async def test_releasing_writes_content_and_lets_the_next_one_in(self) -> None:  # E25
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await store.leases.release(lease, put=[replace(node, payload=b"done")])
            assert await stored(store, node) == replace(node, payload=b"done", version=1)
            assert await _acquire(store, node) is not None

    async def test_a_release_that_cannot_write_keeps_the_lease(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            with refused(SessionConflict):
                await store.leases.release(lease, put=[replace(node, version=4)])
            assert await _acquire(store, node) is None

    async def test_releasing_twice_does_no_harm(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await store.leases.release(lease)
            await store.leases.release(lease)
            assert await _acquire(store, node) is not None

    async def test_a_lease_goes_with_its_node(self) -> None:  # E14
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await store.sessions.delete([node.ref], fence=lease.fence)
            await store.leases.release(lease)
            with refused(LeaseLost):
                await store.leases.renew(lease, now=NOW, ttl=TTL)
            with refused(LeaseLost):
                await store.leases.release(lease, put=[node])

    async def test_a_lease_that_another_has_had_since_is_lost_even_if_it_was_given_back(self) -> None:  # E15, E18
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            await store.leases.release(await _held(store, node, now=NOW + TTL))
            with refused(LeaseLost):
                await store.leases.renew(lease, now=NOW + TTL, ttl=TTL)
            with refused(LeaseLost):
                await store.leases.release(lease)
            assert await _acquire(store, node, now=NOW + TTL) is not None

    async def test_a_renewal_that_cannot_write_puts_nothing_off(self) -> None:  # E24
        async with self.open() as store:
            node = await chain(store, root())
            lease = await _held(store, node)
            with refused(SessionConflict):
                await store.leases.renew(lease, now=NOW + 10, ttl=TTL, put=[replace(node, version=4)])
            with refused(BadInput):
                await store.leases.renew(lease, now=NOW + 10, ttl=TTL, put=[root()])
            with refused(BadInput):
                await store.leases.release(lease, put=[root()])
            assert await _acquire(store, node, now=NOW + TTL) is not None

    async def test_what_identifies_a_node_stays_whatever_is_put(self) -> None:  # E4, E18
        async with self.open() as store:
            top = root()
            node = await chain(store, top, below(top, name="id", mark="id", used_at=NOW))
            claimed = replace(node, parent=None, alias=None, mark="x", kind="x", holds=True, held=9, used_at=NOW - 5)
            lease = await _acquire(store, top, put=[claimed])
            assert lease is not None
            assert await stored(store, node) == replace(node, version=1)
            await store.leases.renew(lease, now=NOW, ttl=TTL, put=[replace(claimed, version=1)])
            await store.leases.release(lease, put=[replace(claimed, version=2, payload=b"p")])
            assert await stored(store, node) == replace(node, version=3, payload=b"p")

    async def test_what_is_leased_for_closing_can_be_written(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root())
            ending = await store.sessions.end(node.ref, Reason.ADMIN, now=NOW)
            assert ending is not None
            put = [replace(ending, payload=b"x", attempts=1, due_at=NOW + 60)]
            assert await store.leases.acquire(node.ref, worker="w", now=NOW, ttl=TTL, put=put, closing=True)
            assert await stored(store, node) == replace(put[0], version=2)

    async def test_below_what_has_expired_is_leased_for_closing_only(self) -> None:  # E9
        async with self.open() as store:
            top = root(idle=10.0)
            leaf = await chain(store, top, below(top))
            with refused(SessionEnded):
                await _acquire(store, leaf, now=NOW + 10)
            assert await store.leases.acquire(leaf.ref, worker="w", now=NOW + 10, ttl=TTL, closing=True)


async def _acquire(store: Store, node: Record, *, now: float = NOW, put: list[Record] | None = None) -> Lease | None:
    return await store.leases.acquire(node.ref, worker="w", now=now, ttl=TTL, put=put or [])


async def _held(store: Store, node: Record, *, now: float = NOW) -> Lease:
    lease = await _acquire(store, node, now=now)
    assert lease is not None
    return lease
