"""Whose credentials a request carries: names where they tell them, hashes where they do not, and no secrets."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.flows.sessions.users import is_named, user_of

SALT = b"salt of a scope"


def jwt(signature: str = "c2ln", **claims: Any) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return ".".join([*(part.decode() for part in parts), signature])


def user(value: str, name: str = "Authorization", salt: bytes = SALT) -> str:
    return user_of([(name.encode(), value.encode("latin-1"))], salt)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (basic("anna:pass:word"), "anna"),
        (basic("jörg:>>>???"), "jörg"),
        ("Basic ?", "basic"),
        ('Digest realm="a", username="anna", response="changes"', "anna"),
        ("Negotiate YII", "negotiate"),
        (f"Bearer {jwt(sub='anna')}", "anna"),
        (f"bearer {jwt(sub='anna', iss='https://issuer.example')}", "anna of https://issuer.example"),
    ],
)
def test_credentials_that_name_their_user(value: str, expected: str) -> None:
    # F3
    assert user(value) == expected
    assert is_named(expected)


def test_a_renewed_token_of_a_user_is_the_same_user_and_of_another_is_not() -> None:
    # F3
    first, renewed, other = jwt(sub="anna", exp=1), jwt("bmV3", sub="anna", exp=2), jwt(sub="bert", exp=1)
    assert user(f"Bearer {first}") == user(f"Bearer {renewed}") != user(f"Bearer {other}")


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
def test_credentials_without_a_name_are_known_again_by_a_hash_of_the_scope(name: str) -> None:
    value = "Bearer opaque-token" if name == "Authorization" else "opaque-token"
    known = user(value, name)
    assert not is_named(known)
    assert "opaque" not in known
    assert known == user(value, name) != user(f"{value}2", name)
    assert known != user(value, name, b"another scope")


def test_no_credentials_are_no_user() -> None:
    assert user_of([], SALT) == ""


@pytest.mark.parametrize("sub", ["", None, 7, ["anna"]])
def test_a_token_whose_subject_is_none_is_known_by_its_hash(sub: Any) -> None:
    assert not is_named(user(f"Bearer {jwt(sub=sub)}"))


@settings(max_examples=100)
@given(st.sampled_from(["Basic ", "Bearer ", "Digest ", "Bearer a.", ""]), st.binary(min_size=1, max_size=60))
def test_no_credentials_whatever_are_an_error_or_shown(scheme: str, secret: bytes) -> None:
    value = scheme + base64.b64encode(b":" + secret * 8).decode()
    shown = user(value)
    assert isinstance(shown, str)
    assert (value.partition(" ")[2] or value).lower() not in shown.lower()
