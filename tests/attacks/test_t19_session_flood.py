"""T19: sessions are opened in a flood, from one address and from many: limits hold, old users notice nothing (R67).

`python bench/session_flood.py` opens a million. What each costs, and so what a limit means in memory, is in
docs/security.md.
"""

import json
from pathlib import Path

import anyio

from attacks.world import DIALECT, STREAM, Target, target
from e2e.mcp_world import call, initialize, request
from stores.stores import Place

FLOOD, AT_ONCE = 150, 10
TOTAL, PER_CLIENT = 60, 10
LIMITS = {"mcp": {"per_client": PER_CLIENT, "total": TOTAL}}
SETTINGS = {"TRUSTED_PROXIES": '["127.0.0.0/8"]', "KINDS": json.dumps(LIMITS)}
HOME = {"x_forwarded_for": "198.51.100.7"}


async def flood(attacked: Target, address: str, seen: list[int], count: int = FLOOD) -> None:
    """Open sessions; `address` has a place for a number."""
    numbers = iter(range(count))

    async def opened() -> None:
        for number in numbers:
            answer = await attacked.post(initialize(), x_forwarded_for=address.format(number % 250, number // 250))
            seen.append(answer.status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(opened)


async def test_who_floods_pushes_out_his_own_sessions_alone(sqlite: Place, tmp_path: Path) -> None:  # R67, E11, E12
    async with target(sqlite, tmp_path, settings=SETTINGS) as attacked:
        old = [await attacked.session(**HOME) for _ in range(3)]
        seen: list[int] = []
        await flood(attacked, "203.0.113.9", seen)
        assert set(seen) == {200}, "each takes the place of his own least recent one"
        records = await attacked.records()
        assert sum(record.client == "203.0.113.9" for record in records) == PER_CLIENT
        for named in old:
            assert (await attacked.post(call("echo", text="a"), **named)).status_code == 200


async def test_from_many_addresses_the_total_holds_and_nobody_loses_his_session(sqlite: Place, tmp_path: Path) -> None:
    # R67: refused, with when to come back, instead of taking others' places
    async with target(sqlite, tmp_path, settings=SETTINGS) as attacked:
        old = [await attacked.session(**HOME) for _ in range(3)]
        seen: list[int] = []
        await flood(attacked, "203.0.{1}.{0}", seen)
        assert seen.count(200) == TOTAL - len(old)
        assert seen.count(429) == FLOOD - seen.count(200)
        assert len(await attacked.records()) == TOTAL
        for named in old:
            assert (await attacked.post(call("echo", text="a"), **named)).status_code == 200
        assert len(attacked.told("limit_reached")) == seen.count(429)
        refused = await attacked.post(initialize(), **HOME)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        assert refused.json()["error"]["data"]["code"] == "limit_reached"


async def test_all_addresses_of_one_ipv6_network_are_one_client(sqlite: Place, tmp_path: Path) -> None:  # E11
    async with target(sqlite, tmp_path, settings=SETTINGS) as attacked:
        seen: list[int] = []
        await flood(attacked, "2001:db8:0:7:{1:x}::{0:x}", seen, count=40)
        assert {record.client for record in await attacked.records()} == {"2001:db8:0:7::/64"}
        assert len(await attacked.records()) == PER_CLIENT
        await attacked.session(x_forwarded_for="2001:db8:0:8::1")
        assert len(await attacked.records()) == PER_CLIENT + 1


async def test_in_the_dialect_streams_without_an_id_are_limited_as_well(sqlite: Place, tmp_path: Path) -> None:
    # M8: there every GET opens a session
    async with target(sqlite, tmp_path, settings=SETTINGS, **DIALECT) as attacked:
        async with anyio.create_task_group() as tasks:
            for _ in range(3 * PER_CLIENT):
                tasks.start_soon(opened_and_left, attacked)
        assert len(await attacked.records()) <= PER_CLIENT
        assert (await attacked.post(initialize(), **HOME)).status_code == 200


async def opened_and_left(attacked: Target) -> None:
    async with attacked.reading(x_forwarded_for="203.0.113.9") as stream:
        await stream.until(lambda seen: seen.told("session") or seen.ended)


async def test_who_only_looks_leaves_nothing(sqlite: Place, tmp_path: Path) -> None:  # R68
    async with target(sqlite, tmp_path) as attacked:
        for _ in range(20):
            for method, body in (("GET", None), ("POST", request("ping")), ("DELETE", None), ("HEAD", None)):
                accept = STREAM if method == "GET" else {}
                assert (await attacked.send(method, body, **accept)).status_code in (400, 405)
        async with attacked.place.open() as store:
            assert await store.sessions.find("all", b"") == []
