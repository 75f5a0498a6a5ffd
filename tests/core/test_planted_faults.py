"""A storm finds the faults that are planted in a copy of the engine, and none in the engine itself.

A new kind of fault is worth a line in `PLANTS`: a judge that has never found anyone guilty proves nothing.
"""

from collections import Counter

import pytest

from core.copies import Copy, Plant
from core.storm import storm

SEEDS = range(12)

PLANTS: dict[str, Plant] = {
    "a save ignores the version": Plant(
        "manager",
        "        session.record = await self.store.sessions.replace(record, now=self.clock())\n",
        "        stored = await self.current(record.ref) or record\n"
        "        record = msgspec.structs.replace(record, version=stored.version)\n"
        "        session.record = await self.store.sessions.replace(record, now=self.clock())\n",
    ),
    "a merge writes its old copy over what others wrote": Plant(
        "manager",
        "session.record, session.content = fresh.record, fresh.content",
        "session.record = fresh.record",
    ),
    "a keeper claims without a lease": Plant(
        "keeper", "ttl=manager.tuning.lease_ttl,\n                count=count", "ttl=0.0, count=count"
    ),
    "a closer is called without the lease of its node": Plant(
        "keeper", "async with limiter, self._leased(record, run):", "async with limiter:"
    ),
    "a session expires by the sweep only": Plant(
        "manager",
        "            loaded = await self.store.sessions.load(\n"
        "                at, now=now, touch_after=touch_after, busy_until=busy_until, owner=owner\n"
        "            )\n",
        "            more = {'touch_after': touch_after, 'busy_until': busy_until, 'owner': owner}\n"
        "            found = await self.store.sessions.load(at, now=now, **more)\n"
        "            loaded = found or await self.store.sessions.load(at, now=0.0, owner=owner)\n",
    ),
    "the store forgets to look at the clocks": Plant(
        "other_store",
        "all(node.state is State.LIVE and expires_at(node) > now for node in (row, *self.line(row)))",
        "all(node.state is State.LIVE for node in (row, *self.line(row)))",
    ),
    "the store looks at the node only, not at what is above it": Plant(
        "other_store", "expires_at(node) > now for node in (row, *self.line(row)))", "True for node in (row,))"
    ),
    "an end is closed outside before it is stored": Plant(
        "manager",
        "        record = await self.store.sessions.end(ref, reason, now=self.clock())\n",
        "        from types import SimpleNamespace\n"
        "        for below in [r async for r in self.each('tree', ref.tree)]:\n"
        "            closer = self.kinds[below.kind].closer if below.parent == ref.key else None\n"
        "            if closer is not None:\n"
        "                await closer(SimpleNamespace(session=await self.read(below)))\n"
        "        record = await self.store.sessions.end(ref, reason, now=self.clock())\n",
    ),
    "a late write of a holder revives what has ended": Plant(
        "holding",
        "session.record = msgspec.structs.replace(stored, **marks)",
        "session.record = msgspec.structs.replace(ours, version=stored.version)",
    ),
    "a limit is looked at before, not while, a session is stored": Plant(
        "manager",
        "created = await self.store.sessions.create(record, counted, now=now)",
        "found = await self.store.sessions.find('client', record.client)\n"
        "            rivals = [r for r in found if r.kind == kind and r.state is State.LIVE]\n"
        "            if rules.per_client is not None and len(rivals) >= rules.per_client:\n"
        "                raise LimitReached('full')\n"
        "            created = await self.store.sessions.create(record, now=now)",
    ),
    "a use makes a new version": Plant("other_store", "row = ground.rows[row.key] = used", "row = ground.write(used)"),
    "uses are not recorded": Plant("manager", "after = self.touch_after(kind, app) if touch else None", "after = None"),
    "what could not be closed is removed all the same": Plant(
        "keeper", "closing.removable(nodes, run.failed, ", "closing.removable(nodes, (), "
    ),
    "what could not be reached is not closed again": Plant(
        "keeper", "            busy.append(record)\n", "            pass\n"
    ),
    "what is above is closed first": Plant("closing", "    return found[::-1]\n", "    return found\n"),
    "a holder writes after its end was stored, and it is forgotten": Plant(
        "holding", "sessions = [s for s in sessions if await self._rebase(s)]", "sessions = []"
    ),
    "a holder goes on when its lease has run out": Plant("tuning", "return 0.8 * self.lease_ttl", "return 1e9"),
    "a rotation leaves the old id alive": Plant(
        "other_store",
        "return next((row for row in self.rows.values() if alias is not None and row.alias == alias), None)",
        'self.old = {**getattr(self, "old", {}), **{r.alias: r.key for r in self.rows.values()}}\n'
        "        return self.rows.get(self.old.get(alias)) if alias is not None else None",
    ),
    "nobody tells the other workers of an end": Plant(
        "manager", "            await self.store.channel.publish(ENDED_TOPIC, record.key)", "            pass"
    ),
}


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_no_storm_finds_a_fault_in_the_engine(seed: int) -> None:  # E9, E12, E14, E15, E18, E24, E26
    world = storm(Copy(seed=seed), seed)
    assert world.faults == []
    least = {"written": 30, "closed": 15, "rotated": 4, "ended": 4, "open lock": 4, "kept": 1, "killed": seed % 2}
    assert world.done >= Counter(least), "the storm was too weak to prove anything"


@pytest.mark.parametrize("fault", PLANTS)
def test_a_storm_finds_the_fault(fault: str) -> None:
    found = (storm(Copy(PLANTS[fault], seed=seed), seed).faults for seed in SEEDS)
    assert any(found), "no storm has noticed"


def test_a_fault_that_cannot_be_planted_any_more_is_noticed() -> None:
    with pytest.raises(AssertionError, match="has changed"):
        Copy(Plant("manager", "this text is nowhere", ""))
