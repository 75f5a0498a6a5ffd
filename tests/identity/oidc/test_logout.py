"""Logout tokens: each claim, alone, is enough to be refused (R46)."""

import base64
import json
from typing import Any

import anyio
import pytest

from holdfast.identity.facts import InvalidToken
from holdfast.identity.oidc import Asked, LoggedOut
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, NOW, Signer, rsa_key
from identity.oidc.provider import EVENT, Provider, Seen, id_claims, id_token, logout_claims, logout_token, party

GOOD = Signer()

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "of another issuer": ({"iss": "https://other.example"}, "another issuer"),
    "of an issuer with a slash more": ({"iss": ISSUER + "/"}, "another issuer"),
    "of nobody": ({"iss": None}, "another issuer"),
    "for another client": ({"aud": "bank"}, "another client"),
    "for other clients": ({"aud": ["bank", "mail"]}, "another client"),
    "for nobody": ({"aud": None}, "another client"),
    "for nobody at all": ({"aud": []}, "another client"),
    "without a time": ({"iat": None}, "iat"),
    "too old": ({"iat": NOW - 331, "exp": NOW + 100}, "expired"),
    "of the future": ({"iat": NOW + 31, "exp": NOW + 100}, "not valid yet"),
    "without an end": ({"exp": None}, "exp"),
    "at its end": ({"exp": NOW - 30}, "expired"),
    "too long": ({"exp": NOW + 601}, "too long"),
    "without a name": ({"jti": None}, "no name"),
    "with an empty name": ({"jti": ""}, "no name"),
    "with a long name": ({"jti": "j" * 1025}, "too long"),
    "without events": ({"events": None}, "no logout"),
    "with no event": ({"events": {}}, "no logout"),
    "with another event": ({"events": {"http://schemas.openid.net/event/other": {}}}, "no logout"),
    "with an event that is no object": ({"events": {EVENT: True}}, "no logout"),
    "with events that are no object": ({"events": [EVENT]}, "cannot be read"),
    "with a nonce": ({"nonce": "n"}, "nonce"),
    "with an empty nonce": ({"nonce": ""}, "nonce"),
    "of nobody and no session": ({"sub": None, "sid": None}, "nobody"),
    "of an empty session": ({"sub": "", "sid": ""}, "nobody"),
    "of somebody with a long name": ({"sub": "s" * 1025}, "length"),
    "of a session with a long name": ({"sid": "s" * 1025}, "length"),
    "of a number": ({"sub": 7}, "cannot be read"),
    "of a session that is a list": ({"sid": ["s1"]}, "cannot be read"),
}


@pytest.mark.parametrize("wrong", REFUSED)
async def test_a_token_that_is_wrong_in_one_thing_logs_nobody_off(wrong: str) -> None:  # R46
    changed, why = REFUSED[wrong]
    once = Seen()
    with pytest.raises(InvalidToken, match=why):
        await party(Provider(GOOD)).logged_out(logout_token(GOOD, logout_claims(**changed)), once)
    assert once.names == {}


@pytest.mark.parametrize(
    ("changed", "gone"),
    [
        ({}, LoggedOut(ISSUER, "ann", "s1")),
        ({"sid": None}, LoggedOut(ISSUER, "ann")),
        ({"sub": None}, LoggedOut(ISSUER, sid="s1")),
        ({"aud": ["bank", "shop"]}, LoggedOut(ISSUER, "ann", "s1")),
        ({"events": {EVENT: {}, "urn:other": {}}}, LoggedOut(ISSUER, "ann", "s1")),
        ({"iat": NOW - 329}, LoggedOut(ISSUER, "ann", "s1")),
        ({"iat": NOW + 29}, LoggedOut(ISSUER, "ann", "s1")),
        ({"exp": NOW - 29, "iat": NOW - 60}, LoggedOut(ISSUER, "ann", "s1")),
    ],
)
async def test_a_good_token_names_a_session_a_person_or_both(changed: dict[str, Any], gone: LoggedOut) -> None:  # R46
    said = await party(Provider(GOOD)).logged_out(logout_token(GOOD, logout_claims(**changed)), Seen())
    assert said == gone


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "secevent+jwt", "", "logout", None])
async def test_another_type_of_token_logs_nobody_off(typ: str | None) -> None:  # R46, R48
    with pytest.raises(InvalidToken, match="type"):
        await party(Provider(GOOD)).logged_out(logout_token(GOOD, logout_claims(), typ=typ), Seen())


@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
async def test_the_type_is_compared_as_media_types_are(typ: str) -> None:
    await party(Provider(GOOD)).logged_out(logout_token(GOOD, logout_claims(), typ=typ), Seen())


async def test_a_provider_that_does_not_mark_its_tokens_is_taken_if_the_settings_say_so() -> None:
    lenient = party(Provider(GOOD), logout_token_types=["logout+jwt", "JWT"])
    await lenient.logged_out(logout_token(GOOD, logout_claims(), typ="JWT"), Seen())
    asked = lenient.asks()
    with pytest.raises(InvalidToken, match="no logout"):
        await lenient.logged_out(id_token(GOOD, id_claims(asked, jti="j2")), Seen())


async def test_an_id_token_logs_nobody_off_and_a_logout_token_nobody_on() -> None:  # R46
    provider = Provider(GOOD)
    one = party(provider)
    asked = Asked.fresh()
    with pytest.raises(InvalidToken, match="type"):
        await one.logged_out(id_token(GOOD, id_claims(asked)), Seen())
    provider.gives("code", asked, logout_token(GOOD, logout_claims(nonce=asked.nonce)))
    with pytest.raises(InvalidToken, match="type"):
        await one.takes(asked, "code")


async def test_a_token_counts_once_for_as_long_as_it_would_be_taken() -> None:  # R46
    clock, once = Clock(NOW), Seen()
    one = party(Provider(GOOD), clock=clock)
    token = logout_token(GOOD, logout_claims())
    await one.logged_out(token, once)
    with pytest.raises(InvalidToken, match="been here before"):
        await one.logged_out(token, once)
    with pytest.raises(InvalidToken, match="been here before"):
        await one.logged_out(logout_token(GOOD, logout_claims(sub="bob")), once)  # signed anew under the same name
    [ttl] = once.names.values()
    clock.now += ttl
    with pytest.raises(InvalidToken, match="expired"):
        await one.logged_out(token, Seen())


async def test_of_parallel_copies_one_counts() -> None:  # R46
    once, token, one = Seen(), logout_token(GOOD, logout_claims()), party(Provider(GOOD))
    counted: list[LoggedOut] = []

    async def send() -> None:
        try:
            counted.append(await one.logged_out(token, once))
        except InvalidToken:
            return

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(send)
    assert len(counted) == 1


async def test_issuers_do_not_use_up_each_others_names() -> None:
    once = Seen()
    for issuer in ("https://one.example", "https://two.example"):
        provider = Provider(GOOD, issuer=issuer)
        provider.answers[f"{issuer}/.well-known/openid-configuration"] = b""
        one = party(provider, issuer=issuer, jwks_uri="https://login.example/keys")
        await one.logged_out(logout_token(GOOD, logout_claims(iss=issuer)), once)
    assert len(once.names) == 2


@pytest.mark.parametrize("key", [Signer("k1", "ES256"), Signer("k2"), Signer("k1", key=rsa_key(1))])
async def test_a_token_that_no_key_of_the_provider_fits_logs_nobody_off(key: Signer) -> None:  # R46, R48
    with pytest.raises(InvalidToken, match="key"):
        await party(Provider(GOOD)).logged_out(logout_token(key, logout_claims()), Seen())


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_algorithms_without_a_public_key_are_not_taken(algorithm: str) -> None:  # R46, R48
    token = logout_token(GOOD, logout_claims())
    _, payload, _ = token.split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "logout+jwt"}).encode()).rstrip(b"=").decode()
    for signature in ("", "AAAA"):
        with pytest.raises(InvalidToken):
            await party(Provider(GOOD)).logged_out(f"{head}.{payload}.{signature}", Seen())


@pytest.mark.parametrize("garbage", ["", ".", "..", "a.b.c", "x" * 20_000, "\x00", "ü.ü.ü", "e30.e30.e30"])
async def test_garbage_logs_nobody_off(garbage: str) -> None:  # R46
    with pytest.raises(InvalidToken):
        await party(Provider(GOOD)).logged_out(garbage, Seen())
