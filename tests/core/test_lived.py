"""How long a node lived, told once when it has gone."""

from core.samples import record
from holdfast.core.events import Event, Fact
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.policy import lived
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink

SESSION = "mcp"
KINDS = (Kind(name=SESSION, clocks=Clocks(idle=1800.0)),)


def test_a_node_lived_until_it_was_ended_or_a_clock_ran_out() -> None:  # M24
    assert lived(record(1, created_at=100.0, ended_at=130.0), now=500.0) == 30.0
    assert lived(record(1, created_at=100.0, used_at=120.0, idle=60.0), now=500.0) == 80.0
    assert lived(record(1, created_at=100.0, used_at=120.0, idle=60.0, ended_at=400.0), now=500.0) == 80.0
    assert lived(record(1, created_at=100.0), now=90.0) == 0.0


async def test_each_node_is_told_of_as_gone_once_with_how_long_it_lived() -> None:  # M24
    store, clock, sink = memory_store(), Clock(), RecordingSink()
    keys = KeyRing.parse(new_key_text())
    managers = [Manager(store, keys, KINDS, worker=f"w{n}", clock=clock, sink=sink) for n in (1, 2)]
    ended, idle = [await managers[0].open(SESSION) for _ in range(2)]
    clock.now += 10
    await managers[0].end(ended, Reason.CLIENT)
    await Keeper(managers[0]).turn()
    clock.now += 10_000
    page = await store.sessions.find("expired", clock())
    await Keeper(managers[0]).sweep()
    assert await Keeper(managers[1])._remove_leaves(page, clock()) == set()  # it was read before the other removed it
    gone = [(event.mark, event.reason, event.lived) for event in sink.events if event.lived is not None]
    assert gone == [(ended.record.mark, Reason.CLIENT, 10.0), (idle.record.mark, Reason.IDLE, 1800.0)]


def test_only_the_fact_that_a_node_has_gone_says_how_long_it_lived() -> None:
    assert Event(fact=Fact.OPENED, at=1.0).lived is None
