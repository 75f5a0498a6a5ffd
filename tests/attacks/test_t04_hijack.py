"""T4: an id is used from another address, by another program, or both (R50), and by another user (M12)."""

import re
from pathlib import Path

import pytest

from attacks.world import DIALECT, STREAM, UNKNOWN, target
from e2e.mcp_world import call, request
from stores.stores import Place

HOME = {"x_forwarded_for": "198.51.100.7", "user_agent": "agent/1"}
BOTH = re.compile(r" [0-9a-f]{16} -> [0-9a-f]{16}")  # the fingerprints
AWAY = {
    "address": {**HOME, "x_forwarded_for": "203.0.113.9"},
    "user agent": {**HOME, "user_agent": "thief/1"},
    "address and user agent": {"x_forwarded_for": "203.0.113.9", "user_agent": "thief/1"},
}
PROXIES = '["127.0.0.0/8"]'


@pytest.mark.parametrize("policy", ["off", "warn", "reject"])
async def test_each_difference_is_passed_over_told_of_or_refused(policy: str, sqlite: Place, tmp_path: Path) -> None:
    # R50, M13
    settings = {"TRUSTED_PROXIES": PROXIES, "FINGERPRINT": policy}
    async with target(sqlite, tmp_path, settings=settings) as attacked:
        for differs, thief in AWAY.items():
            named = await attacked.session(**HOME)
            [mine] = [one for one in await attacked.records() if one.mark == named["mcp_session_id"][:8]]
            told = len(attacked.told("fingerprint_mismatch"))
            seen = await attacked.post(call("write", key="stolen"), **{**named, **thief})
            unknown = await attacked.post(call("write", key="stolen"), **{**named, **thief, "mcp_session_id": UNKNOWN})
            written = "stolen" in await attacked.content_of(named)
            if policy == "reject":
                assert (seen.status_code, seen.content) == (unknown.status_code, unknown.content)
                assert not written
                ended = await attacked.send("DELETE", **{**named, **thief})
                assert ended.status_code == 404
                [still] = [one for one in await attacked.records() if one.key == mine.key]
                assert still.used_at == mine.used_at, "a refused request prolongs nothing"
            else:
                assert (seen.status_code, written) == (200, True)
            events = attacked.told("fingerprint_mismatch")[told:]
            details = [BOTH.sub("", event["detail"]) for event in events]
            assert details[:1] == ([] if policy == "off" else [f"{differs}: {policy}"])
            assert all(BOTH.search(event["detail"]) for event in events)
            assert all(event["address"] == thief["x_forwarded_for"] for event in events)
            assert (await attacked.post(request("ping"), **named)).status_code == 200


async def test_another_users_session_is_an_unknown_one_whatever_is_done_with_it(sqlite: Place, tmp_path: Path) -> None:
    # R36, M12; and the owner notices nothing
    bob = {"authorization": "Bearer bob.1"}
    for dialect in (DIALECT, {}):
        folder = tmp_path / (dialect.get("dialect") or "plain")
        folder.mkdir()
        async with target(sqlite, folder, **dialect) as attacked:
            named = await attacked.session(authorization="Bearer ann.1")
            [before] = [one for one in await attacked.records() if one.mark == named["mcp_session_id"][:8]]
            for thief in (bob, {}):
                stolen = {name: value for name, value in named.items() if name != "authorization"} | thief
                for method, body in (("POST", call("whoami")), ("DELETE", None)):
                    seen = await attacked.send(method, body, **stolen)
                    unknown = await attacked.send(method, body, **{**stolen, "mcp_session_id": UNKNOWN})
                    assert (seen.status_code, seen.content) == (404, unknown.content)
                seen = await attacked.send("GET", **stolen, **STREAM)
                unknown = await attacked.send("GET", **{**stolen, "mcp_session_id": UNKNOWN}, **STREAM)
                assert (seen.status_code, seen.content) == (unknown.status_code, unknown.content)
            [after] = [one for one in await attacked.records() if one.key == before.key]
            assert after == before
            assert len(attacked.told("foreign_id")) == 6
            seen = await attacked.post(call("whoami"), **{**named, "authorization": "Bearer ann.2"})
            assert seen.status_code == 200, "a refreshed token is the same user"
