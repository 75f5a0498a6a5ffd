"""The issuer's keys: rotation, an issuer that is slow or down, and key sets that are meant to hurt (T30)."""

import json
import logging
import time
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.identity.facts import InvalidToken, IssuerUnavailable
from holdfast.identity.keys import JWKS_BYTES, KeySource, read_keys
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, JWKS, NOW, Issuer, Signer, claims, rsa_key
from identity.test_tokens import verifier

GOOD = Signer()


def source(issuer: Issuer, clock: Clock | None = None, **options: Any) -> KeySource:
    return KeySource(issuer, ISSUER, JWKS, clock=clock or Clock(NOW), **options)


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def filled(count: int) -> bytes:
    return jwks(*({"kty": "oct", "kid": f"k{number}"} for number in range(count)))


async def test_a_rotated_key_is_known_at_the_next_request() -> None:
    # S7
    clock, issuer = Clock(NOW), Issuer(GOOD)
    tokens = verifier(issuer, clock)
    await tokens.verify(GOOD.sign(claims()))
    clock.advance(10)
    fresh = Signer("k2", key=rsa_key(1))
    issuer.signers.append(fresh)
    assert await tokens.verify(fresh.sign(claims()))
    assert await tokens.verify(GOOD.sign(claims()))
    assert issuer.fetched == [JWKS] * 2


async def test_made_up_kids_cost_the_issuer_one_request_in_ten_seconds() -> None:
    clock, issuer = Clock(NOW), Issuer(GOOD)
    tokens = verifier(issuer, clock)
    for number in range(100):
        with pytest.raises(InvalidToken):
            await tokens.verify(Signer(f"x{number}").sign(claims()))
        clock.advance(1)
    assert len(issuer.fetched) == 10


async def test_many_requests_at_once_fetch_the_keys_once() -> None:
    issuer = Issuer(GOOD)
    issuer.gate = anyio.Event()
    tokens, seen = verifier(issuer), []

    async def one() -> None:
        seen.append(await tokens.verify(GOOD.sign(claims())))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            issuer.gate.set()
    assert (len(seen), issuer.fetched) == (50, [JWKS])


async def test_old_keys_go_on_while_the_issuer_is_down_but_not_for_ever() -> None:
    clock, issuer = Clock(NOW), Issuer(GOOD)
    keys = source(issuer, clock, stale=6 * 3600.0)
    before = await keys.current()
    issuer.down = True
    clock.advance(6 * 3600.0 - 1)
    assert await keys.current() is before
    clock.advance(1)
    with pytest.raises(IssuerUnavailable) as gone:
        await keys.current()
    assert (gone.value.status, gone.value.code) == (503, "issuer_unavailable")
    issuer.down = False
    clock.advance(10)
    assert len(await keys.current()) == 1


async def test_an_issuer_that_is_down_is_asked_again_every_ten_seconds_and_no_sooner() -> None:
    clock, issuer = Clock(NOW), Issuer(GOOD)
    keys, issuer.down = source(issuer, clock), True
    for _ in range(40):
        with pytest.raises(IssuerUnavailable):
            await keys.current()
        clock.advance(1)
    assert len(issuer.fetched) == 4


async def test_an_unknown_kid_while_the_issuer_is_down_is_not_called_wrong() -> None:
    # nobody can say: 503, so that the client tries again with the token it has
    clock, issuer = Clock(NOW), Issuer(GOOD)
    tokens = verifier(issuer, clock)
    await tokens.verify(GOOD.sign(claims()))
    issuer.down = True
    clock.advance(10)
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(Signer("k2").sign(claims()))
    assert await tokens.verify(GOOD.sign(claims()))


async def test_a_slow_issuer_is_given_up_and_only_one_request_waits_for_it() -> None:
    # T30
    clock, issuer = Clock(NOW), Issuer(GOOD)
    keys = source(issuer, clock, timeout=0.05)
    before = await keys.current()
    issuer.gate = anyio.Event()
    clock.advance(600)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keys.current)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(0.04):
                assert await keys.current() is before
    assert await keys.current() is before
    assert issuer.fetched == [JWKS] * 2


async def test_a_request_that_is_cancelled_while_it_fetches_leaves_no_lock_behind() -> None:
    clock, issuer = Clock(NOW), Issuer(GOOD)
    keys, issuer.gate = source(issuer, clock), anyio.Event()
    with anyio.move_on_after(0.01) as left:
        await keys.current()
    assert left.cancelled_caught
    issuer.gate = None
    clock.advance(10)
    with anyio.fail_after(5):
        assert len(await keys.current()) == 1


@pytest.mark.parametrize("count", [65, 10_000])
async def test_a_key_set_of_too_many_keys_is_refused_whole_and_at_once(count: int) -> None:
    # T30
    answer, began = filled(count), time.process_time()
    with pytest.raises(IssuerUnavailable, match=f"{count} keys"):
        read_keys(answer)
    assert time.process_time() - began < 0.5
    assert len(read_keys(jwks(*(GOOD.jwk(kid=f"k{number}") for number in range(64))))) == 64


async def test_ten_thousand_real_keys_are_more_than_is_read_of_an_answer() -> None:
    issuer = Issuer(GOOD)
    issuer.answers[JWKS] = jwks(*(GOOD.jwk(kid=f"k{number}") for number in range(10_000)))
    assert len(issuer.answers[JWKS]) > JWKS_BYTES
    with pytest.raises(IssuerUnavailable):
        await source(issuer).current()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b"<html>", b"\xff", b'{"keys":' + b"[" * 5000])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(IssuerUnavailable, match="cannot be read"):
        read_keys(body)


def weak(bits: int) -> dict[str, Any]:
    key = rsa.generate_private_key(65537, bits)
    return Signer(key=key).jwk(kid="weak")


UNFIT: dict[str, Any] = {
    "a shared secret": {"kty": "oct", "kid": "k1", "k": "AAAA"},
    "for encryption": GOOD.jwk(use="enc"),
    "for signing only": GOOD.jwk(key_ops=["sign"]),
    "of another algorithm": GOOD.jwk(alg="ES256"),
    "of a MAC": GOOD.jwk(alg="HS256"),
    "weak": weak(1024),
    "endless": GOOD.jwk(n="A" * 200_000),
    "without a modulus": GOOD.jwk(n=None),
    "of an unknown curve": Signer(alg="ES256").jwk(crv="secp256k1"),
    "not on its curve": Signer(alg="ES256").jwk(x="A" * 43),
    "of numbers": {"kty": 1, "kid": 2},
    "no object": ["kty", "RSA"],
    "not base64": GOOD.jwk(n="€"),
}


@pytest.mark.parametrize("sort", UNFIT)
def test_a_key_that_is_unfit_is_left_out_and_the_others_stay(sort: str) -> None:
    keys = read_keys(jwks(UNFIT[sort], GOOD.jwk(kid="good")))
    assert len(keys) == 1
    assert [key.kid for key in keys.fitting("good", "RS256")] == ["good"]


def test_a_private_key_that_somebody_publishes_is_read_as_a_public_one() -> None:
    private = Signer.__dict__["jwk"](GOOD) | {"d": "AQAB", "p": "AQAB", "q": "AQAB"}
    [key] = read_keys(jwks(private)).fitting("k1", "RS256")
    assert not hasattr(key.public, "sign")


def test_a_key_serves_the_algorithms_of_its_type_and_no_others() -> None:
    keys = read_keys(jwks(GOOD.jwk(alg=None), Signer("k1", "ES384").jwk(alg=None)))
    found = {name: len(keys.fitting("k1", name)) for name in ("RS256", "PS512", "ES384", "ES256", "EdDSA", "HS256")}
    assert found == {"RS256": 1, "PS512": 1, "ES384": 1, "ES256": 0, "EdDSA": 0, "HS256": 0}


def test_no_more_than_four_keys_are_tried_for_one_token() -> None:
    assert len(read_keys(jwks(*(GOOD.jwk(kid=None) for _ in range(20)))).fitting(None, "RS256")) == 4


async def test_the_log_names_the_issuer_and_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer(GOOD)
    issuer.down = True
    with caplog.at_level(logging.WARNING), pytest.raises(IssuerUnavailable):
        await source(issuer).current()
    assert caplog.messages == [f"the keys of {ISSUER}: down, not there, or too long"]
