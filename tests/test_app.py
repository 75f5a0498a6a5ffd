"""The faces composed into one server."""

from pathlib import Path

import anyio
import pytest

from e2e.wire import Lifespan, Wire
from holdfast.app import Application, open_holdfast
from holdfast.config import OAuthSettings, Settings
from holdfast.core.events import Fact
from holdfast.errors import SessionNotFound


async def test_a_security_event_in_the_server_is_counted_and_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E34
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with open_holdfast(Settings(), keeper=False) as holdfast:
        with pytest.raises(SessionNotFound):
            await holdfast.engine.manager.load("made-up", kind="mcp")
        assert holdfast.counts.of == {Fact.UNKNOWN_ID: 1}
    assert "unknown_id" in (tmp_path / "holdfast" / "audit.jsonl").read_text()


async def test_the_application_answers_probes_and_is_unready_once_it_was_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # M18
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("holdfast.app.calm_garbage_collector", lambda: None)
    app = Application(Settings())
    lifespan, live, ready = Lifespan(app), Wire(app, path="/livez"), Wire(app, path="/readyz")
    assert (await ready.send("GET")).status == 503
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        assert (await live.send("GET")).json == {"live": True}
        assert (await ready.send("GET")).status == 200
        assert (await Wire(app, path="/").send("GET")).status == 404
        app.stop()
        assert (await ready.send("GET")).status == 503
        assert (await live.send("GET")).status == 200
        app.give_up()
        lifespan.stop()
    assert lifespan.said[-1] == "lifespan.shutdown.complete"


async def test_the_application_shows_where_to_get_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 9728: beside the endpoint, to everybody; the endpoint itself asks for a token
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("holdfast.app.calm_garbage_collector", lambda: None)
    oauth = OAuthSettings(issuer="https://login.example", resource="https://abap.example/mcp", scopes=["abap"])
    app = Application(Settings(oauth=oauth))
    lifespan = Lifespan(app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        for path in ("", "/mcp"):
            shown = await Wire(app, path=f"/.well-known/oauth-protected-resource{path}").send("GET")
            assert shown.json["authorization_servers"] == ["https://login.example"]
        assert (await Wire(app).send("GET")).status == 401
        assert (await Wire(app, path="/livez").send("GET")).status == 200
        lifespan.stop()
