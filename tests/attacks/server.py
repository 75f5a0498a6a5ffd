"""What is attacked: an MCP server as a process of its own, with logons by name and everything it tells in one file.

python server.py PORT FOLDER OPTIONS, where OPTIONS are those of `asgi` as JSON; settings come from the environment.
"""

import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import uvicorn
from names import ByName

from holdfast.config import load_settings
from holdfast.core.events import LogLines, Sinks
from holdfast.mcp import Context, Handles, asgi, tool
from holdfast.mcp.calling import calling
from holdfast.observe import AuditTrail
from holdfast.web.bearer import Bearer
from holdfast.web.http1 import BoundedHttp
from holdfast.web.logon import Logon

baskets = Handles("basket", opened_by="open_basket")


class LogonByName(Logon):
    @asynccontextmanager
    async def open(self, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Bearer]:
        yield ByName()


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Anything(msgspec.Struct):
    value: Any = None


class Slot(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    shared: bool = False


class Slow(msgspec.Struct, forbid_unknown_fields=True):
    began: str
    go: str


class Basket(msgspec.Struct, forbid_unknown_fields=True):
    basket: str


@tool()
def echo(arguments: Text, context: Context) -> str:
    """Say it again."""
    return arguments.text


@tool()
def take(arguments: Anything, context: Context) -> str:
    """Take anything at all."""
    return type(arguments.value).__name__


@tool()
def whoami(arguments: Nothing, context: Context) -> str:
    """Say who calls."""
    return context.principal or "nobody"


@tool()
async def write(arguments: Slot, context: Context) -> str:
    """Write into the session: a key of one's own, or one more into a number that all share."""
    session = context.session
    assert session is not None
    if arguments.shared:
        count = session.content.get(arguments.key, 0)
        changes = {arguments.key: count + 1}
        await calling().manager.merge(session, changes, on_conflict=lambda key, theirs, ours: theirs + 1)
    else:
        await calling().manager.merge(session, {arguments.key: True})
    return "written"


@tool()
async def slowly(arguments: Slow, context: Context) -> str:
    """Read the session, wait until the test lets it go on, shielded from being cancelled, and write."""
    session = context.session
    assert session is not None
    with anyio.CancelScope(shield=True):
        await anyio.Path(arguments.began).touch()
        with anyio.fail_after(20):
            while not await anyio.Path(arguments.go).exists():
                await anyio.sleep(0.02)
        try:
            await calling().manager.merge(session, {"late": True})
        except Exception as exc:
            await anyio.Path(arguments.began).write_text(type(exc).__name__)
            raise
        await anyio.Path(arguments.began).write_text("written")
    return "written"


@tool()
async def open_basket(arguments: Nothing, context: Context) -> str:
    """Open a basket."""
    return await baskets.open({"items": []})


@tool()
async def look_into(arguments: Basket, context: Context) -> str:
    """Look into a basket."""
    return json.dumps((await baskets.load(arguments.basket)).content)


@tool()
async def tell(arguments: Text, context: Context) -> str:
    """Say something on the session's stream."""
    assert context.session is not None
    return str(await app.sessions.send(str(context.session.id), "news", {"text": arguments.text}))


port, folder, options = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
logging.basicConfig(filename=folder / f"log.{port}", level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
logging.getLogger("holdfast").setLevel(logging.DEBUG)
parser = options.pop("http", BoundedHttp)
settings = load_settings()
app = asgi(
    [echo, take, whoami, write, slowly, open_basket, look_into, tell],
    store=settings.store,
    settings=settings,
    sink=Sinks(LogLines(), AuditTrail(folder / "audit.jsonl")),
    **options,
)
app._logon = LogonByName(load_settings())

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, http=parser, log_config=None, access_log=False, proxy_headers=False)
