"""The simulated ABAP system: everything it is made of, wired together."""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import anyio

from holdfast.simulator.admin import admin_app
from holdfast.simulator.call import Receive, Scope, Send
from holdfast.simulator.clock import SimulatedClock
from holdfast.simulator.enqueue import EnqueueTable, LockEntry
from holdfast.simulator.faults import FaultQueue
from holdfast.simulator.gate import Gate
from holdfast.simulator.journal import Journal
from holdfast.simulator.profiles import PROFILES, Profile, Switches
from holdfast.simulator.repository import Repository
from holdfast.simulator.resources import routes
from holdfast.simulator.router import Router
from holdfast.simulator.seeding import plant
from holdfast.simulator.sessions import Context, SessionTable, XsrfTable
from holdfast.simulator.store import ObjectStore

DEMO_USERS: Final = {"DEVELOPER": "Holdfast1", "ALICE": "Holdfast1", "BOB": "Holdfast1"}
"""The users of the demo system and their documented password."""
DEFAULT_PROFILE: Final = "7.58"
ADMIN_PATH: Final = "/_sim"


class Simulator:
    """An ABAP system for learning and testing, as ASGI applications.

    `app` is the system itself (`/sap/bc/adt` and the log-off), `admin` the administrator's view of it (JSON).
    Objects outlive the process if `store` names a file; sessions, contexts and locks never do.

    Args:
        profile: A release of `PROFILES`.
        store: The SQLite file the objects are kept in, or None for memory.
        clock: Gives Unix seconds; the admin API moves the simulated time ahead of it.
        users: Passwords by user name in upper case.
        seed: Plant the demo objects if the store is empty.
        switches: The sides to take where real systems differ.
        pause: Waits this many real seconds, for slow answers.
    Raises:
        ValueError: The profile is unknown.
    """

    def __init__(
        self,
        profile: str = DEFAULT_PROFILE,
        *,
        store: Path | None = None,
        clock: Callable[[], float] = time.time,
        users: Mapping[str, str] | None = None,
        seed: bool = True,
        switches: Switches | None = None,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
        system_id: str = "HFT",
        client: str = "001",
        language: str = "EN",
    ) -> None:
        self.profile = _profile(profile)
        self.switches = switches or Switches()
        self.system_id, self.client, self.language = system_id, client, language
        self.session_cookie = f"SAP_SESSIONID_{system_id}_{client}"
        self.users = dict(DEMO_USERS if users is None else users)
        self.pause = pause
        self.clock = SimulatedClock(clock)
        self.store = None if store is None else ObjectStore(store)
        self.repository = Repository(self.store)
        self.locks = EnqueueTable(self.profile.handle_alphabet)
        self.sessions = SessionTable(system_id, self._release)
        self.xsrf = XsrfTable(f"sap-XSRF_{system_id}_{client}")
        self.faults = FaultQueue()
        self.journal = Journal()
        self.router = Router(self.profile, routes(self.profile))
        self.app = Gate(self)
        self.admin = admin_app(self)
        self.restarts = 0
        self._seed = seed
        self._limiter: anyio.CapacityLimiter | None = None
        if seed and not len(self.repository):
            plant(self.repository, self.profile, self.clock())

    def sweep(self, now: float) -> None:
        """End what has been idle too long."""
        self.sessions.sweep(
            now,
            context_timeout_s=self.switches.context_timeout_s,
            session_timeout_s=self.switches.session_timeout_s,
        )

    def switch(self, switches: Switches) -> None:
        """Put other switches in force at once."""
        self.switches = switches
        self._limiter = None
        self.sessions.forget_schedule()

    def work_processes(self) -> anyio.CapacityLimiter:
        """Return the pool of work processes; its size is a switch."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.switches.work_processes)
        return self._limiter

    def seize_lock(self, uri: str, user: str | None) -> LockEntry | None:
        """Delete the lock entry of the object at this address and, with a user, lock it for that user.

        The new owner stands outside of every context: such an entry goes only by `DELETE /sm12/{id}` or a restart.
        """
        found = self.repository.at_uri(uri)
        if found is None:
            return None
        now = self.clock()
        held = self.locks.get(found[0].key, now)
        if held is not None:
            self.locks.remove(held)
        return self.locks.add(found[0].key, user=user.upper(), owner="GUI", now=now) if user else None

    def restart(self) -> None:
        """Restart the application server: sessions, contexts and locks are gone, objects stay."""
        self.sessions.end_all(self.clock())
        self.locks.clear()
        self.restarts += 1

    def reset(self) -> None:
        """Go back to the first state: no sessions, no faults, default switches, freshly planted objects."""
        self.restart()
        self.faults.rules.clear()
        self.journal = Journal()
        self.sessions.logons = 0
        self.switch(Switches())
        self.repository.clear()
        if self._seed:
            plant(self.repository, self.profile, self.clock())

    def close(self) -> None:
        """Let go of the store."""
        if self.store is not None:
            self.store.close()

    def _release(self, context: Context, now: float) -> None:
        self.locks.release_owner(context.key, now, self.switches.release_delay_s)


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]


class Combined:
    """The system and, under `/_sim`, its admin API as one ASGI application."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path + "/").startswith(ADMIN_PATH + "/"):
            inner = {**scope, "path": path[len(ADMIN_PATH) :] or "/", "raw_path": None}
            await self._simulator.admin(inner, receive, send)
        else:
            await self._simulator.app(scope, receive, send)


def asgi(simulator: Simulator) -> Combined:
    """Return one ASGI application: the ABAP system, and its admin API under `/_sim`."""
    return Combined(simulator)
