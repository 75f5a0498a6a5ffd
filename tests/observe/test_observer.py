"""What observes, as a whole: composed from settings, around requests, in the server and in an application."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from e2e.mcp_world import call, echo, handshake, modern, request
from e2e.wire import Lifespan, Wire
from holdfast.app import Application
from holdfast.cli.serve import refuse_page_of_several
from holdfast.config import OAuthSettings, Settings
from holdfast.errors import ConfigurationError
from holdfast.mcp import asgi
from holdfast.mcp.compose import McpApp
from holdfast.observe import Observer, Prometheus, StatsD, observing
from holdfast.observe.otel import OpenTelemetry
from observe.meters import Shown, receiver
from observe.test_prometheus import parsed


def made(**options: Any) -> McpApp:
    return asgi([echo], settings=options.pop("settings", Settings()), calm_gc=False, **options)


async def test_the_sources_option_alone_sends_to_the_statsd_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # M24, M10
    with receiver() as server:
        monkeypatch.setattr("holdfast.observe.observer.USUAL", (f"dogstatsd://127.0.0.1:{server.port}",))
        app = made(session_metrics=True)
        async with app.running():
            await handshake(Wire(app))
        lines = server.lines()
    assert "mcp.session.created:1|c" in lines
    assert any(line.startswith("mcp.session.active_count:") for line in lines)
    assert "mcp.session.ended:1|c|#reason:shutdown" in lines


async def test_metrics_that_are_off_or_not_asked_for_go_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    # M24
    with receiver() as server:
        monkeypatch.setattr("holdfast.observe.observer.USUAL", (f"dogstatsd://127.0.0.1:{server.port}",))
        for options in ({}, {"session_metrics": False}):
            app = made(**options)
            async with app.running():
                await handshake(Wire(app))
        assert server.lines() == []


async def test_metrics_go_where_the_settings_say() -> None:
    # M24
    with receiver() as server:
        app = made(settings=Settings(metrics=[f"statsd://127.0.0.1:{server.port}"]))
        async with app.running():
            await handshake(Wire(app))
        assert "mcp.session.ended:1|c" in server.lines()


async def test_an_observer_of_ones_own_measures_requests_as_well() -> None:
    # M24
    shown = Shown()
    observed = Observer(shown)
    app = made(session_metrics=observed)
    wire = Wire(observed.around(app))
    async with app.running():
        named = await handshake(wire)
        assert (await wire.post(call("echo", text="x"), **named)).status == 200
        assert (await modern(wire, call("echo", text="x"))).status == 200
        assert (await wire.send("PATCH", headers=named)).status == 405
        assert (await wire.post(request("ping"), **{**named, "mcp-session-id": "A" * 43})).status == 404
        assert (await wire.send("DELETE", headers=named)).status == 204
        with anyio.fail_after(5):
            while not shown.gauges:
                await anyio.sleep(0.01)
    counts = {name: count for name, count in shown.counts.items() if name.startswith("holdfast.requests")}
    assert counts == {
        "holdfast.requests POST legacy 200": 2,
        "holdfast.requests POST legacy 202": 1,
        "holdfast.requests POST modern 200": 1,
        "holdfast.requests other legacy 405": 1,
        "holdfast.requests POST legacy 404": 1,
        "holdfast.requests DELETE legacy 204": 1,
    }
    assert len(shown.times["holdfast.request.duration modern"]) == 1
    assert all(0 < seconds < 5 for seconds in shown.times["holdfast.request.duration legacy"])
    assert shown.counts["mcp.session.ended client"] == 1
    assert shown.counts["holdfast.facts unknown_id"] == 1


async def test_a_request_that_ends_in_an_error_is_counted() -> None:
    async def fails(*_: object) -> None:
        raise ValueError

    shown = Shown()
    with pytest.raises(ValueError):  # noqa: PT011
        await Observer(shown).around(fails)({"type": "http", "method": "GET", "headers": []}, fails, fails)
    assert shown.counts == {"holdfast.requests GET legacy 500": 1}
    assert Observer().around(fails) is fails  # nobody measures: nothing is in the way


async def test_the_server_shows_a_page_that_only_its_clients_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # M24
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("holdfast.app.calm_garbage_collector", lambda: None)
    app = Application(Settings(metrics=["prometheus:"], token="s3cret"))  # type: ignore[arg-type]
    lifespan, page = Lifespan(app), Wire(app, path="/metrics")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        assert (await page.send("GET")).status == 401
        logged_on = {"authorization": "Bearer s3cret"}
        await handshake(Wire(app, path="/mcp"), **logged_on)
        shown = await page.send("GET", headers=logged_on)
        lifespan.stop()
    assert shown.status == 200
    assert parsed(shown.body.decode())["mcp_session_created_total"] == 1


async def test_without_being_asked_for_the_server_has_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # M24
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("holdfast.app.calm_garbage_collector", lambda: None)
    app = Application(Settings())
    lifespan = Lifespan(app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started()
        assert (await Wire(app, path="/metrics").send("GET")).status == 404
        lifespan.stop()


def test_each_form_of_metrics_has_a_name() -> None:
    # M24
    settings = Settings(
        metrics=[
            "statsd://localhost",
            "dogstatsd://[::1]:9125",
            "prometheus://0.0.0.0",
            "prometheus:",
            "opentelemetry:",
        ],
        metrics_token="s3cret",  # type: ignore[arg-type]
    )
    plain, dog, own, shared, otel = observing(settings, page=True).metrics.meters
    assert isinstance(plain, StatsD)
    assert plain._address[1] == 8125
    assert not plain._tags
    assert isinstance(dog, StatsD)
    assert dog._address[:2] == ("::1", 9125)
    assert isinstance(own, Prometheus)
    assert (own.host, own.port) == ("0.0.0.0", 9464)
    assert isinstance(shared, Prometheus)
    assert shared.port is None
    assert isinstance(otel, OpenTelemetry)


@pytest.mark.parametrize(
    "url",
    [
        "graphite://x",
        "statsd",
        "statsd://h:x",
        "statsd://h/path",
        "prometheus://u@h:1",
        "statsd://no.such.host.invalid",
    ],
)
def test_what_names_no_place_for_metrics_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        observing(Settings(metrics=[url]))


def test_an_open_page_beside_oauth_is_refused() -> None:
    # M24: guarded by default
    oauth = OAuthSettings(issuer="https://login.example", resource="https://holdfast.example/mcp")
    with pytest.raises(ConfigurationError, match="open to everybody"):
        observing(Settings(metrics=["prometheus:"], oauth=oauth), page=True)
    observing(Settings(metrics=["prometheus:"], oauth=oauth, metrics_token="s3cret"), page=True)  # type: ignore[arg-type]


def test_a_page_that_nobody_would_serve_is_refused() -> None:
    # M24
    with pytest.raises(ConfigurationError, match="no page of metrics"):
        made(settings=Settings(metrics=["prometheus:"]))


def test_one_page_for_several_workers_is_refused() -> None:
    # M24
    with pytest.raises(ConfigurationError, match="2 workers"):
        refuse_page_of_several(Settings(workers=2, metrics=["prometheus:"]))
    refuse_page_of_several(Settings(workers=2, metrics=["prometheus://127.0.0.1"]))
    refuse_page_of_several(Settings(workers=1, metrics=["prometheus:"]))
