"""T9: pages of others let a browser send what changes something (R58)."""

from pathlib import Path

import pytest

from attacks.web_world import Browser, web_target
from stores.stores import Place

CROSS = {"sec_fetch_site": "cross-site", "origin": "https://evil.example"}
ATTACKS = {
    "a form": {**CROSS, "sec_fetch_mode": "navigate", "content_type": "application/x-www-form-urlencoded"},
    "fetch, no-cors": {**CROSS, "sec_fetch_mode": "no-cors", "content_type": "text/plain"},
    "a beacon": {**CROSS, "sec_fetch_mode": "no-cors", "sec_fetch_dest": "empty"},
    "a sister host": {"sec_fetch_site": "same-site", "origin": "https://sister.site.example"},
    "a sandboxed frame": {"sec_fetch_site": "cross-site", "origin": "null"},
    "an old browser": {"sec_fetch_site": "", "origin": "http://evil.example"},
    "an old browser's frame": {"sec_fetch_site": "", "origin": "null"},
    "an old browser that says nothing": {"sec_fetch_site": ""},
    "another port": {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:4"},
    "an override": {**CROSS, "x_http_method_override": "GET", "x_method_override": "GET"},
}


@pytest.fixture
def written() -> dict[str, str]:
    return {"mine": "1"}


async def still_unchanged(victim: Browser, written: dict[str, str]) -> None:
    assert await victim.seen() == {"who": "ann", "data": written}


async def test_nothing_is_changed_by_pages_of_others(sqlite: Place, tmp_path: Path, written: dict[str, str]) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        victim, mallory = attacked.browser(), attacked.browser()
        await victim.post("/login/ann")
        await victim.post("/write?mine=1")
        await mallory.post("/login/mallory")
        token = (await mallory.get("/token")).json()
        for name, headers in ATTACKS.items():
            for method, path in (("POST", "/write?theirs=1"), ("PUT", "/write?theirs=1"), ("POST", "/logout")):
                for more in ({}, {"x_csrf_token": token}):
                    answer = await victim.copy().send(method, path, **{**headers, **more})
                    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site"), name
        image = await victim.get("/write?theirs=1", sec_fetch_dest="image", **CROSS)
        assert image.status_code == 405
        overridden = await victim.get("/write?theirs=1", x_http_method_override="POST", **CROSS)
        assert overridden.status_code == 405
        await still_unchanged(victim, written)


async def test_a_token_from_before_a_logon_or_of_another_session_is_none(sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path, csrf="token") as attacked:
        victim = attacked.browser()
        before = (await victim.get("/token")).json()
        assert (await victim.post("/write?a=1", x_csrf_token=before)).status_code == 200
        assert (await victim.post("/login/ann", x_csrf_token=before)).status_code == 200
        assert (await victim.post("/write?a=2", x_csrf_token=before)).status_code == 403
        assert (await victim.post("/write?a=2")).status_code == 403
        after = (await victim.get("/token")).json()
        assert (await victim.post("/write?a=2", x_csrf_token=after)).status_code == 200
        assert (await victim.post("/login/ann?level=2", x_csrf_token=after)).status_code == 200
        assert (await victim.post("/write?a=3", x_csrf_token=after)).status_code == 403
