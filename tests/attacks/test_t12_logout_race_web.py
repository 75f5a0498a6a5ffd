"""T12: a slow request writes after somebody else has logged off (R38)."""

from pathlib import Path

import anyio
import httpx2

from attacks.web_world import NOBODY, WebTarget, web_target
from stores.stores import Place


async def test_a_write_that_comes_late_revives_nothing(each_place: Place, tmp_path: Path) -> None:
    async with web_target(each_place, tmp_path) as attacked:
        for how in ("/logout", "/end/ann", "/login/bob"):
            with anyio.fail_after(40):
                await write_late(attacked, how, tmp_path / how.replace("/", "-"))


async def write_late(attacked: WebTarget, how: str, named: Path) -> None:
    """Let a request wait until the session has ended, and then write."""
    began, go = named.with_suffix(".began"), named.with_suffix(".go")
    answers: list[httpx2.Response] = []
    victim = attacked.browser()
    await victim.post("/login/ann")
    await victim.post("/write?mine=1")
    slow, thief = victim.copy(), victim.copy()

    async def late() -> None:
        answers.append(await slow.post(f"/slow?began={began}&go={go}"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        while not began.exists():
            await anyio.sleep(0.02)
        ending = attacked.browser() if how.startswith("/end") else victim
        assert (await ending.post(how)).status_code == 200
        go.touch()
    assert answers[0].status_code == 401, how
    assert answers[0].json()["error"]["code"] == "not_logged_on"
    assert began.read_text() == "NotLoggedOn"
    for _ in range(4):
        assert await thief.copy().seen() == NOBODY
    assert (await victim.seen())["data"] == {}
