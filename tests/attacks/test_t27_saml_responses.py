"""T27: SAML responses that are wrapped, blown up, ambiguous, somebody else's or used before (R40, R41).

Each goes the whole way, through the route that takes responses, in the browser whose request it answers. It is refused
with a code, in under 50 ms of processor time, and leaves neither a logon nor memory behind.
"""

import gc
import os
import time
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from identity.saml.hostile import TEXTS
from identity.saml.idp import OTHER_IDP, assertion, response, sign, signed_response
from identity.saml.wrapping import OF_RESPONSES, WAYS, wrapped
from web.saml_site import Browser, Site, site

SPENT_S = 0.05
MEGABYTE = 2**20
OTHER_SITE = "https://other.example/saml"
Make = Callable[[str], str | bytes]


def of(**said: Any) -> Make:
    """Return what makes a response to a request that is wrong in one thing."""
    return lambda asked: signed_response(**{"answers": asked, "r_answers": asked, **said})


def wrap(way: str) -> Make:
    return lambda asked: wrapped(
        signed_response(answers=asked, r_answers=asked, sign_response=way in OF_RESPONSES), way
    )


def hostile(kind: str) -> Make:
    def make(asked: str) -> str | bytes:
        text = TEXTS[kind]
        return text.replace(b"_r1", asked.encode()) if isinstance(text, bytes) else text.replace("_r1", asked)

    return make


ATTACKS: dict[str, Make] = {
    **{f"wrapped: {way}": wrap(way) for way in WAYS},
    **{f"hostile: {kind}": hostile(kind) for kind in TEXTS},
    "another's key": of(by="thief"),
    "another identity provider": of(issuer=OTHER_IDP, r_issuer=OTHER_IDP),
    "another site's": of(audience=OTHER_SITE + "/metadata", recipient=OTHER_SITE + "/acs", r_to=OTHER_SITE + "/acs"),
    "another audience": of(audience=OTHER_SITE + "/metadata"),
    "another recipient": of(recipient=OTHER_SITE + "/acs"),
    "another destination": of(r_to=OTHER_SITE + "/acs"),
    "another request's": of(answers="_r9", r_answers="_r9"),
    "nobody's signature": of(sign_assertion=False),
    "two assertions, one unsigned": lambda asked: response(
        sign(assertion(answers=asked)) + assertion(answers=asked, id="_a2", name="mallory"), answers=asked
    ),
}


@pytest.fixture
async def attacked() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


async def refused(attacked: Site, make: Make) -> float:
    """Send a response to a request that waits; return the processor time it took to refuse it."""
    browser = attacked.browser()
    asked, relay_state, _ = await browser.leave()
    made = make(asked)
    began = time.process_time()
    answer = await browser.come_back(made, relay_state)
    spent = time.process_time() - began
    assert answer.status_code in (400, 403, 413), answer.text
    assert "(saml_" in answer.text
    assert "__Host-holdfast-logon" not in browser.jar
    assert await browser.who() is None
    return spent


@pytest.mark.parametrize("attack", ATTACKS)
async def test_it_is_refused_at_once_and_logs_nobody_on(attacked: Site, attack: str) -> None:
    assert min([await refused(attacked, ATTACKS[attack]) for _ in range(2)]) < SPENT_S


async def test_a_good_one_counts_once(attacked: Site) -> None:  # R41
    victim, thief = attacked.browser(), attacked.browser()
    asked, relay_state, _ = await victim.leave()
    text = signed_response(answers=asked, r_answers=asked, id="_once")
    assert (await victim.come_back(text, relay_state)).status_code == 303
    assert "saml_unsolicited" in (await victim.come_back(text, relay_state)).text
    with_cookies = Browser(attacked, dict(victim.jar))
    _, relay_state, _ = await with_cookies.leave()
    assert "saml_unsolicited" in (await with_cookies.come_back(text, relay_state)).text
    _, relay_state, _ = await thief.leave()
    assert "saml_unsolicited" in (await thief.come_back(text, relay_state)).text
    assert await thief.who() is None


def deflated(data: bytes) -> str:
    packer = zlib.compressobj(9, wbits=-15)
    return quote(b64encode(packer.compress(data) + packer.flush()).decode(), safe="")


async def test_a_small_query_that_unfolds_to_a_huge_message_is_not_unfolded(attacked: Site) -> None:
    bomb = deflated(b"<a>" + b" " * 10 * MEGABYTE + b"</a>")
    assert len(bomb) < 20_000
    browser, before = attacked.browser(), resident()
    for kind in ("SAMLRequest", "SAMLResponse"):
        began = time.process_time()
        answer = await browser.get(f"/saml/slo?{kind}={bomb}&SigAlg=x&Signature=AAAA")
        assert time.process_time() - began < SPENT_S
        assert (answer.status_code, "saml_too_large" in answer.text) == (413, True)
    assert resident() - before < 4 * MEGABYTE


async def test_what_was_refused_leaves_no_memory_behind(attacked: Site) -> None:
    big = [name for name in ATTACKS if name.startswith("hostile: too") or "bomb" in name]
    for name in big:
        await refused(attacked, ATTACKS[name])
    before = resident()
    for _ in range(15):
        for name in big:
            await refused(attacked, ATTACKS[name])
    assert resident() - before < 8 * MEGABYTE


def resident() -> int:
    """Return how many bytes of memory this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
