"""The contract accepts a store that shares no code with those that ship, and notices when one breaks a sentence."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from core.copies import Copy, Plant
from core.virtual_time import VirtualLoop
from holdfast.core.ports import Store
from holdfast.testing import StoreContract
from testing.other_store import other_store

SENTENCES = [name for name in dir(StoreContract) if name.startswith("test_")]
LONG = ("thousand", "64", "fifty")  # come last
MOST_STEPS = 20_000

BROKEN: dict[str, tuple[str, str]] = {
    "an ancestor's end is overlooked": ("for node in (row, *self.line(row)))", "for node in (row,))"),
    "a session lives an instant too long": ("expires_at(node) > now for", "expires_at(node) >= now for"),
    "expiry comes late": ("row.state is State.LIVE and expires_at(row) <= value", "expires_at(row) < value"),
    "a use makes a new version": ("row = ground.rows[row.key] = used", "row = ground.write(used)"),
    "a foreign owner leaves a trace": (
        "if row is None or owner not in (None, row.owner) or not",
        "if row is not None and touch_after is not None and touched(row, now, touch_after):\n"
        "                ground.rows[row.key] = touched(row, now, touch_after)\n"
        "            if row is None or owner not in (None, row.owner) or not",
    ),
    "an old version is written over": (
        'raise SessionConflict("another version")\n            return ground.write(record)',
        "pass\n            return ground.write(record)",
    ),
    "a late write needs no lease": ("elif ground.leases.get(record.key, Held()).fence != fence:", "elif fence == -1:"),
    "a late write revives": (
        "                ground.live_at(record.ref, now)\n            elif",
        "                pass\n            elif",
    ),
    "uses shrink": (
        "grown = {name: max(getattr(old, name), getattr(record, name))",
        "grown = {name: getattr(record, name)",
    ),
    "an alias is given twice": (
        "if record.key in ground.rows or ground.named(record.alias) is not None:",
        "if record.key in ground.rows:",
    ),
    "an old id lives on": (
        "replace(ground.rows[row.key], alias=alias, mark=mark,",
        "replace(ground.rows[row.key], mark=mark,",
    ),
    "a move leaves the children": ("for node in (row, *below):", "for node in (row,):"),
    "a move does not weigh": ("weight = row.held + row.holds", "weight = 0"),
    "a tree is too deep": ("if len(above) + 1 + height > MAX_DEPTH:", "if len(above) + height > MAX_DEPTH:"),
    "a second end marks again": (
        "if row is not None and row.state is State.LIVE else None",
        "if row is not None else None",
    ),
    "a parent goes before its children": (
        "if row is None or any(other.parent == ref.key for other in ground.rows.values()):",
        "if row is None:",
    ),
    "what is deleted still holds": ("ground.weigh(ground.line(row), -int(row.holds))", "pass"),
    "a lease stays when its node goes": (
        "for kept in (ground.rows, ground.leases, ground.logs, ground.lengths):",
        "for kept in (ground.rows,):",
    ),
    "a limit is counted one too late": ("rivals, now)", "rivals[1:], now)"),
    "an ancestor is replaced": ("spare=limit.spare | spared", "spare=limit.spare"),
    "what has expired counts": (
        "                and expires_at(row) > now\n                and row not in",
        "                and row not in",
    ),
    "a limit marks before another refuses": (
        "leaving += chosen",
        "leaving += [ground.mark(row, Reason.REPLACED, now) for row in chosen]",
    ),
    "two hold one lease": ("            if not ground.free(ref.key, now):\n                return None\n", ""),
    "a fence does not grow": (
        "self.leases.get(ref.key, Held()).fence + 1",
        "max(self.leases.get(ref.key, Held()).fence, 1)",
    ),
    "one of two records is put": (
        "            row = self.at(record.ref)\n            if row is None or row.version != record.version:\n"
        '                raise SessionConflict("another version")\n',
        "            row = self.at(record.ref)\n            if row is None or row.version != record.version:\n"
        '                raise SessionConflict("another version")\n            self.write(record)\n',
    ),
    "a renewal of a lost lease works": (
        "            ground.held_under(lease)\n            ground.put(lease.ref, put)\n            ground",
        "            ground.put(lease.ref, put)\n            ground",
    ),
    "a claim takes what it cannot close": (
        "all(node.kind in kinds for node in (row, *ground.below(row.key)))",
        "row.kind in kinds",
    ),
    "a claim takes what is leased": ("if at <= now and ground.free(key, now)", "if at <= now"),
    "the latest is claimed first": (
        "for at, key in sorted(due) if at",
        "for at, key in sorted(due, reverse=True) if at",
    ),
    "a page begins with what was seen": ("row.key > after and", "row.key >= after and"),
    "numbers of events come again": (
        "lengths.get(stream, 0) + 1",
        "len(ground.logs.get(ref.key, {}).get(stream, [])) + 1",
    ),
    "young events are trimmed": ("entry.at < before", "entry.at <= before"),
    "a bucket overflows": ("level = min(burst, level + ", "level = (level + "),
    "a refused take takes": (
        "                return missing / rate",
        "                ground.levels[name] = (level - cost, now)\n                return missing / rate",
    ),
    "a replay is forgotten": ("if ground.seen.get(name, now) > now:", "if ground.seen.get(name, now) > now + 1:"),
    "a counter never starts anew": (
        "if until <= now:\n            return 0, math.inf",
        "if until <= now:\n            return value, math.inf",
    ),
    "a message goes to one": (
        "                    event.set()\n",
        "                    event.set()\n                    break\n",
    ),
    "a slow listener keeps everything": ("MAILBOX = 1_000", "MAILBOX = 2_000"),
}


class TestOtherStore(StoreContract):
    """Every sentence of the ports (E23)."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        yield other_store()


def broken(copy: Copy) -> str | None:
    """Return the first sentence of the contract that does not hold for the copy's store."""

    class Sentences(StoreContract):
        @asynccontextmanager
        async def open(self) -> AsyncIterator[Store]:
            ground, steps = copy.other_store.Ground(), itertools.count(1)

            def watch() -> None:
                assert next(steps) <= MOST_STEPS, "it goes on for ever"

            ground.watch = watch
            yield copy.other_store.other_store(ground)

    contract = Sentences()

    async def run() -> str | None:
        for name in sorted(SENTENCES, key=lambda name: (any(word in name for word in LONG), name)):
            try:
                await getattr(contract, name)()
            except Exception:  # noqa: BLE001 - however it shows
                return name
        return None

    return anyio.run(run, backend_options={"loop_factory": VirtualLoop})


@pytest.mark.parametrize("fault", BROKEN)
def test_the_contract_notices_a_broken_store(fault: str) -> None:  # E23
    assert broken(Copy(Plant("other_store", *BROKEN[fault]))) is not None


@pytest.mark.slow
def test_the_contract_finds_nothing_in_a_store_that_keeps_it() -> None:
    assert broken(Copy()) is None
