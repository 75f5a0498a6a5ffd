"""Logging on with each request: Basic and bearer tokens beside the form, and what such programs leave behind."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from holdfast.core.events import Fact
from holdfast.core.model import Reason
from holdfast.errors import BadInput
from holdfast.identity.attempts import Most
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.web.account import Account
from holdfast.web.bearer import Bearer
from holdfast.web.methods import Basic, Form, Token
from holdfast.web.passwords import PasswordLogon
from web.account_world import LOGON, SECRET, SITE, Browser, World, site_of, world

ISSUER = "https://id.example"


def basic(name: str = "ann", password: str = SECRET) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str = "ann") -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class Names:
    """A token is its owner's name."""

    issued_at = 1_700_000_000.0

    async def verify(self, token: str) -> Identity:
        if token not in ("ann", "bob"):
            raise InvalidToken("nobody has this token")
        claims = {"iat": self.issued_at, "groups": ["clerk"]}
        return Identity(issuer=ISSUER, subject=token, scopes=frozenset({"read"}), claims=claims)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, most=Most(pair=3)) as made:
        passwords = PasswordLogon(made.passwords, Most(pair=3))
        token = Token(Bearer(Names()), roles=lambda identity: identity.claims["groups"])
        account = Account(made.security, passwords)
        made.app = site_of(made.security, account, logon=[Form(LOGON), Basic(passwords), token], logon_path="")
        yield made


def program(site: World, **more: Any) -> Browser:
    return Browser(site.app, **{"agent": "curl/8", **more})


async def rows(site: World, kind: str) -> int:
    return len([one async for one in site.running.manager.each("kind", kind) if one.state == "live"])


async def ask(who: Browser, path: str = "/orders", method: str = "GET", **headers: str) -> httpx2.Response:
    """Ask as a program does: without cookies of earlier requests."""
    who.jar = httpx2.Cookies()
    return await who.ask(method, path, accept="application/json", **headers)


@pytest.mark.parametrize("credentials", [basic(), bearer()], ids=["basic", "bearer"])
async def test_a_program_without_cookies_has_one_session_however_often_it_comes(
    site: World, credentials: dict[str, str]
) -> None:  # S7, S18
    curl = program(site)
    for number in range(1, 6):
        answer = await ask(curl, **credentials)
        assert answer.json() == {"who": "ann", "query": "", "seen": number}
        assert "set-cookie" not in answer.headers
    assert (await rows(site, "security"), await rows(site, "http")) == (1, 1)
    assert (await ask(program(site, agent="wget/1"), **credentials)).json()["seen"] == 1
    assert await rows(site, "http") == 2


async def test_first_requests_at_the_same_time_open_one_session(site: World) -> None:  # T13
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await ask(program(site), "/", **basic())).status_code)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
    assert statuses == [200] * 20
    assert (await rows(site, "security"), await rows(site, "http")) == (1, 1)


async def test_what_an_administrator_ends_is_gone_with_its_data(site: World) -> None:  # S5, S4
    curl = program(site)
    await ask(curl, **basic())
    await site.running.logons.end_all("ann", Reason.ADMIN)
    assert (await ask(curl, **basic())).json()["seen"] == 1


async def test_who_has_no_credentials_is_told_which_there_are(site: World) -> None:  # S7
    refused = await ask(program(site))
    assert refused.status_code == 401
    assert refused.headers.get_list("www-authenticate") == [
        'Basic realm="holdfast", charset="UTF-8"',
        'Bearer realm="holdfast"',
    ]
    assert (await ask(program(site), "/")).json() is None
    script = await ask(program(site), sec_fetch_mode="cors")  # no dialog of the browser's own
    assert script.headers.get_list("www-authenticate") == ['Bearer realm="holdfast"']
    page = await Browser(site.app).get("/orders?a=1")
    assert (page.status_code, page.headers["location"]) == (303, f"{LOGON}?next=%2Forders%3Fa%3D1")


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        (basic(password="wrong one"), "wrong_password"),
        (basic("nobody"), "wrong_password"),
        ({"authorization": "Basic %%%"}, "wrong_password"),
        ({"authorization": "Basic " + b64encode(b"\xff:\xff").decode()}, "wrong_password"),
        (bearer("eve"), "invalid_token"),
        ({"authorization": "Bearer"}, "token_missing"),
    ],
)
async def test_wrong_credentials_are_refused_even_where_none_are_needed(
    site: World, credentials: dict[str, str], code: str
) -> None:
    refused = await ask(program(site), "/", **credentials)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, code)
    assert len(refused.headers.get_list("www-authenticate")) == 2
    failed = [event.detail for event in site.sink.events if event.fact is Fact.LOGON_FAILED]
    assert [detail.partition(": ")[2] for detail in failed] == [code]
    assert await rows(site, "security") == 0


async def test_a_scheme_that_is_none_of_these_is_the_applications_own(site: World) -> None:
    assert (await ask(program(site), "/", authorization="Digest x")).json() is None


async def test_guessing_by_basic_is_limited_and_a_changed_password_counts_at_once(site: World) -> None:  # R75, T11
    curl = program(site)
    for _ in range(10):
        assert (await ask(curl, "/", **basic())).status_code == 200
    site.passwords.set_password("ann", "another one")
    assert (await ask(curl, "/", **basic())).status_code == 401
    assert (await ask(curl, "/", **basic(password="another one"))).json() == "ann"
    statuses = [(await ask(curl, "/", **basic(password=f"guess {number}"))).status_code for number in range(4)]
    assert statuses == [401, 401, 429, 429]


async def test_a_right_password_is_not_worked_at_with_each_request(
    site: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    checked = site.passwords.checked

    def counted(name: str, password: str) -> Any:
        worked.append(name)
        return checked(name, password)

    monkeypatch.setattr(site.passwords, "checked", counted)
    for _ in range(5):
        await ask(program(site), "/", **basic())
    assert len(worked) == 1
    site.clock.now += 300.0
    await ask(program(site), "/", **basic())
    assert len(worked) == 2


async def test_a_password_over_plain_http_is_not_taken(site: World) -> None:  # R21, T32
    transport = httpx2.ASGITransport(site.app, client=("10.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://site.example") as client:
        assert (await client.get("/", headers=basic())).status_code == 400


async def test_a_cookie_and_credentials_must_be_of_one_person(site: World) -> None:  # R11, T20
    browser = site.browser()
    browser.app = site.app
    await browser.log_on()
    assert (await browser.get("/", **basic())).json() == "ann"
    for headers in (basic("bob"), bearer("bob")):
        refused = await browser.get("/", **headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "two_logons")
    transport = httpx2.ASGITransport(site.app, client=("10.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
        headers = [*basic().items(), *basic("bob").items()]
        assert (await client.get("/", headers=headers)).status_code == 400
    assert [event for event in site.sink.events if event.fact is Fact.TWO_IDS]


async def test_a_password_that_browsers_send_by_themselves_is_no_proof_of_will(site: World) -> None:  # T9, R58
    curl = program(site)
    for headers in ({"origin": "https://evil.example"}, {"origin": SITE, "sec_fetch_site": "cross-site"}):
        refused = await ask(curl, "/", "POST", **basic(), **headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_site")
    assert (await ask(curl, "/", "POST", **basic())).status_code == 405
    assert (await ask(curl, "/", "POST", **bearer(), origin="https://app.example")).status_code == 405


async def test_a_token_belongs_to_its_persons_logon_and_ends_with_it(site: World) -> None:  # S6, T11
    from holdfast.web.security import Logon

    logon = Logon(issuer=ISSUER, subject="ann", method="oidc", at=site.clock.now)
    security = await site.running.logons.begin(logon)
    assert (await ask(program(site), **bearer())).json()["seen"] == 1
    assert await rows(site, "security") == 1
    site.clock.now += 5.0
    await site.running.logons.end(security)
    refused = await ask(program(site), **bearer())
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_token")


def test_a_page_to_log_on_at_is_of_this_site() -> None:  # T31
    with pytest.raises(BadInput):
        Form("https://evil.example/logon")
