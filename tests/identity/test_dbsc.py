"""What a browser proves with the key of its device, and which challenge it has to sign (R52, R53)."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.identity.dbsc import (
    CROSSING_S,
    LEFT_S,
    Device,
    DeviceKey,
    ForeignKey,
    ProofRefused,
    read_refresh,
    read_registration,
)
from holdfast.identity.facts import InvalidToken
from identity.device import SigningDevice

DEVICE = SigningDevice()
LIFETIME = 900.0


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_key_that_was_registered_proves_itself_later(algorithm: str) -> None:  # R52
    device = SigningDevice(algorithm)
    key, challenge = read_registration(device.first("c1"))
    assert (key.algorithm, challenge) == (algorithm, "c1")
    assert read_refresh(device.proof("c2"), key) == "c2"


def test_of_a_key_only_its_public_parts_are_kept() -> None:  # R52
    private = ec.generate_private_key(ec.SECP256R1())
    leaky = {**jwt.algorithms.ECAlgorithm.to_jwk(private, as_dict=True), "x5u": "https://evil.example"}
    key, _ = read_registration(SigningDevice(key=private).proof("c", jwk=leaky))
    assert set(json.loads(key.jwk)) == {"kty", "crv", "x", "y"}


REGISTRATIONS = {
    "no key": DEVICE.proof("c"),
    "another key": DEVICE.proof("c", jwk=SigningDevice().jwk()),
    "a key of another algorithm": DEVICE.proof("c", jwk=SigningDevice("RS256").jwk()),
    "a damaged key": DEVICE.first("c", jwk={"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
    "a secret for a key": DEVICE.first("c", jwk={"kty": "oct", "k": "AAAA"}),
    "a key that is no object": DEVICE.first("c", jwk="key"),
    "another type": DEVICE.first("c", typ="JWT"),
    "no challenge": DEVICE.first(None),
    "a challenge that is no text": DEVICE.first(7),
    "extensions": DEVICE.first("c", crit=["b64"], b64=True),
    "alg none": f"{part({'typ': 'dbsc+jwt', 'alg': 'none'})}.{part({'jti': 'c'})}.",
    "alg none with a key": f"{part({'typ': 'dbsc+jwt', 'alg': 'none', 'jwk': DEVICE.jwk()})}.{part({'jti': 'c'})}.",
    "a shared secret": jwt.encode(
        {"jti": "c"}, "s" * 32, algorithm="HS256", headers={"typ": "dbsc+jwt", "jwk": DEVICE.jwk()}
    ),
    "no token": "abc",
    "nothing": "",
    "much": "A" * 100_000,
}


@pytest.mark.parametrize("what", REGISTRATIONS)
def test_a_registration_with_anything_wrong_is_refused(what: str) -> None:  # R53
    with pytest.raises(InvalidToken):
        read_registration(REGISTRATIONS[what])


def test_a_weak_key_is_refused() -> None:  # R53
    small = SigningDevice("RS256", rsa.generate_private_key(65537, 1024))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        proof = small.first("c")
    with pytest.raises(ProofRefused, match="strong enough"):
        read_registration(proof)


def test_a_refresh_may_not_bring_a_key_and_must_fit_the_one_that_is_known() -> None:  # R53
    key, _ = read_registration(DEVICE.first("c"))
    with pytest.raises(ProofRefused, match="brings a key"):
        read_refresh(DEVICE.first("c"), key)
    for foreign in (SigningDevice().proof("c"), SigningDevice("RS256").proof("c")):
        with pytest.raises(ForeignKey):
            read_refresh(foreign, key)
    with pytest.raises(ProofRefused) as refused:
        read_refresh(REGISTRATIONS["alg none"], key)
    assert refused.value.status == 401


def fresh_device() -> Device:
    return Device(id="d", key=DeviceKey("ES256", "{}"), bound_at=0.0, proven_at=0.0)


def test_a_device_that_was_never_asked_takes_no_challenge() -> None:  # R53
    assert not fresh_device().asks("", 0.0)
    assert not fresh_device().asks("", -1.0)


def test_a_challenge_is_handed_out_again_while_it_is_good() -> None:  # R53: asking spoils nobody's challenge
    device = fresh_device().asked("c1", 0.0, LIFETIME)
    assert device.asked("c2", LIFETIME - LEFT_S, LIFETIME) is device
    assert device.asked("c2", LIFETIME - LEFT_S + 1, LIFETIME).challenge == "c2"


def test_the_challenge_before_is_taken_for_a_few_seconds_and_changes_nothing() -> None:  # R53
    device = fresh_device().asked("c1", 0.0, LIFETIME).proven("c1", "c2", 100.0, LIFETIME)
    assert device.asks("c1", 100.0 + CROSSING_S - 1)
    crossed = device.proven("c1", "c3", 105.0, LIFETIME)
    assert (crossed.challenge, crossed.proven_at) == ("c2", 105.0)
    assert not device.asks("c1", 100.0 + CROSSING_S)


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "prove", "cross"]), st.floats(0.0, 1200.0)), max_size=20)


@given(STEPS)
@settings(max_examples=100)
def test_a_challenge_is_taken_until_it_is_spent_or_stale_and_never_later(steps: list[tuple[str, float]]) -> None:
    # R53: whatever the order of questions and proofs
    device, now, number, spent = fresh_device(), 0.0, 0, dict[str, float]()
    handed_out: dict[str, float] = {}
    for what, pause in steps:
        now, number = now + pause, number + 1
        if what == "ask":
            device = device.asked(f"c{number}", now, LIFETIME)
            handed_out.setdefault(device.challenge, now)
            assert device.asks(device.challenge, now + LEFT_S - 1)
        else:
            challenge = device.challenge if what == "prove" else device.before
            if device.asks(challenge, now):
                device = device.proven(challenge, f"c{number}", now, LIFETIME)
                spent.setdefault(challenge, now)
                handed_out.setdefault(device.challenge, now)
                assert device.challenge not in spent
        for known, at in handed_out.items():
            taken = device.asks(known, now)
            assert not taken or now < at + LIFETIME
            assert not taken or now < spent.get(known, now) + CROSSING_S
