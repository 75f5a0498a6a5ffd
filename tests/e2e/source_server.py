"""A server that speaks the source's dialect, as a process of its own: one endpoint for each set of its options.

python source_server.py PORT STORE [SESSION_TIMEOUT [NAMESPACE]]

All have the source's values (`preset`); SESSION_TIMEOUT is that of `/mcp`. Behind `X-Forwarded-For` clients are told
apart by their addresses, as in the source.
"""

import secrets
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import msgspec
import uvicorn

from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.ports import SessionStore, Store
from holdfast.mcp import Context, asgi, tool
from holdfast.mcp.compose import McpApp
from holdfast.stores import open_store
from holdfast.web.reply import reply


class Event(msgspec.Struct, forbid_unknown_fields=True):
    event: str = ""
    session_id: str = ""  # that of the call if left out


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Counted:
    """A session store of one's own: any store's, and it counts how often it was asked to add a session."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions, self.added = sessions, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)

    async def create(self, *args: Any, **named: Any) -> Any:
        self.added += 1
        return await self._sessions.create(*args, **named)


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
async def send(arguments: Event, context: Context) -> str:
    """Send an event to a session's stream; say whether one took it."""
    return str(await app_of(context).sessions.send(meant(arguments, context), arguments.event, {"from": "elsewhere"}))


@tool()
async def warn(arguments: Event, context: Context) -> str:
    """Use the source's shorthands."""
    session_id, sessions = meant(arguments, context), app_of(context).sessions
    warned = await sessions.notify_session_warning(session_id, 42)
    return str(warned and await sessions.notify_session_limit_reached(session_id))


@tool()
async def added(arguments: Event, context: Context) -> str:
    """Say how many sessions this process has put into the store of its own."""
    return str(counted[0].added)


def meant(arguments: Event, context: Context) -> str:
    return arguments.session_id or str(context.session.id if context.session else "")


def app_of(context: Context) -> McpApp:
    return apps[context.scope["path"]]


def sources_generator() -> str:
    """Make ids as the source's own example does: a prefix, the time, and 96 random bits."""
    digits, at = "", int(time.time())
    while at:
        at, digit = divmod(at, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return f"MCP{digits}{secrets.token_hex(12).upper()}"


def sources_default() -> str:
    """Make ids as the source does where nothing is said: 32 letters and digits."""
    return "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(32))


def endpoints(store: Store, timeout: float, namespace: str) -> dict[str, McpApp]:
    """Return the applications by their paths."""
    more: dict[str, dict[str, Any]] = {
        "/mcp": {"session_timeout": timeout, "session_refresh_threshold": timeout / 2},
        "/oldest": {"session_replacement_policy": "replace_oldest"},
        "/least": {"session_replacement_policy": "replace_least_recent"},
        "/reject": {"session_replacement_policy": "reject"},
        "/one": {"max_sessions_per_client": 1, "session_replacement_policy": "replace_oldest"},
        "/always": {"session_timeout": 60, "idle_timeout": 3600, "session_refresh_threshold": 60},
        "/late": {"session_timeout": 60, "idle_timeout": 3600, "session_refresh_threshold": 1},
        "/custom-id": {"session_id_generator": sources_generator, "session_validation": "lenient"},
        "/source-id": {"session_id_generator": sources_default, "session_validation": "strict"},
        "/custom-store": {"session_serializer": "json"},
    }
    counted.append(Counted(store.sessions))
    own = msgspec.structs.replace(store, sessions=counted[0])
    given: dict[str, Any] = {"dialect": "fast-mcp", "preset": "fast-mcp"}
    settings = Settings(trusted_proxies=["127.0.0.1"], session_warnings=[1.0], namespace=namespace)
    return {
        path: asgi(
            [echo, send, warn, added],
            path=path,
            settings=settings,
            session_store=own if path == "/custom-store" else store,
            **given,
            **options,
        )
        for path, options in more.items()
    }


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI scope."""
    app = apps.get(scope["path"])
    if app is None:
        await reply(send, 404)
    else:
        await app(scope, receive, send)


async def main(port: int, url: str, timeout: float, namespace: str) -> None:
    """Serve until told to stop."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url, namespace=namespace, clock=time.time, timeout=10.0))
        apps.update(endpoints(store, timeout, namespace))
        for app in apps.values():
            await stack.enter_async_context(app.running())
        config = uvicorn.Config(
            serve, host="127.0.0.1", port=port, log_level="warning", lifespan="off", proxy_headers=False
        )
        await uvicorn.Server(config).serve()


apps: Final[dict[str, McpApp]] = {}
counted: Final[list[Counted]] = []

if __name__ == "__main__":
    port, url, timeout, namespace = [*sys.argv[1:], *("", "", "1800", "mcp:sessions")[len(sys.argv) - 1 :]]
    anyio.run(main, int(port), url, float(timeout), namespace)
