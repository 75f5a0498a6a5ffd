"""The client against our own server, over real HTTP in one process (O19)."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio
import pytest

from holdfast.errors import LogonFailed
from holdfast.odata.client import EntityChanged, Loss, ServiceError, StickyClient, StickySessionLost
from holdfast.testing.clock import Clock
from odata.client.unruly import listening
from odata.server.world import World, opened

ONE, TWO = "Orders('1')", "Orders('2')"


class Side:
    """The service, its address, and what its clients lost."""

    def __init__(self, world: World, origin: str) -> None:
        self.world, self.origin = world, origin
        self.losses: list[Loss] = []
        self.clock = Clock()

    def client(self, **options: object) -> StickyClient:
        return StickyClient(self.origin, on_loss=self.losses.append, clock=self.clock, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def served(**options: object) -> AsyncIterator[Side]:
    with anyio.fail_after(30):
        async with opened(**options) as world, listening(world.app) as origin:
            yield Side(world, origin)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    async with served() as side:
        yield side


async def test_an_edit_changes_only_what_was_set_and_keeps_values_exact(side: Side) -> None:  # O15, O19
    async with side.client() as client, client.edit(ONE) as order:
        assert (order["Price"], order["Big"], order["Due"]) == (Decimal("1.50"), 2**53 + 1, None)
        order["Price"], order["Due"] = Decimal("12345678901234567890.25"), dt.date(2026, 12, 24)
    saved = side.world.orders.table["1"]
    assert (saved.Price, saved.Due) == (Decimal("12345678901234567890.25"), dt.date(2026, 12, 24))
    assert (saved.Note, saved.Big, saved.Version) == ("first", 2**53 + 1, 2)
    assert side.world.orders.locks == {}


async def test_new_entities_of_both_actions_are_saved_under_the_key_that_the_service_gives(side: Side) -> None:
    async with side.client() as client:
        async with client.new("Orders", {"Note": "mine"}) as order:
            assert order.path == "Orders('')"
        assert order["ID"] == "4"
        async with client.new("Orders", action="Demo.CreateFrom", parameters={"template": "2"}) as copy:
            assert copy["Note"] == "second"
    assert side.world.orders.table["4"].Note == "mine"
    assert side.world.orders.table["5"].Note == "second"


async def test_an_exception_frees_the_locks_before_the_block_is_left(side: Side) -> None:
    async with side.client() as client:
        with pytest.raises(ZeroDivisionError):
            async with client.edit(ONE) as order:
                order["Note"] = "never"
                raise ZeroDivisionError
        assert side.world.orders.locks == {}
        assert (await client.read(ONE))["Note"] == "first"


async def test_two_entities_share_a_session_and_two_clients_have_two(side: Side) -> None:  # O4, O7
    async with side.client() as one, side.client() as other:
        first, second = await one.edit(ONE), await one.edit(TWO)
        with pytest.raises(ServiceError, match="somebody else") as locked:
            await other.edit(ONE)
        assert locked.value.target == "ID"
        await first.save()
        assert one.unsaved == {TWO}
        async with other.edit(ONE):
            second["Amount"] = 7
            await second.save()
        assert not one.inside
    assert side.world.orders.locks == {}
    assert side.losses == []


async def test_a_refused_save_can_be_corrected_in_the_same_session(side: Side) -> None:  # O3
    async with side.client() as client:
        order = await client.edit(ONE)
        order["Note"] = "refuse"
        with pytest.raises(ServiceError, match="cannot be saved like that"):
            await order.save()
        assert side.world.orders.locks.keys() == {"1"}
        order["Note"] = "better"
        await order.save()
    assert side.world.orders.table["1"].Note == "better"


async def test_with_batch_changes_and_save_are_one_request_that_counts_whole_or_not_at_all(side: Side) -> None:
    async with side.client(batch=True) as client:
        order = await client.edit(ONE)
        order["Note"], order["Amount"] = "refuse", 77
        with pytest.raises(ServiceError, match="cannot be saved like that") as refused:
            await order.save()
        assert (refused.value.answer_status, refused.value.target) == (422, "Note")
        assert client.unsaved == {ONE}
        assert (await client.read(ONE))["Amount"] == 10  # the change was not made either
        assert order.changes == {"Note": "refuse", "Amount": 77}
        order["Note"] = "fine"
        await order.save()
        assert not client.inside
        assert order["Amount"] == 77
        async with client.edit(TWO):  # nothing was set: no batch
            pass
    assert side.world.orders.table["1"].Amount == 77
    assert side.losses == []


async def test_a_session_that_is_gone_is_lost_by_a_batch_too(side: Side) -> None:
    async with side.client(batch=True) as client:
        order = await client.edit(ONE)
        order["Note"] = "lost"
        await client._line.touch(client._driver.standing.context_id, terminate=True)
        with pytest.raises(StickySessionLost):
            await order.save()
    assert [loss.unsaved for loss in side.losses] == [(ONE,)]
    assert side.world.orders.table["1"].Note == "first"


async def test_a_stale_etag_is_refused_at_the_edit(side: Side) -> None:
    async with side.client() as client:
        etag = (await client.read(ONE))["@odata.etag"]
        async with client.edit(ONE) as order:
            order["Amount"] = 11
        with pytest.raises(EntityChanged):
            await client.edit(ONE, etag=etag)
        assert not client.inside


async def test_a_session_that_was_ended_elsewhere_is_lost_once(side: Side) -> None:  # O16
    async with side.client() as client:
        order = await client.edit(ONE)
        order["Note"] = "lost"
        await order.flush()
        await client._line.touch(client._driver.standing.context_id, terminate=True)
        with pytest.raises(StickySessionLost):
            await order.save()
    assert [loss.unsaved for loss in side.losses] == [(ONE,)]
    assert side.world.orders.locks == {}


async def test_the_session_is_kept_alive_by_head_and_closing_discards(side: Side) -> None:  # O9, O17, O18
    client = side.client()
    await client.edit(ONE)
    due = await client.keep_alive()
    assert due is not None
    interval = due - side.clock()
    side.clock.advance(interval)
    assert await client.keep_alive() == due + interval
    assert (await client.close()).how == "discarded"
    assert side.world.orders.locks == {}


async def test_a_discard_that_the_handler_refuses_ends_the_session_all_the_same(side: Side) -> None:  # O3
    async with side.client() as client:
        await client.edit(ONE)
        side.world.orders.fails.add("discard")
        with pytest.raises(ServiceError):
            await client.discard()
        assert not client.inside
        assert side.losses == []
        side.world.orders.fails.clear()


async def test_pages_and_options_are_read(side: Side) -> None:
    async with side.client() as client:
        found = [row["ID"] async for row in client.rows("Orders?$filter=Amount gt 10&$orderby=Amount desc")]
        assert found == ["3", "2"]
        assert await client.post(f"{ONE}/Demo.Raise", {"by": 5}) != {}
        assert (await client.read(ONE))["Amount"] == 15


async def test_sets_without_sessions_are_changed_without_one(side: Side) -> None:
    async with side.client() as client:
        await client.post("Frees", {"ID": 7, "Text": "a"})
        await client.patch("Frees(7)", {"Text": "b"})
        assert side.world.frees.table[7].Text == "b"
        await client.delete("Frees(7)")
        assert side.world.frees.table == {}
        assert not client.inside


async def test_a_wrong_token_is_a_missing_logon_and_the_right_one_is_let_in() -> None:
    async with served(token="a-token-of-some-length-for-this-test") as side:
        async with side.client(auth="wrong") as client:
            with pytest.raises(LogonFailed):
                await client.edit(ONE)
        async with side.client(auth="a-token-of-some-length-for-this-test") as client, client.edit(ONE) as order:
            order["Amount"] = 99
        assert side.world.orders.table["1"].Amount == 99
