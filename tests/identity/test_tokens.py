"""Which access tokens are taken, and every sort that is not (R48)."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.errors import ConfigurationError
from holdfast.identity.facts import InvalidToken, named
from holdfast.identity.keys import KeySource
from holdfast.identity.signed import ALGORITHMS, KNOWN_ALGORITHMS
from holdfast.identity.tokens import JwtVerifier
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, JWKS, NOW, RESOURCE, Issuer, Signer, claims, rsa_key

EVIL = "https://evil.example/keys"


def verifier(issuer: Issuer, clock: Clock | None = None, **options: Any) -> JwtVerifier:
    clock = clock or Clock(NOW)
    keys = KeySource(issuer, ISSUER, JWKS, clock=clock)
    return JwtVerifier(keys, **{"issuer": ISSUER, "audience": [RESOURCE], "clock": clock, **options})


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_hmac(secret: bytes, header: dict[str, Any]) -> str:
    """Return a token whose signature is a MAC over a text everybody has: the issuer's public key."""
    signed = f"{part(header)}.{part(claims())}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{part(mac.finalize())}"


def pem() -> bytes:
    return rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


GOOD, STRANGER = Signer(), Signer(key=rsa_key(1))
HEADER = {"typ": "at+jwt", "kid": "k1"}
WRONG = {
    "no signature": (f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{part(claims())}.", "algorithm"),
    "none in other letters": (f"{part({'alg': 'nOnE', 'typ': 'at+jwt'})}.{part(claims())}.", "algorithm"),
    "a MAC with the public key": (with_hmac(pem(), {"alg": "HS256", "typ": "at+jwt", "kid": "k1"}), "algorithm"),
    "a MAC that says RS256": (with_hmac(pem(), {"alg": "RS256", "typ": "at+jwt", "kid": "k1"}), "not signed"),
    "another key": (STRANGER.sign(claims()), "not signed"),
    "another key named by jku": (STRANGER.sign(claims(), jku=EVIL), "not signed"),
    "another key named by x5u": (STRANGER.sign(claims(), x5u=EVIL), "not signed"),
    "another key brought along": (STRANGER.sign(claims(), jwk=STRANGER.jwk()), "not signed"),
    "another key in a certificate": (STRANGER.sign(claims(), x5c=["MIIB"]), "not signed"),
    "unknown kid": (Signer("k9").sign(claims()), "not signed"),
    "a kid that is no text": (f"{part({'alg': 'RS256', 'kid': 7})}.e30.e30", "no signed JWT"),
    "an algorithm that is not taken": (jwt.encode(claims(), rsa_key(), algorithm="RS512"), "algorithm"),
    "expired": (GOOD.sign(claims(exp=NOW - 31)), "expired"),
    "never expiring": (GOOD.sign(claims(exp=None)), "lacks a claim"),
    "not yet valid": (GOOD.sign(claims(nbf=NOW + 31)), "not valid yet"),
    "given out in the future": (GOOD.sign(claims(iat=NOW + 31)), "not valid yet"),
    "wrong audience": (GOOD.sign(claims(aud="https://other.example/mcp")), "audience"),
    "wrong audiences": (GOOD.sign(claims(aud=["https://other.example", f"{RESOURCE}/more"])), "audience"),
    "empty audience": (GOOD.sign(claims(aud=[])), "lacks a claim"),
    "no audience": (GOOD.sign(claims(aud=None)), "lacks a claim"),
    "wrong issuer": (GOOD.sign(claims(iss=f"{ISSUER}/")), "another issuer"),
    "no issuer": (GOOD.sign(claims(iss=None)), "lacks a claim"),
    "no subject": (GOOD.sign(claims(sub=None)), "lacks a claim"),
    "empty subject": (GOOD.sign(claims(sub="")), "lacks a claim"),
    "endless subject": (GOOD.sign(claims(sub="a" * 1025)), "subject"),
    "endless client": (GOOD.sign(claims(client_id="a" * 1025)), "subject or client"),
    "wrong type": (GOOD.sign(claims(), typ="JWT"), "type"),
    "a logout token": (GOOD.sign(claims(), typ="logout+jwt"), "type"),
    "no type": (GOOD.sign(claims(), typ=""), "type"),
    "unknown extensions": (GOOD.sign(claims(), crit=["exp"], exp=1), "no signed JWT"),
    "extensions that PyJWT knows": (f"{part({**HEADER, 'alg': 'RS256', 'crit': ['b64']})}.e30.e30", "no signed JWT"),
    "claims of other types": (GOOD.sign(claims(scope=7)), "cannot be read"),
    "claims that are a list": (
        f"{part({'alg': 'RS256', 'typ': 'at+jwt', 'kid': 'k1'})}.{part([])}.{part(b'x')}",
        "not",
    ),
    "changed claims": (".".join([GOOD.sign(claims()).split(".")[0], part(claims(sub="bob")), "AA"]), "not signed"),
    "cut off": (GOOD.sign(claims())[:-10], "not signed"),
    "without a signature part": (GOOD.sign(claims()).rpartition(".")[0], "no signed JWT"),
    "an encrypted one": (f"{part({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b.c.d", "no signed JWT"),
    "huge": ("a" * 16385, "longer than 16384"),
    "deep": (f"{part(b'[' * 9000)}.e30.e30", "no signed JWT"),
    "garbage": ("garbage", "no signed JWT"),
    "dots": ("..", "no signed JWT"),
    "not ASCII": ("é.é.é", "no signed JWT"),
    "half a surrogate": ("�.a.b", "no signed JWT"),
}


@pytest.mark.parametrize("sort", WRONG)
async def test_a_wrong_token_is_refused_and_nothing_of_it_is_quoted(sort: str) -> None:
    # R48
    token, why = WRONG[sort]
    issuer = Issuer(GOOD)
    with pytest.raises(InvalidToken, match=why) as refused:
        await verifier(issuer).verify(token)
    assert (refused.value.status, refused.value.code) == (401, "invalid_token")
    assert set(issuer.fetched) <= {JWKS}, "keys come from the configured place alone"
    told = f"{refused.value} {refused.value.hint}"
    assert not any(piece in told for piece in token.split(".") if len(piece) > 8)


@pytest.mark.parametrize("algorithm", sorted(KNOWN_ALGORITHMS))
async def test_every_algorithm_of_public_keys_can_be_taken(algorithm: str) -> None:
    signer = Signer(alg=algorithm)
    assert (await verifier(Issuer(signer), algorithms=[algorithm]).verify(signer.sign(claims()))).subject == "alice"
    with pytest.raises(InvalidToken):
        await verifier(Issuer(signer), algorithms=sorted(KNOWN_ALGORITHMS - {algorithm})).verify(signer.sign(claims()))


@pytest.mark.parametrize("algorithms", [["HS256"], ["RS256", "none"], []])
def test_other_algorithms_cannot_be_configured(algorithms: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="public keys"):
        verifier(Issuer(), algorithms=algorithms)


async def test_a_token_says_who_for_whom_and_what_they_may() -> None:
    # M12, M23
    said = claims(scope="mcp read", scp=["write"], auth_time=NOW - 60, email="a@example")
    who = await verifier(Issuer(GOOD)).verify(GOOD.sign(said))
    assert (who.issuer, who.subject, who.client) == (ISSUER, "alice", "shell")
    assert (who.scopes, who.authenticated_at, who.expires_at) == ({"mcp", "read", "write"}, NOW - 60, NOW + 300)
    assert who.claims["email"] == "a@example"
    assert who.principal == f"{ISSUER}|alice|shell"
    assert "a@example" not in repr(who)


@pytest.mark.parametrize(
    ("said", "client"),
    [({"client_id": None, "azp": "app"}, "app"), ({"azp": "app"}, "shell"), ({"client_id": None}, "")],
)
async def test_the_client_is_named_by_client_id_else_by_azp(said: dict[str, Any], client: str) -> None:
    assert (await verifier(Issuer(GOOD)).verify(GOOD.sign(claims(**said)))).client == client


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
async def test_the_type_is_compared_as_a_media_type(typ: str) -> None:
    assert await verifier(Issuer(GOOD)).verify(GOOD.sign(claims(), typ=typ))


@pytest.mark.parametrize(("typ", "types"), [("JWT", ["at+jwt", "JWT"]), ("", [""])])
async def test_other_types_are_taken_if_the_configuration_says_so(typ: str, types: list[str]) -> None:
    assert await verifier(Issuer(GOOD), types=types).verify(GOOD.sign(claims(), typ=typ))


@pytest.mark.parametrize("aud", [RESOURCE, f"{RESOURCE}/", "HTTPS://MCP.example:443/mcp", ["x", RESOURCE]])
async def test_the_audience_is_compared_as_a_uri(aud: object) -> None:
    # RFC 8707
    assert await verifier(Issuer(GOOD)).verify(GOOD.sign(claims(aud=aud)))


async def test_a_good_token_may_carry_headers_that_are_not_read() -> None:
    issuer = Issuer(GOOD)
    assert await verifier(issuer).verify(GOOD.sign(claims(), jku=EVIL, x5u=EVIL, jwk={"kty": "RSA"}))
    assert issuer.fetched == [JWKS]


async def test_a_token_without_a_kid_is_tried_with_the_keys_that_fit() -> None:
    first, second = Signer(None, key=rsa_key(1)), Signer(None)
    assert await verifier(Issuer(Signer("e", "ES256"), first, second)).verify(second.sign(claims()))


async def test_clocks_may_differ_by_the_leeway() -> None:
    for said in (claims(exp=NOW - 29), claims(nbf=NOW + 30), claims(iat=NOW + 30)):
        assert await verifier(Issuer(GOOD)).verify(GOOD.sign(said))
        with pytest.raises(InvalidToken):
            await verifier(Issuer(GOOD), leeway=0.0).verify(GOOD.sign(said))


async def test_a_token_that_was_good_is_refused_when_it_expires_and_when_its_key_is_withdrawn() -> None:
    # what was found out about a token is remembered, but neither beyond its time nor beyond its key
    clock, issuer = Clock(NOW), Issuer(GOOD)
    tokens = verifier(issuer, clock)
    short, long = GOOD.sign(claims()), GOOD.sign(claims(exp=NOW + 9000))
    assert await tokens.verify(short) is await tokens.verify(short)
    await tokens.verify(long)
    clock.advance(331)
    with pytest.raises(InvalidToken, match="expired"):
        await tokens.verify(short)
    assert await tokens.verify(long)
    issuer.signers = [Signer("k2")]
    clock.advance(600)
    with pytest.raises(InvalidToken, match="not signed"):
        await tokens.verify(long)


async def test_a_refreshed_token_is_the_same_principal_and_its_scopes_count_at_once() -> None:
    # M12, M23
    tokens = verifier(Issuer(GOOD))
    before = await tokens.verify(GOOD.sign(claims()))
    after = await tokens.verify(GOOD.sign(claims(iat=NOW, scope="mcp write")))
    assert (before.principal, before.scopes) == (after.principal, {"mcp"})
    assert after.scopes == {"mcp", "write"}


async def test_many_tokens_leave_no_more_than_so_much_behind() -> None:
    tokens = verifier(Issuer(GOOD))
    one = await tokens.verify(GOOD.sign(claims()))
    for number in range(4096):
        tokens._known.keep(f"token {number}", (one, await tokens._signed.keys.current()))
    await tokens.verify(GOOD.sign(claims(jti="another")))
    assert len(tokens._known) == 4096
    assert tokens._known.of("token 0") is None


@pytest.mark.parametrize(
    "name", ["alice", "https://login.example|alice|shell", "a%7Cb", "|a|c", "i|J%C3%BCrgen%0D%0A|"]
)
def test_a_principals_name_can_be_read_back(name: str) -> None:
    assert named(name).principal == name


def test_the_default_algorithms_are_of_public_keys() -> None:
    assert set(ALGORITHMS) <= KNOWN_ALGORITHMS
