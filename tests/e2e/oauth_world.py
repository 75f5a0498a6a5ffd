"""An authorization server and two MCP servers as processes, and the official Python client with its own OAuth flow."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from e2e.cluster import Cluster, cluster, free_port
from mcp import Client

HERE = Path(__file__).parent
CALLBACK = "http://127.0.0.1:9/callback"
LIFETIME = "3600"


class Storage(TokenStorage):
    """Keeps what a client has been given."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        self.given: list[str] = []

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens
        self.given.append(tokens.access_token)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """Somebody with a client: logs on in the browser that the flow opens."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.storage, self.logons = name, Storage(), 0
        self._back: dict[str, str] = {}
        metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(CALLBACK)], token_endpoint_auth_method="none")
        self.provider = OAuthClientProvider(url, metadata, self.storage, self._browse, self._come_back)

    async def _browse(self, url: str) -> None:
        self.logons += 1
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(f"{url}&user={self.name}")
        assert answer.status_code == 302, answer.text
        self._back = dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def _come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self._back["code"], state=self._back["state"], iss=self._back["iss"])

    def expire(self) -> None:
        """Let the client believe that its token has run out, so that it refreshes it."""
        self.provider.context.token_expiry_time = 1.0


class OAuthWorld:
    """The processes. `url` is the endpoint's, by the proxy in front of both servers."""

    def __init__(self, issuer: str, workers: Cluster, url: str) -> None:
        self.issuer, self.workers, self.url = issuer, workers, url

    @asynccontextmanager
    async def client(self, person: Person, mode: str = "legacy") -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(auth=person.provider, timeout=30) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,  # type: ignore[arg-type]
        ):
            yield client

    async def asked(self) -> dict[str, int]:
        """Return how often the issuer was asked for what."""
        async with httpx2.AsyncClient() as plain:
            return dict((await plain.get(f"{self.issuer}/test/asked")).json())


@asynccontextmanager
async def oauth_world(folder: Path, sort: str = "native", **settings: str) -> AsyncIterator[OAuthWorld]:
    """Run an authorization server and two servers of a sort; `settings` are more of `[oauth]`."""
    port = free_port()
    store, url = f"sqlite:///{folder / 'sessions.db'}", f"http://127.0.0.1:{port}/mcp"
    async with cluster(
        lambda port: [sys.executable, str(HERE / "oauth_issuer.py"), str(port), LIFETIME], count=1
    ) as issuers:
        issuer = f"http://127.0.0.1:{issuers.ports[0]}"
        said = {
            "ISSUER": issuer,
            "RESOURCE": url,
            "SCOPES": '["mcp"]',
            "TOOL_SCOPES": '{"change": ["write"]}',
            **settings,
        }
        env: Mapping[str, str] = {**os.environ, **{f"HOLDFAST_OAUTH__{name}": value for name, value in said.items()}}
        async with cluster(
            lambda port: [sys.executable, str(HERE / "oauth_server.py"), str(port), store, sort], env=env, port=port
        ) as workers:
            yield OAuthWorld(issuer, workers, url)
