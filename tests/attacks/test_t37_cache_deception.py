"""T37: a victim is sent to a page of their own under a name that caches keep (R13)."""

from pathlib import Path

import pytest

from attacks.web_world import web_target
from stores.stores import Place

NAMES = ("/me/x.css", "/me/x.js", "/me;x.css", "/me%2Fx.css", "/me/..%2Fx.png", "/me.css", "/me%3Fx.css", "/me%00.css")


@pytest.mark.parametrize("logged_on", [True, False])
async def test_no_page_of_ones_own_is_kept_under_another_name(logged_on: bool, sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann" if logged_on else "/write?a=1")
        for name in NAMES:
            answer = await victim.get(name)
            assert answer.status_code == 404, name
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["vary"] == "Cookie"
            assert "ann" not in answer.text
        mine = await victim.get("/me")
        assert mine.status_code == (200 if logged_on else 401)
        assert (mine.headers["cache-control"], mine.headers["vary"]) == ("no-store", "Cookie")
