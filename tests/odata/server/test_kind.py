"""What becomes of a sticky session whose client does not come back (O9; odata-sticky.md §11, server 9)."""

import anyio

from holdfast.engine import open_engine
from holdfast.odata.server import Service, sticky_kind
from holdfast.odata.server.acts import discard, edit
from holdfast.odata.server.kind import STICKY
from holdfast.odata.server.stay import Caller, Sessions
from holdfast.testing import Clock
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons
from odata.server.world import Orders

START = 1_800_000_000.0
TIMEOUT = 300.0
LATE = 30.0  # how late a use may be recorded


async def test_what_a_session_holds_is_let_go_when_its_time_is_up_and_not_by_the_next_sweep() -> None:
    orders, clock = Orders(), Clock(START)
    service = Service("Demo", orders)
    kinds = [sticky_kind([service], timeout=TIMEOUT)]
    async with open_engine("memory://", kinds=kinds, clock=clock, keeper=False) as engine:
        sessions, keeper = Sessions(engine.manager, service), engine.keeper
        async with sessions.stay(Caller(owner="ann", client="ann"), None) as stay:
            await edit(stay, orders, ("1",), None)
            told = dict(await stay.settle())
        assert list(orders.locks) == ["1"]
        clock.now = START + 200.0
        async with sessions.stay(Caller(owner="ann", client="ann"), told[b"sap-contextid"].decode()) as stay:
            await stay.settle()
        clock.now = START + TIMEOUT + LATE
        await keeper.turn()
        assert list(orders.locks) == ["1"]  # it was used meanwhile
        clock.now = START + 200.0 + TIMEOUT + LATE
        await keeper.turn()
        await keeper.turn()
        assert not orders.locks
        assert [one async for one in engine.manager.each("kind", STICKY)] == []


async def test_a_logon_ends_with_the_last_sticky_session_below_it() -> None:  # S4, S21
    orders, clock = Orders(), Clock(START)
    service = Service("Demo", orders)
    async with open_engine("memory://", kinds=[*KINDS, sticky_kind([service])], clock=clock) as engine:
        logons, sessions = Logons(engine.manager), Sessions(engine.manager, service)
        logon = await logons.begin(Logon(issuer="https://login.example", subject="ann", method="oidc", at=START))
        caller = Caller(owner=logon.owner, client="ann", logon=logon)
        async with sessions.stay(caller, None) as stay:
            await edit(stay, orders, ("1",), None)
            told = dict(await stay.settle())
        clock.now = START + 10.0
        async with sessions.stay(caller, told[b"sap-contextid"].decode()) as stay:
            await discard(stay)
            assert await stay.settle() == []
        assert not orders.locks
        with anyio.fail_after(5):
            while await engine.manager.current(logon.ref) is not None:
                await anyio.sleep(0.01)
