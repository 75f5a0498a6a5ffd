"""A page that keeps an MCP session: over reloads, dropped connections and restarts of this server.

    python examples/mcp_browser.py              # then open http://127.0.0.1:8000/

Sessions are kept in `browser-sessions.db`; stop the server and start it again, and the page goes on. The page and what
it advises are in `examples/clients/browser`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast.mcp import Context, asgi, tool

PAGE = Path(__file__).parent / "clients" / "browser"


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


def app(store: str) -> Starlette:
    """Return the page and the MCP endpoint as one application: a page may talk to its own origin without more."""
    endpoint = asgi([echo], store=store, dialect="fast-mcp", session_timeout=600)

    @asynccontextmanager
    async def running(application: Starlette) -> AsyncIterator[None]:
        async with endpoint.running():
            yield

    files = StaticFiles(directory=PAGE, html=True)
    return Starlette(routes=[Route("/mcp", endpoint), Mount("/", files)], lifespan=running)


if __name__ == "__main__":
    port, store = sys.argv[1:] or ["8000", "sqlite:///browser-sessions.db"]
    uvicorn.run(app(store), host="127.0.0.1", port=int(port), proxy_headers=False)
