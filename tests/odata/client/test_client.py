"""The client against a service over real HTTP that does as the vocabulary says (O15)."""

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from holdfast.errors import BadInput, SessionEnded
from holdfast.odata.choreography import ChoreographyError
from holdfast.odata.client import EntityChanged, ServiceError, StickyClient
from holdfast.odata.edm import EdmError
from holdfast.odata.errors import NoSuchResource
from odata.client.unruly import Unruly, listening

ONE, TWO = "Orders('1')", "Orders('2')"


@pytest.fixture
async def service() -> AsyncIterator[tuple[Unruly, StickyClient]]:
    unruly = Unruly()
    async with listening(unruly) as origin, StickyClient(f"{origin}/svc", auth=("me", "secret")) as client:
        yield unruly, client


async def test_leaving_the_block_sends_one_patch_of_what_changed_and_saves(
    service: tuple[Unruly, StickyClient],
) -> None:
    # O15
    unruly, client = service
    async with client.edit(ONE) as order:
        order["Note"] = "changed"
        order["Price"] = Decimal("12.50")
        order["Due"] = dt.date(2026, 11, 21)  # as it was: no change
        assert client.unsaved == {ONE}
    assert unruly.lines() == [f"POST {ONE}/Demo.Edit", f"PATCH {ONE}", f"POST {ONE}/Demo.Save"]
    patch = unruly.asked[-2]
    assert patch.body == b'{"Note":"changed","Price":12.50}'
    assert patch.headers["if-match"] == 'W/"1"'
    assert unruly.stored["1"]["Note"] == "changed"
    assert not client.inside
    assert unruly.sessions == {}


async def test_an_exception_in_the_block_discards(service: tuple[Unruly, StickyClient]) -> None:  # O15
    unruly, client = service
    with pytest.raises(ZeroDivisionError):
        async with client.edit(ONE) as order:
            order["Note"] = "changed"
            raise ZeroDivisionError
    assert unruly.lines() == [f"POST {ONE}/Demo.Edit", "POST Discard"]
    assert unruly.sessions == {}
    assert unruly.stored["1"]["Note"] == "note 1"


async def test_a_save_that_is_refused_on_leaving_discards_and_says_why(service: tuple[Unruly, StickyClient]) -> None:
    unruly, client = service
    with pytest.raises(ServiceError, match="no such note") as refused:
        async with client.edit(ONE) as order:
            order["Note"] = "refuse"
    assert (refused.value.answer_status, refused.value.odata_code, refused.value.target) == (422, "REFUSED", "Note")
    assert refused.value.details[0].message == "more"
    assert not client.inside
    assert unruly.sessions == {}


async def test_a_new_entity_is_found_under_its_empty_key_and_saved_under_another(
    service: tuple[Unruly, StickyClient],
) -> None:
    unruly, client = service
    async with client.new("Orders", {"Note": "mine"}) as order:
        assert order.path == "Orders('')"
    assert order["ID"] == "9"
    assert unruly.stored["9"]["Note"] == "mine"
    async with client.new("Orders", action="Demo.CreateFrom", parameters={"Template": "t"}) as order:
        assert order["Note"] == "t"


async def test_single_steps_can_correct_a_save_that_was_refused(service: tuple[Unruly, StickyClient]) -> None:
    unruly, client = service
    order = await client.edit(ONE)
    order["Note"] = "refuse"
    with pytest.raises(ServiceError):
        await order.save()
    assert client.inside
    order["Note"] = "fine"
    await order.save()
    assert unruly.stored["1"]["Note"] == "fine"
    assert not client.inside


async def test_several_entities_share_a_session_that_ends_with_the_last_save(
    service: tuple[Unruly, StickyClient],
) -> None:
    # O4
    unruly, client = service
    first, second = await client.edit(ONE), await client.edit(TWO)
    await first.save()
    assert client.unsaved == {TWO}
    second["Note"] = "second"
    await second.save()
    assert not client.inside
    assert len({asked.session for asked in unruly.asked if asked.session}) == 1


async def test_reads_see_the_buffer_inside_and_what_is_stored_outside(service: tuple[Unruly, StickyClient]) -> None:
    _, client = service
    order = await client.edit(ONE)
    order["Note"] = "inside"
    await order.flush()
    assert (await client.read(ONE))["Note"] == "inside"
    await client.discard()
    assert (await client.read(ONE))["Note"] == "note 1"
    assert [row["ID"] async for row in client.rows("Orders")] == ["1", "2"]
    assert (await client.read(ONE))["Due"] == dt.date(2026, 11, 21)


async def test_illegal_steps_raise_before_anything_is_sent(service: tuple[Unruly, StickyClient]) -> None:  # O15
    unruly, client = service
    await client.service()
    sent = len(unruly.asked)
    with pytest.raises(ChoreographyError, match="outside"):
        await client.save(ONE)
    with pytest.raises(ChoreographyError, match="outside"):
        await client.discard()
    with pytest.raises(ChoreographyError, match="outside"):
        await client.patch(ONE, {"Note": "x"})
    with pytest.raises(ChoreographyError, match="outside"):
        await client.delete(ONE)
    with pytest.raises(ChoreographyError, match="outside"):
        await client.post("Orders", {"ID": "7"})
    with pytest.raises(BadInput, match="begins or ends"):
        await client.post(f"{ONE}/Demo.Edit", {})
    with pytest.raises(BadInput, match="needs no sticky session"):
        await client.edit("Customers('x')")
    with pytest.raises(BadInput, match="is a collection"):
        await client.edit("Orders")
    with pytest.raises(NoSuchResource):
        await client.edit("Nothing('1')")
    assert len(unruly.asked) == sent
    await client.edit(ONE)
    sent = len(unruly.asked)
    with pytest.raises(ChoreographyError, match="neither new nor edited"):
        await client.save(TWO)
    with pytest.raises(BadInput, match="no Nota"):
        await client.patch(ONE, {"Nota": "x"})
    with pytest.raises(EdmError):
        await client.patch(ONE, {"Due": "tomorrow"})
    assert len(unruly.asked) == sent


async def test_a_stale_etag_is_refused_and_starts_nothing(service: tuple[Unruly, StickyClient]) -> None:
    unruly, client = service
    etag = (await client.read(ONE))["@odata.etag"]
    unruly.stored["1"]["v"] = 5
    with pytest.raises(EntityChanged):
        await client.edit(ONE, etag=etag)
    assert not client.inside


async def test_actions_that_are_not_of_the_choreography_run_anywhere(service: tuple[Unruly, StickyClient]) -> None:
    _, client = service
    await client.post(f"{ONE}/Demo.Approve", {})
    await client.edit(ONE)
    await client.post(f"{ONE}/Demo.Approve", {})
    assert client.inside


async def test_an_entity_reached_by_navigation_is_edited_by_the_actions_of_its_set(
    service: tuple[Unruly, StickyClient],
) -> None:
    _, client = service
    with pytest.raises(ServiceError) as missing:
        await client.edit("Customers('x')/Orders('1')")
    assert missing.value.answer_status == 404


async def test_closing_discards_and_nothing_can_be_sent_afterwards(service: tuple[Unruly, StickyClient]) -> None:
    # O18
    unruly, client = service
    order = await client.edit(ONE)
    assert (await client.close()).how == "discarded"
    assert unruly.sessions == {}
    assert (await client.close()).how == "nothing"
    with pytest.raises(SessionEnded):
        await order.save()
    with pytest.raises(SessionEnded):
        await client.read(ONE)


async def test_the_session_id_never_leaves_the_service(service: tuple[Unruly, StickyClient]) -> None:
    unruly, client = service
    await client.edit(ONE)
    sent = len(unruly.asked)
    for link in ("https://elsewhere.example/svc/Orders", "//elsewhere.example/svc/Orders", "/other/Orders"):
        with pytest.raises(BadInput, match="away"):
            await client.read(link)
    assert len(unruly.asked) == sent
    assert next(iter(unruly.sessions)) not in repr(client)
