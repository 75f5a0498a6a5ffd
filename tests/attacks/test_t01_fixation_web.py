"""T1, T2: an attacker plants cookies in a victim's browser, of no session or of one of his own (R3, R4, S3)."""

from pathlib import Path

import pytest

from attacks.web_world import LOGON, NOBODY, web_target
from attacks.world import UNKNOWN
from stores.stores import Place

PLANTED = (UNKNOWN, "attackers-choice", "1", "../../etc/passwd", "A" * 42, "A" * 44, "*", "{}", "' OR 1=1 --", "%00")


async def test_a_planted_id_is_never_taken_over(each_place: Place, tmp_path: Path) -> None:  # T1
    async with web_target(each_place, tmp_path) as attacked:
        for planted in PLANTED:
            victim = attacked.browser({"shop": planted, LOGON: planted})
            assert await victim.seen() == NOBODY
            await victim.post("/write?basket=tea")
            await victim.post("/login/ann")
            assert planted not in victim.jar.values()
            assert (await victim.seen())["who"] == "ann"
            assert await attacked.browser({"shop": planted, LOGON: planted}).seen() == NOBODY
        assert len(attacked.told("unknown_id")) >= 4 * len(PLANTED)
        assert not {record.mark for record in await attacked.records("http")} & {one[:8] for one in PLANTED}


@pytest.mark.parametrize("keeps", [[], ["basket"]])
async def test_who_planted_a_session_of_his_own_stays_a_visitor_without_it(
    keeps: list[str], each_place: Place, tmp_path: Path
) -> None:  # T2
    async with web_target(each_place, tmp_path, keeps=keeps) as attacked:
        attacker = attacked.browser()
        await attacker.post("/write?basket=tea&draft=poison")
        victim = attacker.copy()
        await victim.post("/login/ann")
        await victim.post("/write?secret=1")
        kept = {"basket": "tea"} if keeps else {}
        assert await victim.seen() == {"who": "ann", "data": {**kept, "secret": "1"}}
        assert await attacker.seen() == NOBODY
        await attacker.post("/write?basket=poison")
        assert (await victim.seen())["data"].get("basket") == kept.get("basket")
        assert await attacker.seen("/bank/") == NOBODY
        assert (await victim.seen("/bank/"))["who"] == "ann"
