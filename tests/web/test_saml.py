"""Logging on and off by SAML through the routes, with the cookies that browsers send (S7, S8, R28, R29, R41 to R45)."""

from collections.abc import AsyncIterator

import pytest

from identity.saml.idp import NOW
from web.saml_site import Site, site


@pytest.fixture
async def world() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


async def test_a_person_is_sent_to_the_identity_provider_and_comes_back_logged_on(world: Site) -> None:  # S7
    browser = world.browser()
    answer = await browser.log_on(at=NOW - 5)
    assert (answer.status_code, answer.headers["location"]) == (303, "/shop/"), answer.text
    assert (await browser.get("/shop/")).json() == {"who": "ann", "roles": ["cn=clerks", "cn=all"]}
    assert await browser.who("bank") == "ann"  # S2
