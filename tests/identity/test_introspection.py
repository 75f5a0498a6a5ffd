"""Opaque tokens: what the issuer says of them decides (RFC 7662)."""

import json
from typing import Any

import anyio
import pytest

from holdfast.identity.facts import InvalidToken, IssuerUnavailable
from holdfast.identity.introspection import IntrospectingVerifier
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, NOW, RESOURCE, Issuer, claims

ENDPOINT = f"{ISSUER}/introspect"


class Asked:
    """A verifier, the issuer that it asks, and their clock."""

    def __init__(self, **said: Any) -> None:
        self.clock, self.issuer = Clock(NOW), Issuer()
        self.say(**said)
        self.tokens = IntrospectingVerifier(
            self.issuer, ENDPOINT, login=("holdfast", "s3cret"), issuer=ISSUER, audience=[RESOURCE], clock=self.clock,
            timeout=0.05,
        )  # fmt: skip

    def say(self, **said: Any) -> None:
        self.issuer.answers[ENDPOINT] = json.dumps({"active": True, **claims(**said)}).encode()


async def test_the_issuer_is_asked_with_our_name_and_its_answer_stands_for_ten_seconds() -> None:
    asked = Asked(email="a@example")
    who = await asked.tokens.verify("opaque")
    assert (who.principal, who.scopes, who.claims["email"]) == (f"{ISSUER}|alice|shell", {"mcp"}, "a@example")
    assert asked.issuer.forms == [({"token": "opaque", "token_type_hint": "access_token"}, ("holdfast", "s3cret"))]
    asked.issuer.answers[ENDPOINT] = b'{"active": false}'  # it is revoked
    asked.clock.advance(9)
    assert await asked.tokens.verify("opaque") == who
    asked.clock.advance(1)
    with pytest.raises(InvalidToken, match="not active"):
        await asked.tokens.verify("opaque")


async def test_an_answer_does_not_stand_beyond_the_tokens_time() -> None:
    asked = Asked(exp=NOW + 5)
    await asked.tokens.verify("opaque")
    asked.clock.advance(5)
    with pytest.raises(InvalidToken, match="expired"):
        await asked.tokens.verify("opaque")


async def test_a_client_that_acts_for_itself_needs_no_subject() -> None:
    assert (await Asked(sub=None).tokens.verify("opaque")).subject == "shell"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"active": False}, "not active"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"aud": "https://other.example"}, "audience"),
        ({"aud": None}, "audience"),
        ({"nbf": NOW + 1}, "not valid yet"),
        ({"exp": NOW}, "expired"),
        ({"sub": None, "client_id": None}, "subject"),
        ({"sub": "a" * 1025}, "subject"),
    ],
)
async def test_a_token_that_the_issuer_does_not_mean_for_us_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidToken, match=why):
        await Asked(**said).tokens.verify("opaque")


@pytest.mark.parametrize("token", ["é", "a" * 16385])
async def test_the_issuer_is_not_bothered_with_what_is_no_token(token: str) -> None:
    asked = Asked()
    with pytest.raises(InvalidToken):
        await asked.tokens.verify(token)
    assert asked.issuer.fetched == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"active": "yes"}', b"\xff"])
async def test_nonsense_is_no_answer(body: bytes) -> None:
    asked = Asked()
    asked.issuer.answers[ENDPOINT] = body
    with pytest.raises(IssuerUnavailable):
        await asked.tokens.verify("opaque")


async def test_a_slow_issuer_is_given_up() -> None:
    asked = Asked()
    asked.issuer.gate = anyio.Event()
    with anyio.fail_after(5), pytest.raises(IssuerUnavailable):
        await asked.tokens.verify("opaque")
