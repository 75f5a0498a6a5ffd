"""T8: ids are guessed in a flood: it is limited and told of, costs no memory, and others are served on (R67, R75)."""

import itertools
import random
import tracemalloc
from pathlib import Path

import anyio
import pytest

from attacks.world import target
from e2e.mcp_world import handshake, request, world
from e2e.wire import Wire
from holdfast.config import Settings
from holdfast.core.ids import make_ids
from holdfast.web.rates import Rates
from stores.stores import Place

GUESSES, AT_ONCE = 200, 8
REMEMBERED, IN_PROCESS = 300, 1_500
MEGABYTE = 2**20


async def test_who_guesses_is_slowed_down_and_others_are_not(sqlite: Place, tmp_path: Path) -> None:  # R75, E13, E34
    settings = {"TRUSTED_PROXIES": '["127.0.0.0/8"]', "RATE_LIMIT_PER_CLIENT": "60", "RATE_BURST": "20"}
    async with target(sqlite, tmp_path, settings=settings) as attacked:
        other = await attacked.session(x_forwarded_for="198.51.100.7")
        seen: list[int] = []

        async def guess() -> None:
            for _ in range(GUESSES // AT_ONCE):
                tried = make_ids().generate()
                answer = await attacked.post(request("ping"), x_session_id=tried, x_forwarded_for="203.0.113.9")
                seen.append(answer.status_code)
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(guess)
        assert set(seen) == {404, 429}
        assert seen.count(404) < 60, "the burst, and one a second from then on"
        assert len(attacked.told("unknown_id")) == seen.count(404)
        assert len(attacked.told("rate_limited")) == seen.count(429)
        assert {event["address"] for event in attacked.told("unknown_id")} == {"203.0.113.9"}
        assert (await attacked.post(request("ping"), **other)).status_code == 200
        assert len(await attacked.records()) == 1


async def test_guesses_from_everywhere_leave_nothing_in_memory_or_store(monkeypatch: pytest.MonkeyPatch) -> None:
    # R67, R68
    monkeypatch.setattr("holdfast.web.rates.PURSES", REMEMBERED)  # of 10,000, so that the flood is past them
    draw, seconds = (
        random.Random(8),
        itertools.count(1),
    )  # one guess a second: buckets that are full again are forgotten
    async with world() as made:
        worker = made.workers[0]
        worker.endpoint._rates = Rates(
            made.store.counters, Settings(rate_limit_per_client=600), clock=lambda: float(next(seconds))
        )
        named = await handshake(worker.wire)

        async def flood(count: int) -> None:
            for _ in range(count):
                address = f"2001:db8:{draw.randrange(65_536):x}:{draw.randrange(65_536):x}::{draw.randrange(65_536):x}"
                agent = f"{draw.random()}" * 200
                wire = Wire(worker.endpoint, client=address, user_agent=agent)
                assert (await wire.post(request("ping"), x_session_id=make_ids().generate())).status == 404
            made.sink.clear()

        await flood(1_100)  # what is remembered of the last thousand is full now
        tracemalloc.start()
        try:
            await flood(500)
            before = tracemalloc.get_traced_memory()[0]
            await flood(IN_PROCESS)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < MEGABYTE // 2, grown
        assert len(await made.store.sessions.find("all", b"")) == 1
        assert (await worker.wire.post(request("ping"), **named)).status == 200
