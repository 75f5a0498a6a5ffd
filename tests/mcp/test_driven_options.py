"""Each option of the source, driven: what is different for a client, and what is in the store afterwards (M10)."""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from e2e.mcp_world import echo, handshake, initialize, request
from e2e.wire import PATIENCE, Exchange, Wire
from holdfast.config import Settings
from holdfast.core import keeper
from holdfast.core.model import State
from holdfast.core.ports import Store
from holdfast.errors import ConfigurationError
from holdfast.mcp import asgi
from holdfast.mcp.compose import McpApp
from holdfast.mcp.endpoint import McpEndpoint
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.options import OPTIONS
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink

STREAM = {"accept": "text/event-stream"}
driven: set[str] = set()


def drives(*options: str) -> Callable[[Any], Any]:
    """Note that a test shows what these options do."""
    driven.update(options)
    return lambda test: test


class Server:
    """A server with options, a clock of the test's, and its store."""

    def __init__(self, app: McpApp, endpoint: McpEndpoint, store: Store, clock: Clock) -> None:
        self.app, self.endpoint, self.store, self.clock = app, endpoint, store, clock
        self.wire = Wire(app)

    async def lives(self, named: dict[str, str]) -> bool:
        return (await self.wire.post(request("ping"), **named)).status == 200

    async def stored(self) -> int:
        """How many rows of sessions there are, expired ones among them."""
        return len(await self.store.sessions.find("kind", SESSION))


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Server]:
    store, clock = memory_store(), Clock(time.time())
    app = asgi([echo], store=store, settings=Settings(), calm_gc=False, **options)
    async with app.running() as endpoint:
        endpoint._manager.clock = clock
        yield Server(app, endpoint, store, clock)


def names(seen: Exchange) -> list[str]:
    return [event.name for event in seen.events]


@drives("session_timeout")
async def test_a_session_that_is_used_lives_on_and_one_that_is_not_ends_after_its_timeout() -> None:
    async with served(session_timeout=100, idle_timeout=10_000) as server:
        used, left = await handshake(server.wire), await handshake(server.wire)
        for _ in range(3):
            server.clock.advance(60)
            assert await server.lives(used)
        assert not await server.lives(left)
        server.clock.advance(100)
        assert not await server.lives(used)


@drives("idle_timeout")
async def test_a_session_ends_when_it_was_idle_for_too_long() -> None:
    async with served(session_timeout=10_000, idle_timeout=50) as server:
        named = await handshake(server.wire)
        for _ in range(3):
            server.clock.advance(49)
            assert await server.lives(named)
        server.clock.advance(50)
        assert not await server.lives(named)


@drives("session_refresh_threshold")
@pytest.mark.parametrize(("threshold", "lives"), [(100, True), (30, False)])
async def test_a_use_extends_a_session_only_when_less_than_the_threshold_remains(threshold: int, lives: bool) -> None:
    async with served(session_timeout=100, idle_timeout=10_000, session_refresh_threshold=threshold) as server:
        named = await handshake(server.wire)
        server.clock.advance(60)  # 40 seconds remain
        assert await server.lives(named)
        server.clock.advance(60)
        assert await server.lives(named) is lives


@drives("max_sessions_per_client", "session_replacement_policy")
@pytest.mark.parametrize(
    ("policy", "status", "left"),
    [
        ("replace_oldest", 200, [False, True, True]),
        ("replace_least_recent", 200, [True, False, True]),
        ("reject", 429, [True, True]),
    ],
)
async def test_the_session_too_many_takes_the_place_that_the_policy_says(
    policy: str, status: int, left: list[bool]
) -> None:
    async with served(max_sessions_per_client=2, session_replacement_policy=policy) as server:
        sessions = []
        for _ in range(2):
            sessions.append(await handshake(server.wire))
            server.clock.advance(100)
        assert await server.lives(sessions[0])  # the first is used last
        server.clock.advance(100)
        third = await server.wire.post(initialize())
        assert third.status == status
        if status == 200:
            sessions.append({"mcp-session-id": third.headers["mcp-session-id"]})
        assert [await server.lives(one) for one in sessions] == left


@drives("max_connections_per_session", "dialect")
@pytest.mark.parametrize(("options", "status"), [({}, 409), ({"dialect": "fast-mcp"}, 429)])
async def test_one_connection_too_many_is_refused(options: dict[str, str], status: int) -> None:
    async with served(max_connections_per_session=2, **options) as server:
        named = {**await handshake(server.wire), **STREAM}
        async with (
            server.wire.open("GET", headers=named) as first,
            server.wire.open("GET", headers=named) as second,
        ):
            assert (first.status, second.status) == (200, 200)
            assert (await server.wire.send("GET", headers=named)).status == status
        assert await server.lives(named)


async def swept(server: Server) -> None:
    """Wait until the rows of all sessions are gone."""
    with anyio.fail_after(PATIENCE):
        while await server.stored():
            await anyio.sleep(0.01)


@drives("session_cleanup_interval")
async def test_expired_sessions_are_removed_when_the_interval_is_over() -> None:
    async with served(session_timeout=100, session_cleanup_interval=0.02) as server:
        await handshake(server.wire)
        server.clock.advance(101)
        await swept(server)


@drives("session_gc_threshold")
@pytest.mark.parametrize("threshold", [2, 1000])
async def test_many_expired_sessions_are_removed_before_the_interval_is_over(
    threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, look = [], keeper.Keeper._sweep_if_due

    async def counted(self: keeper.Keeper) -> None:
        await look(self)
        turns.append(await server.stored())

    monkeypatch.setattr(keeper, "SWEEPER_TURN_S", 0.01)
    monkeypatch.setattr(keeper.Keeper, "_sweep_if_due", counted)
    options = {"session_timeout": 100, "session_cleanup_interval": 100_000, "session_gc_threshold": threshold}
    async with served(**options) as server:
        for _ in range(3):
            await handshake(server.wire)
        server.clock.advance(101)
        begun = len(turns)
        with anyio.fail_after(PATIENCE):
            while len(turns) < begun + 3:
                await anyio.sleep(0.01)
        assert turns[-1] == (0 if threshold == 2 else 3)


@drives("session_store")
async def test_sessions_are_in_the_store_that_was_given() -> None:
    mine = memory_store()
    async with served(session_store=mine) as server:
        named = await handshake(server.wire)
        [record] = await mine.sessions.find("kind", SESSION)
        assert (record.mark, record.state) == (named["mcp-session-id"][:8], State.LIVE)
        assert await server.stored() == 0


@drives("session_serializer")
@pytest.mark.parametrize(("serializer", "read"), [("json", msgspec.json.decode), ("msgpack", msgspec.msgpack.decode)])
async def test_the_content_is_written_as_the_serializer_says_and_sealed(
    serializer: str, read: Callable[[bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(session_serializer=serializer) as server:
        written: list[bytes] = []
        keys = server.endpoint._manager.keys
        seal = type(keys).seal

        def noted(self: Any, plain: bytes, *args: Any, **named: Any) -> bytes:
            written.append(plain)
            return seal(self, plain, *args, **named)

        monkeypatch.setattr(type(keys), "seal", noted)
        named = await handshake(server.wire)
        assert await server.lives(named)
        assert read(written[0])["client"] == {"name": "test", "version": "1"}
        [record] = await server.store.sessions.find("kind", SESSION)
        assert b"client" not in record.payload


@drives("session_id_entropy")
@pytest.mark.parametrize(("bits", "signs"), [(128, 22), (256, 43), (512, 86)])
async def test_an_id_has_the_bits_that_were_asked_for(bits: int, signs: int) -> None:
    async with served(session_id_entropy=bits) as server:
        named = await handshake(server.wire)
        assert len(named["mcp-session-id"]) == signs
        assert await server.lives(named)


def weak() -> str:
    return f"MCP{secrets.token_hex(12).upper()}"


@drives("session_id_generator", "session_validation")
async def test_a_generator_of_few_bits_serves_where_that_is_chosen_and_nowhere_else() -> None:
    with pytest.raises(ConfigurationError, match="bits"):
        async with served(session_id_generator=weak, session_validation="strict"):
            pass
    async with served(session_id_generator=weak, session_validation="lenient") as server:
        named = await handshake(server.wire)
        assert named["mcp-session-id"].startswith("MCP")
        assert await server.lives(named)
        assert not await server.lives({"mcp-session-id": weak()})


@drives("session_metrics", "session_logger", "session_debug")
async def test_what_happens_is_counted_and_logged_where_that_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    counted, logger = RecordingSink(), logging.Logger("of its own", logging.DEBUG)
    logger.addHandler(caplog.handler)
    async with served(session_metrics=counted, session_logger=logger, session_debug=True) as server:
        named = await handshake(server.wire)
        assert await server.lives(named)
    assert [fact.value for fact in counted.facts()][:1] == ["opened"]
    lines = [record.getMessage() for record in caplog.records]
    assert any('"fact":"opened"' in line for line in lines)
    assert any('"last_accessed"' in line for line in lines)
    assert not any(named["mcp-session-id"] in line for line in lines)


@drives("session_events")
@pytest.mark.parametrize(("setting", "told"), [("on", ["session-resumed"]), ("off", []), ("auto", [])])
async def test_a_stream_tells_of_its_session_where_that_is_on(setting: str, told: list[str]) -> None:
    async with served(session_events=setting) as server:
        named = await handshake(server.wire)
        async with server.wire.open("GET", headers={**named, **STREAM}) as stream:
            await stream.until(lambda seen: seen.body)
            assert [name for name in names(stream) if name.startswith("session")] == told


@drives("preset")
async def test_the_preset_gives_a_client_five_sessions_of_five_minutes() -> None:
    async with served(preset="fast-mcp") as server:
        sessions = [await handshake(server.wire) for _ in range(6)]
        assert sum([await server.lives(one) for one in sessions]) == 5
        server.clock.advance(300)
        assert not any([await server.lives(one) for one in sessions])


def test_every_option_is_driven() -> None:
    # M10: no row of the manual's table without a test that shows what it does
    assert driven == set(OPTIONS)
