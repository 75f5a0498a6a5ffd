"""The endpoint as an OAuth resource server: what wrong tokens get, what scopes allow, and whose a session is."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider, StaticTokenVerifier
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl

from e2e.mcp_world import Nothing, call, echo, handshake, initialize, modern, request, texts, whoami
from e2e.wire import JSON_HEADERS, Exchange, Wire
from holdfast.app import open_holdfast
from holdfast.config import OAuthSettings, Settings
from holdfast.core.events import Fact
from holdfast.errors import ConfigurationError
from holdfast.identity.keys import KeySource
from holdfast.identity.tokens import JwtVerifier
from holdfast.mcp import Context, asgi, tool
from holdfast.mcp.compose import McpApp
from holdfast.mcp.identity_context import KEPT
from holdfast.mcp.kinds import SESSION
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from identity.issuer import ISSUER, JWKS, NOW, RESOURCE, Issuer, Signer, claims
from identity.test_tokens import GOOD, WRONG

METADATA = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
WHERE = f'scope="mcp", resource_metadata="{METADATA}"'


@tool()
def rights(arguments: Nothing, context: Context) -> str:
    """Say what the request's token allows, and what the session keeps."""
    kept = [context.scope.get(f"mcp.session_{name}") for name in ("user_id", "scopes", "authenticated_at")]
    return json.dumps({"token": sorted(context.identity.scopes), "session": kept})


class OAuthed:
    """A server, its issuer, and a wire that sends tokens."""

    def __init__(self, **options: Any) -> None:
        self.clock, self.sink, self.issuer = Clock(NOW), RecordingSink(), Issuer(GOOD)
        keys = KeySource(self.issuer, ISSUER, JWKS, clock=self.clock)
        verifier = JwtVerifier(keys, issuer=ISSUER, audience=[RESOURCE], clock=self.clock)
        oauth = OAuthSettings(issuer=ISSUER, resource=RESOURCE, scopes=["mcp"], tool_scopes={"echo": ["write", "x"]})
        self.app = asgi(
            [echo, whoami, rights], settings=Settings(oauth=oauth), store=memory_store(), verifier=verifier,
            sink=self.sink, calm_gc=False, **options,
        )  # fmt: skip
        self.wire = Wire(self.app)

    async def session(self, named: dict[str, str]) -> dict[str, Any]:
        """Return what the store keeps of a session's user."""
        endpoint = await self.app.endpoint()
        loaded = await endpoint._manager.load(named["mcp-session-id"], kind=SESSION, touch=False)
        return dict(loaded.content[KEPT])


def bearer(**said: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {GOOD.sign(claims(**said))}"}


@asynccontextmanager
async def oauthed(**options: Any) -> AsyncIterator[OAuthed]:
    made = OAuthed(**options)
    async with made.app.running():
        yield made


def challenged(answer: Exchange) -> str:
    return answer.headers["www-authenticate"]


@pytest.mark.parametrize("sort", WRONG)
async def test_a_wrong_token_gets_401_whatever_it_is_sent_with(sort: str, caplog: pytest.LogCaptureFixture) -> None:
    # R48, T30: status, code and challenge; no token in answers, events or logs
    token, why = WRONG[sort]
    sent = token.encode().decode("latin-1")
    headers = {**JSON_HEADERS, "authorization": f"Bearer {sent}", "mcp-session-id": "a" * 43}
    with caplog.at_level(logging.DEBUG):
        async with oauthed() as made:
            answers = [await made.wire.send("POST", body, headers=headers) for body in (initialize(), call("whoami"))]
            answers.append(await made.wire.send("GET", headers={**headers, "accept": "text/event-stream"}))
            answers.append(await made.wire.send("DELETE", headers=headers))
            answers.append(await modern(made.wire, call("whoami"), authorization=headers["authorization"]))
            told = made.sink.of(Fact.LOGON_FAILED)
    for answer in answers:
        assert (answer.status, answer.json["error"]["data"]["code"]) == (401, "invalid_token")
        assert why in answer.json["error"]["message"]
        assert challenged(answer).startswith('Bearer realm="holdfast", error="invalid_token", error_description="the ')
        assert challenged(answer).endswith(WHERE)
    assert {event.detail for event in told} == {"invalid_token"}
    shown = caplog.text + repr(told) + "".join(f"{answer.body!r}{answer.headers}" for answer in answers)
    assert not any(piece in shown for piece in token.split(".") if len(piece) > 8)


@pytest.mark.parametrize("sent", [{}, {"authorization": "Basic YTpi"}])
async def test_who_sends_no_token_is_told_where_to_get_one(sent: dict[str, str]) -> None:
    # RFC 9728 §5.1; no error for who has not tried (RFC 6750 §3.1)
    async with oauthed() as made:
        answer = await made.wire.post(initialize(), **sent)
    assert (answer.status, answer.json["error"]["data"]["code"]) == (401, "token_missing")
    assert challenged(answer) == f'Bearer realm="holdfast", {WHERE}'


async def test_a_token_in_the_query_or_in_two_lines_is_none() -> None:
    token = GOOD.sign(claims())
    async with oauthed() as made:
        in_query = await Wire(made.app, path=f"/mcp?access_token={token}").post(initialize())
        lines = [*JSON_HEADERS.items(), ("authorization", "Bearer x"), ("authorization", f"Bearer {token}")]
        twice = await made.wire.send("POST", initialize(), headers=lines)
    assert (in_query.status, twice.status) == (401, 401)


async def test_a_refreshed_token_keeps_the_session_and_another_principal_does_not_find_it() -> None:
    # M12: issuer, subject and client, whatever the bytes of the token
    async with oauthed() as made:
        named = await handshake(made.wire, **bearer())
        asked = [
            bearer(iat=NOW, jti="fresh"),
            bearer(sub="bob"),
            bearer(client_id="other"),
            bearer(client_id=None),
            {**bearer(), "mcp-session-id": "b" * 43},
        ]
        got = [await made.wire.post(call("whoami"), **{**named, **headers}) for headers in asked]
    assert [one.status for one in got] == [200, 404, 404, 404, 404]
    assert len({one.body for one in got[1:]}) == 1
    assert texts(got[0].result) == [f"{ISSUER}|alice|shell test legacy 2025-11-25 True"]


async def test_a_token_that_expires_under_a_session_is_refused_and_a_fresh_one_goes_on() -> None:
    async with oauthed() as made:
        named = await handshake(made.wire, **bearer())
        made.clock.advance(331)
        assert (await made.wire.post(request("ping"), **named)).status == 401
        fresh = bearer(iat=NOW + 331, exp=NOW + 600)
        assert (await made.wire.post(request("ping"), **{**named, **fresh})).status == 200


async def test_too_few_scopes_get_403_and_the_names_of_all_that_are_needed() -> None:
    # M23, MCP authorization: insufficient_scope, all scopes for the operation at once
    async with oauthed() as made:
        nothing = await made.wire.post(initialize(), **bearer(scope="other"))
        named = await handshake(made.wire, **bearer(scope="mcp x other"))
        refused = await made.wire.post(call("echo", 7, text="hi"), **named)
        in_modern = await modern(made.wire, call("echo", 8, text="hi"), authorization=named["authorization"])
        more = await made.wire.post(call("echo", text="hi"), **{**named, **bearer(scope="mcp x write")})
        less = await made.wire.post(call("echo", text="hi"), **named)
        others = await made.wire.post(call("whoami"), **named)
    assert (nothing.status, nothing.json["error"]["data"]["code"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in challenged(nothing)
    assert WHERE in challenged(nothing)
    for answer, number in ((refused, 7), (in_modern, 8)):
        assert (answer.status, answer.json["id"]) == (403, number)
        assert f'scope="mcp write x", resource_metadata="{METADATA}"' in challenged(answer)
    assert [one.status for one in (more, less, others)] == [200, 403, 200], "the token of each request decides"


async def test_a_batch_needs_the_scopes_of_all_its_calls() -> None:
    async with oauthed() as made:
        named = await handshake(made.wire, "2025-03-26", **bearer())
        batch = [call("whoami", 1), call("echo", 2, text="hi")]
        assert (await made.wire.post(batch, **named)).status == 403
        assert (await made.wire.post(batch, **{**named, **bearer(scope="mcp write x")})).status == 200


@pytest.mark.parametrize("params", [{}, {"name": 7}, {"name": "unknown"}, {"name": "echo\x00"}])
async def test_a_call_of_no_tool_is_the_dispatchers_to_refuse(params: dict[str, Any]) -> None:
    async with oauthed() as made:
        named = await handshake(made.wire, **bearer())
        answer = await made.wire.post(request("tools/call", params), **named)
    assert answer.json["error"]["code"] == -32602


async def test_the_session_keeps_who_its_user_is_and_shows_it_in_the_scope() -> None:
    # M23
    async with oauthed() as made:
        named = await handshake(made.wire, **bearer(auth_time=NOW - 60))
        before = await made.session(named)
        first = json.loads(texts((await made.wire.post(call("rights"), **named)).result)[0])
        later = {**named, **bearer(auth_time=NOW, scope="mcp write")}
        second = json.loads(texts((await made.wire.post(call("rights"), **later)).result)[0])
        after = await made.session(named)
        third = json.loads(texts((await made.wire.post(call("rights"), **named)).result)[0])
        last = await made.session(named)
    assert before == {"user_id": "alice", "scopes": ["mcp"], "authenticated_at": NOW - 60}
    assert first == {"token": ["mcp"], "session": ["alice", ["mcp"], NOW - 60]}
    assert second == {"token": ["mcp", "write"], "session": ["alice", ["mcp", "write"], NOW]}
    assert after == {"user_id": "alice", "scopes": ["mcp", "write"], "authenticated_at": NOW}
    assert third == {"token": ["mcp"], "session": ["alice", ["mcp"], NOW]}, "what is kept gives an older token nothing"
    assert last == after


async def test_without_authentication_there_is_no_user() -> None:
    app = asgi([rights], settings=Settings(), calm_gc=False)
    async with app.running():
        wire = Wire(app)
        said = texts((await wire.post(call("rights"), **await handshake(wire))).result)
    assert json.loads(said[0]) == {"token": [], "session": [None, None, None]}


async def test_while_the_issuer_is_down_tokens_that_nobody_can_judge_get_503() -> None:
    # fail closed, and say that it is not the token's fault
    async with oauthed() as made:
        made.issuer.down = True
        answer = await made.wire.post(initialize(), **bearer())
        assert (answer.status, answer.json["error"]["data"]["code"]) == (503, "issuer_unavailable")
        assert "retry-after" in answer.headers
        made.issuer.down = False
        made.clock.advance(10)
        named = await handshake(made.wire, **bearer())
        made.issuer.down = True
        made.clock.advance(20)
        assert (await made.wire.post(request("ping"), **named)).status == 200
        rotated = {"authorization": f"Bearer {Signer('k2').sign(claims())}"}
        assert (await made.wire.post(request("ping"), **{**named, **rotated})).status == 503


@pytest.mark.parametrize("path", ["", "/mcp"])
async def test_the_metadata_is_served_beside_the_endpoint_without_a_token(path: str) -> None:
    # RFC 9728 §3.1
    made = OAuthed()
    answer = await Wire(made.app, path=f"/.well-known/oauth-protected-resource{path}").send("GET")
    assert (answer.status, answer.json["authorization_servers"]) == (200, [ISSUER])
    assert answer.json["scopes_supported"] == ["mcp", "write", "x"]
    assert (await Wire(made.app, path="/.well-known/oauth-protected-resource/other").send("GET")).status == 404


async def test_the_abap_server_serves_the_metadata_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    oauth = OAuthSettings(
        issuer=ISSUER, resource=RESOURCE, scopes=["abap"], tool_scopes={"UpdateClass": ["abap.write"]}
    )
    async with open_holdfast(Settings(store="memory://", oauth=oauth), keeper=False) as opened, opened.mcp.running():
        assert opened.resource is not None
        assert opened.resource.is_at("/.well-known/oauth-protected-resource/mcp")
        answer = await Wire(opened.mcp).post(initialize())
    assert (answer.status, opened.resource.scopes) == (401, {"abap", "abap.write"})
    assert 'scope="abap"' in challenged(answer)


# -- servers that have a logon of their own


class Theirs:
    """A verifier as the SDK has them."""

    def __init__(self, **said: Any) -> None:
        self.said = said

    async def verify_token(self, token: str) -> AccessToken | None:
        if token != "good":
            return None
        known: dict[str, Any] = {"client_id": "shell", "scopes": ["mcp"], "subject": "alice", "claims": {"iss": ISSUER}}
        return AccessToken(token=token, **{**known, **self.said})


def of_sdk(theirs: Theirs, *, checks: bool = False) -> Any:
    server = MCPServer(
        "theirs",
        token_verifier=theirs,
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(ISSUER),
            resource_server_url=AnyHttpUrl(RESOURCE),
            required_scopes=["mcp"],
            validate_token_resource=checks,
        ),
    )

    @server.tool()
    def who() -> str:
        """Say who calls."""
        token = get_access_token()
        assert token is not None
        return f"{token.claims and token.claims['iss']} {token.subject} {token.client_id} {token.scopes}"

    return server


def of_fastmcp() -> FastMCP:
    known = {"good": {"client_id": "shell", "scopes": ["mcp"], "sub": "alice"}}
    theirs = StaticTokenVerifier(known, required_scopes=["mcp"])
    return FastMCP("theirs", auth=RemoteAuthProvider(theirs, [AnyHttpUrl(ISSUER)], "https://mcp.example"))


def served(server: object, **options: Any) -> McpApp:
    return asgi(server, settings=Settings(), calm_gc=False, **options)


@pytest.mark.parametrize("make", [lambda: of_sdk(Theirs()), of_fastmcp])
async def test_the_logon_that_a_server_has_of_its_own_goes_with_it(make: Any) -> None:
    app = served(make())
    async with app.running():
        wire = Wire(app)
        answers = [await wire.post(initialize(), authorization=f"Bearer {token}") for token in ("bad", "good")]
        metadata = await Wire(app, path="/.well-known/oauth-protected-resource/mcp").send("GET")
    assert [answer.status for answer in answers] == [401, 200]
    assert METADATA in challenged(answers[0])
    assert metadata.json["resource"] == RESOURCE


async def test_their_tools_see_the_token_as_ever() -> None:
    # M23
    app = served(of_sdk(Theirs(expires_at=2**40)))
    async with app.running():
        named = await handshake(Wire(app), authorization="Bearer good")
        assert texts((await Wire(app).post(call("who"), **named)).result) == [f"{ISSUER} alice shell ['mcp']"]


@pytest.mark.parametrize(
    ("said", "checks", "status"),
    [
        ({"expires_at": 1}, False, 401),
        ({"scopes": []}, False, 403),
        ({"resource": "https://other.example"}, False, 200),
        ({"resource": "https://other.example"}, True, 401),
        ({}, True, 401),
        ({"resource": f"{RESOURCE}/"}, True, 200),
        ({"subject": None, "claims": None}, False, 200),
    ],
)
async def test_what_their_own_transport_checked_is_checked_here(said: Any, checks: bool, status: int) -> None:
    app = served(of_sdk(Theirs(**said), checks=checks))
    async with app.running():
        assert (await Wire(app).post(initialize(), authorization="Bearer good")).status == status


def test_a_server_that_gives_out_tokens_is_refused_unless_another_logon_is_chosen() -> None:
    server = FastMCP("theirs", auth=InMemoryOAuthProvider(base_url="https://mcp.example"))
    with pytest.raises(ConfigurationError, match="gives out tokens itself"):
        served(server)
    assert served(server, token="s3cret")
