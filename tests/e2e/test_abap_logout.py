"""An agent at work below its person's logon: when that ends, so does the agent's work, and its ABAP locks are free."""

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client

from e2e.abap_world import CLASS, AbapWorld, Agent, abap_world
from e2e.mcp_world import LEGACY, MODERN
from holdfast.core.manager import Manager
from holdfast.engine import open_engine
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons
from identity.issuer import Signer
from mcp import Client

RESOURCE = "https://holdfast.example/mcp"
PATIENCE_S = 90.0
MODES = ("legacy", MODERN)


class Issuer:
    """Whoever says who people are: its keys over HTTP, and tokens as they are wanted."""

    def __init__(self, url: str, signer: Signer) -> None:
        self.url, self._signer = url, signer

    def token(self, subject: str, sid: str = "", *, age: float = 0.0) -> str:
        now = int(time.time() - age)
        said = {"iss": self.url, "sub": subject, "aud": RESOURCE, "iat": now, "exp": now + 3600, "client_id": "agent"}
        return self._signer.sign({**said, "scope": "", **({"sid": sid} if sid else {})})


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve the keys of an issuer."""
    signer = Signer()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [signer.jwk()]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Issuer(f"http://127.0.0.1:{server.server_port}", signer)
        finally:
            server.shutdown()


@asynccontextmanager
async def worlds(folder: Path, **more: str) -> AsyncIterator[tuple[AbapWorld, Issuer, Logons]]:
    """Run two servers that take the issuer's tokens, and look at their store as a web application beside them would.

    `more` are further settings of the servers.
    """
    with issuer() as login, anyio.fail_after(PATIENCE_S):
        said = {"issuer": login.url, "jwks_uri": f"{login.url}/keys", "resource": RESOURCE}
        settings = {f"oauth__{name}": value for name, value in said.items()}
        async with abap_world(folder, **settings, **more) as world, beside(world) as manager:
            yield world, login, Logons(manager)


@asynccontextmanager
async def beside(world: AbapWorld) -> AsyncIterator[Manager]:
    async with open_engine(world.store, kinds=KINDS, keeper=False) as engine:
        yield engine.manager


@asynccontextmanager
async def agent(world: AbapWorld, mode: str, token: str) -> AsyncIterator[Agent]:
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(world.url, http_client=http), mode=mode) as client,  # type: ignore[arg-type]
    ):
        yield Agent(client)


@pytest.mark.parametrize("mode", MODES)
async def test_who_logs_off_in_a_browser_ends_the_work_of_their_agent_and_frees_its_locks(
    mode: str, tmp_path: Path
) -> None:  # S6
    async with worlds(tmp_path) as (world, login, logons):
        person = Logon(issuer=login.url, subject="ann", method="oidc", at=time.time(), sid="s1")
        security = await logons.begin(person)
        async with agent(world, mode, login.token("ann", "s1")) as work:
            named = await work.locked(CLASS.name("HF_LOGOUT"))
            assert named["class_name"] in await world.sap.locked()
            await logons.end(security)
            await world.sap.free(named["class_name"])
            with pytest.raises(Exception, match=r"(?i)session|expired|terminated|404"):
                await work("ListLocks") if mode == "legacy" else await work.done(
                    "UpdateClass", source_code="x", **named
                )
        await world.nothing_left()
        assert await begins(world, login.token("ann", "s1", age=60.0)) == 401
        assert await begins(world, login.token("bob", "s2", age=60.0)) == 200


@pytest.mark.parametrize("mode", MODES)
async def test_an_issuer_that_ends_its_session_ends_an_agent_that_had_no_browser_beside_it(
    mode: str, tmp_path: Path
) -> None:  # S6, S9
    async with worlds(tmp_path) as (world, login, logons):
        async with agent(world, mode, login.token("ann", "s1")) as work:
            named = await work.locked(CLASS.name("HF_LOGOUT"))
            assert await logons.end_at_issuer(login.url, sid="another") == 0
            assert named["class_name"] in await world.sap.locked()
            assert await logons.end_at_issuer(login.url, sid="s1") == 1
            await world.sap.free(named["class_name"])
        await world.nothing_left()


async def begins(world: AbapWorld, token: str) -> int:
    """Return the status of a handshake."""
    about = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
    headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
    return (await world.http.post(world.url, json=message, headers=headers)).status_code
