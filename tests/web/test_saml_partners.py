"""Metadata at an address: asked for once, and again when their time or a new key asks for it, and seldom (R45, R48)."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.saml.bindings import from_envelope
from holdfast.identity.saml.logouts import read_logout_request
from holdfast.identity.saml.refusals import SamlBadSignature, SamlUnavailable
from holdfast.testing.clock import Clock
from holdfast.web.saml import Partner
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.partners import Metadata
from identity.saml.idp import (
    IDP,
    NOW,
    OTHER_IDP,
    SP_URL,
    certificate_of,
    envelope,
    identity_metadata,
    logout_request,
    sign,
)
from web.saml_site import Site, site

PLACE = "https://idp.example/metadata.xml"


class Place:
    """An address with an identity provider's metadata."""

    def __init__(self, *keys: str, until: float | None = None) -> None:
        self.asked = 0
        self.down = False
        self.said = identity_metadata(IDP, *keys, until=until)

    async def __call__(self, url: str) -> bytes:
        assert url == PLACE
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if self.down:
            raise IssuerUnavailable("down")
        return self.said


def metadata(place: Place, clock: Clock, **said: Any) -> Metadata:
    return Metadata(Partner(metadata=PLACE, entity_id=IDP, **said), clock, place, clock)


async def test_an_address_is_asked_when_it_is_needed_first_and_then_hourly() -> None:
    place, clock = Place("idp"), Clock(NOW)
    kept = metadata(place, clock)
    assert (kept.entity_id, place.asked) == (IDP, 0)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(kept.current)
    clock.advance(3599)
    assert ((await kept.current()).entity_id, place.asked) == (IDP, 1)
    clock.advance(1)
    assert ((await kept.current()).entity_id, place.asked) == (IDP, 2)


async def test_metadata_that_have_expired_are_asked_for_anew() -> None:
    place, clock = Place("idp", until=NOW + 600), Clock(NOW)
    kept = metadata(place, clock)
    await kept.current()
    clock.advance(600)
    place.down = True
    with pytest.raises(SamlUnavailable):
        await kept.current()
    place.down, place.said = False, identity_metadata(IDP, "idp", until=NOW + 1200)
    with pytest.raises(SamlUnavailable):  # not that soon
        await kept.current()
    clock.advance(60)
    assert (await kept.current()).valid_until == NOW + 1200
    assert place.asked == 3


async def test_while_an_address_does_not_answer_what_is_known_goes_on_for_a_day() -> None:  # R45
    place, clock = Place("idp"), Clock(NOW)
    kept = metadata(place, clock)
    await kept.current()
    place.down = True
    clock.advance(24 * 3600 - 1)
    assert (await kept.current()).entity_id == IDP
    clock.advance(1)
    with pytest.raises(SamlUnavailable):
        await kept.current()


@pytest.mark.parametrize(
    "said",
    [
        b"<html/>",
        b"",
        identity_metadata(OTHER_IDP),
        identity_metadata(until=NOW - 1),
        b"<!DOCTYPE a>" + identity_metadata(),
    ],
)
async def test_what_is_none_of_its_metadata_is_not_taken_and_what_is_known_goes_on(said: bytes) -> None:
    place, clock = Place("idp"), Clock(NOW)
    kept, bad = metadata(place, clock), metadata(place, clock)
    await kept.current()
    place.said = said
    with pytest.raises(SamlUnavailable):
        await bad.current()
    clock.advance(3600)
    assert (await kept.current()).entity_id == IDP


async def test_metadata_that_must_be_vouched_for_are_signed() -> None:
    place, clock = Place("idp"), Clock(NOW)
    vouched = {"vouched_by": certificate_of("federation").public_bytes(Encoding.PEM)}
    with pytest.raises(SamlUnavailable):
        await metadata(place, clock, **vouched).current()


@pytest.mark.parametrize("address", ["http://idp.example/metadata", "ftp://idp.example/metadata", "https://"])
def test_metadata_come_over_tls_or_from_this_machine_and_are_of_who_was_named(address: str) -> None:  # R48
    with pytest.raises(ConfigurationError):
        Partner(metadata=address, entity_id=IDP)
    with pytest.raises(ConfigurationError):
        Partner(metadata=PLACE)
    assert Partner(metadata="http://127.0.0.1:8080/metadata", entity_id=IDP)


async def judge(kept: Metadata, by: str) -> str:
    text = sign(logout_request(to=SP_URL + "/slo/soap"), by)
    read = await kept.judged(Gate(), read_logout_request, from_envelope(envelope(text)), SP_URL + "/slo/soap", now=NOW)
    return read.name_id.value


async def test_a_message_with_a_new_key_asks_for_new_metadata_and_then_counts() -> None:
    place, clock = Place("idp"), Clock(NOW)
    kept = metadata(place, clock)
    assert await judge(kept, "idp") == "ann"
    clock.advance(60)
    place.said = identity_metadata(IDP, "idp2")
    assert await judge(kept, "idp2") == "ann"
    with pytest.raises(SamlBadSignature):  # the old one is no more
        await judge(kept, "idp")
    assert place.asked == 2


async def test_forged_messages_cost_the_identity_provider_a_request_a_minute() -> None:  # R48, T28
    place, clock = Place("idp"), Clock(NOW)
    kept = metadata(place, clock)
    for _ in range(24):
        with pytest.raises(SamlBadSignature):
            await judge(kept, "thief")
        clock.advance(10)
    assert place.asked <= 5
    clock.advance(60)
    place.down = True
    with pytest.raises(SamlUnavailable):  # it may be good: that cannot be told now
        await judge(kept, "thief")
    assert await judge(kept, "idp") == "ann"


async def logged_on(world: Site) -> Any:
    browser = world.browser()
    assert (await browser.log_on()).status_code == 303
    assert await browser.who() == "ann"
    return browser


async def test_people_log_on_and_off_by_metadata_at_an_address() -> None:  # S7, S8, R45
    place = Place("idp")
    async with site(metadata=PLACE, entity_id=IDP, get=place) as world:
        browser = await logged_on(world)
        clock = world.clock
        place.down = True
        clock.advance(25 * 3600.0)
        again = world.browser()
        answer = await again.get("/saml/logon?next=/shop/")
        assert (answer.status_code, "saml_unavailable" in answer.text) == (503, True)
        assert await browser.who() is None


async def test_who_logs_off_while_the_metadata_cannot_be_had_is_logged_off_here_and_told() -> None:  # R45
    place = Place("idp", until=NOW + 300)
    async with site(metadata=PLACE, entity_id=IDP, get=place) as world:
        browser = await logged_on(world)
        place.down = True
        world.clock.advance(300)
        answer = await browser.post("/saml/logout")
        assert "Logged out here" in answer.text
        assert IDP in answer.text
        assert await browser.who() is None
