"""ID tokens: each claim, alone, is enough to be refused; and what is read of a good one (S7, R48)."""

from typing import Any

import pytest

from holdfast.identity.facts import InvalidToken
from holdfast.identity.oidc import Asked, Person
from identity.issuer import ISSUER, NOW, Signer, rsa_key
from identity.oidc.provider import Provider, half_hash, id_claims, id_token, party

GOOD = Signer()

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "of another issuer": ({"iss": "https://other.example"}, "another issuer"),
    "of an issuer with a slash more": ({"iss": ISSUER + "/"}, "another issuer"),
    "of no issuer": ({"iss": None}, "another issuer"),
    "for another client": ({"aud": "bank"}, "another client"),
    "for nobody": ({"aud": None}, "another client"),
    "for a list without this client": ({"aud": ["bank", "mail"]}, "another client"),
    "for several, and nobody says for whom": ({"aud": ["shop", "bank"]}, "another party"),
    "for several, and issued to another": ({"aud": ["shop", "bank"], "azp": "bank"}, "another party"),
    "issued to another": ({"azp": "bank"}, "another party"),
    "issued to an empty name": ({"azp": ""}, "another party"),
    "without an end": ({"exp": None}, "exp"),
    "at its end": ({"exp": NOW - 30}, "expired"),
    "without a time": ({"iat": None}, "iat"),
    "issued long ago": ({"iat": NOW - 631}, "expired"),
    "of the future": ({"iat": NOW + 31}, "not valid yet"),
    "without a nonce": ({"nonce": None}, "another request"),
    "with another nonce": ({"nonce": "n" * 43}, "another request"),
    "with a nonce that is no ASCII": ({"nonce": "ä"}, "another request"),
    "with the hash of another access token": ({"at_hash": half_hash("other")}, "access token"),
    "with an empty hash": ({"at_hash": ""}, "access token"),
    "of nobody": ({"sub": None}, "subject"),
    "of an empty name": ({"sub": ""}, "subject"),
    "of a long name": ({"sub": "s" * 1025}, "too long"),
    "of a session with a long name": ({"sid": "s" * 1025}, "too long"),
    "of a logon to come": ({"auth_time": NOW + 31}, "to come"),
    "of a number": ({"sub": 7}, "cannot be read"),
    "with a time that is a text": ({"exp": str(NOW + 300)}, "cannot be read"),
    "with methods that are none": ({"amr": "pwd"}, "cannot be read"),
}
STALE: dict[str, dict[str, Any]] = {"unsaid": {"auth_time": None}, "too old": {"auth_time": NOW - 91}}


async def taken(*, max_age: float | None = None, settings: dict[str, Any] | None = None, **changed: Any) -> Person:
    provider = Provider(GOOD)
    one = party(provider, **(settings or {}))
    asked = one.asks(max_age=max_age)
    provider.gives("code", asked, **changed)
    return await one.takes(asked, "code")


@pytest.mark.parametrize("wrong", REFUSED)
async def test_a_token_that_is_wrong_in_one_thing_logs_nobody_on(wrong: str) -> None:  # S7, R48
    changed, why = REFUSED[wrong]
    with pytest.raises(InvalidToken, match=why):
        await taken(**changed)


async def test_a_good_token_says_who_when_and_in_which_session() -> None:  # S7
    person = await taken()
    assert (person.issuer, person.subject, person.sid, person.at) == (ISSUER, "ann", "s1", NOW - 20)
    assert (person.texts("roles"), person.texts("name")) == (("clerk",), ("Ann Lee",))
    assert (person.level({}), person.ends_at) == (1, None)
    assert person.id_token not in repr(person)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["shop"]},
        {"aud": ["shop", "bank"], "azp": "shop"},
        {"azp": "shop"},
        {"at_hash": None},
        {"at_hash": half_hash("access", "sha384")},
        {"at_hash": half_hash("access", "sha512")},
        {"exp": NOW - 29},
        {"iat": NOW + 29},
        {"auth_time": None},
        {"sid": None},
    ],
)
async def test_what_need_not_be_there_or_may_be_otherwise_is_taken(changed: dict[str, Any]) -> None:
    assert (await taken(**changed)).subject == "ann"


@pytest.mark.parametrize("changed", STALE.values(), ids=STALE)
async def test_a_logon_at_the_provider_that_is_older_than_asked_for_is_none(changed: dict[str, Any]) -> None:  # R29
    with pytest.raises(InvalidToken, match="older"):
        await taken(max_age=60, **changed)
    with pytest.raises(InvalidToken, match="older"):
        await taken(settings={"max_age": 60}, **changed)
    assert (await taken(**changed)).subject == "ann"


async def test_when_nobody_says_when_they_logged_on_it_was_when_the_token_was_issued_but_never_later_than_now() -> None:
    assert (await taken(auth_time=None, iat=NOW - 5)).at == NOW - 5
    assert (await taken(auth_time=None, iat=NOW + 20)).at == NOW
    assert (await taken(auth_time=NOW + 20)).at == NOW


async def test_how_strong_a_logon_is_the_settings_say_by_class_else_the_methods_do() -> None:  # S14
    levels = {"urn:gold": 3, "urn:tin": 1}
    assert (await taken(acr="urn:gold")).level(levels) == 3
    assert (await taken(acr="urn:tin", amr=["mfa"])).level(levels) == 1
    assert (await taken(acr="urn:other", amr=["pwd", "mfa"])).level(levels) == 2
    assert (await taken(amr=["pwd", "otp"])).level(levels) == 1


async def test_the_provider_says_when_the_logon_ends() -> None:  # R28
    assert (await taken(session_expiry=NOW + 600)).ends_at == NOW + 600


async def test_roles_may_lie_deep_and_only_texts_count() -> None:  # S7
    person = await taken(
        realm={"access": {"roles": ["boss", 7, None, "", "r" * 1025, "clerk"]}},
        groups="staff",
        **{"https://x.example/roles": ["far"]},
    )
    assert person.texts("realm.access.roles") == ("boss", "clerk")
    assert person.texts("groups") == ("staff",)
    assert person.texts("https://x.example/roles") == ("far",)
    assert person.texts("realm.none.roles") == person.texts("groups.x") == person.texts("realm") == ()
    assert len((await taken(roles=[f"r{n}" for n in range(1000)])).texts("roles")) == 200


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "secevent+jwt", "jose"])
async def test_another_type_of_token_logs_nobody_on(typ: str) -> None:  # R48
    provider, asked = Provider(GOOD), Asked.fresh()
    provider.gives("code", asked, id_token(GOOD, id_claims(asked), typ=typ))
    with pytest.raises(InvalidToken, match="type"):
        await party(provider).takes(asked, "code")


@pytest.mark.parametrize("signer", [Signer("k2"), Signer("k1", key=rsa_key(1)), Signer("k1", "ES256")])
async def test_a_token_that_no_key_of_the_provider_fits_logs_nobody_on(signer: Signer) -> None:  # R48
    provider, asked = Provider(GOOD), Asked.fresh()
    provider.gives("code", asked, id_token(signer, id_claims(asked)))
    with pytest.raises(InvalidToken, match="key"):
        await party(provider).takes(asked, "code")


async def test_an_algorithm_that_is_not_configured_is_not_taken() -> None:  # R48
    provider, asked = Provider(GOOD), Asked.fresh()
    provider.gives("code", asked)
    with pytest.raises(InvalidToken, match="algorithm"):
        await party(provider, algorithms=["ES256"]).takes(asked, "code")
