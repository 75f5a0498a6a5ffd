"""Limits: never above the number, whoever asks at the same time, and never at the expense of a lock or a call."""

# ruff: noqa: S101 - a test asserts

from msgspec.structs import replace

from holdfast.core.model import Created, Limit, Policy, Reason, Record, Scope, State
from holdfast.core.ports import Store
from holdfast.errors import LimitReached, SessionEnded, SessionExists
from holdfast.testing.contract.base import NOW, Contract, all_at_once, below, chain, lives, refused, root, stored

FIVE = Limit(Scope.CLIENT, 5)


class LimitContract(Contract):
    """`create` with limits."""

    async def test_of_64_parallel_creations_with_a_limit_of_5_exactly_5_succeed(self) -> None:  # E12
        async with self.open() as store:
            nodes = [root(client="c") for _ in range(64)]
            results = await all_at_once(*(store.sessions.create(node, [FIVE], now=NOW) for node in nodes))
            assert sum(isinstance(result, Created) for result in results) == 5
            assert sum(isinstance(result, LimitReached) for result in results) == 59
            assert len(await store.sessions.find("client", "c")) == 5

    async def test_of_64_parallel_creations_that_replace_exactly_5_are_left_alive(self) -> None:  # E12
        limit = Limit(Scope.CLIENT, 5, Policy.OLDEST)
        async with self.open() as store:
            nodes = [root(client="c", created_at=NOW + number) for number in range(64)]
            results = await all_at_once(*(store.sessions.create(node, [limit], now=NOW) for node in nodes))
            assert all(isinstance(result, Created) for result in results)
            found = await store.sessions.find("client", "c")
            assert sum(node.state is State.LIVE for node in found) == 5
            assert sum(node.reason is Reason.REPLACED for node in found) == 59

    async def test_a_full_limit_refuses_and_changes_nothing(self) -> None:  # E12
        async with self.open() as store:
            old = await chain(store, root(client="c"))
            new = root(client="c")
            with refused(LimitReached):
                await store.sessions.create(new, [Limit(Scope.CLIENT, 1)], now=NOW)
            assert await stored(store, old) == old
            assert await stored(store, new) is None

    async def test_a_limit_of_nothing_refuses_everything(self) -> None:  # E12
        async with self.open() as store:
            for policy in Policy:
                with refused(LimitReached):
                    await store.sessions.create(root(), [Limit(Scope.TOTAL, 0, policy)], now=NOW)

    async def test_each_scope_counts_its_own(self) -> None:  # E11
        async with self.open() as store:
            top, other = root(kind="http"), root(kind="http")
            await chain(store, top, other, below(top, client="c", owner="ann"))
            limits = {scope: [Limit(scope, 1)] for scope in Scope}
            fits = {
                Scope.CLIENT: below(top, client="d", owner="ann"),
                Scope.OWNER: below(top, client="c", owner="bob"),
                Scope.PARENT: below(other, client="c", owner="ann"),
                Scope.TOTAL: below(top, kind="lock", client="c", owner="ann"),
            }
            for scope in Scope:
                with refused(LimitReached):
                    await store.sessions.create(below(top, client="c", owner="ann"), limits[scope], now=NOW)
                created = await store.sessions.create(fits[scope], limits[scope], now=NOW)
                await store.sessions.delete([created.record.ref])

    async def test_other_kinds_do_not_count(self) -> None:  # E11
        async with self.open() as store:
            await chain(store, root(client="c", kind="lock"), root(client="c", kind="http"))
            await store.sessions.create(root(client="c"), [Limit(Scope.CLIENT, 1)], now=NOW)

    async def test_ended_and_expired_nodes_do_not_count(self) -> None:  # E9, E12
        async with self.open() as store:
            expired, ended = root(client="c", ends_at=NOW + 10), root(client="c")
            await chain(store, expired, ended)
            await store.sessions.end(ended.ref, Reason.LOGOUT, now=NOW)
            created = await store.sessions.create(root(client="c"), [Limit(Scope.CLIENT, 1)], now=NOW + 10)
            assert created.replaced == ()

    async def test_the_oldest_makes_room(self) -> None:  # E12
        async with self.open() as store:
            old = root(client="c", created_at=NOW - 2, used_at=NOW + 5, payload=b"p")
            young = root(client="c", created_at=NOW - 1, used_at=NOW - 1)
            await chain(store, old, young)
            limit = Limit(Scope.CLIENT, 2, Policy.OLDEST)
            created = await store.sessions.create(root(client="c"), [limit], now=NOW)
            marked = replace(
                old, state=State.ENDING, reason=Reason.REPLACED, due_at=NOW, ended_at=NOW, version=old.version + 1
            )
            assert created.replaced == (marked,)
            assert await stored(store, old) == marked
            assert await lives(store, young)

    async def test_the_least_recently_used_makes_room(self) -> None:  # E12
        async with self.open() as store:
            first, second = root(client="c", created_at=NOW - 2), root(client="c", created_at=NOW - 1)
            await chain(store, first, second)
            await store.sessions.load(first.ref, now=NOW + 60, touch_after=0.0)
            limit = Limit(Scope.CLIENT, 2, Policy.LEAST_RECENT)
            created = await store.sessions.create(root(client="c"), [limit], now=NOW + 60)
            assert [node.key for node in created.replaced] == [second.key]

    async def test_a_session_that_holds_a_lock_is_never_replaced(self) -> None:  # E12
        async with self.open() as store:
            holder = root(client="c")
            await chain(store, holder, below(holder, kind="lock", holds=True))
            for policy in Policy:
                with refused(LimitReached):
                    await store.sessions.create(root(client="c"), [Limit(Scope.CLIENT, 1, policy)], now=NOW)
            assert await lives(store, holder)

    async def test_a_session_that_runs_a_call_is_never_replaced(self) -> None:  # E12
        limit = Limit(Scope.CLIENT, 1, Policy.LEAST_RECENT)
        async with self.open() as store:
            busy = await chain(store, root(client="c", busy_until=NOW + 60))
            known = await chain(store, root(client="d"))
            with refused(LimitReached):
                await store.sessions.create(root(client="c"), [limit], now=NOW + 59)
            with refused(LimitReached):
                await store.sessions.create(root(client="d"), [replace(limit, spare=frozenset({known.key}))], now=NOW)
            created = await store.sessions.create(root(client="c"), [limit], now=NOW + 60)
            assert [node.key for node in created.replaced] == [busy.key]

    async def test_a_session_does_not_replace_the_one_it_opens_below(self) -> None:  # E12, E17
        async with self.open() as store:
            parent = await chain(store, root(client="c"))
            with refused(LimitReached):
                await store.sessions.create(below(parent, client="c"), [Limit(Scope.CLIENT, 1, Policy.OLDEST)], now=NOW)
            assert await lives(store, parent)

    async def test_several_limits_hold_together(self) -> None:  # E11, E12
        async with self.open() as store:
            mine, other = root(client="c", owner="ann"), root(client="d", owner="ann", used_at=NOW - 1)
            await chain(store, mine, other)
            limits = [Limit(Scope.CLIENT, 1, Policy.LEAST_RECENT), Limit(Scope.OWNER, 2, Policy.LEAST_RECENT)]
            created = await store.sessions.create(root(client="c", owner="ann"), limits, now=NOW)
            assert [node.key for node in created.replaced] == [mine.key]
            assert await lives(store, other)

    async def test_a_limit_that_refuses_undoes_what_another_would_replace(self) -> None:  # E12
        async with self.open() as store:
            mine = await chain(store, root(client="c"))
            limits = [Limit(Scope.CLIENT, 1, Policy.OLDEST), Limit(Scope.TOTAL, 0)]
            with refused(LimitReached):
                await store.sessions.create(root(client="c"), limits, now=NOW)
            assert await stored(store, mine) == mine

    async def test_a_lowered_limit_replaces_as_many_as_it_takes(self) -> None:  # E12
        async with self.open() as store:
            await _several(store, 10)
            created = await store.sessions.create(
                root(client="c"), [Limit(Scope.CLIENT, 3, Policy.LEAST_RECENT)], now=NOW
            )
            assert len(created.replaced) == 8

    async def test_a_refused_creation_replaces_nobody(self) -> None:  # E12, E17
        limit = Limit(Scope.CLIENT, 1, Policy.OLDEST)
        async with self.open() as store:
            old = await chain(store, root(client="c"))
            with refused(SessionExists):
                await store.sessions.create(root(key=old.key, client="c"), [limit], now=NOW)
            with refused(SessionEnded):
                await store.sessions.create(below(root(), client="c"), [limit], now=NOW)
            assert await lives(store, old)

    async def test_a_node_counts_by_its_own_clocks_whatever_is_above_it(self) -> None:  # E12
        async with self.open() as store:
            top = root(kind="http")
            await chain(store, top, below(top, client="c"))
            await store.sessions.end(top.ref, Reason.LOGOUT, now=NOW)
            with refused(LimitReached):
                await store.sessions.create(root(client="c"), [Limit(Scope.CLIENT, 1)], now=NOW)


async def _several(store: Store, number: int) -> list[Record]:
    nodes = [root(client="c", used_at=NOW - place) for place in range(number)]
    await chain(store, *nodes)
    return nodes
