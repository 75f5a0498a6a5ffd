"""How long logons last: by their clocks, by presets, and on every store to the instant (R22, R23, R26)."""

import pytest

from holdfast.config import KindSettings, Settings, preset_applied
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.engine import open_engine
from holdfast.errors import SessionNotFound
from holdfast.testing.clock import Clock
from holdfast.web.kinds import HTTP, KINDS, SECURITY
from holdfast.web.security import Logon, Logons
from stores.stores import Place

START = 1_700_000_000.0
DAY = 86_400.0
KEYS = KeyRing.parse(new_key_text())
ANN = Logon(subject="ann", method="password", at=START)
OVERALL_AND_UNUSED = {"aal1": (30 * DAY, 30 * DAY), "aal2": (DAY, 3600.0), "aal3": (DAY / 2, 900.0)}


async def lives(logons: Logons, session_id: str | None) -> bool:
    try:
        await logons.load_http(str(session_id), "shop", touch=False)
    except SessionNotFound:
        return False
    return True


async def test_a_session_is_gone_at_the_very_instant_at_which_a_clock_runs_out(place: Place) -> None:  # R22
    clock = Clock(START)
    kinds = {SECURITY: KindSettings(absolute=1000.0), HTTP: KindSettings(idle=100.0, absolute=500.0)}
    async with (
        place.open(clock) as store,
        open_engine(store, kinds=KINDS, keys=KEYS, settings=Settings(kinds=kinds), clock=clock, keeper=False) as engine,
    ):
        logons = Logons(engine.manager)
        security = await logons.begin(ANN)
        idle, used = [await logons.open_http(app, below=security) for app in ("shop", "shop")]
        for at, idle_lives in ((99.0, True), (100.0, False), (101.0, False)):
            clock.now = START + 50.0
            await logons.load_http(str(used.id), "shop")
            clock.now = START + at
            assert await lives(logons, idle.id) is idle_lives, f"unused at {at} s"
        for at in range(100, 500, 40):  # used all the time
            clock.now = START + at
            await logons.load_http(str(used.id), "shop")
        for at, alive in ((499.0, True), (500.0, False), (501.0, False)):
            clock.now = START + at
            assert await lives(logons, used.id) is alive, f"in use at {at} s"
        clock.now = START + 990.0
        last = await logons.open_http("shop", below=security)
        for at, alive in ((999.0, True), (1000.0, False), (1001.0, False)):
            clock.now = START + at
            assert await lives(logons, last.id) is alive, "with its logon"


@pytest.mark.parametrize("name", OVERALL_AND_UNUSED)
async def test_a_preset_gives_the_times_of_its_assurance_level(name: str) -> None:  # R23, ASVS 7.3.1, 7.3.2
    overall, unused = OVERALL_AND_UNUSED[name]
    clock, settings = Clock(START), preset_applied(Settings.model_validate({"assurance": name}))
    async with open_engine("memory://", kinds=KINDS, settings=settings, clock=clock, keeper=False) as engine:
        logons = Logons(engine.manager)
        security = await logons.begin(ANN)
        http = await logons.open_http("shop", below=security)
        assert security.record.ends_at == START + overall
        assert (http.record.idle, http.record.ends_at) == (unused, START + overall)
        clock.now = START + unused - 1
        assert await lives(logons, http.id)
        clock.now = START + unused
        assert not await lives(logons, http.id)


def test_what_is_set_by_itself_counts_for_more_than_a_preset() -> None:  # R23
    settings = preset_applied(
        Settings.model_validate({"assurance": "aal2", "kinds": {"http": {"idle": 60.0}}, "preset": "fast-mcp"})
    )
    assert (settings.kinds["http"].idle, settings.kinds["http"].absolute) == (60.0, DAY)
    assert settings.kinds["mcp"].per_client == 5


async def test_no_change_of_its_id_makes_a_session_last_longer(place: Place) -> None:  # R26
    clock = Clock(START)
    kinds = {SECURITY: KindSettings(absolute=1000.0), HTTP: KindSettings(absolute=800.0)}
    async with (
        place.open(clock) as store,
        open_engine(store, kinds=KINDS, keys=KEYS, settings=Settings(kinds=kinds), clock=clock, keeper=False) as engine,
    ):
        logons = Logons(engine.manager)
        security, http = await logons.begin(ANN), await logons.open_http("shop", client="192.0.2.1")
        await logons.attach(http, security)
        for _ in range(50):
            clock.now += 15.0
            await engine.manager.rotate(http)
            await engine.manager.rotate(security)
            assert await lives(logons, http.id)
        assert clock.now == START + 750.0
        clock.now = START + 800.0
        assert not await lives(logons, http.id)
        record = await engine.manager.current(security.ref)  # below which nothing lives now: none may load it (S4)
        assert record is not None
        assert record.ends_at == START + 1000.0
        clock.now = START + 1000.0
        with pytest.raises(SessionNotFound):
            await logons.load(str(security.id), touch=False)
