"""How a site shows who it is by a signature of its own, and what it asks a provider besides the ID token."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import InvalidToken, IssuerRefused, IssuerUnavailable
from holdfast.identity.oidc import Person
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, NOW, Signer
from identity.oidc.provider import CLIENT, TOKENS, USERINFO, Provider, party

GOOD = Signer()
SIGNS: dict[str, Any] = {"authentication": "private_key_jwt", "client_secret": ""}


def pem(folder: Path, key: Any) -> Path:
    file = folder / "site.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


async def logged_on(provider: Provider, *, clock: Clock | None = None, **settings: Any) -> Person:
    one = party(provider, clock=clock, **settings)
    asked = one.asks()
    provider.gives("code", asked, name=None, roles=["clerk"])
    return await one.takes(asked, "code")


@pytest.mark.parametrize(
    ("algorithm", "named"),
    [("RS256", ""), ("PS256", "PS256"), ("ES256", ""), ("ES384", ""), ("ES512", "ES512"), ("EdDSA", "")],
)
async def test_a_site_signs_that_it_asks_once_and_for_a_minute(tmp_path: Path, algorithm: str, named: str) -> None:
    signer, provider = Signer("site", algorithm), Provider(GOOD)
    more = {"client_key_algorithm": named} if named else {}
    for _ in range(2):
        await logged_on(provider, **SIGNS, client_key=pem(tmp_path, signer.key), client_key_id="site", **more)
    (one, login), (two, _) = provider.forms
    assert (login, one["client_id"], "client_secret" in one) == (None, CLIENT, False)
    assert one["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    header = jwt.get_unverified_header(one["client_assertion"])
    assert (header["alg"], header["kid"]) == (algorithm, "site")
    verify: dict[str, Any] = {"algorithms": [algorithm], "audience": ISSUER, "options": {"verify_iat": False}}
    said, again = (
        jwt.decode(form["client_assertion"], signer.key.public_key(), leeway=1e9, **verify) for form in (one, two)
    )
    assert (said["iss"], said["sub"], said["aud"]) == (CLIENT, CLIENT, ISSUER)
    assert (said["iat"], said["exp"]) == (NOW, NOW + 60)
    assert said["jti"] != again["jti"]


async def test_some_providers_want_their_token_endpoint_named(tmp_path: Path) -> None:
    provider = Provider(GOOD)
    await logged_on(provider, **SIGNS, client_key=pem(tmp_path, GOOD.key), client_key_audience="token_endpoint")
    [(form, _)] = provider.forms
    said = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    assert said["aud"] == TOKENS
    assert "kid" not in jwt.get_unverified_header(form["client_assertion"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_key": None},
        {"client_key": Path("nowhere.pem")},
        {"client_key": Path(__file__)},
        {"client_secret": "x"},
        {"authentication": "none"},
        {"authentication": "client_secret_basic", "client_secret": "x"},
        {"client_key_algorithm": "ES256"},
        {"key": rsa.generate_private_key(65537, 1024)},
        {"key": ec.generate_private_key(ec.SECP256K1())},
        {"key": dsa.generate_private_key(2048)},
    ],
)
def test_a_key_that_is_of_no_use_is_refused_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    file = pem(tmp_path, wrong.get("key", GOOD.key))
    given = {name: value for name, value in wrong.items() if name != "key"}
    with pytest.raises(ConfigurationError):
        party(Provider(), **{**SIGNS, "client_key": file, **given})


async def test_what_the_token_does_not_say_the_provider_is_asked_for_if_it_is_to_be() -> None:  # S7
    provider = Provider(GOOD)
    provider.answers[USERINFO] = json.dumps(
        {"sub": "ann", "name": "Ann Lee", "roles": ["chief"], "iss": "https://evil.example", "sid": "s9", "acr": "x"}
    ).encode()
    assert (await logged_on(provider)).texts("name") == ()
    assert USERINFO not in provider.fetched
    person = await logged_on(provider, userinfo=True)
    assert (person.texts("name"), person.texts("roles")) == (("Ann Lee",), ("clerk",))  # what is signed counts for more
    assert (person.issuer, person.subject, person.sid, person.acr) == (ISSUER, "ann", "s1", "")
    assert [bearer for url, bearer in zip(provider.fetched, provider.bearers, strict=True) if bearer] == ["access"]
    assert provider.bearers[provider.fetched.index(USERINFO)] == "access"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"sub": "bob", "name": "Bob"}', InvalidToken),
        (b'{"name": "Ann"}', InvalidToken),
        (b'{"sub": ["ann"]}', InvalidToken),
        (b"[]", IssuerUnavailable),
        (b"eyJhbGciOiJub25lIn0.e30.", IssuerUnavailable),
        (b"\xff", IssuerUnavailable),
        (b"x" * 70_000, IssuerUnavailable),
    ],
)
async def test_what_is_told_of_another_or_cannot_be_read_logs_nobody_on(
    answer: bytes, error: type[Exception]
) -> None:  # R48
    provider = Provider(GOOD)
    provider.answers[USERINFO] = answer
    with pytest.raises(error):
        await logged_on(provider, userinfo=True)


@pytest.mark.parametrize("endpoint", [None, "", "http://login.example/me", "ftp://login.example/me"])
async def test_a_provider_without_such_an_endpoint_logs_nobody_on_where_it_is_to_be_asked(endpoint: str | None) -> None:
    with pytest.raises(IssuerUnavailable):
        await logged_on(Provider(GOOD, userinfo_endpoint=endpoint), userinfo=True)


async def test_without_an_access_token_nothing_is_asked() -> None:
    class Sparing(Provider):
        def _redeem(self) -> bytes:
            return json.dumps({"id_token": json.loads(super()._redeem())["id_token"]}).encode()

    provider = Sparing(GOOD)
    with pytest.raises(IssuerUnavailable):
        await logged_on(provider, userinfo=True)
    assert USERINFO not in provider.fetched


async def test_an_access_token_that_the_provider_refuses_logs_nobody_on() -> None:
    class Refusing(Provider):
        def _own(self, url: str) -> bytes | None:
            if url == USERINFO:
                raise IssuerRefused("the issuer answers 401")
            return super()._own(url)

    with pytest.raises(IssuerRefused):
        await logged_on(Refusing(GOOD), userinfo=True)
