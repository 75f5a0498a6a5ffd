"""What keeps others out: origin, host, size of bodies, types of content."""

from contextlib import AsyncExitStack

import pytest

from e2e.mcp_world import call, handshake, initialize, request, world
from e2e.wire import JSON_HEADERS, Wire
from holdfast.mcp.kinds import SESSION


@pytest.mark.parametrize(
    ("header", "value"), [("origin", "http://evil.example"), ("origin", "null"), ("host", "evil.example")]
)
async def test_a_foreign_page_is_refused_before_anything_else_is_looked_at(header: str, value: str) -> None:
    # M1, R60, T21: 403 before anything
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        made.sink.clear()
        for method, body in (("POST", b"{"), ("POST", request("ping")), ("GET", None), ("DELETE", None)):
            seen = await wire.send(method, body, headers={**JSON_HEADERS, **named, header: value})
            assert (seen.status, seen.json["id"]) == (403, None)
        assert made.sink.facts() == []
        assert (await wire.post(request("ping"), **named)).status == 200


async def test_a_local_page_may_call_a_local_server() -> None:
    async with world() as made:
        seen = await made.workers[0].wire.post(initialize(), origin="http://localhost:3000", host="localhost:8765")
    assert seen.status == 200


async def test_a_body_over_the_limit_is_refused_with_both_sizes() -> None:
    async with world(max_body_bytes=1000) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        body = call("echo", text="x" * 5000)
        declared = await wire.post(body, **named, content_length="5200")
        found_out = await wire.post(body, **named)
        fits = await wire.post(call("echo", text="x" * 500), **named)
    assert [declared.status, found_out.status, fits.status] == [413, 413, 200]
    for seen in (declared, found_out):
        assert seen.json["error"]["data"]["code"] == "body_too_large"
        assert "limit is 1000" in seen.json["error"]["message"]
    assert "5200" in declared.json["error"]["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_a_form_of_a_web_page_cannot_post_a_message(content_type: str) -> None:
    async with world() as made:
        seen = await made.workers[0].wire.post(initialize(), content_type=content_type)
    assert seen.status == 415


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_json_however_it_is_written(content_type: str) -> None:
    async with world() as made:
        assert (await made.workers[0].wire.post(initialize(), content_type=content_type)).status == 200


async def test_a_client_that_takes_neither_json_nor_a_stream_is_refused() -> None:
    async with world() as made:
        assert (await made.workers[0].wire.post(initialize(), accept="text/html")).status == 406


async def test_clients_without_a_name_are_told_apart_by_their_address() -> None:
    # E11
    async with world() as made:
        endpoint = made.workers[0].endpoint
        for client in ("192.0.2.1", "192.0.2.2"):
            await handshake(Wire(endpoint, client=client))
        records = await made.store.sessions.find("all", b"")
    assert {record.client for record in records} == {"192.0.2.1", "192.0.2.2"}


async def test_a_full_client_that_may_replace_nothing_gets_429_with_a_hint() -> None:
    # E12: sessions in which a call runs are never replaced
    async with world() as made:
        wire, manager = made.workers[0].wire, made.workers[0].manager
        sessions = [await handshake(wire) for _ in range(100)]
        async with AsyncExitStack() as calls:
            for named in sessions:
                session = await manager.load(named["mcp-session-id"], kind=SESSION)
                await calls.enter_async_context(manager.running(session))
            seen = await wire.post(initialize())
    assert seen.status == 429
    assert seen.json["error"]["data"]["code"] == "limit_reached"
    assert "retry-after" in seen.headers


async def test_a_content_length_of_any_number_of_digits_is_a_number() -> None:
    async with world() as made:
        assert (await made.workers[0].wire.post(initialize(), content_length="9" * 5000)).status == 413
