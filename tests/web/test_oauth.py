"""What a server tells of itself as an OAuth resource (RFC 9728), and the settings that make it one."""

import json
from typing import Any

import pytest

from holdfast._asgi import Message
from holdfast.config import OAuthSettings, Settings, load_settings
from holdfast.errors import ConfigurationError
from holdfast.identity.facts import NOBODY, Identity
from holdfast.identity.introspection import IntrospectingVerifier
from holdfast.identity.tokens import JwtVerifier
from holdfast.web.logon import Logon, verifier_for
from holdfast.web.oauth import ProtectedResource
from identity.issuer import ISSUER, RESOURCE, Issuer

OAUTH: dict[str, Any] = {"issuer": ISSUER, "resource": RESOURCE}


def settings(**oauth: Any) -> Settings:
    return Settings(oauth=OAuthSettings(**{**OAUTH, **oauth}))


class Anyone:
    async def verify(self, token: str) -> Identity:
        return Identity(subject=token)


async def asked(resource: ProtectedResource, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await resource.answer({"type": "http", "method": method}, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_the_metadata_says_who_gives_tokens_and_for_what() -> None:
    # RFC 9728 §2; pages of other origins may read it
    made = ProtectedResource("https://MCP.example/mcp/", [ISSUER], scopes=["write", "mcp"], name="Shop")
    status, headers, body = await asked(made)
    assert status == 200
    assert json.loads(body) == {
        "resource": "https://mcp.example/mcp",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp", "write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Shop",
    }
    assert (headers[b"content-type"], headers[b"access-control-allow-origin"]) == (b"application/json", b"*")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 204), ("POST", 405), ("DELETE", 405)])
async def test_the_metadata_is_only_read(method: str, status: int) -> None:
    assert (await asked(ProtectedResource(RESOURCE, [ISSUER]), method))[0] == status


@pytest.mark.parametrize(
    ("resource", "url", "paths"),
    [
        (RESOURCE, "https://mcp.example/.well-known/oauth-protected-resource/mcp", ["", "/mcp"]),
        ("https://mcp.example", "https://mcp.example/.well-known/oauth-protected-resource", [""]),
        ("http://127.0.0.1:8080/a/b/", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/a/b", ["", "/a/b"]),
    ],
)
def test_the_metadata_stands_at_the_root_and_with_the_path_inserted(resource: str, url: str, paths: list[str]) -> None:
    # RFC 9728 §3.1
    made = ProtectedResource(resource, [ISSUER])
    assert made.metadata_url == url
    assert all(made.is_at(f"/.well-known/oauth-protected-resource{path}") for path in paths)
    assert not made.is_at("/.well-known/oauth-protected-resource/other")


@pytest.mark.parametrize(
    "resource", ["http://mcp.example/mcp", "mcp.example", "https://mcp.example/mcp?x=1", "https://a@mcp.example/", ""]
)
def test_a_resource_that_clients_could_not_name_is_refused(resource: str) -> None:
    with pytest.raises(ConfigurationError, match=r"oauth\.resource"):
        Logon(settings(resource=resource))


@pytest.mark.parametrize(
    ("oauth", "why"),
    [
        ({"issuer": "http://login.example"}, "oauth.issuer"),
        ({"jwks_uri": "http://login.example/keys"}, "oauth.jwks_uri"),
        ({"introspection_endpoint": "ftp://login.example"}, "oauth.introspection_endpoint"),
        ({"introspection_endpoint": f"{ISSUER}/i"}, "oauth.client_id"),
        ({"issuer": "", "scopes": ["mcp"]}, "scopes are demanded"),
        ({"issuer": "", "tool_scopes": {"change": ["write"]}}, "scopes are demanded"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_served(oauth: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Logon(settings(**oauth))


@pytest.mark.parametrize("verifier", [None, Anyone()])
def test_a_token_for_all_and_tokens_of_an_issuer_exclude_each_other(verifier: Any) -> None:
    with pytest.raises(ConfigurationError, match="one of them"):
        Logon(settings() if verifier is None else Settings(), token="s3cret", verifier=verifier)


@pytest.mark.parametrize(
    ("name", "value"), [("ALGORITHMS", '["HS256"]'), ("ALGORITHMS", '["none"]'), ("LEEWAY", "301"), ("ISUER", "x")]
)
def test_wrong_settings_are_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HOLDFAST_OAUTH__{name}", value)
    with pytest.raises(ConfigurationError, match=f"oauth.{name.lower()}"):
        load_settings()


async def test_the_settings_choose_how_tokens_are_verified() -> None:
    fetch = Issuer()
    opaque = settings(introspection_endpoint=f"{ISSUER}/i", client_id="us").oauth
    assert isinstance(verifier_for(opaque, fetch, lambda: 0.0), IntrospectingVerifier)
    assert isinstance(verifier_for(settings().oauth, fetch, lambda: 0.0), JwtVerifier)


async def test_a_verifier_of_ones_own_needs_no_settings() -> None:
    async with Logon(Settings(), verifier=Anyone()).open() as bearer:
        assert (await bearer.identity_of(b"Bearer alice")).principal == "alice"
        assert bearer.resource is None
    async with Logon(settings(), verifier=Anyone(), tool_scopes={"change": ["write"]}).open() as bearer:
        assert bearer.resource is not None
        assert bearer.resource.scopes == {"write"}


async def test_without_any_logon_everybody_is_nobody() -> None:
    async with Logon(Settings()).open() as bearer:
        assert await bearer.identity_of(None) is NOBODY
