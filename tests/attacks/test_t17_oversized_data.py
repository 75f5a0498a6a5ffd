"""T17: values that are too large, too many, too deep or without end, in requests and in sessions (R67; E6)."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from attacks.world import UNKNOWN, head, raw_post, statuses, target
from e2e.mcp_world import LEGACY, META, MODERN, call, initialize, request
from e2e.wire import JSON_HEADERS
from stores.stores import Place

MEGABYTE = 2**20
LIMITS = {"MAX_BODY_BYTES": f"{2 * MEGABYTE}", "MAX_PAYLOAD_BYTES": f"{64 * 1024}"}


def deep(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


def body_with(value: str, place: str) -> bytes:
    """Return a message with JSON put in somewhere."""
    params = {
        "arguments": f'{{"name": "take", "arguments": {{"value": {value}}}}}',
        "name": f'{{"name": {value}}}',
        "params": value,
        "_meta": f'{{"name": "take", "arguments": {{}}, "_meta": {value}}}',
        "capabilities": f'{{"protocolVersion": "{LEGACY}", "capabilities": {value}, "clientInfo": {{"name": "a"}}}}',
        "clientInfo": f'{{"protocolVersion": "{LEGACY}", "capabilities": {{}}, "clientInfo": {value}}}',
    }
    method = "initialize" if place in ("capabilities", "clientInfo") else "tools/call"
    return f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params[place]}}}'.encode()


LARGE = {
    "depth 10^4": deep(10_000),
    "depth 10^4 of lists": deep(10_000, "[", "]"),
    "10^5 keys": json.dumps({f"{n:x}": 0 for n in range(100_000)}),
    "a long number": "9" * 100_000,
    "a long fraction": "0." + "1" * 100_000 + "e999999999",
    "a long text": json.dumps("x" * MEGABYTE),
    "escapes": '"' + "\\u0000" * 100_000 + '"',
    "one key many times": "{" + ",".join(['"a":1'] * 100_000) + "}",
    "colliding keys": json.dumps({str(n * (2**61 - 1)): 0 for n in range(20_000)}),
}


async def test_a_request_of_any_size_and_depth_gets_an_answer_and_leaves_no_memory(
    sqlite: Place, tmp_path: Path
) -> None:
    # R67
    async with target(sqlite, tmp_path, settings=LIMITS) as attacked:
        named = await attacked.session()
        headers = {name.replace("_", "-"): value for name, value in {**JSON_HEADERS, **named}.items()}
        modern = {**JSON_HEADERS, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "take"}

        async def flood() -> None:
            for name, value in LARGE.items():
                for place in ("arguments", "name", "params", "_meta", "capabilities", "clientInfo"):
                    for chosen in (headers, modern):
                        seen = await attacked.http.post(attacked.url, content=body_with(value, place), headers=chosen)
                        assert seen.status_code in (200, 400, 404, 413), (
                            name,
                            place,
                            seen.status_code,
                            seen.text[:200],
                        )
                        assert "-32603" not in seen.text, (name, place, seen.text[:300])

        await flood()
        before = attacked.resident()
        await flood()
        assert attacked.resident() - before < 48 * MEGABYTE
        assert (await attacked.post(request("ping"), **named)).status_code == 200
        assert all(len(record.payload) <= 65 * 1024 for record in await attacked.records())


async def test_a_body_over_the_limit_or_without_end_is_refused_whatever_it_says_of_itself(
    sqlite: Place, tmp_path: Path
) -> None:
    # R67
    async with target(sqlite, tmp_path, settings=LIMITS) as attacked:
        before = attacked.resident()
        lines = ["Connection: close", *(f"{name}: {value}" for name, value in JSON_HEADERS.items())]
        for length in (3 * MEGABYTE, 10**15, 10**18):
            answer = await attacked.raw(
                head(*lines, f"Content-Length: {length}") + b" " * 3 * MEGABYTE, worker=0, wait=5
            )
            assert statuses(answer) == [413]
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        answer = await attacked.raw(head(*lines, "Transfer-Encoding: chunked") + chunk * 40, worker=0, wait=5)
        assert statuses(answer) == [413]
        assert attacked.resident() - before < 32 * MEGABYTE
        assert (await attacked.session())["mcp_session_id"]


async def test_a_session_is_filled_up_to_its_limit_and_then_keeps_what_it_has(sqlite: Place, tmp_path: Path) -> None:
    # R67, E6: a gigabyte comes in a loop of small values
    async with target(sqlite, tmp_path, settings=LIMITS) as attacked:
        named = await attacked.session()
        refused = 0
        for number in range(100):
            seen = await attacked.post(call("write", key=f"{number} " + "x" * 1_500), **named)
            refused += "payload_too_large" in seen.text
        content = await attacked.content_of(named)
        kept = sum(key.endswith("x") for key in content)
        assert kept + refused == 100
        assert 30 < kept < 44
        seen = await attacked.post(request("resources/subscribe", {"uri": "x://" + "y" * 60_000}), **named)
        assert seen.status_code < 500
        for large in (
            {"name": "x" * 70_000, "version": "1"},
            {"name": "a", "version": "1", **{f"{n}": n for n in range(9_000)}},
        ):
            opened = await attacked.post(
                initialize() | {"params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": large}}
            )
            assert opened.status_code == 413
            assert "65536" in opened.text, "both sizes are named"
        assert (await attacked.post(request("ping"), **named)).status_code == 200
        assert len(await attacked.records()) == 1


async def test_long_ids_and_names_are_nobodys(sqlite: Place, tmp_path: Path) -> None:  # R4
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session()
        for long in (UNKNOWN * 2, UNKNOWN * 100, UNKNOWN * 1_000):
            answer = await attacked.raw(raw_post(request("ping"), f"X-Session-ID: {long}", "Connection: close"))
            assert statuses(answer) == [404]
            for line in (f"Last-Event-ID: {long}", f"Mcp-Name: {long}", f"Mcp-Protocol-Version: {long}"):
                lines = [
                    f"{name.replace('_', '-')}: {value}"
                    for name, value in named.items()
                    if name != "mcp_protocol_version"
                ]
                answer = await attacked.raw(raw_post(call("echo", text="a"), *lines, line, "Connection: close"))
                assert statuses(answer)[0] in (200, 400), (line[:20], answer)
        seen = await attacked.post(
            request("tasks/get", {"taskId": UNKNOWN * 1_000, "_meta": META}),
            mcp_protocol_version=MODERN,
            mcp_method="tasks/get",
            mcp_name=UNKNOWN,
        )
        assert seen.status_code == 400


async def test_a_large_answer_is_sent_whole_and_its_memory_given_back(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path, settings=LIMITS) as attacked:
        named = await attacked.session()
        text = "x" * (MEGABYTE + MEGABYTE // 2)

        async def say() -> None:
            for _ in range(3):
                seen: Any = await attacked.post(call("echo", text=text), **named)
                assert text in seen.text

        await say()
        before = attacked.resident()
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(say)
        assert attacked.resident() - before < 64 * MEGABYTE


@pytest.mark.parametrize("levels", [1_000, 100_000])
async def test_a_batch_may_be_neither_long_nor_deep(levels: int, sqlite: Place, tmp_path: Path) -> None:  # R67
    async with target(sqlite, tmp_path, count=1, settings=LIMITS) as attacked:
        named = await attacked.session()
        headers = {name.replace("_", "-"): value for name, value in {**JSON_HEADERS, **named}.items()}
        for body in (b"[" * levels + b"]" * levels, json.dumps([request("ping")] * min(levels, 9_000)).encode()):
            seen = await attacked.http.post(attacked.url, content=body, headers=headers)
            assert seen.status_code == 400
        assert (await attacked.post(request("ping"), **named)).status_code == 200
