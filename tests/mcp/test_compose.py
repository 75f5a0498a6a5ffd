"""The composed application: with a lifespan, without one, and what its settings do."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from e2e.mcp_world import call, echo, handshake, request, texts
from e2e.wire import Lifespan, Wire
from holdfast._asgi import Receive, Scope, Send
from holdfast.config import Settings
from holdfast.mcp import asgi
from holdfast.mcp.compose import McpApp


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Give the garbage collector back as it was."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def made(**options: Any) -> McpApp:
    return asgi([echo], settings=Settings(), **options)


async def test_the_engine_opens_and_closes_with_the_lifespan() -> None:
    app = made()
    lifespan = Lifespan(app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        wire = Wire(app)
        assert texts((await wire.post(call("echo", text="x"), **await handshake(wire))).result) == ["x"]
        lifespan.stop()
    assert lifespan.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_sessions_are_in_the_store_when_the_server_comes_back(tmp_path: Path) -> None:
    # M6
    store, named = f"sqlite:///{tmp_path / 'sessions.db'}", None
    for _ in range(2):
        app = made(store=store)
        async with app.running():
            wire = Wire(app)
            named = named or await handshake(wire)
            assert (await wire.post(request("ping"), **named)).status == 200


async def test_sigterm_ends_streams_before_the_server_waits_for_them() -> None:
    app = made()
    lifespan = Lifespan(app)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # stands for the server's own handler
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lifespan.run)
            await lifespan.started()
            wire = Wire(app)
            named = await handshake(wire)
            async with wire.open("GET", headers={**named, "accept": "text/event-stream"}) as stream:
                os.kill(os.getpid(), signal.SIGTERM)
                await stream.until(lambda seen: seen.ended)
            lifespan.stop()
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_there_is_nothing_beside_the_endpoints_path() -> None:
    app = made(path="/tools/mcp")
    async with app.running():
        assert (await Wire(app).post(request("ping"))).status == 404
        assert (await Wire(app, path="/tools/mcp/").post(request("ping"))).status == 400


async def test_below_a_mount_the_path_counts_from_there() -> None:
    app = made()
    async with app.running():

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "root_path": "/below"}, receive, send)

        assert (await Wire(mounted, path="/below/mcp").post(request("ping"))).status == 400
        assert (await Wire(mounted, path="/other/mcp").post(request("ping"))).status == 404


async def test_without_a_lifespan_the_engine_opens_with_the_first_request() -> None:
    app = made()
    wire = Wire(app)
    try:
        named = await handshake(wire)
        assert (await wire.post(request("ping"), **named)).status == 200
    finally:
        await app.aclose()


@pytest.mark.slow
def test_tools_of_ours_are_served_without_importing_the_sdk() -> None:
    script = "import sys, holdfast.mcp; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_the_token_of_the_settings_is_asked_for_unless_another_is_given() -> None:
    # M12
    settings = Settings(token="from settings")
    for options, token in (({}, "from settings"), ({"token": "given"}, "given")):
        app = asgi([echo], settings=settings, **options)  # type: ignore[arg-type]
        async with app.running():
            assert (await Wire(app).post(request("ping"))).status == 401
            await handshake(Wire(app), authorization=f"Bearer {token}")


async def test_what_exists_at_start_is_spared_by_the_garbage_collector_unless_told_otherwise() -> None:
    async with made(calm_gc=False).running():
        assert gc.get_freeze_count() == 0
    async with made().running():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == 50_000
