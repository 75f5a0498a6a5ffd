"""The log level of a flow while it runs: at every worker, for messages that start then, and back by itself (F20)."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from holdfast.engine import open_engine
from holdfast.errors import BadInput, StoreUnavailable
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.monitoring import Entry, Levels
from holdfast.flows.monitoring import levels as module
from holdfast.flows.runtime import DeployedFlow, Message, deployed
from holdfast.testing.clock import Clock

FLOW = "flow: orders\nhttp_session_reuse: on_exchange\nreceivers:\n  erp: {adapter: http, url: 'http://erp'}\nsteps:\n"
STEPS = "- call: erp\n- call: erp\n- multicast: {parallel: true, branches: [[{call: erp}], [{call: erp}]]}\n"


async def answer(request: httpx2.Request) -> httpx2.Response:
    fields = {} if "cookie" in request.headers else {"set-cookie": "SID=very-secret; Path=/"}
    return httpx2.Response(200, headers=fields, text="fine")


@pytest.fixture(autouse=True)
def looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)


async def logged(flow: DeployedFlow, name: str) -> Entry:
    with anyio.fail_after(5):
        while not (found := [one for one in (await flow.log.list()).entries if one.id == name]):
            await anyio.sleep(0.02)
    return found[0]


async def test_a_level_holds_at_every_worker_for_messages_that_start_then_and_falls_back(tmp_path: Path) -> None:
    # F20
    clock, store = Clock(), f"sqlite:///{tmp_path}/flows.db"
    definition, how = read_flow(FLOW + STEPS, "orders.yaml"), {"kinds": flow_kinds(), "clock": clock}
    async with (
        open_engine(store, **how) as one,
        open_engine(store, **how) as two,
        deployed(definition, one.manager, transport=httpx2.MockTransport(answer)) as here,
        deployed(definition, two.manager, transport=httpx2.MockTransport(answer)) as there,
    ):
        await there.process(Message(id="before"))
        assert await Levels(one.manager).set("orders", "debug", 60) == clock() + 60
        for flow, name in ((here, "here"), (there, "there")):
            await flow.process(Message(id=name))
            entry = await logged(here, name)
            requests = [line for line in entry.last.lines if line.kind == "request"]
            assert entry.last.level == "debug"
            assert [line.outcome for line in requests] == ["200"] * 4
            assert requests[0].sent == ()
            assert [line.sent for line in requests[1:]] == [requests[0].set] * 3  # F10, statements 32 and 33
            assert "very-secret" not in repr(entry)
        clock.advance(61)
        await there.process(Message(id="after"))
        for name in ("before", "after"):  # statement 34
            entry = await logged(here, name)
            assert entry.last.level == "info"
            assert not [line for line in entry.last.lines if line.kind == "request" or line.sent or line.set]


async def test_a_level_is_taken_back_and_set_for_longer_or_shorter() -> None:
    clock = Clock()
    async with open_engine("memory://", kinds=flow_kinds(), clock=clock) as engine:
        levels = Levels(engine.manager)
        assert await levels.of("orders") == "info"
        await levels.set("orders", "debug", 100)
        assert await levels.set("orders", "debug", 10) == clock() + 10
        assert (await levels.of("orders"), await levels.of("others")) == ("debug", "info")
        await levels.set("orders", "info")
        assert await levels.of("orders") == "info"
        for level, seconds in (("loud", 10.0), ("debug", 0.0), ("debug", 1e9)):
            with pytest.raises(BadInput):
                await levels.set("orders", level, seconds)


async def test_while_the_store_is_away_the_last_level_that_was_known_holds_until_its_time_is_over() -> None:
    clock = Clock()
    async with open_engine("memory://", kinds=flow_kinds(), clock=clock) as engine:
        levels = Levels(engine.manager)
        await levels.set("orders", "debug", 10)
        assert await levels.of("orders") == "debug"

        async def read(*args: Any, **more: Any) -> list[int]:
            raise StoreUnavailable("gone")

        engine.store.counters.read = read  # type: ignore[method-assign]
        assert await levels.of("orders") == "debug"
        clock.advance(11)
        assert await levels.of("orders") == "info"
