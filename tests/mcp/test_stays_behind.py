"""What does not go along with a server is named at start, and nothing is said where there is nothing."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastmcp
import pytest
from fastmcp import FastMCP
from fastmcp.server.extensions import ServerExtension
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from fastmcp.server.middleware.rate_limiting import RateLimitingMiddleware
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from e2e.mcp_world import world
from holdfast.mcp.sdk import SdkDispatcher, lowlevel_of
from holdfast.mcp.stays_behind import in_memory, say_what_stays_behind, without_effect


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[dict[str, object]]:
    yield {"connections": object()}


class Tasks(ServerExtension):
    """What `fastmcp-tasks` registers, as far as it is looked at."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, url: str) -> None:
        self.docket_settings = type("Settings", (), {"url": url})()


async def health(_: Request) -> Response:
    return PlainTextResponse("ok")


def found(server: object, *, shared: bool = True) -> list[str]:
    lowlevel = lowlevel_of(server)
    return [*without_effect(server, lowlevel), *(in_memory(server, lowlevel) if shared else ())]


@pytest.mark.parametrize("server", [MCPServer("a"), Server("b"), FastMCP("c")], ids=["MCPServer", "Server", "FastMCP"])
def test_nothing_is_said_of_a_server_that_goes_along_whole(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    # M2
    say_what_stays_behind(server, lowlevel_of(server), shared=True)
    assert caplog.records == []


async def test_what_is_found_is_said_at_start_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    # M2
    server: FastMCP[Any] = FastMCP("shop")
    server.custom_route("/health", methods=["GET"])(health)
    with caplog.at_level(logging.WARNING, logger="holdfast"):
        async with world(1, SdkDispatcher(server)):
            pass
    [line] = [record.getMessage() for record in caplog.records if record.name == "holdfast.mcp.stays_behind"]
    assert line == (
        "of the server 'shop' this does not go along (manual: What stays behind): "
        "/health not served: mount the routes beside it"
    )


@pytest.mark.parametrize(
    "server",
    [MCPServer("a", lifespan=lifespan), Server("b", lifespan=lifespan), FastMCP("c", lifespan=lifespan)],
    ids=["MCPServer", "Server", "FastMCP"],
)
def test_a_lifespan_is_each_workers_own(server: object) -> None:
    assert found(server) == ["what its lifespan sets up is each worker's own"]
    assert found(server, shared=False) == []  # one worker: nothing is missing


def test_routes_of_an_mcpserver_are_named() -> None:
    server: MCPServer[Any] = MCPServer("a")
    server.custom_route("/health", methods=["GET"])(health)
    assert [text.split()[0] for text in found(server)] == ["/health"]


def test_settings_of_a_transport_that_was_made_already_are_named_with_what_does_the_same() -> None:
    server: MCPServer[Any] = MCPServer("a")
    server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        max_sessions=5,
        transport_security=TransportSecuritySettings(allowed_hosts=["a.example"]),
    )
    assert found(server) == [
        'json_response has no effect (instead: asgi(answers="json"))',
        "stateless has no effect (instead: asgi(stateless=True))",
        "security_settings has no effect (instead: the settings allowed_hosts and allowed_origins)",
        "max_sessions has no effect (instead: [kinds.mcp] total)",
    ]


def test_a_transport_that_was_made_with_nothing_set_is_not_worth_a_word() -> None:
    server: MCPServer[Any] = MCPServer("a")
    server.streamable_http_app(transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))
    assert [text.split()[0] for text in found(server)] == ["security_settings"]
    other: Server[Any] = Server("b")
    other.streamable_http_app(host="0.0.0.0")
    assert found(other) == []


def test_settings_in_fastmcps_environment_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTMCP_STATELESS_HTTP", "true")
    monkeypatch.setenv("FASTMCP_PORT", "9000")
    monkeypatch.setenv("FASTMCP_LOG_LEVEL", "ERROR")
    monkeypatch.setattr(fastmcp, "settings", fastmcp.settings.__class__())
    assert found(FastMCP("a")) == [
        "port has no effect (instead: the ASGI server's own)",
        "stateless_http has no effect (instead: asgi(stateless=True))",
    ]
    assert found(MCPServer("b")) == []


def test_what_fastmcp_keeps_in_memory_is_named_in_mounted_servers_too() -> None:
    inner: FastMCP[Any] = FastMCP("inner", middleware=[ResponseCachingMiddleware()])
    outer: FastMCP[Any] = FastMCP(
        "outer",
        middleware=[RateLimitingMiddleware()],
        session_state_store=PrefixKeysWrapper(MemoryStore(), prefix="a"),
    )
    outer.mount(inner, namespace="inner")
    assert found(outer) == [
        "session_state_store is in memory: leave it out, and state is kept in the store",
        "RateLimitingMiddleware counts in each worker by itself: the setting rate_limit_per_client counts over all",
        "ResponseCachingMiddleware caches in each worker by itself: give it a shared cache_storage",
    ]


@pytest.mark.parametrize(("url", "said"), [("memory://", 1), ("redis://a.example", 0)])
def test_tasks_in_memory_are_named(url: str, said: int) -> None:
    server: FastMCP[Any] = FastMCP("a")
    server.add_extension(Tasks(url))
    assert len(found(server)) == said
