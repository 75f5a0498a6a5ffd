"""The client against SAP's mock server for Fiori elements, a sticky service that we did not write (O19).

It answers HEAD without the id and knows no ICMENOSESSION: these tests say what the client makes of that.
"""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from e2e.mcp_drivers import NODE
from holdfast.odata.client import Loss, ServiceError, StickyClient, StickySessionLost
from holdfast.testing.clock import Clock

HERE = Path(__file__).parent
METADATA = HERE.parents[1] / "odata" / "client" / "metadata.xml"
ONE = "Orders('1')"
ROWS = [
    {"ID": "1", "Note": "note 1", "Price": "1.50", "Due": "2026-11-21"},
    {"ID": "2", "Note": "note 2", "Price": None, "Due": None},
]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "Orders.json").write_text(json.dumps(ROWS))
    command = [str(NODE), "mockserver.mjs", "0", str(METADATA), str(tmp_path)]
    async with await anyio.open_process(command, cwd=HERE) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(60):
                said = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
            yield f"http://127.0.0.1:{said.split()[1].decode()}/svc"
        finally:
            process.kill()


@pytest.fixture
def losses() -> list[Loss]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(url: str, losses: list[Loss], clock: Clock) -> AsyncIterator[StickyClient]:
    client = StickyClient(url, on_loss=losses.append, clock=clock)
    with anyio.fail_after(60):
        try:
            yield client
        finally:
            await client.close()


async def end_elsewhere(url: str, client: StickyClient) -> None:
    """Discard the client's session behind its back."""
    headers = {"sap-contextid": client._driver.standing.context_id, "x-csrf-token": "x"}
    async with httpx2.AsyncClient() as other:
        (await other.post(f"{url}/Discard", headers=headers, json={})).raise_for_status()


async def test_an_edit_is_saved_and_seen_outside_only_then(client: StickyClient, url: str) -> None:  # O15, O19
    outside = StickyClient(url)
    async with client.edit(ONE) as order:
        assert order["Price"] == Decimal("1.50")
        order["Note"] = "changed"
        await order.flush()
        assert (await client.read(ONE))["Note"] == "changed"
        assert (await outside.read(ONE))["Note"] == "note 1"
    assert (await outside.read(ONE))["Note"] == "changed"
    assert not client.inside
    assert (await outside.close()).how == "nothing"


async def test_changes_and_save_go_in_one_batch(url: str) -> None:
    async with StickyClient(url, batch=True) as client:
        async with client.edit(ONE) as order:
            order["Note"] = "together"
        assert client.unsaved == set()  # the outer answer has the id still: this server forgets to take it off
        assert (await client.read(ONE))["Note"] == "together"
        async with client.edit(ONE) as order:
            order["Note"] = "again"
        assert (await client.read(ONE))["Note"] == "again"


async def test_a_new_entity_is_saved(client: StickyClient) -> None:
    async with client.new("Orders", {"Note": "mine"}) as order:
        assert client.unsaved == {order.path}
    assert "mine" in [row["Note"] async for row in client.rows("Orders")]


async def test_an_exception_discards(client: StickyClient, losses: list[Loss]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.edit(ONE) as order:
            order["Note"] = "changed"
            await order.flush()
            raise ZeroDivisionError
    assert not client.inside
    assert (await client.read(ONE))["Note"] == "note 1"
    assert losses == []


async def test_a_dead_id_is_found_by_asking_as_the_server_does_not_name_it(
    client: StickyClient, url: str, losses: list[Loss]
) -> None:
    # O16: 400 "Session gone" without SAP-Err-Id, and a HEAD that tells nothing
    order = await client.edit(ONE)
    order["Note"] = "lost"
    await end_elsewhere(url, client)
    with pytest.raises(StickySessionLost):
        await order.save()
    assert [loss.unsaved for loss in losses] == [(ONE,)]


async def test_a_session_is_kept_alive_by_reading_where_head_does_not_do_it(
    client: StickyClient, url: str, losses: list[Loss], clock: Clock
) -> None:
    # O17; open-ux-odata issue 726
    order = await client.edit(ONE)
    assert await client.keep_alive() == clock() + 115
    clock.advance(115)
    assert await client.keep_alive() == clock() + 115
    assert client.inside
    order["Note"] = "kept"
    await order.save()
    assert (await client.read(ONE))["Note"] == "kept"
    again = await client.edit(ONE)
    await end_elsewhere(url, client)
    clock.advance(115)
    assert await client.keep_alive() is None
    assert again.loss == losses[0]


async def test_an_error_of_the_service_is_told_and_keeps_the_session(client: StickyClient) -> None:
    await client.edit(ONE)
    with pytest.raises(ServiceError) as missing:
        await client.read("Orders('404')")
    assert missing.value.answer_status == 404
    assert client.inside
