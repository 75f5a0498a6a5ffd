"""Sessions that outlive their client: left by one, taken up by another."""

from collections.abc import AsyncIterator

import anyio
import pytest

from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import BadInput, SessionEnded
from holdfast.odata.choreography import ChoreographyError
from holdfast.odata.client import Loss, StickyClient, StickySessionLost
from odata.client.unruly import Unruly, listening

ONE, TWO = "Orders('1')", "Orders('2')"
KEYS = KeyRing.parse(new_key_text())


@pytest.fixture
async def place() -> AsyncIterator[tuple[Unruly, str]]:
    service = Unruly()
    with anyio.fail_after(30):
        async with listening(service) as origin:
            yield service, f"{origin}/svc"


async def test_another_client_goes_on_where_one_has_left(place: tuple[Unruly, str]) -> None:
    service, url = place
    service.set_cookies = ["SAP_SESSIONID_X_001=s; path=/"]
    async with StickyClient(url) as client:
        first, second = await client.edit(ONE), await client.edit(TWO)
        first["Note"], second["Note"] = "one", "two"
        left = await client.leave(KEYS)
        with pytest.raises(SessionEnded):
            await first.save()
    assert "POST Discard" not in service.lines()
    assert next(iter(service.sessions)) not in left
    async with StickyClient(url) as other:
        orders = await other.resume(left, KEYS)
        assert [order["Note"] for order in orders] == ["one", "two"]
        for order in orders:
            await order.save()
        assert not other.inside
    assert service.stored["1"]["Note"] == "one"
    assert service.asked[-1].headers["cookie"] == "SAP_SESSIONID_X_001=s"
    assert service.asked[-1].headers["if-match"] == 'W/"1"'


async def test_a_session_that_is_gone_by_then_is_a_loss(place: tuple[Unruly, str]) -> None:
    service, url = place
    client = StickyClient(url)
    await client.edit(ONE)
    left = await client.leave(KEYS)
    service.sessions.clear()
    losses: list[Loss] = []
    async with StickyClient(url, on_loss=losses.append) as other:
        with pytest.raises(StickySessionLost):
            await other.resume(left, KEYS)
        assert [loss.unsaved for loss in losses] == [(ONE,)]


async def test_what_is_left_opens_for_its_own_service_and_keys_only(place: tuple[Unruly, str]) -> None:
    service, url = place
    client = StickyClient(url)
    await client.edit(ONE)
    left = await client.leave(KEYS)
    sent = len(service.asked)
    for address, keys, text in [
        (url + "/elsewhere", KEYS, left),
        (url, KeyRing.parse(new_key_text()), left),
        (url, KEYS, left[:-8]),
        (url, KEYS, "ä"),
    ]:
        other = StickyClient(address)
        with pytest.raises(BadInput):
            await other.resume(text, keys)
    assert len(service.asked) == sent


async def test_a_client_with_a_session_takes_up_no_other(place: tuple[Unruly, str]) -> None:
    _, url = place
    client = StickyClient(url)
    await client.edit(ONE)
    left = await client.leave(KEYS)
    async with StickyClient(url) as other:
        await other.edit(TWO)
        with pytest.raises(ChoreographyError):
            await other.resume(left, KEYS)
        assert other.unsaved == {TWO}
