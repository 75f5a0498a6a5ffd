"""T23: a browser says in headers of proxies that it is somebody else: logons, their events and limits (R51)."""

from pathlib import Path

from attacks.test_t23_proxy_spoofing import CHAINS, OTHER_HEADERS, PROXIES
from attacks.web_world import WebTarget, web_target
from attacks.world import UNKNOWN, head
from stores.stores import Place


async def believed(attacked: WebTarget, *lines: str) -> str:
    """Return the address that the servers take a request with these lines to come from."""
    known = len(attacked.told("unknown_id"))
    named = (f"Cookie: shop={UNKNOWN}", *lines, "Connection: close")
    assert b" 200 " in (await attacked.raw(head(*named, method="GET", target="/", host="127.0.0.1")))[:20]
    [event] = attacked.told("unknown_id")[known:]
    return str(event["address"])


async def test_without_trusted_proxies_no_header_moves_a_browser(sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path) as attacked:
        for name in ("X-Forwarded-For", *OTHER_HEADERS):
            value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
            assert await believed(attacked, f"{name}: {value}") == "127.0.0.1", name


async def test_a_chain_is_believed_as_far_as_its_proxies_are_trusted(sqlite: Place, tmp_path: Path) -> None:
    async with web_target(sqlite, tmp_path, settings={"TRUSTED_PROXIES": PROXIES}) as attacked:
        for lines, expected in CHAINS.items():
            assert await believed(attacked, *lines) == expected, lines[0][:60]


async def test_who_pretends_to_be_at_the_victims_is_still_elsewhere(sqlite: Place, tmp_path: Path) -> None:  # R50
    victims = {"x_forwarded_for": "198.51.100.7", "user_agent": "Mozilla/5.0 Firefox/140.0"}
    spoofed = {**victims, "x_forwarded_for": "198.51.100.7, 203.0.113.9"}  # the last is what our proxy has seen
    settings = {"TRUSTED_PROXIES": PROXIES}
    async with web_target(sqlite, tmp_path, settings=settings, binding="reject") as attacked:
        victim = attacked.browser()
        await victim.post("/login/ann", **victims)
        assert (await victim.copy().get("/", **spoofed)).json()["who"] is None
        [event] = {event["address"] for event in attacked.told("fingerprint_mismatch")}
        assert event == "203.0.113.9"
        for number in range(3):
            await attacked.browser().post("/write?a=1", x_forwarded_for=f"192.0.2.{number}, 203.0.113.9")
        clients = [one.client for one in await attacked.records("http") if one.parent is None]
        assert clients == ["203.0.113.9"] * 3, "visitors are counted by where they are"
