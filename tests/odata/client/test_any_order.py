"""Any steps in any order, while a service and the way to it fail now and then: no session gets lost (O16, O18)."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError
from holdfast.odata.client import Loss, StickyClient
from holdfast.testing.clock import Clock
from odata.client.unruly import Unruly

ONE, TWO = "Orders('1')", "Orders('2')"
EFFECTS = ["stripped", "proxy error", "answer lost", "request lost", "out of reach", "forgotten", "token expired"]


class Way(httpx2.AsyncBaseTransport):
    """The way to the service. `plan` says what happens to one request after the other; then all is well."""

    def __init__(self, service: Unruly, plan: Iterator[str]) -> None:
        self.service, self._plan = service, plan
        self._inner = httpx2.ASGITransport(app=service)
        self.orphans: set[str] = set()  # sessions whose id nobody was told
        self.last = ""  # the last id that was sent

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        effect = next(self._plan, "fine")
        self.last = request.headers.get("sap-contextid", self.last)
        if effect == "forgotten":
            self.service.sessions.clear()
        if effect == "token expired":
            self.service.token += "x"
        if effect == "proxy error":
            return httpx2.Response(500, request=request)
        if effect == "request lost":
            raise httpx2.ReadError("cut")
        if effect == "out of reach":
            raise httpx2.ConnectError("refused")
        before = set(self.service.sessions)
        response = await self._inner.handle_async_request(request)
        await response.aread()
        if effect in ("stripped", "answer lost"):
            self.orphans |= set(self.service.sessions) - before
        if effect == "answer lost":
            raise httpx2.ReadError("cut")
        if effect == "stripped":
            response.headers.pop("sap-contextid", None)
        return response


class Run:
    """One client of one service, and what has to hold all the time."""

    def __init__(self, plan: list[str]) -> None:
        self.service, self.clock = Unruly(), Clock()
        self.way = Way(self.service, iter(plan))
        self.losses: list[Loss] = []
        self.client = StickyClient("http://x/svc", transport=self.way, clock=self.clock, on_loss=self.lost)

    def lost(self, loss: Loss) -> None:
        self.losses.append(loss)
        assert loss.given_up or self.way.last not in self.service.sessions  # it is told of what is really gone
        assert loss.unsaved

    async def do(self, step: str, path: str) -> None:
        client = self.client
        steps: dict[str, Callable[[], Any]] = {
            "edit": lambda: client._edit(path, ""),
            "new": lambda: client._new("Orders", {}, "", {}, ""),
            "patch": lambda: client.patch(path, {"Note": "x"}),
            "save": lambda: client.save(path),
            "discard": client.discard,
            "read": lambda: client.read(path),
            "tend": client.keep_alive,
        }
        if step == "tend":
            self.clock.advance(595)
        with suppress(HoldfastError):
            await steps[step]()
        self.check()

    def check(self) -> None:
        """No session is alive that nobody knows, but for those whose first answer did not come."""
        known = {self.client._driver.standing.context_id} - {""}
        assert set(self.service.sessions) - self.way.orphans <= known
        assert bool(known) == self.client.inside
        for asked in self.service.asked:
            assert asked.headers.get("sap-contextid") != ""
            assert asked.method != "PATCH" or asked.session

    async def end(self) -> None:
        closed = await self.client.close()
        if closed.how != "left":
            assert set(self.service.sessions) <= self.way.orphans
        else:
            assert self.losses[-1].given_up


steps = st.tuples(
    st.sampled_from(["edit", "new", "patch", "save", "discard", "read", "tend"]),
    st.sampled_from([ONE, TWO, "Orders('')"]),
)
faults = st.tuples(st.sampled_from(EFFECTS), st.integers(3, 8))


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, min_size=3, max_size=20), st.lists(faults, max_size=6))
def test_no_session_is_lost_sight_of_and_none_is_called_lost_that_lives(
    script: list[tuple[str, str]], trouble: list[tuple[str, int]]
) -> None:
    plan = [effect for fault, quiet in trouble for effect in (*["fine"] * quiet, fault)]

    async def all_steps() -> None:
        run = Run(plan)
        with anyio.fail_after(20):
            for step, path in script:
                await run.do(step, path)
            await run.end()

    anyio.run(all_steps)
