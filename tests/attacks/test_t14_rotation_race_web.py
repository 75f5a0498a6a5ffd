"""T14: requests that are under way while ids are renewed (R9)."""

from pathlib import Path

import anyio

from attacks.web_world import Browser, web_target
from stores.stores import Place


async def test_twenty_requests_at_the_instant_of_a_renewal_get_one_new_id_and_no_refusal(
    each_place: Place, tmp_path: Path
) -> None:
    async with web_target(each_place, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann")
        await victim.post("/bank/write?b=1")
        await victim.post("/login/ann?level=2")  # the bank's id is renewed with the next request there
        together: list[Browser] = [victim.copy() for _ in range(20)]
        seen: list[object] = []

        async def look(browser: Browser) -> None:
            seen.append(await browser.seen("/bank/"))

        async with anyio.create_task_group() as tasks:
            for one in together:
                tasks.start_soon(look, one)
        assert seen == [{"who": "ann", "data": {"b": "1"}}] * 20
        new = {one.jar["bank"] for one in together} - {victim.jar["bank"]}
        assert len(new) == 1
        assert len(await attacked.records("http")) == 2, "no fork"
        assert all("holdfast-logon" in one.jar for one in together)
        assert await Browser(attacked, {"bank": victim.jar["bank"]}).seen("/bank/") == {"who": None, "data": {}}


async def test_requests_with_the_old_ids_during_a_logon_do_not_undo_it(each_place: Place, tmp_path: Path) -> None:
    async with web_target(each_place, tmp_path, keeps=["basket"]) as attacked:
        victim = attacked.browser()
        await victim.post("/write?basket=tea")
        old = victim.copy()
        await victim.post("/login/ann")
        late = await old.get("/")
        assert "set-cookie" not in late.headers, "it would take the new cookies from the browser"
        assert await victim.seen() == {"who": "ann", "data": {"basket": "tea"}}
