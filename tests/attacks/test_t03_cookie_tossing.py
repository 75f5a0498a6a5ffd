"""T3: a sister host has set a second cookie of the same name (R18)."""

from pathlib import Path

import pytest

from attacks.web_world import LOGON, NOBODY, web_target
from stores.stores import Place


@pytest.mark.parametrize("name", ["shop", LOGON])
async def test_two_cookies_of_one_name_are_nobodys_and_are_told_of(name: str, sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        victim, mallory = attacked.browser(), attacked.browser()
        await victim.post("/login/ann")
        await mallory.post("/login/mallory")
        mine, planted = (f"{name}={one.jar[name]}" for one in (victim, mallory))
        rest = "; ".join(f"{other}={value}" for other, value in victim.jar.items() if other != name)
        orders = (f"{mine}; {planted}", f"{planted}; {mine}", f"{mine}; {mine}")
        for number, order in enumerate(orders, 1):
            answer = await attacked.browser().get("/", cookie=f"{order}; {rest}")
            assert answer.json() == NOBODY
            assert len(attacked.told("two_ids")) == number
        assert (await victim.seen())["who"] == "ann"
