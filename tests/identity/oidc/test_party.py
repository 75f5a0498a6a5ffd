"""What is asked of a provider, what is shown to it, and what becomes of it when it is slow, wrong or gone."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import InvalidToken, IssuerRefused, IssuerUnavailable
from holdfast.identity.oidc import Asked
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, JWKS, NOW, Signer
from identity.oidc.provider import (
    DISCOVERY,
    METADATA,
    SITE,
    TOKENS,
    Provider,
    Seen,
    logout_claims,
    logout_token,
    oidc,
    party,
)

GOOD = Signer()


def parameters(url: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


async def test_the_browser_takes_along_what_the_answer_is_held_against_and_none_of_the_secrets() -> None:  # S7
    one = party(Provider())
    asked = one.asks()
    url = await one.authorization_url(asked, state="handle")
    said = parameters(url)
    assert url.startswith(f"{ISSUER}/authorize?tenant=1&")
    assert said == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "shop",
        "redirect_uri": f"{SITE}/callback",
        "scope": "openid profile",
        "state": "handle",
        "nonce": asked.nonce,
        "code_challenge": asked.challenge,
        "code_challenge_method": "S256",
    }
    assert asked.verifier not in url
    assert len(asked.verifier) >= 43  # RFC 7636 §4.1
    other = one.asks()
    assert not {asked.nonce, asked.verifier} & {other.nonce, other.verifier}


async def test_a_verifiers_challenge_is_that_of_the_specification() -> None:  # RFC 7636, appendix B
    asked = Asked(nonce="", verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert asked.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    ("settings", "max_age", "level", "said"),
    [
        ({"max_age": 1800}, None, 1, {"max_age": "1800"}),
        ({"max_age": 1800}, 60, 1, {"max_age": "60"}),
        ({"max_age": 60}, 1800, 1, {"max_age": "60"}),
        ({}, 0, 1, {"max_age": "0", "prompt": "login"}),
        ({"prompt": "login"}, None, 1, {"prompt": "login"}),
        ({"acr_levels": {"tin": 1, "gold": 3, "silver": 2}}, None, 2, {"acr_values": "gold silver"}),
        ({"acr_levels": {"tin": 1, "gold": 3}}, None, 1, {}),
        ({"scopes": ["email"]}, None, 1, {"scope": "openid email"}),
    ],
)
async def test_a_fresher_or_stronger_logon_is_asked_for(
    settings: dict[str, Any], max_age: float | None, level: int, said: dict[str, str]
) -> None:  # R29, S14
    one = party(Provider(), **settings)
    sent = parameters(await one.authorization_url(one.asks(max_age=max_age), state="s", level=level))
    names = ("max_age", "prompt", "acr_values", *(["scope"] if "scope" in said else []))
    assert {name: sent[name] for name in names if name in sent} == said


@pytest.mark.parametrize(
    ("settings", "login", "form"),
    [
        ({}, ("shop", "pa:ss/wörd"), {}),
        ({"authentication": "client_secret_post"}, None, {"client_id": "shop", "client_secret": "pa:ss/wörd"}),
        ({"authentication": "none", "client_secret": ""}, None, {"client_id": "shop"}),
    ],
)
async def test_the_site_shows_its_secret_as_configured(
    settings: dict[str, Any], login: tuple[str, str] | None, form: dict[str, str]
) -> None:
    provider = Provider(GOOD)
    one = party(provider, **settings)
    asked = one.asks()
    provider.gives("code", asked)
    assert (await one.takes(asked, "code")).subject == "ann"
    redeemed = {"grant_type": "authorization_code", "code": "code", "redirect_uri": f"{SITE}/callback"}
    assert provider.forms == [({**redeemed, "code_verifier": asked.verifier, **form}, login)]


async def test_a_code_is_redeemed_once_and_by_who_asked_for_it() -> None:
    provider = Provider(GOOD)
    one = party(provider)
    asked = one.asks()
    provider.gives("code", asked)
    provider.gives("stolen", asked)
    await one.takes(asked, "code")
    with pytest.raises(IssuerRefused):
        await one.takes(asked, "code")
    with pytest.raises(IssuerRefused):
        await one.takes(one.asks(), "stolen")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"id_token": 7}', b"\xff", b"[" * 60_000, b"x" * 70_000])
async def test_an_answer_that_makes_no_sense_logs_nobody_on(answer: bytes) -> None:
    provider = Provider(GOOD)
    provider.answers[TOKENS] = answer or b" "
    with pytest.raises(IssuerUnavailable):
        await party(provider).takes(Asked.fresh(), "code")


async def test_a_provider_that_does_not_answer_costs_a_logon_its_timeout_and_no_more() -> None:
    provider = Provider(GOOD)
    provider.gate = anyio.Event()
    one = party(provider, timeout=0.05)
    with anyio.fail_after(5):
        with pytest.raises(IssuerUnavailable):
            await one.authorization_url(one.asks(), state="s")
        with pytest.raises(IssuerUnavailable):
            await one.takes(one.asks(), "code")
        with pytest.raises(IssuerUnavailable):
            await one.logged_out(logout_token(GOOD, logout_claims()), Seen())


async def test_what_a_provider_says_of_itself_is_asked_for_every_ten_minutes_and_never_twice_at_once() -> None:
    clock, provider = Clock(NOW), Provider()
    one = party(provider, clock=clock)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lambda: one.authorization_url(one.asks(), state="s"))
    assert provider.fetched == [DISCOVERY]
    clock.now += 599.0
    await one.authorization_url(one.asks(), state="s")
    assert provider.fetched == [DISCOVERY]
    clock.now += 1.0
    await one.authorization_url(one.asks(), state="s")
    assert provider.fetched == [DISCOVERY] * 2


async def test_a_provider_that_is_down_is_not_asked_by_everybody() -> None:
    clock, provider = Clock(NOW), Provider()
    provider.down = True
    one = party(provider, clock=clock)
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            await one.authorization_url(one.asks(), state="s")
    assert provider.fetched == [DISCOVERY]
    provider.down = False
    clock.now += 2.0
    await one.authorization_url(one.asks(), state="s")


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "http://login.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 7},
    ],
)
async def test_a_provider_that_says_nonsense_of_itself_is_not_gone_to(metadata: dict[str, Any]) -> None:  # T31
    one = party(Provider(**metadata))
    with pytest.raises(IssuerUnavailable):
        await one.authorization_url(one.asks(), state="s")


async def test_an_answer_must_name_the_provider_if_it_says_that_it_does() -> None:  # RFC 9207
    silent, naming = party(Provider()), party(Provider(authorization_response_iss_parameter_supported=True))
    assert [await one.answers_for(ISSUER) for one in (silent, naming)] == [True, True]
    assert [await one.answers_for(None) for one in (silent, naming)] == [True, False]
    assert [await one.answers_for("https://other.example") for one in (silent, naming)] == [False, False]


async def test_logging_off_at_the_provider_shows_it_the_token_and_comes_back() -> None:  # S9
    one = party(Provider())
    assert parameters(await one.logout_url(id_token="jwt", state="/bye")) == {
        "client_id": "shop",
        "id_token_hint": "jwt",
        "post_logout_redirect_uri": f"{SITE}/logged-out",
        "state": "/bye",
    }
    assert set(parameters(await one.logout_url())) == {"client_id", "post_logout_redirect_uri"}
    assert await party(Provider(end_session_endpoint=None)).logout_url(id_token="jwt") == ""


async def test_before_a_browser_is_sent_to_log_off_the_provider_is_asked_whether_it_is_there() -> None:  # R45
    clock, provider = Clock(NOW), Provider()
    one = party(provider, clock=clock)
    await one.authorization_url(one.asks(), state="s")
    provider.down = True
    clock.now += 2.0
    with pytest.raises(IssuerUnavailable):
        await one.logout_url(id_token="jwt")


async def test_ten_thousand_keys_are_not_read() -> None:  # T30
    provider = Provider(GOOD)
    provider.answers[JWKS] = json.dumps({"keys": [GOOD.jwk(kid=f"k{n}", n="AQAB") for n in range(10_000)]}).encode()
    with pytest.raises(IssuerUnavailable):
        await party(provider).logged_out(logout_token(GOOD, logout_claims()), Seen())


async def test_a_flood_of_unknown_keys_asks_the_provider_once() -> None:  # T30
    provider = Provider(GOOD)
    one = party(provider)
    for number in range(50):
        with pytest.raises(InvalidToken):
            await one.logged_out(logout_token(Signer(f"other{number}"), logout_claims()), Seen())
    assert provider.fetched.count(JWKS) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"issuer": "http://login.example"},
        {"client_id": ""},
        {"client_secret": ""},
        {"authentication": "none"},
        {"url": ""},
        {"url": "http://shop.example/oidc"},
        {"url": "https://shop.example/oidc?x=1"},
        {"url": "https://shop.example/oidc#x"},
        {"url": "https://ann@shop.example/oidc"},
        {"jwks_uri": "ftp://login.example/keys"},
    ],
)
def test_settings_that_nobody_could_log_on_with_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        party(Provider(), **wrong)


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ValueError, match="extra"):
        oidc(isuer="x")
    assert METADATA["issuer"] == oidc().issuer
