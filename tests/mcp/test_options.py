"""The source's options under their own names: each does here what it does there; the manual's table has them all."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from e2e.mcp_world import call, echo, handshake, initialize, request, texts
from e2e.wire import Wire
from holdfast.config import KindSettings, Settings, load_settings
from holdfast.core.events import Fact
from holdfast.core.model import Policy
from holdfast.errors import ConfigurationError
from holdfast.mcp import asgi
from holdfast.mcp.compose import McpApp
from holdfast.mcp.kinds import SESSION, STREAM
from holdfast.mcp.options import OPTIONS, chosen
from holdfast.stores.memory import memory_store
from holdfast.testing.sink import RecordingSink

ROOT = Path(__file__).resolve().parent.parent.parent
MANUAL = (ROOT / "docs" / "mcp.md").read_text()
SOURCE = ROOT / "tests" / "mcp" / "source_options.rb"


def made(**options: Any) -> McpApp:
    return asgi([echo], settings=Settings(), calm_gc=False, **options)


def kinds(**options: Any) -> tuple[KindSettings, KindSettings]:
    settings = chosen(Settings(), options).settings
    return settings.kinds.get(SESSION, KindSettings()), settings.kinds.get(STREAM, KindSettings())


def options_in(text: str) -> set[str]:
    """Return the names of the options with which a source text makes its transport."""
    calls = re.findall(r"StreamableHttpTransport\.new\((.*?)^\)", text, re.DOTALL | re.MULTILINE)
    return {name for call in calls for name in re.findall(r"^  (\w+):", call, re.MULTILINE)}


def test_every_option_of_the_source_is_one_here_and_stands_in_the_manuals_table() -> None:
    # M10
    found = options_in(SOURCE.read_text())
    assert len(found) == 16
    assert found <= set(OPTIONS)
    for name in found | set(OPTIONS):
        assert re.search(rf"^\| `{name}` \| \S.* \| .*\|$", MANUAL, re.MULTILINE), f"{name} is missing in docs/mcp.md"


async def test_the_sources_examples_are_taken_as_they_stand() -> None:
    # M10
    app = made(
        session_timeout=3600, idle_timeout=600, session_refresh_threshold=300, max_sessions_per_client=1,
        session_replacement_policy="replace_oldest", max_connections_per_session=3, session_cleanup_interval=300,
        session_gc_threshold=1000, session_store=memory_store(), session_serializer="json", session_id_entropy=256,
        session_validation="strict", session_metrics=True, session_logger=logging.getLogger("log.sessions"),
        session_debug=True,
    )  # fmt: skip
    async with app.running() as endpoint:
        wire = Wire(app)
        first, second = await handshake(wire), await handshake(wire)
        assert (await wire.post(request("ping"), **first)).status == 404  # one session a client: the oldest went
        assert texts((await wire.post(call("echo", text="x"), **second)).result) == ["x"]
        clocks, limits = endpoint._manager.rules(SESSION)
    assert (clocks.sliding, clocks.slides_after, clocks.idle) == (3600, 3300, 600)
    assert (limits.per_client, limits.policy) == (1, Policy.OLDEST)


def test_the_preset_gives_the_sources_values() -> None:
    # M10, M13, E22
    settings = chosen(Settings(), {"preset": "fast-mcp"}).settings
    session, stream = settings.kinds[SESSION], settings.kinds[STREAM]
    assert (session.sliding, session.idle, session.per_client, stream.per_parent) == (1800, 300, 5, 3)
    assert (settings.cleanup_interval, settings.gc_threshold) == (300, 1000)
    assert session.slides_after == 1800 - 300
    assert (settings.fingerprint, settings.namespace) == ("reject", "mcp:sessions")


def test_what_is_set_rules_over_the_preset_and_an_option_over_both() -> None:
    own = Settings(
        fingerprint="warn", kinds={SESSION: KindSettings(idle=77, absolute=500), "http": KindSettings(idle=1)}
    )
    settings = chosen(own, {"preset": "fast-mcp", "max_sessions_per_client": 2}).settings
    session = settings.kinds[SESSION]
    assert settings.fingerprint == "warn"
    assert (session.idle, session.absolute, session.per_client, session.sliding) == (77, 500, 2, 1800)
    assert settings.kinds["http"].idle == 1
    assert chosen(own, {"preset": "fast-mcp", "idle_timeout": 5}).settings.kinds[SESSION].idle == 5
    assert own.kinds[SESSION].per_client is None  # what was given is left as it was


def test_the_preset_is_a_setting_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_PRESET", "fast-mcp")
    assert load_settings().kinds[SESSION].idle == 300
    monkeypatch.setenv("HOLDFAST_KINDS__MCP__IDLE", "60")
    assert load_settings().kinds[SESSION].idle == 60


@pytest.mark.parametrize(
    ("options", "sliding", "slides_after"),
    [
        ({"session_timeout": 1000}, 1000, 0),
        ({"session_timeout": 1000, "session_refresh_threshold": 100}, 1000, 900),
        ({"session_timeout": 50, "session_refresh_threshold": 100}, 50, 0),
        ({"preset": "fast-mcp", "session_timeout": 3600}, 3600, 3300),
        ({"preset": "fast-mcp", "session_refresh_threshold": 0}, 1800, 1800),
        ({"preset": "fast-mcp", "session_timeout": 10}, 10, 0),
    ],
)
def test_the_refresh_threshold_counts_from_the_end(
    options: dict[str, Any], sliding: float, slides_after: float
) -> None:
    # M10: "refresh when less than … remain"
    session, _ = kinds(**options)
    assert (session.sliding, session.slides_after) == (sliding, slides_after)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sesion_timeout", "session_timeout"),
        ("max_session_per_client", "max_sessions_per_client"),
        ("idle_time", "idle_timeout"),
        ("session_gc_treshold", "session_gc_threshold"),
        ("stor", "store"),
    ],
)
def test_an_unknown_option_is_an_error_at_start_that_names_the_nearest(name: str, meant: str) -> None:
    # M10
    with pytest.raises(ConfigurationError, match=name) as caught:
        made(**{name: 1})
    assert caught.value.hint == f"Did you mean {meant}?"


def test_an_unknown_option_without_a_near_one_is_told_what_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(zzzz=None)
    assert "session_timeout" in caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"session_timeout": 0},
        {"idle_timeout": -1},
        {"session_timeout": "soon"},
        {"max_sessions_per_client": 0},
        {"max_sessions_per_client": 1.5},
        {"session_replacement_policy": "replace_newest"},
        {"session_validation": "loose"},
        {"session_serializer": "marshal"},
        {"session_gc_threshold": 0},
        {"session_refresh_threshold": 300},
        {"session_timeout": 10, "session_refresh_threshold": "x"},
        {"session_logger": 5},
        {"session_id_entropy": "x"},
        {"dialect": "slow-mcp"},
        {"preset": "slow-mcp"},
        {"session_events": "loud"},
    ],
)
def test_a_value_that_does_not_fit_is_an_error_at_start_that_names_the_option(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=list(options)[-1]):
        made(**options)


async def test_too_little_entropy_is_refused() -> None:
    # E1
    with pytest.raises(ConfigurationError, match="128"):
        async with made(session_id_entropy=64).running():
            pass


async def test_ids_come_from_a_generator_of_ones_own() -> None:
    # M10, E2
    numbers = iter(range(10**9))
    alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

    def draw() -> str:
        import random

        return "".join(random.Random(next(numbers)).choices(alphabet, k=30))

    app = made(session_id_generator=draw)
    async with app.running():
        opened = await Wire(app).post(initialize())
    assert re.fullmatch(rf"[{alphabet}]{{30}}", opened.headers["mcp-session-id"])


def test_the_sources_own_generator_is_refused_when_strict_and_told_of_when_lenient() -> None:
    # E2: a prefix, the time, and 96 random bits
    import secrets

    def draw() -> str:
        return f"MCPT3QK9W{secrets.token_hex(12).upper()}"

    with pytest.raises(ConfigurationError, match="bits"):
        made(session_id_generator=draw)
    ids = chosen(Settings(), {"session_id_generator": draw, "session_validation": "lenient"}).ids
    assert ids is not None
    assert ids.warnings


async def test_facts_go_to_the_logger_and_to_metrics_that_are_given(caplog: pytest.LogCaptureFixture) -> None:
    # M10
    sink, metrics = RecordingSink(), RecordingSink()
    logger = logging.Logger("of its own", logging.DEBUG)
    logger.addHandler(caplog.handler)
    app = made(sink=sink, session_metrics=metrics, session_logger=logger, session_debug=True)
    async with app.running():
        wire = Wire(app)
        named = await handshake(wire)
        await wire.post(request("ping"), **named)
    assert Fact.OPENED in sink.facts()
    assert sink.facts() == metrics.facts()
    lines = [record.getMessage() for record in caplog.records]
    assert any('"fact":"opened"' in line for line in lines)
    assert any('"last_accessed"' in line for line in lines)


async def test_metrics_can_be_off() -> None:
    sink = RecordingSink()
    app = made(sink=sink, session_metrics=False)
    async with app.running():
        await handshake(Wire(app))
    assert sink.facts() == []


async def test_a_store_that_is_open_is_used_and_stays_open() -> None:
    # M10, M21
    store = memory_store()
    app = made(session_store=store, keys=None)
    async with app.running():
        named = await handshake(Wire(app))
        assert (await Wire(app).post(request("ping"), **named)).status == 200
        assert len(await store.sessions.find("kind", SESSION)) == 1
    assert await store.sessions.find("kind", SESSION) == []


async def test_sessions_can_be_reached_while_the_server_runs_and_not_before() -> None:
    # M30
    app = made(dialect="fast-mcp")
    with pytest.raises(ConfigurationError):
        assert app.sessions
    async with app.running():
        wire = Wire(app)
        async with wire.open("GET", headers={"accept": "text/event-stream"}) as stream:
            await stream.until(lambda seen: seen.events)
            session_id = stream.events[0].message["session_id"]
            assert await app.sessions.send(session_id, "price", 1)
            await stream.until(lambda seen: any(event.name == "price" for event in seen.events))
