"""T22: what a browser sends writes lines into the log or the audit trail, or moves a terminal's cursor (R71, R6)."""

import json
from pathlib import Path
from urllib.parse import quote

from attacks.test_t22_log_injection import NASTY, as_header
from attacks.web_world import WebTarget, web_target
from attacks.world import UNKNOWN, head
from stores.stores import Place

LEVELS = ("DEBUG ", "INFO ", "WARNING ", "ERROR ")


async def attack(attacked: WebTarget) -> None:
    """Send everything wherever a browser can put it."""
    for text in NASTY.values():
        shown = as_header(text)
        for line in (f"Cookie: shop={shown}", f"User-Agent: {shown}", f"X-Forwarded-For: {shown}", f"Origin: {shown}"):
            more = [] if line.startswith("Cookie") else [f"Cookie: shop={UNKNOWN}"]
            await attacked.raw(head(line, *more, "Connection: close", method="GET", target="/", host="127.0.0.1"))
        browser = attacked.browser()
        name = quote(text[:200], safe="")
        await browser.post(f"/login/{name}", user_agent="Mozilla/5.0 " + quote(text[:500], safe="{}\"' "))
        await browser.post(f"/write?{name}=1")
        await browser.post("/logout")
        await browser.post(f"/{name}")


async def test_every_event_is_one_line_of_one_record_that_shows_no_control(sqlite: Place, tmp_path: Path) -> None:
    settings = {"TRUSTED_PROXIES": '["127.0.0.0/8"]', "SESSION_DEBUG": "true"}
    async with web_target(sqlite, tmp_path, settings=settings) as attacked:
        await attack(attacked)
        for who in ("ann", "bob"):
            browser = attacked.browser()
            for level in (1, 2):
                await browser.post(f"/login/{who}?level={level}")
        trail = (attacked.folder / "audit.jsonl").read_bytes().decode()
        events = [json.loads(line) for line in trail.split("\n")[:-1]]
        assert all(line.isprintable() and len(line) < 2_000 for line in trail.split("\n")[:-1])
        assert not [event for event in events if event["mark"] == "FORGED00"]
        assert {"ann", "bob"} <= {event.get("owner") for event in events if event["fact"] == "rotated"}
        assert len(attacked.told("unknown_id")) >= len(NASTY)
        for line in attacked.log().decode().split("\n")[:-1]:
            assert line.isprintable(), line[:200]
            assert line.startswith(LEVELS), line[:200]


async def test_no_cookie_or_token_is_in_any_log(sqlite: Place, tmp_path: Path) -> None:  # R6
    async with web_target(sqlite, tmp_path, settings={"SESSION_DEBUG": "true"}) as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann")
        await victim.post("/bank/write?a=1")
        token = (await victim.get("/token")).json()
        await victim.post("/write?a=2", x_csrf_token=token)
        await victim.post("/logout", sec_fetch_site="cross-site", origin="https://evil.example")
        secrets = [*victim.jar.values(), token]
        await victim.post("/login/ann?level=2")
        secrets += victim.jar.values()
        await victim.copy().post("/logout")
        await victim.seen()
        kept = attacked.log() + (attacked.folder / "audit.jsonl").read_bytes() + await sqlite.dump()
        assert secrets[0][:8].encode() in kept
        for secret in secrets:
            assert secret[8:].encode() not in kept
