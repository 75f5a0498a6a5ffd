"""T28: requests for a logout that nobody entitled has signed, that are old, replayed or sent elsewhere (R42, R43)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.web.saml import People
from identity.saml.idp import IDP, NOW, OTHER_IDP, SP_URL, envelope, form, logout_request, logout_response, query, sign
from web.saml_site import Browser, Site, carried, link_in, site

BINDINGS = ("redirect", "post", "soap")
TO = {"redirect": SP_URL + "/slo", "post": SP_URL + "/slo", "soap": SP_URL + "/slo/soap"}
NOBODY = "https://nobody.example/metadata"
FORGED: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "unsigned": ("saml_unsigned", None, {}),
    "another's key": ("saml_bad_signature", "thief", {}),
    "another identity provider's key": ("saml_bad_signature", "other", {}),
    "another identity provider's, for the same name": ("", "other", {"issuer": OTHER_IDP}),
    "an identity provider that nobody knows": ("saml_wrong_issuer", "thief", {"issuer": NOBODY}),
    "no issuer": ("saml_wrong_issuer", "idp", {"issuer": ""}),
    "another destination": ("saml_wrong_destination", "idp", {"to": "https://other.example/saml/slo"}),
    "no destination": ("saml_wrong_destination", "idp", {"to": ""}),
    "too old": ("saml_out_of_time", "idp", {"at": NOW - 400}),
    "from the future": ("saml_out_of_time", "idp", {"at": NOW + 100}),
    "expired": ("saml_out_of_time", "idp", {"until": NOW - 100}),
    "for another name": ("", "idp", {"name": "bob"}),
    "for another session": ("", "idp", {"sessions": ["_s9"]}),
    "for a name of another kind": ("", "idp", {"format": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}),
}


@pytest.fixture
async def attacked() -> AsyncIterator[Site]:
    async with site(idps=((IDP, "idp"), (OTHER_IDP, "other")), people=People()) as made:
        yield made


async def sent(browser: Browser, binding: str, text: str, by: str | None) -> Any:
    """Send a request as its binding has it, without a cookie where no browser carries it."""
    if binding == "redirect":
        return await browser.get("/saml/slo?" + query(text, by).decode())
    signed = sign(text, by) if by else text
    if binding == "post":
        return await browser.post("/saml/slo", dict(form(signed, "SAMLRequest")), cross_site=True)
    return await browser.post("/saml/slo/soap", content=envelope(signed), headers={"cookie": ""})


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_forged_request_ends_nothing(attacked: Site, binding: str, kind: str) -> None:  # R42, R43
    code, by, said = FORGED[kind]
    browser = attacked.browser()
    await browser.log_on()
    cookies = dict(browser.jar)
    answer = await sent(attacked.browser(), binding, logout_request(**{"to": TO[binding], **said}), by)
    if code:
        assert (answer.status_code, code in answer.text) == (400, True), answer.text
    assert await browser.who() == "ann"
    assert cookies.items() <= browser.jar.items()


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_request_counts_once(attacked: Site, binding: str) -> None:  # R42
    browser = attacked.browser()
    await browser.log_on()
    text = logout_request(to=TO[binding])
    assert (await sent(attacked.browser(), binding, text, "idp")).status_code in (200, 303)
    assert await browser.who() is None
    attacked.clock.now += 5
    await browser.log_on(issued=NOW + 5)
    again = await sent(attacked.browser(), binding, text, "idp")
    assert (again.status_code, "saml_replayed" in again.text) == (400, True)
    assert await browser.who() == "ann"


async def test_a_request_of_one_binding_is_none_of_another(attacked: Site) -> None:  # R42
    browser = attacked.browser()
    await browser.log_on()
    for taken_by, meant_for in (("soap", "post"), ("post", "soap"), ("redirect", "soap")):
        answer = await sent(attacked.browser(), taken_by, logout_request(to=TO[meant_for]), "idp")
        assert "saml_wrong_destination" in answer.text
    assert await browser.who() == "ann"


async def test_a_forged_answer_confirms_nothing(attacked: Site) -> None:  # R44
    browser = attacked.browser()
    await browser.log_on()
    for relay_state in ("", "A" * 43):  # nobody has asked
        text = query(logout_response(), kind="SAMLResponse", relay_state=relay_state).decode()
        assert "saml_unsolicited" in (await browser.get("/saml/slo?" + text)).text
    assert await browser.who() == "ann"
    for by, code in (("thief", "saml_bad_signature"), (None, "saml_unsigned"), ("other", "saml_bad_signature")):
        left = attacked.browser()
        await left.log_on(id=f"_{code}{by}")
        request, relay_state = carried(link_in((await left.post("/saml/logout")).text))
        text = query(
            logout_response(answers=request.get("ID")), by, kind="SAMLResponse", relay_state=relay_state
        ).decode()
        assert code in (await left.get("/saml/slo?" + text)).text
        assert await left.who() is None  # logged off here all the same


async def test_a_page_of_another_site_logs_nobody_off(attacked: Site) -> None:  # T10, R49
    browser = attacked.browser()
    await browser.log_on()
    assert (await browser.post("/saml/logout", headers={"origin": "https://evil.example"})).status_code == 403
    assert (await browser.get("/saml/logout")).status_code == 200
    assert await browser.who() == "ann"
