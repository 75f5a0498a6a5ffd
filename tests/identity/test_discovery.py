"""Where an issuer says what it is, and what it may not say."""

import json
from typing import Any

import pytest

from holdfast.identity.audience import canonical
from holdfast.identity.discovery import discover, metadata_urls
from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.fetching import is_safe
from holdfast.identity.keys import KeySource
from holdfast.testing.clock import Clock
from identity.issuer import ISSUER, JWKS, NOW, Issuer

OAUTH, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        ("https://a.example", [f"https://a.example{OAUTH}", f"https://a.example{OPENID}"]),
        ("https://a.example/", [f"https://a.example{OAUTH}", f"https://a.example{OPENID}"]),
        (
            "https://a.example:8443/t/1",
            [
                f"https://a.example:8443{OAUTH}/t/1",
                f"https://a.example:8443{OPENID}/t/1",
                f"https://a.example:8443/t/1{OPENID}",
            ],
        ),
    ],
)
def test_metadata_is_looked_for_where_mcp_clients_look(issuer: str, urls: list[str]) -> None:
    # RFC 8414 §3.1, OpenID Connect Discovery §4, MCP authorization 2025-11-25
    assert metadata_urls(issuer) == urls


@pytest.mark.parametrize("place", [OAUTH, OPENID])
async def test_keys_are_where_the_metadata_says(place: str) -> None:
    issuer = Issuer()
    issuer.answers = {f"{ISSUER}{OAUTH}": b"<html>", f"{ISSUER}{place}": told(jwks_uri=JWKS)}
    assert len(await KeySource(issuer, ISSUER, clock=Clock(NOW)).current()) == 1
    assert issuer.fetched[-1] == JWKS


def told(**said: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, **said}).encode()


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": f"{ISSUER}/", "jwks_uri": JWKS},
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {},
        {"jwks_uri": "http://login.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "//login.example/keys"},
        {"jwks_uri": ""},
        {"jwks_uri": 7},
    ],
)
async def test_metadata_of_another_or_with_keys_from_anywhere_is_refused(said: dict[str, Any]) -> None:
    # RFC 8414 §3.3
    issuer = Issuer()
    issuer.answers = {f"{ISSUER}{OAUTH}": told(**said)}
    with pytest.raises(IssuerUnavailable):
        await KeySource(issuer, ISSUER, clock=Clock(NOW)).current()
    assert JWKS not in issuer.fetched


async def test_an_issuer_without_metadata_is_unavailable() -> None:
    issuer = Issuer()
    issuer.down = True
    with pytest.raises(IssuerUnavailable, match="no metadata"):
        await discover(issuer, ISSUER)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://[::1]/keys", True),
        ("http://localhost/keys", True),
        ("http://a.example/keys", False),
        ("http://127.0.0.1.a.example/keys", False),
        ("http://localhost@a.example/keys", False),
        ("https:///keys", False),
        ("http://[::1", False),
        ("ftp://a.example", False),
        ("", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str, safe: bool) -> None:
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("https://A.example/Path/", "https://a.example/Path"),
        ("HTTP://[::1]:80", "http://[::1]"),
        ("https://a.example:8443/", "https://a.example:8443"),
        ("https://a.example/?q=1", "https://a.example?q=1"),
        ("https://a.example/#x", "https://a.example/#x"),
        ("https://a@b.example/", "https://a@b.example/"),
        ("https://a.example:port", "https://a.example:port"),
        ("Our API", "Our API"),
        ("urn:api", "urn:api"),
    ],
)
def test_names_are_compared_in_one_form(name: str, form: str) -> None:
    assert canonical(name) == form
