"""Properties of the whole: whatever is sent in whatever order, no lock outlives its context."""

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.simulator import Switches
from simulator.wire import CLOCK, DESK, GREETER, LOGOFF, PROGRAM, Caller, Hourglass, System

OBJECTS = (GREETER, DESK, CLOCK, PROGRAM)
ACTIONS = ("lock", "unlock", "put", "read", "delete", "close", "logoff", "age", "forget", "restart", "admin")
STEP = st.tuples(
    st.sampled_from(ACTIONS),
    st.integers(0, 2),
    st.sampled_from(OBJECTS),
    st.sampled_from([None, "stateful", "stateless", "stateful;enqueue"]),
)
ALLOWED = {200, 400, 401, 403, 404, 423}


class Play:
    """Three clients on one system; each remembers the last handle it was given per object."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.callers: list[Caller] = []
        self.handles: dict[tuple[int, str], str] = {}

    async def step(self, action: str, who: int, path: str, mode: str | None) -> None:
        caller = self.callers[who]
        handle = self.handles.get((who, path), "0" * 40)
        query = f"lockHandle={handle}"
        if action == "age":
            self.system.clock.now += 700
        elif action == "restart":
            await self.system.admin("POST", "/restart")
        elif action == "admin":
            for row in (await self.system.sm12())[:1]:
                await self.system.admin("DELETE", f"/sm12/{row['id']}")
        elif action == "forget":
            caller.cookies.pop("sap-contextid", None)
        else:
            await self.send(action, who, path, mode, query)

    async def send(self, action: str, who: int, path: str, mode: str | None, query: str) -> None:
        caller = self.callers[who]
        method, url = {
            "lock": ("POST", f"{path}?_action=LOCK"),
            "unlock": ("POST", f"{path}?_action=UNLOCK&{query}"),
            "put": ("PUT", f"{path}/source/main?{query}"),
            "read": ("GET", f"{path}/source/main"),
            "delete": ("DELETE", f"{path}?{query}"),
            "close": ("GET", "/sap/bc/adt/core/http/sessions"),
            "logoff": ("GET", LOGOFF),
        }[action]
        answer = await caller.call(method, url, "stateless" if action == "close" else mode, content=b"* x")
        assert answer.status_code in ALLOWED, answer.text
        if answer.status_code == 401 or action == "logoff":
            caller.cookies.clear()
            await caller.log_on()
        if action == "lock" and answer.status_code == 200:
            self.handles[who, path] = answer.text.split("<LOCK_HANDLE>")[1][:40]

    def check(self) -> None:
        sim = self.system.sim
        sim.sweep(sim.clock())
        living = {context.key for context in sim.sessions.contexts()}
        entries = list(sim.locks.entries(sim.clock()))
        assert all(entry.owner in living for entry in entries)
        assert len({entry.key for entry in entries}) == len(entries)
        sessions = set(sim.sessions.sessions())
        assert all(context.session in sessions for context in sim.sessions.contexts())
        assert all(context.running == 0 for context in sim.sessions.contexts())


# A24: no lock outlives its context, each object has at most one lock
@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25), st.booleans())
def test_no_lock_outlives_its_context_and_an_object_has_one_at_most(
    steps: list[tuple[str, int, str, str | None]], parallel: bool
) -> None:
    async def run() -> None:
        system = System("7.58", Hourglass(), Switches())
        async with system.http:
            play = Play(system)
            play.callers = [await system.caller(user) for user in ("DEVELOPER", "DEVELOPER", "ALICE")]
            for start in range(0, len(steps), 3 if parallel else 1):
                async with anyio.create_task_group() as group:
                    for step in steps[start : start + (3 if parallel else 1)]:
                        group.start_soon(play.step, *step)
                play.check()
            for caller in play.callers:
                await caller.call("GET", LOGOFF)
            system.clock.now += 1800
            play.check()
            assert list(system.sim.locks.entries(system.sim.clock())) == []
            assert list(system.sim.sessions.contexts()) == []

    anyio.run(run)
