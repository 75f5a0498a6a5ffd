"""T15: parallel requests of one session write it at two workers (R66)."""

from pathlib import Path

import anyio

from attacks.web_world import Browser, web_target
from stores.stores import Place


async def test_other_keys_all_stay_and_counters_count(each_place: Place, tmp_path: Path) -> None:
    async with web_target(each_place, tmp_path) as attacked:
        for who in ("visitor", "ann"):
            browser = attacked.browser()
            await browser.post("/write?first=1" if who == "visitor" else f"/login/{who}")
            copies: list[Browser] = [browser.copy() for _ in range(50)]
            async with anyio.create_task_group() as tasks:
                for number, one in enumerate(copies):
                    tasks.start_soon(one.post, f"/write?k{number}=1")
                    tasks.start_soon(one.post, "/count")
            data = (await browser.seen())["data"]
            assert data["count"] == 50
            assert {f"k{number}" for number in range(50)} <= data.keys()
