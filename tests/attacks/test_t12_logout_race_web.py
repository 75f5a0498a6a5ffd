"""T12: a slow request writes after somebody else has logged off (R38)."""

from pathlib import Path

import anyio
import httpx2
import pytest

from attacks.web_world import NOBODY, web_target
from stores.stores import Place


@pytest.mark.parametrize("how", ["/logout", "/end/ann", "/login/bob"])
async def test_a_write_that_comes_late_revives_nothing(how: str, sqlite: Place, tmp_path: Path) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    answers: list[httpx2.Response] = []
    async with web_target(sqlite, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann")
        await victim.post("/write?mine=1")
        slow, thief = victim.copy(), victim.copy()

        async def late() -> None:
            answers.append(await slow.post(f"/slow?began={began}&go={go}"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late)
            with anyio.fail_after(20):
                while not began.exists():
                    await anyio.sleep(0.02)
            ending = attacked.browser() if how.startswith("/end") else victim
            assert (await ending.post(how)).status_code == 200
            go.touch()
        assert answers[0].status_code == 401
        assert answers[0].json()["error"]["code"] == "not_logged_on"
        assert began.read_text() == "NotLoggedOn"
        for _ in range(4):
            assert await thief.copy().seen() == NOBODY
        assert (await victim.seen())["data"] == {}
