"""Races of one sticky session: what comes at once, too late, twice, or while somebody ends it (O3, O6, O8, O9).

In one process with a store in memory, where every order of events can be had; over two processes: `tests/e2e`.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx2
import msgspec
import pytest

from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Record
from holdfast.odata.server import calling
from holdfast.odata.server.kind import STICKY
from odata.server.world import Order, Orders, Tab, World, opened

ONE = "Orders('1')"
PATIENCE_S = 20.0
LOST = (400, "ICMENOSESSION")


class Slow(Orders):
    """Orders whose changes and saves wait where they are told to; `log` says what began and what was over, in order."""

    name = "Orders"

    def __init__(self) -> None:
        super().__init__()
        self.waits: set[str] = set()
        self.entered, self.go = anyio.Event(), anyio.Event()

    async def patch(self, row: Order, changes: Mapping[str, Any]) -> Order:  # type: ignore[override]
        self.log.append(f"patch {row.Note}")
        await self._wait("patch")
        self.log.append(f"patched {row.Note}")
        return msgspec.structs.replace(row, Tags=[*row.Tags, row.Note])

    async def save(self, row: Order, base: Order | None) -> Order:  # type: ignore[override]
        self.log.append("save")
        await self._wait("save")
        return super().save(row, base)

    async def discard(self, row: Order) -> None:  # type: ignore[override]
        await self._wait("discard")
        super().discard(row)

    async def _wait(self, act: str) -> None:
        if act in self.waits:
            self.entered.set()
            with anyio.fail_after(PATIENCE_S):
                await self.go.wait()
        await anyio.lowlevel.checkpoint()


class Race:
    """A tab that edits the first order, and what may be sent at once in its session."""

    def __init__(self, world: World, tab: Tab) -> None:
        self.world, self.tab, self.id = world, tab, str(tab.id)
        self.answers: dict[str, httpx2.Response] = {}

    @property
    def orders(self) -> Slow:
        assert isinstance(self.world.orders, Slow)
        return self.world.orders

    async def manager(self) -> Manager:
        return (await self.world.app.opened.get())._sessions.manager

    async def node(self) -> Record:
        [node] = [record async for record in (await self.manager()).each("kind", STICKY)]
        return node

    async def send(self, name: str, method: str, path: str, body: Any = None) -> None:
        """Send a request with the id and the token of the tab, whatever became of it, and keep the answer."""
        headers = {"SAP-ContextId": self.id, "X-CSRF-Token": self.tab.token, "Content-Type": "application/json"}
        content = None if body is None else msgspec.json.encode(body)
        self.answers[name] = await self.world.http.request(method, f"/{path}", content=content, headers=headers)

    async def patch(self, note: str) -> None:
        await self.send(note, "PATCH", ONE, {"Note": note})

    async def save(self, name: str = "save") -> None:
        await self.send(name, "POST", f"{ONE}/Demo.Save", {})

    async def discard(self, name: str = "discard") -> None:
        await self.send(name, "POST", "Discard")

    def ended(self, name: str) -> bool:
        """Say whether a request was answered with a lost session."""
        answer = self.answers[name]
        return (answer.status_code, answer.headers.get("sap-err-id")) == LOST

    async def has_left_nothing(self) -> None:
        """Fail unless the session, its lock and what a keeper has to do for it are gone."""
        manager = await self.manager()
        with anyio.fail_after(PATIENCE_S):
            while [record async for record in manager.each("kind", STICKY)]:
                await anyio.sleep(0.01)
        assert not self.orders.locks
        await self.send("afterwards", "GET", ONE)
        assert self.ended("afterwards")


@pytest.fixture
async def race() -> AsyncIterator[Race]:
    with anyio.fail_after(3 * PATIENCE_S):
        async with opened(orders=Slow(), timeout=60) as world:
            tab = world.tab()
            assert (await tab.send("POST", f"{ONE}/Demo.Edit", {})).status_code == 200
            world.orders.log.clear()
            yield Race(world, tab)


async def test_of_twenty_changes_at_once_none_is_lost_and_none_overlaps(race: Race) -> None:
    # O8
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(race.patch, str(number))
    assert {answer.status_code for answer in race.answers.values()} == {200}
    begun, over = race.orders.log[::2], race.orders.log[1::2]
    assert [one.removeprefix("patch ") for one in begun] == [one.removeprefix("patched ") for one in over]
    row = (await race.tab.send("GET", ONE)).json()
    assert sorted(row["Tags"], key=int) == [str(number) for number in range(20)]
    assert row["Note"] == row["Tags"][-1]
    assert row["Tags"] == [one.removeprefix("patched ") for one in over]
    # each answer tells the state right after its own change
    for answer in race.answers.values():
        assert answer.json()["Note"] == answer.json()["Tags"][-1]


async def test_what_was_answered_is_not_overtaken_by_what_is_sent_after_it(race: Race) -> None:
    # O8
    for number in range(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(race.patch, f"a{number}")
            tasks.start_soon(race.patch, f"b{number}")
    tags = (await race.tab.send("GET", ONE)).json()["Tags"]
    assert [sorted(tags[at : at + 2]) for at in range(0, 20, 2)] == [[f"a{n}", f"b{n}"] for n in range(10)]


async def test_a_discard_among_changes_ends_those_that_come_after_it(race: Race) -> None:
    # O3, O8, O9
    race.orders.waits = {"patch"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.patch, "first")
        await race.orders.entered.wait()
        tasks.start_soon(race.discard)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        for number in range(5):
            tasks.start_soon(race.patch, f"late {number}")
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert race.orders.locks  # the discard waits for the change that is carried out
        race.orders.go.set()
    assert race.answers["first"].status_code == 200
    assert race.answers["discard"].status_code == 204
    assert "sap-contextid" not in race.answers["discard"].headers
    assert all(race.ended(f"late {number}") for number in range(5))
    assert race.orders.log == ["patch first", "patched first", "discard 1"]
    assert race.orders.table["1"].Note == "first"  # as it was stored, which is its name
    await race.has_left_nothing()


async def test_of_two_saves_at_once_one_saves_and_the_other_comes_too_late(race: Race) -> None:
    # O3, O8: a double click
    await race.patch("clicked")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.save, "one")
        tasks.start_soon(race.save, "other")
    assert Counter(race.ended(name) for name in ("one", "other")) == {True: 1, False: 1}
    assert sorted(race.answers[name].status_code for name in ("one", "other")) == [200, 400]
    assert race.orders.log.count("save") == 1
    assert (race.orders.table["1"].Note, race.orders.table["1"].Version) == ("clicked", 2)
    await race.has_left_nothing()


async def test_save_and_discard_at_once_are_one_or_the_other(race: Race) -> None:
    # O3
    await race.patch("either")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.save)
        tasks.start_soon(race.discard)
    saved = race.answers["save"].status_code == 200
    assert race.ended("discard" if saved else "save")
    assert race.answers["discard"].status_code == (400 if saved else 204)
    assert race.orders.table["1"].Note == ("either" if saved else "first")
    await race.has_left_nothing()


async def test_two_tabs_that_edit_one_order_at_once_are_one_session_and_one_refusal() -> None:
    # O3, O7
    async with opened(orders=Slow()) as world:
        tabs = [world.tab() for _ in range(8)]
        for tab in tabs:
            await tab.fetch()
        statuses: list[int] = []

        async def edit(tab: Tab) -> None:
            statuses.append((await tab.send("POST", f"{ONE}/Demo.Edit", {})).status_code)

        async with anyio.create_task_group() as tasks:
            for tab in tabs:
                tasks.start_soon(edit, tab)
        assert sorted(statuses) == [200] + [422] * 7
        [winner] = [tab for tab in tabs if tab.id]
        manager = (await world.app.opened.get())._sessions.manager
        assert len([record async for record in manager.each("kind", STICKY)]) == 1
        assert (await winner.send("POST", f"{ONE}/Demo.Save", {})).status_code == 200
        assert not world.orders.locks


async def test_a_save_after_the_time_is_a_lost_session_and_nothing_is_stored(race: Race) -> None:
    # O6
    await race.patch("too late")
    manager = await race.manager()
    node, clock = await race.node(), manager.clock
    manager.clock = lambda: node.ends_at  # the very instant
    await race.save()
    assert race.ended("save")
    assert "save" not in race.orders.log
    assert race.orders.table["1"].Note == "first"
    await manager.end(node.ref, Reason.IDLE)
    manager.clock = lambda: max(clock(), node.ends_at)
    await race.has_left_nothing()


async def test_a_save_that_lasts_longer_than_the_session_is_stored_once_and_said_to_be(race: Race) -> None:
    # O3, O9: what has begun in time is finished
    await race.patch("in time")
    manager = await race.manager()
    node, clock = await race.node(), manager.clock
    race.orders.waits = {"save"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.save)
        await race.orders.entered.wait()
        manager.clock = lambda: clock() + (node.ends_at - node.used_at) + 1
        race.orders.go.set()
    assert race.answers["save"].status_code == 200, race.answers["save"].text
    assert "sap-contextid" not in race.answers["save"].headers
    assert race.orders.table["1"].Note == "in time"
    await race.has_left_nothing()


@pytest.mark.parametrize("act", ["patch", "save"])
async def test_an_end_by_an_administrator_does_not_run_into_a_handler(race: Race, act: str) -> None:
    # O9: the closer waits for the handler, what had begun is done, and then the session is gone
    race.orders.waits = {act}
    manager = await race.manager()
    node = await race.node()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.patch if act == "patch" else race.save, act)
        await race.orders.entered.wait()
        await manager.end(node.ref, Reason.ADMIN)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert "discard 1" not in race.orders.log
        race.orders.go.set()
    assert race.answers[act].status_code == 200, race.answers[act].text
    assert race.orders.table["1"].Version == (1 if act == "patch" else 2)
    done = ["patch patch", "patched patch"] if act == "patch" else ["save"]
    assert race.orders.log[: len(done)] == done
    await race.has_left_nothing()


async def test_an_end_while_others_wait_is_told_to_all_of_them(race: Race) -> None:
    # O6, O9
    race.orders.waits = {"patch"}
    manager = await race.manager()
    node = await race.node()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.patch, "first")
        await race.orders.entered.wait()
        for number in range(8):
            tasks.start_soon(race.patch, f"waiting {number}")
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        await manager.end(node.ref, Reason.ADMIN)
        race.orders.go.set()
    assert race.answers.pop("first").status_code == 200
    assert all(race.ended(name) for name in race.answers), {n: a.text for n, a in race.answers.items()}
    assert race.orders.log[:2] == ["patch first", "patched first"]
    assert not any(one.startswith("patch waiting") for one in race.orders.log)
    await race.has_left_nothing()


async def test_a_discard_whose_handler_is_slow_lets_nobody_in_meanwhile(race: Race) -> None:
    # O8, O9
    race.orders.waits = {"discard"}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(race.discard)
        await race.orders.entered.wait()
        tasks.start_soon(race.patch, "late")
        other = race.world.tab()
        refused = await other.send("POST", f"{ONE}/Demo.Edit", {})
        assert (refused.status_code, other.id) == (422, None)  # the lock stands until it was let go
        race.orders.go.set()
    assert race.answers["discard"].status_code == 204
    assert race.ended("late")
    assert (await other.send("POST", f"{ONE}/Demo.Edit", {})).status_code == 200
    assert set(race.orders.locks) == {"1"}
    assert calling().session == ""
