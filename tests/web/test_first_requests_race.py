"""The first requests of a second application come at once, in whatever order their steps fall, and some of them die."""

from contextvars import ContextVar
from typing import Any

import anyio
import httpx2
import msgspec
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.model import Reason, State
from holdfast.core.ports import Store
from holdfast.stores.memory import memory_store
from holdfast.web.places import OPENING_S
from web.test_middleware import Browser, Site, site_on

CALLS: ContextVar["Calls | None"] = ContextVar("CALLS", default=None)
NEW, VISITOR, OTHER = "without a cookie of the bank's", "with a visitor's session", "with another visitor's session"
REQUESTS = st.lists(
    st.tuples(st.sampled_from([NEW, VISITOR, OTHER]), st.none() | st.integers(1, 12)), min_size=2, max_size=8
)
PAUSES = st.lists(st.integers(0, 5), min_size=1, max_size=40)


class Calls:
    """The calls of the store that a request has left before it dies."""

    def __init__(self, left: int | None, scope: anyio.CancelScope) -> None:
        self.left, self.scope = left, scope

    def count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.scope.cancel()


class Slow:
    """A port whose calls take as many turns of the loop as they are told to, before and after they are carried out."""

    def __init__(self, port: Any, pauses: list[int]) -> None:
        self._port, self._pauses, self._at = port, pauses, 0

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            await self._pause()
            result = await getattr(self._port, name)(*arguments, **named)
            if (calls := CALLS.get()) is not None:
                calls.count()
            await self._pause()
            return result

        return call

    async def _pause(self) -> None:
        self._at += 1
        for _ in range(self._pauses[self._at % len(self._pauses)]):
            await checkpoint()


def slow_store(pauses: list[int]) -> Store:
    store = memory_store()
    return msgspec.structs.replace(store, sessions=Slow(store.sessions, pauses))


async def browsers(site: Site) -> dict[str, httpx2.Cookies]:
    """Log somebody on at the shop; return the cookies of who has not been at the bank yet, or only as a visitor."""
    jars = {NEW: httpx2.Cookies()}
    for sort in (VISITOR, OTHER):
        visitor = Browser(site, httpx2.Cookies())
        await visitor.get("bank", f"/put?basket={len(sort)}")
        jars[sort] = visitor.jar
    victim = Browser(site, httpx2.Cookies())
    await victim.get("shop", "/login/ann")
    for jar in jars.values():
        jar.update(victim.jar)
    return jars


async def at_the_bank(site: Site) -> list[Any]:
    """Return the live sessions of the bank below the logon."""
    store = site.running.manager.store
    return [
        one
        for one in await store.sessions.find("kind", "http")
        if one.label == "bank" and one.parent is not None and one.state is State.LIVE
    ]


@settings(max_examples=50, deadline=None)
@given(REQUESTS, PAUSES)
async def test_however_their_steps_fall_they_get_one_session_and_what_they_wrote_is_in_it(
    requests: list[tuple[str, int | None]], pauses: list[int]
) -> None:  # S2, R66
    with anyio.fail_after(20):
        async with site_on(slow_store(pauses)) as site:
            jars = await browsers(site)
            survivors: list[int] = []

            async def send(number: int, sort: str, dies_after: int | None) -> None:
                with anyio.CancelScope() as scope:
                    CALLS.set(Calls(dies_after, scope))
                    answer = await Browser(site, httpx2.Cookies(jars[sort])).get("bank", f"/put?k{number}=1")
                    assert answer.status_code == 200, answer.text
                    survivors.append(number)

            async with anyio.create_task_group() as tasks:
                for number, (sort, dies_after) in enumerate(requests):
                    tasks.start_soon(send, number, sort, dies_after)
            all_live = all(dies_after is None for _, dies_after in requests)
            if all_live:
                assert len(await at_the_bank(site)) == 1
            late = await Browser(site, httpx2.Cookies(jars[NEW])).seen("bank")
            assert late["who"] == "ann"
            assert {f"k{number}" for number in survivors} <= late["data"].keys()
            if all_live and {sort for sort, _ in requests} - {NEW}:
                assert late["data"]["basket"]
            assert len(await at_the_bank(site)) <= 1 + sum(dies_after is not None for _, dies_after in requests)


async def test_a_session_that_has_ended_gives_way_to_another_one_with_another_key() -> None:  # S2, R38
    async with site_on(memory_store()) as site:
        jar = (await browsers(site))[NEW]
        keys = []
        for seconds in (0.0, OPENING_S + 1.0, 1.0, 0.0):
            site.clock.now += seconds
            fresh = Browser(site, httpx2.Cookies(jar))
            assert (await fresh.seen("bank"))["data"] == {}
            await fresh.get("bank", "/put?a=1")
            assert (await fresh.seen("bank"))["data"] == {"a": "1"}
            [one] = await at_the_bank(site)
            keys.append(one.key)
            await site.running.manager.end(one.ref, Reason.CLIENT)
        assert len(set(keys)) == 4


async def test_a_visitor_joins_the_session_that_is_there_with_what_it_has_not() -> None:  # S2, S3
    async with site_on(memory_store()) as site:
        jars = await browsers(site)
        await Browser(site, httpx2.Cookies(jars[NEW])).get("bank", "/put?a=1")
        joining = Browser(site, httpx2.Cookies(jars[VISITOR]))
        kept = {"basket": str(len(VISITOR))}
        assert (await joining.seen("bank"))["data"] == {"a": "1", **kept}
        second = Browser(site, httpx2.Cookies(jars[OTHER]))
        assert (await second.seen("bank"))["data"] == {"a": "1", **kept}, "what is there stays"
        assert len(await at_the_bank(site)) == 1
