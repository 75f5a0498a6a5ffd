"""T16: the rows of logons and of applications' sessions are written over behind the servers' backs (R63, R64)."""

from pathlib import Path

import pytest

from attacks.behind import nothing_executed, put_payload, row_damages
from attacks.web_world import LOGON, NOBODY, Browser, WebTarget, web_target
from holdfast.core.model import Record
from stores import test_poison
from stores.stores import Place


async def victim_of(attacked: WebTarget, who: str) -> tuple[Browser, Record, Record]:
    """Log somebody on; return their browser, and the records of the logon and of the shop's session."""
    victim = attacked.browser()
    await victim.post(f"/login/{who}")
    await victim.post("/write?mine=1")
    [logon] = [one for one in await attacked.records("security") if one.mark == victim.jar[LOGON][:8]]
    [http] = [one for one in await attacked.records("http") if one.mark == victim.jar["shop"][:8]]
    return victim, logon, http


async def test_a_poisoned_session_is_nobodys_at_any_worker_and_nothing_is_executed(
    each_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the servers would leave what a bomb makes
    async with web_target(each_place, tmp_path) as attacked:
        monkeypatch.setattr(test_poison, "OLD", attacked.key)  # somebody who even has the key
        bystander, other_logon, other_http = await victim_of(attacked, "bob")
        marks = set()
        for name, forge in test_poison.POISONS.items():
            victim, logon, http = await victim_of(attacked, "ann")
            await put_payload(each_place, http, forge(http, other_http))
            for _ in range(3):  # each of the two may be asked
                assert await attacked.browser({"shop": victim.jar["shop"]}).seen() == NOBODY, name
            assert await victim.seen() == {"who": "ann", "data": {}}, "the logon goes on, with a new session"
            await put_payload(each_place, logon, forge(logon, other_logon))
            for _ in range(3):
                assert await attacked.browser({LOGON: victim.jar[LOGON]}).seen() == NOBODY, name
            marks |= {http.mark, logon.mark}
        assert marks <= {event["mark"] for event in attacked.told("unreadable_payload")}
        assert await bystander.seen() == {"who": "bob", "data": {"mine": "1"}}
        assert nothing_executed(tmp_path)


async def test_a_damaged_row_takes_nobody_else_with_it(each_place: Place, tmp_path: Path) -> None:  # R63
    async with web_target(each_place, tmp_path) as attacked:
        bystander, _, _ = await victim_of(attacked, "bob")
        for name, damage in row_damages(each_place).items():
            victim, logon, http = await victim_of(attacked, "ann")
            for record in (http, logon):
                await damage(record.key)
                seen = await victim.copy().get("/")
                assert seen.status_code in (200, 409), name
                assert seen.status_code != 200 or seen.json()["who"] in ("ann", None), name
            assert (await bystander.seen())["who"] == "bob", name
        assert b"Traceback" not in attacked.log()
        assert nothing_executed(tmp_path)
