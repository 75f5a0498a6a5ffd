"""`holdfast demo`: one agent edits an ABAP class over MCP, step by step, with the tree of sessions beside it.

Simulator and server run as processes of their own, as they would in earnest; this process is the agent (the official
SDK's client) and looks into the store only to draw.
"""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio
import httpx2
import typer

from holdfast.app import MCP_PATH
from holdfast.cli.drawing import draw
from holdfast.cli.output import reported
from holdfast.cli.processes import free_port, started
from holdfast.cli.shared import all_records
from holdfast.config import load_settings, shown_url, store_url
from holdfast.errors import BackendError
from holdfast.simulator import ADMIN_PATH, DEMO_USERS

if TYPE_CHECKING:
    from mcp.client import Client

CLOSING_S: Final = 10.0
SOURCE: Final = """\
CLASS {name} DEFINITION PUBLIC FINAL CREATE PUBLIC.
  PUBLIC SECTION.
    METHODS greet RETURNING VALUE(text) TYPE string.
ENDCLASS.

CLASS {name} IMPLEMENTATION.
  METHOD greet.
    text = |Hello from Holdfast|.
  ENDMETHOD.
ENDCLASS.
"""
SHOWN: Final = ("success", "message", "lock_handle", "outcome", "messages", "version")


@reported
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the workflow.")] = False,
    legacy: Annotated[bool, typer.Option("--legacy", help="Speak MCP 2025-11-25, with a protocol session.")] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the server; default: the configured one, if free.")
    ] = None,
) -> None:
    """Show an agent edit an ABAP class; then stay up and print how to connect. Exits 1 if a step fails."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the processes below are stopped as well
    with ExitStack() as stack:
        system = stack.enter_context(started("sim", "--port", "0"))
        user, password = next(iter(DEMO_USERS.items()))
        connection = {"URL": system, "CLIENT": "001", "USER": user, "PASSWORD": password}
        os.environ.update({f"HOLDFAST_SAP_{name}": value for name, value in connection.items()})
        settings = load_settings()
        chosen = port if port is not None else free_port(0 if once else settings.port)
        url = stack.enter_context(started("serve", "--port", str(chosen)))
        print(f"ABAP system  {system} (simulator, user {user})")
        print(f"Holdfast     {url}")
        print(f"store        {shown_url(store_url(settings))}")
        anyio.run(Workflow(url, system, "legacy" if legacy else "auto").run)
        if not once:
            _stay_up(url)


class Workflow:
    """The agent's steps, each printed with what it answered and how the tree stands after it."""

    def __init__(self, url: str, system: str, mode: Literal["legacy", "auto"]) -> None:
        self._url, self._system, self._mode = url, system, mode
        self._name = f"ZCL_DEMO_{time.strftime('%m%d_%H%M%S', time.gmtime())}"
        self._steps = 0

    async def run(self) -> None:
        """Validate, create, lock, read something else, update, check, unlock, activate, read back, close."""
        async with self._connected() as client:
            session = await self._step(client, "GetSession", {})
            named = {"class_name": self._name, "session_id": session["session_id"]}
            await self._step(client, "ValidateClass", named)
            await self._step(client, "CreateClass", {**named, "description": "Made by holdfast demo"})
            lock = await self._step(client, "LockClass", named)
            await self._step(client, "ReadClass", {**named, "class_name": "ZCL_HF_GREETER"})
            held = {**named, "lock_handle": lock["lock_handle"]}
            await self._step(client, "UpdateClass", {**held, "source_code": SOURCE.format(name=self._name.lower())})
            await self._step(client, "CheckClass", named)
            await self._step(client, "UnlockClass", held)
            await self._step(client, "ActivateClass", named)
            await self._step(client, "CloseSession", {"session_id": session["session_id"]})
        await self._nothing_left()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["Client"]:
        from mcp.client import Client  # noqa: PLC0415 - takes a second, which no other command should wait
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

        token = load_settings().token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=60))
            transport = streamable_http_client(self._url, http_client=http)
            yield await stack.enter_async_context(Client(transport, mode=self._mode))

    async def _step(self, client: "Client", tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._steps += 1
        began = time.perf_counter()
        result = await client.call_tool(tool, dict(arguments))
        took = (time.perf_counter() - began) * 1000
        answer = result.structured_content or {}
        print(f"\n{self._steps:2}. {tool}({_short(arguments)})  {took:.0f} ms")
        print(f"    → {_short({name: answer[name] for name in SHOWN if name in answer})}")
        if result.is_error or answer.get("success") is False:
            raise BackendError(f"{tool} failed: {result.content}")
        await self._draw()
        return answer

    async def _draw(self) -> None:
        for line in draw(await all_records(load_settings()), time.time()) or ["(no sessions)"]:
            print(f"      {line}")

    async def _nothing_left(self) -> None:
        """Wait until the agent's logons are closed, then show that the system's lock table is empty."""
        async with httpx2.AsyncClient(base_url=f"{self._system}{ADMIN_PATH}") as admin:
            left: list[Any] = [None]
            with anyio.move_on_after(CLOSING_S):
                while left:
                    left = [row for view in ("sm12", "sm04") for row in _rows((await admin.get(f"/{view}")).json())]
                    await anyio.sleep(0.1)
        if left:
            raise BackendError(f"{len(left)} contexts or locks were left behind in the ABAP system")
        print("\nSM12 and SM04 of the ABAP system: no lock, no context left behind.")


def _rows(view: Any) -> list[Any]:
    return view if isinstance(view, list) else next(rows for rows in view.values() if isinstance(rows, list))


def _short(values: Mapping[str, Any]) -> str:
    """Return arguments or an answer on one line: the first line of what is long, the beginning of what is a secret."""
    return ", ".join(f"{name}={_cut(name, value)}" for name, value in values.items())


def _cut(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if name in ("session_id", "lock_handle"):
        return f"{text[:8]}…"
    first = text.split("\n")[0]
    return first if first == text else f"{first} …"


def _for_pages(url: str) -> str:
    path = load_settings().odata_path
    if not path:
        return ""
    return f"\nEdit from a page (sticky OData, docs/abap-odata.md):\n  {url.removesuffix(MCP_PATH)}{path}/\n"


def _stay_up(url: str) -> None:
    entry = {"url": url, "type": "http"}
    token = load_settings().token.get_secret_value()
    header = ' --header "Authorization: Bearer $HOLDFAST_TOKEN"' if token else ""
    print(f"""
Connect an agent:
  Claude Code  claude mcp add --transport http holdfast {url}{header}
  Cursor       .cursor/mcp.json   {json.dumps({"mcpServers": {"holdfast": {"url": url}}})}
  VS Code      .vscode/mcp.json   {json.dumps({"servers": {"holdfast": entry}})}
  Python       async with mcp.Client("{url}") as client: await client.call_tool("GetSession", {{}})
{_for_pages(url)}
Look inside:   holdfast sessions list --tree    holdfast locks list
Stop:          Ctrl-C""")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nstopping")
