"""Agents that edit ABAP objects as the documentation tells them to, and report every acknowledged fact to the model.

GetSession, Validate, Create, Lock, Update (several times), Unlock, Activate, with reads in between. Sometimes one walks
away in the middle; sometimes two want the same object, or one that somebody else edits. What is answered with a code
that says so, or not at all, is asked again; anything else that is no answer breaks a promise.
"""

import random
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import anyio
import httpx2
from bench.chaos.client import CALL_S, Answered, End, Fault, Lost, McpClient, Refused
from bench.chaos.foreign import OBJECTS as FOREIGN
from bench.chaos.model import Model, Text, Word, nonce_of
from bench.chaos.world import World

from e2e.abap_world import CLASS, USER

AGAIN = {
    "session_busy",
    "lease_lost",
    "store_unavailable",
    "server_stopping",
    "backend_unavailable",
    "session_conflict",
}
OVER = {"session_expired", "lock_lost", "session_not_found", "session_ended"}
STUCK_S = 45.0
SHARED = [f"ZCL_SHARED_{number}" for number in range(4)]


class Walk(Exception):
    """The agent leaves its workflow where it stands."""


class Lockable:
    """A lock as its agent knows it. `used_at` is when the last acknowledged call about it was sent."""

    def __init__(self, name: str, handle: str, used_at: float) -> None:
        self.name, self.handle, self.used_at = name, handle, used_at
        self.at = time.time()


class Pause:
    """Lets agents work, or makes them stop; counts those that stand still."""

    def __init__(self) -> None:
        self.wanted = True
        self.standing = 0
        self._go = anyio.Event()
        self.outage_ended = 0.0

    def begin(self) -> None:
        """Let everybody work."""
        self.wanted = False
        self._go.set()

    def end(self) -> None:
        """Make everybody stop at the next call."""
        self.wanted, self._go = True, anyio.Event()

    async def wait(self) -> None:
        """Stand still as long as that is wanted."""
        self.standing += 1
        while self.wanted:
            await self._go.wait()
        self.standing -= 1


class Agent:
    """One of them."""

    def __init__(self, number: int, world: World, model: Model, pause: Pause, http: httpx2.AsyncClient) -> None:
        self._world, self._model, self._pause = world, model, pause
        self._random = random.Random(f"{world.options.seed}/agent/{number}")
        self.name = f"agent-{number}"
        self._client = McpClient(http, world.url, "legacy" if number % 2 else "modern")
        self._session = ""
        self._used_at = 0.0
        self._own: list[str] = []
        self._number, self._texts = number, 0
        self.codes: Counter[str] = Counter()
        self.workflows: Counter[str] = Counter()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._pause.wait()
            try:
                await self._workflow()
                self.workflows["finished"] += 1
            except Walk as walk:
                self.workflows[str(walk)] += 1
                await self._leave_session()

    async def _leave_session(self) -> None:
        """Close the session, or leave it behind: then its idle clock has to see to it."""
        session, self._session = self._session, ""
        if session and self._maybe(0.5):
            with suppress(Walk):
                await self._once("", "CloseSession", session_id=session)

    # -- the workflow

    async def _workflow(self) -> None:
        await self._need_session()
        name = self._choose()
        if name not in FOREIGN and name not in self._own:
            await self._create(name)
        lock = await self._lock(name)
        for _ in range(self._random.randint(1, 3)):
            self._leave_perhaps()
            await self._read_perhaps(lock)
            await self._update(lock)
        self._leave_perhaps()
        await self._unlock(lock)
        if self._maybe(0.9):
            await self._activate(name)
        if self._maybe(0.3):
            await self._close()

    def _choose(self) -> str:
        kind = self._random.random()
        if kind < 0.05:
            return self._random.choice(FOREIGN)
        if kind < 0.15:
            return self._random.choice(SHARED)
        if kind < 0.5 and self._own:
            return self._random.choice(self._own)
        return f"ZCL_C{self._number}_{len(self._own)}"

    async def _need_session(self) -> None:
        if self._session and self._maybe(0.7):
            return
        self._session = str((await self._patient("", "GetSession", force_new=self._maybe(0.2)))["session_id"])

    async def _create(self, name: str) -> None:
        if self._maybe(0.5):
            await self._about(name, "ValidateClass")
        answer = await self._about(name, "CreateClass")  # that it is there already may come of an answer that was lost
        if answer["success"]:
            self._model.fact("created")
        if name not in SHARED:
            self._own.append(name)

    async def _lock(self, name: str) -> Lockable:
        sent_at = time.time()
        answer = await self._about(name, "LockClass")
        if name in FOREIGN:
            self._model.violate("foreign lock freed", name, f"{self.name} was told that it had locked it", sent_at)
            raise Walk("foreign")
        lock = Lockable(name, str(answer["lock_handle"]), sent_at)
        self._model.fact("locked")
        row = await self._world.sap.lock_on(name)
        if row is None or row["user"] != USER:
            self._model.suspect("locked, and not in SM12", name, self.name, since=sent_at, at=time.time())
        return lock

    async def _read_perhaps(self, lock: Lockable) -> None:
        if not self._maybe(0.5):
            return
        item = self._model.item(lock.name)
        before = item.acknowledged
        sent_at = time.time()
        answer = await self._about(lock.name, "ReadClass")
        lock.used_at = sent_at
        self._model.fact("read")
        wrong = item.older(nonce_of(str(answer["source_code"])), before)
        if wrong:
            self._model.violate("lost", lock.name, f"{self.name} has read: {wrong}", sent_at)

    async def _update(self, lock: Lockable) -> None:
        nonce = self._nonce()
        began = time.time()
        while True:
            self._model.sent(lock.name, nonce, locked_at=lock.at)
            sent_at = time.time()
            source = CLASS.source(lock.name, nonce=nonce)
            held = {"lock_handle": lock.handle, "session_id": self._session, "class_name": lock.name}
            end = await self._once(lock.name, "UpdateClass", source_code=source, **held)
            if isinstance(end, Answered):
                word = {"applied": Word.APPLIED, "not_applied": Word.NOT_APPLIED}.get(end.content["outcome"])
                self._model.answered(lock.name, nonce, word or Word.MAYBE)
                lock.used_at = sent_at
                if word is Word.APPLIED:
                    return
            elif not self._worth_another_try(end):
                self._lost(end, lock)
            await self._breathe(began, "UpdateClass", lock.name)
            nonce = nonce if self._maybe(0.7) else self._nonce()

    async def _unlock(self, lock: Lockable) -> None:
        given = {"lock_handle": lock.handle}
        answer = await self._about(lock.name, "UnlockClass", lock=lock, **given)
        if answer["outcome"] != "applied":
            return
        self._model.fact("unlocked")
        row = await self._world.sap.lock_on(lock.name)
        if row is not None and row["user"] == USER and not row["releasing"] and lock.name not in SHARED:
            self._model.violate("unlocked, and in SM12", lock.name, f"{self.name}: {row}", time.time())

    async def _close(self) -> None:
        """End the session; that it is not there any more may come of an answer that was lost."""
        session, self._session = self._session, ""
        began, tries = time.time(), 0
        while True:
            end = await self._once("", "CloseSession", session_id=session)
            tries += 1
            if isinstance(end, Answered):
                self._model.fact("closed")
                return
            if tries > 1 and isinstance(end, Refused) and end.code in OVER:
                return
            if not self._worth_another_try(end):
                self._lost(end, None)
            await self._breathe(began, "CloseSession", "")

    async def _activate(self, name: str) -> None:
        before: Text | None = self._model.item(name).acknowledged
        answer = await self._about(name, "ActivateClass")
        if answer["outcome"] == "applied":
            self._model.is_active(name, before)

    # -- calls

    async def _about(self, name: str, tool: str, *, lock: Lockable | None = None, **given: Any) -> dict[str, Any]:
        return await self._patient(name, tool, lock=lock, class_name=name, session_id=self._session, **given)

    async def _patient(self, name: str, tool: str, *, lock: Lockable | None = None, **given: Any) -> dict[str, Any]:
        """Call until there is an answer; leave the workflow if there will be none."""
        began = time.time()
        while True:
            end = await self._once(name, tool, **given)
            if isinstance(end, Answered):
                return end.content
            if not self._worth_another_try(end):
                self._lost(end, lock)
            await self._breathe(began, tool, name)

    async def _once(self, name: str, tool: str, **given: Any) -> End:
        await anyio.sleep(self._random.uniform(0.0, 0.3))
        sent_at = time.time()
        end: End = Lost(f"no answer within {CALL_S} s")
        with anyio.move_on_after(CALL_S):
            end = await self._client.call(tool, **given)
        said = self._note(end)
        if isinstance(end, Answered) and tool != "GetSession":
            self._used_at = sent_at
        if isinstance(end, Answered) and tool == "GetSession":
            self._used_at = time.time()
        nonce = f" {nonce_of(str(given.get('source_code', '')))}" if "source_code" in given else ""
        self._model.tell(sent_at, name, self.name, f"{tool}{nonce} in {self._session[:8]}")
        self._model.tell(time.time(), name, self.name, f"{tool}{nonce} = {said}")
        if isinstance(end, Fault):
            self._model.violate(
                "an error that says nothing", name or tool, f"{self.name} {tool}: {end.reason}", sent_at
            )
            raise Walk("fault")
        return end

    def _note(self, end: End) -> str:
        if isinstance(end, Answered):
            content = end.content
            return f"success={content.get('success')} {content.get('outcome', '')} {content.get('message', '')}"
        if isinstance(end, Refused):
            self.codes[end.code] += 1
            return f"{end.code}: {end.message}"
        self.codes["no answer" if isinstance(end, Lost) else "fault"] += 1
        return end.reason

    def _worth_another_try(self, end: End) -> bool:
        return isinstance(end, Lost) or (isinstance(end, Refused) and end.code in AGAIN)

    def _lost(self, end: End, lock: Lockable | None) -> None:
        """Leave the workflow because of an error; one that there was no cause for breaks a promise."""
        assert isinstance(end, Refused)
        now, options = time.time(), self._world.options
        if end.code in OVER:
            since, limit = (lock.used_at, options.hold_limit) if lock else (self._used_at, options.idle)
            subject = lock.name if lock else self.name
            if now - since < limit - 1.0:
                self._model.suspect(
                    f"{end.code} without cause", subject, f"{self.name}, {now - since:.1f} s: {end.message}", since, now
                )
            self._session = "" if lock is None or end.code != "lock_lost" else self._session
        elif end.code != "object_locked":
            self._model.violate("an unexpected error", self.name, f"{end.code}: {end.message}", now)
        raise Walk(end.code)

    async def _breathe(self, began: float, tool: str, name: str) -> None:
        if self._pause.wanted:
            raise Walk("paused")
        if time.time() - max(began, self._pause.outage_ended) > STUCK_S:
            self._model.violate("stuck", name or self.name, f"{self.name}: no answer to {tool} for {STUCK_S} s", began)
            raise Walk("stuck")
        await anyio.sleep(self._random.uniform(0.1, 0.5))

    def _leave_perhaps(self) -> None:
        if self._pause.wanted:
            raise Walk("paused")
        if self._maybe(0.05):
            raise Walk("abandoned")

    def _nonce(self) -> str:
        self._texts += 1
        return f"a{self._number}-{self._texts}"

    def _maybe(self, chance: float) -> bool:
        return self._random.random() < chance
