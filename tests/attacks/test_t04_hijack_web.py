"""T4: copied cookies are used from another address, with another program, or both (R50, S12)."""

import re
from pathlib import Path

import pytest

from attacks.web_world import NOBODY, web_target
from stores.stores import Place

HOME = {"x_forwarded_for": "198.51.100.7", "user_agent": "Mozilla/5.0 Firefox/140.0"}
BOTH = re.compile(r" [0-9a-f]{16} -> [0-9a-f]{16}")  # the fingerprints
AWAY = {
    "address": {**HOME, "x_forwarded_for": "203.0.113.9"},
    "user agent": {**HOME, "user_agent": "curl/8.1"},
    "address and user agent": {"x_forwarded_for": "203.0.113.9", "user_agent": "curl/8.1"},
}
SETTINGS = {"TRUSTED_PROXIES": '["127.0.0.0/8"]'}


@pytest.mark.parametrize("policy", ["off", "warn", "step_up", "reject"])
async def test_each_difference_has_the_consequence_that_was_chosen_and_the_victim_goes_on(
    policy: str, sqlite: Place, tmp_path: Path
) -> None:  # R50
    async with web_target(sqlite, tmp_path, settings=SETTINGS, binding=policy) as attacked:
        for differs, thief in AWAY.items():
            victim = attacked.browser()
            await victim.post("/login/ann", **HOME)
            assert (await victim.post("/write?mine=1", **HOME)).status_code == 200
            before = len(attacked.told("fingerprint_mismatch"))
            stolen = victim.copy()
            seen = (await stolen.get("/", **thief)).json()
            written = (await stolen.post("/write?theirs=1", **thief)).json()
            mine = await stolen.get("/me", **thief)
            if policy in ("off", "warn"):
                assert (seen["who"], written["data"], mine.status_code) == ("ann", {"mine": "1", "theirs": "1"}, 200)
            else:
                assert (seen, written["who"], mine.status_code) == (NOBODY, None, 401)
                refusal = "step_up_needed" if policy == "step_up" else "not_logged_on"
                assert mine.json()["error"]["code"] == refusal
            events = attacked.told("fingerprint_mismatch")[before:]
            assert bool(events) == (policy != "off")
            for event in events:
                assert BOTH.sub("", event["detail"]) == f"{differs}: {policy}"
                assert BOTH.search(event["detail"])
                assert event["address"] == thief["x_forwarded_for"]
            now = (await victim.get("/", **HOME)).json()
            assert now["who"] == "ann"
            assert ("theirs" in now["data"]) == (policy in ("off", "warn"))


@pytest.mark.parametrize("policy", ["step_up", "reject"])
async def test_no_stolen_cookie_alone_is_worth_more_than_both(policy: str, sqlite: Place, tmp_path: Path) -> None:
    # R50: the logon's cookie at an application where the victim has not been, and that of each application
    async with web_target(sqlite, tmp_path, settings=SETTINGS, binding=policy) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann", **HOME)
        [used] = [record.used_at for record in await attacked.records("security")]
        for name, value in victim.jar.items():
            for path in ("/", "/bank/"):
                thief = attacked.browser({name: value})
                assert (await thief.get(path, **AWAY["address"])).json() == NOBODY
                assert (await thief.post(f"{path}logout", **AWAY["address"])).status_code in (200, 401)
        [still] = await attacked.records("security")
        assert still.used_at == used, "who is refused prolongs nothing"
        assert (await victim.get("/", **HOME)).json()["who"] == "ann"
        assert len(await attacked.records("http")) == 1
