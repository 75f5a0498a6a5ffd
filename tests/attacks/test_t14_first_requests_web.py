"""T14: fifty first requests of a second application come at once, at two workers: one session, nothing lost (S2)."""

from pathlib import Path

import anyio

from attacks.web_world import Browser, web_target
from stores.stores import Place


async def test_fifty_first_requests_at_once_open_one_session(shared_place: Place, tmp_path: Path) -> None:  # S2, R66
    async with web_target(shared_place, tmp_path, keeps=["basket"]) as attacked:
        for sort in ("without a session of the bank's", "with a visitor's session there"):
            victim = attacked.browser()
            if sort.startswith("with a "):
                await victim.post("/bank/write?basket=tea")
            await victim.post("/login/ann")
            before = len(await attacked.records("http"))
            together: list[Browser] = [victim.copy() for _ in range(50)]

            async def write(number: int, browser: Browser) -> None:
                assert (await browser.post(f"/bank/write?k{number}=1")).status_code == 200

            async with anyio.create_task_group() as tasks:
                for number, one in enumerate(together):
                    tasks.start_soon(write, number, one)
            came = {one.jar["bank"] for one in together if one.jar.get("bank") != victim.jar.get("bank")} - {None}
            assert len(came) == 1, "one new id, and nobody's taken away"
            there = [one for one in await attacked.records("http") if one.label == "bank" and one.parent is not None]
            mine = [one for one in there if one.mark == came.copy().pop()[:8]]
            assert len(mine) == 1
            assert len([one for one in there if one.parent == mine[0].parent]) == 1
            assert len(await attacked.records("http")) == before + (not sort.startswith("with a "))
            [holder] = [one for one in together if one.jar.get("bank") in came][:1]
            data = (await holder.seen("/bank/"))["data"]
            assert {f"k{number}" for number in range(50)} <= data.keys(), sort
            assert data.get("basket") == ("tea" if sort.startswith("with a ") else None)
