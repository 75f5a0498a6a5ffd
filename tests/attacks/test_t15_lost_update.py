"""T15: many requests change one session at the same time, at two processes: none is lost (R66; E24)."""

from pathlib import Path
from typing import Any

import anyio

from attacks.world import target
from e2e.mcp_world import call, request
from stores.stores import Place

PARALLEL = 50


async def test_fifty_counts_are_fifty_and_fifty_keys_all_stay(shared_place: Place, tmp_path: Path) -> None:  # R66
    async with target(shared_place, tmp_path) as attacked:
        named = await attacked.session()
        answers: list[str] = []

        async def send(body: Any) -> None:
            answers.append((await attacked.post(body, **named)).text)

        async with anyio.create_task_group() as tasks:
            for number in range(PARALLEL):
                tasks.start_soon(send, call("write", number, key=f"key {number}"))
                tasks.start_soon(send, call("write", PARALLEL + number, key="count", shared=True))
        assert all("written" in answer for answer in answers), [a for a in answers if "written" not in a]
        content = await attacked.content_of(named)
        assert content["count"] == PARALLEL
        assert {f"key {number}" for number in range(PARALLEL)} <= content.keys()
        assert min(attacked.workers.served) > 0
        assert (await attacked.post(request("ping"), **named)).status_code == 200
