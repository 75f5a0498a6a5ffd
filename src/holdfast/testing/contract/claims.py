"""Claiming what is due: one worker each, and only what this worker can close."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.model import Claim, Reason, Record
from holdfast.core.ports import Store
from holdfast.testing.contract.base import NOW, Contract, all_at_once, below, chain, root, stored

TTL = 15.0


class ClaimContract(Contract):
    """`claim`."""

    async def test_what_is_due_is_claimed_earliest_first(self) -> None:  # E10
        async with self.open() as store:
            late, early, future = root(due_at=NOW), root(due_at=NOW - 5, payload=b"p"), root(due_at=NOW + 1)
            await chain(store, late, early, future, root())
            claims = await _claim(store)
            assert [claim.record for claim in claims] == [early, late]
            assert all(claim.lease.until == NOW + TTL and claim.lease.worker == "w" for claim in claims)
            assert [claim.lease.ref for claim in claims] == [early.ref, late.ref]

    async def test_no_more_are_claimed_than_asked_for(self) -> None:  # E10
        async with self.open() as store:
            await chain(store, *(root(due_at=NOW - place) for place in range(5)))
            assert len(await _claim(store, count=2)) == 2
            assert len(await _claim(store, count=9)) == 3
            assert await _claim(store, count=0) == []

    async def test_a_claim_changes_nothing_but_the_lease(self) -> None:  # E10
        async with self.open() as store:
            node = await chain(store, root(due_at=NOW))
            await _claim(store)
            assert await stored(store, node) == node

    async def test_nobody_claims_what_is_claimed_until_the_lease_runs_out(self) -> None:  # E15
        async with self.open() as store:
            await chain(store, root(due_at=NOW))
            first = await _claim(store)
            assert await _claim(store, now=NOW + TTL - 0.001) == []
            second = await _claim(store, now=NOW + TTL)
            assert second[0].lease.fence > first[0].lease.fence

    async def test_a_claim_is_a_lease_like_any_other(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root(due_at=NOW))
            [claim] = await _claim(store)
            assert await store.leases.acquire(node.ref, worker="x", now=NOW, ttl=TTL) is None
            await store.leases.renew(claim.lease, now=NOW + 10, ttl=TTL)
            assert await _claim(store, now=NOW + TTL) == []
            await store.leases.release(claim.lease)
            assert len(await _claim(store, now=NOW + TTL)) == 1

    async def test_what_somebody_has_leased_is_left_alone(self) -> None:  # E15
        async with self.open() as store:
            node = await chain(store, root(due_at=NOW))
            lease = await store.leases.acquire(node.ref, worker="x", now=NOW, ttl=TTL)
            assert lease is not None
            assert await _claim(store) == []
            await store.leases.release(lease)
            assert len(await _claim(store)) == 1

    async def test_of_parallel_claims_each_node_goes_to_one(self) -> None:  # E15
        async with self.open() as store:
            await chain(store, *(root(due_at=NOW) for _ in range(20)))
            results = await all_at_once(*(_claim(store, count=5) for _ in range(8)))
            claims = [claim for result in results if isinstance(result, list) for claim in result]
            assert len(claims) == len({claim.record.key for claim in claims}) == 20

    async def test_other_kinds_are_left_alone(self) -> None:  # E30
        async with self.open() as store:
            node = await chain(store, root(kind="lock", due_at=NOW))
            assert await _claim(store, "mcp", "http") == []
            assert await _claim(store) == []
            assert [claim.record for claim in await _claim(store, "lock")] == [node]

    async def test_a_subtree_with_an_unknown_kind_is_left_alone(self) -> None:  # E30
        async with self.open() as store:
            top = root(due_at=NOW)
            middle = below(top, kind="backend")
            lock = below(middle, kind="lock")
            await chain(store, top, middle, lock)
            assert await _claim(store, "mcp", "backend") == []
            assert len(await _claim(store, "mcp", "backend", "lock")) == 1

    async def test_an_unknown_kind_above_or_beside_does_no_harm(self) -> None:  # E30
        async with self.open() as store:
            top = root(kind="security")
            node = below(top, due_at=NOW)
            await chain(store, top, node, below(top, kind="http"))
            assert [claim.record.key for claim in await _claim(store)] == [node.key]

    async def test_what_cannot_be_claimed_does_not_stand_in_the_way(self) -> None:  # E30
        async with self.open() as store:
            await chain(store, *(root(kind="lock", due_at=NOW - 9) for _ in range(30)))
            node = await chain(store, root(due_at=NOW))
            assert [claim.record.key for claim in await _claim(store, count=1)] == [node.key]

    async def test_live_ending_and_expired_nodes_are_claimed_alike(self) -> None:  # E10, E15
        async with self.open() as store:
            live, ending, expired = root(due_at=NOW), root(), root(due_at=NOW, ends_at=NOW - 1)
            await store.sessions.create(expired, now=NOW - 9)
            await chain(store, live, ending)
            marked = await store.sessions.end(ending.ref, Reason.ADMIN, now=NOW)
            assert marked is not None
            claims = await _claim(store)
            assert {claim.record.key for claim in claims} == {live.key, ending.key, expired.key}

    async def test_the_claimer_can_write_down_when_it_is_due_again(self) -> None:  # E10
        async with self.open() as store:
            await chain(store, root(due_at=NOW))
            [claim] = await _claim(store)
            later: Record = replace(claim.record, due_at=NOW + 60)
            await store.leases.release(claim.lease, put=[later])
            assert await _claim(store, now=NOW + 59) == []
            assert len(await _claim(store, now=NOW + 60)) == 1


async def _claim(store: Store, *kinds: str, now: float = NOW, count: int = 10) -> list[Claim]:
    return await store.sessions.claim(kinds or ("mcp",), worker="w", now=now, ttl=TTL, count=count)
