"""What a change of address or program means for a web session: as settings and application choose (R50, S12)."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from holdfast.core.events import Fact
from holdfast.errors import ConfigurationError
from holdfast.web.account import Account
from holdfast.web.binding import ADDRESS, AGENT, STRICTNESS, Binding, Bindings
from holdfast.web.passwords import PasswordLogon
from web.account_world import Browser, World, site_of, world

ANSWERS = {"off": (200, ""), "warn": (200, ""), "step_up": (401, "step_up_needed"), "reject": (401, "not_logged_on")}
ELSEWHERE, OTHER = "192.0.2.77", "curl/8.1"


def site_with(made: World, **options: Any) -> Any:
    return site_of(made.security, Account(made.security, PasswordLogon(made.passwords)), **options)


async def orders(browser: Browser) -> tuple[int, str]:
    answer = await browser.get("/orders", accept="application/json")
    return answer.status_code, answer.json()["error"]["code"] if answer.status_code != 200 else ""


async def stolen(app: Any, **changed: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Return what a thief is answered who has ann's cookies and comes otherwise, and what she is answered then."""
    ann = Browser(app)
    await ann.log_on()
    thief = Browser(app, jar=httpx2.Cookies(ann.jar), **changed)
    return await orders(thief), await orders(ann)


@pytest.mark.parametrize("agent", STRICTNESS)
@pytest.mark.parametrize("address", STRICTNESS)
async def test_address_and_program_are_judged_each_by_its_own_choice(
    tmp_path: Path, address: Binding, agent: Binding
) -> None:  # R50, T4
    async with world(tmp_path) as made:
        made.security.settings.binding_address, made.security.settings.binding_agent = address, agent
        app = site_with(made)
        both = max(address, agent, key=STRICTNESS.index)
        for changed, choice in (
            ({"address": ELSEWHERE}, address),
            ({"agent": OTHER}, agent),
            ({"address": ELSEWHERE, "agent": OTHER}, both),
        ):
            made.sink.events.clear()
            thief, ann = await stolen(app, **changed)
            assert (thief, ann) == (ANSWERS[choice], (200, "")), changed
            told = [event.detail for event in made.sink.events if event.fact is Fact.FINGERPRINT]
            assert bool(told) == (choice != "off")
            assert all(detail.endswith(f": {choice}") for detail in told)


async def test_another_host_of_an_ipv6_network_and_another_version_are_no_change(tmp_path: Path) -> None:  # R50
    async with world(tmp_path) as made:
        app = site_with(made, binding="reject")
        ann = Browser(app, address="2001:db8::1", agent="Mozilla/5.0 Firefox/140.0")
        await ann.log_on()
        ann.address, ann.agent = "2001:db8::ffff", "Mozilla/5.0 Firefox/141.0"
        assert await orders(ann) == (200, "")
        ann.address = "2001:db8:0:1::1"
        assert await orders(ann) == ANSWERS["reject"]


async def test_what_an_application_chooses_counts_for_more_than_the_settings(tmp_path: Path) -> None:  # R50
    async with world(tmp_path) as made:
        made.security.settings.binding_address = made.security.settings.binding_agent = "reject"
        assert (await stolen(site_with(made, binding="off"), agent=OTHER))[0] == (200, "")
        assert (await stolen(site_with(made, binding=Bindings(address="off", agent="warn")), agent=OTHER))[0][0] == 200
        assert (await stolen(site_with(made), agent=OTHER))[0] == ANSWERS["reject"]
        with pytest.raises(ConfigurationError):
            await site_with(made, binding="kill")({"type": "lifespan"}, None, None)


def test_the_stricter_choice_counts() -> None:  # R50
    known, seen = {ADDRESS: "a", AGENT: "b"}, {ADDRESS: "c", AGENT: "d"}
    assert Bindings("warn", "reject").verdict(known, seen) == "reject"
    assert Bindings("step_up", "warn").verdict(known, seen) == "step_up"
    assert Bindings("reject", "reject").verdict(known, known) == "off"
    assert Bindings().strictest == "warn"
