"""What each kind of step does with a message (F15). None instead of a message: it was filtered out."""

import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import httpx2
import msgspec

from holdfast.errors import BadInput, HoldfastError
from holdfast.flows.adapters import Adapter
from holdfast.flows.expressions import evaluate, filled
from holdfast.flows.failures import CallRefused, LoopTooLong, StepFailed
from holdfast.flows.message import Message
from holdfast.flows.model.flow import Loop, Modify, Multicast, Router, Script, Split, Steps, Try
from holdfast.flows.model.source import Source
from holdfast.flows.monitoring.recording import Recording
from holdfast.flows.parts import Call
from holdfast.flows.runtime import branches, receivers, scripts
from holdfast.flows.runtime.branches import Branch
from holdfast.flows.runtime.receivers import Patience
from holdfast.flows.sessions.deployment import Deployment

DELIVERIES: Final = uuid.UUID("0f3b6a52-6d8e-4a51-9f0c-6d2f2d1f5b7e")
ACTING: Final = frozenset({"call", "send", "script"})  # what may have effect: it is noted before that a message begins
GATHER_S: Final = 60.0  # a function that gathers may take so long
Result = Message | None


class StepEnded(msgspec.Struct, frozen=True):
    """A step has ended: `done`, `filtered` (the message goes no further) or `failed`, after so many seconds."""

    message: str
    place: str
    kind: str
    outcome: str
    seconds: float
    error: str = ""


class Counted(msgspec.Struct, frozen=True):
    """How far a loop, split or multicast is (F18); of a loop nobody knows the `total`."""

    message: str
    place: str
    done: int
    total: int | None


Tell = Callable[[StepEnded | Counted], None]


class Parts(msgspec.Struct, frozen=True):
    """What a deployed flow's steps work with; `adapters` are by the path of their step."""

    deployment: Deployment
    source: Source
    adapters: Mapping[str, Adapter]
    sessions: Mapping[str, httpx2.AsyncClient]
    patience: Patience
    tell: Tell


class Processing:
    """One message on its way through the steps."""

    def __init__(self, parts: Parts, recording: Recording) -> None:
        self._parts, self._recording, self._name = parts, recording, recording.begun.id
        self._calls: Counter[tuple[str, str]] = Counter()  # of a branch, by a step: a loop makes several
        self._kinds: Mapping[str, Callable[[str, Any, Message], Awaitable[Result]]] = {
            "call": self._call,
            "send": self._send,
            "script": self._script,
            "modify": self._modify,
            "router": self._router,
            "filter": self._filter,
            "loop": self._loop,
            "split": self._split,
            "multicast": self._multicast,
            "gather": self._gather,
            "try": self._try,
        }

    async def run(self, steps: Steps, path: str, message: Message) -> Result:
        """Return what the steps make of the message. Raises StepFailed, of the innermost step."""
        result: Result = message
        for number, step in enumerate(steps):
            if result is None:
                break
            kind = step.kind
            result = await self._step(kind, step.options, f"{path}[{number}].{kind}", result)
        return result

    async def _step(self, kind: str, options: Any, path: str, message: Message) -> Result:
        begun, outcome, error = time.monotonic(), "failed", ""
        try:
            if kind in ACTING:
                await self._recording.secure()
            result = await self._kinds[kind](path, options, message)
            outcome = "filtered" if result is None else "done"
        except StepFailed:
            raise
        except HoldfastError as exc:
            error = f"{exc.code}: {exc}"
            raise StepFailed(self._place(path), kind, exc) from exc
        finally:
            ended = StepEnded(self._name, self._place(path), kind, outcome, time.monotonic() - begun, error)
            self._recording.step(ended.place, ended.kind, outcome, ended.seconds, error)
            self._parts.tell(ended)
        return result

    def _place(self, path: str) -> str:
        return self._parts.source.place(path)

    def _count(self, path: str, total: int | None) -> Callable[[int], None]:
        place = self._place(path)

        def count(done: int) -> None:
            self._recording.counted(place, done, total)
            self._parts.tell(Counted(self._name, place, done, total))

        return count

    # -- steps

    async def _call(self, path: str, options: Call, message: Message) -> Result:
        adapter, session = self._parts.adapters[path], self._parts.sessions[options.receiver]
        return await receivers.call(adapter, message, session, self._delivery(path, message), self._parts.patience)

    def _delivery(self, path: str, message: Message) -> uuid.UUID:
        """Return what names this call: the same when the message goes the same way once more."""
        call = (message.id, path)
        self._calls[call] += 1
        return uuid.uuid5(DELIVERIES, f"{self._parts.deployment.name}\0{message.id}\0{path}\0{self._calls[call]}")

    async def _send(self, path: str, options: Call, message: Message) -> Result:
        await self._call(path, options, message)
        return message

    async def _script(self, path: str, options: Script, message: Message) -> Result:
        made = await scripts.run(options.function, message, options.timeout)
        if made is None:
            return message
        return made.named(message.id) if isinstance(made, Message) else message.changed(body=made)

    async def _modify(self, path: str, options: Modify, message: Message) -> Result:
        names = message.names
        body = {} if options.body is msgspec.UNSET else {"body": filled(options.body, names)}
        changed = message.changed(
            headers=filled(options.headers, names), properties=filled(options.properties, names), **body
        )
        return changed.without(options.remove_headers, options.remove_properties)

    async def _router(self, path: str, options: Router, message: Message) -> Result:
        for number, route in enumerate(options.routes):
            if evaluate(route.when, message.names):
                return await self.run(route.do, f"{path}.routes[{number}].do", message)
        return await self.run(options.otherwise, f"{path}.otherwise", message)

    async def _filter(self, path: str, condition: str, message: Message) -> Result:
        return message if evaluate(condition, message.names) else None

    async def _loop(self, path: str, options: Loop, message: Message) -> Result:
        result: Result = message
        rounds, count = 0, self._count(path, None)
        while result is not None and self._goes_on(options, rounds, result):
            result = await self.run(options.do, f"{path}.do", result)
            rounds += 1
            count(rounds)
        return result

    def _goes_on(self, options: Loop, rounds: int, message: Message) -> bool:
        if (rounds or options.check_first) and not evaluate(options.while_, message.names):
            return False
        if rounds >= options.max:
            raise LoopTooLong(f"{options.max} rounds are over, and {options.while_!r} still holds")
        return True

    async def _split(self, path: str, options: Split, message: Message) -> Result:
        items = evaluate(options.over, message.names)
        if not isinstance(items, list | tuple):
            raise BadInput(f"{options.over!r} is no list that could be split, but a {type(items).__name__}")
        each = enumerate(message.changed(body=item) for item in items)
        parts = [partial(self._branch, options.do, f"{path}.do", item, number) for number, item in each]
        return await self._together(path, options, parts, message)

    async def _multicast(self, path: str, options: Multicast, message: Message) -> Result:
        each = enumerate(options.branches)
        parts = [partial(self._branch, steps, f"{path}.branches[{number}]", message, number) for number, steps in each]
        return await self._together(path, options, parts, message)

    async def _branch(self, steps: Steps, path: str, message: Message, number: int) -> Result:
        """Run a branch on a message that it shares with nobody: what a script does to it no other branch sees."""
        return await self.run(steps, path, message.copied().named(f"{message.id}.{number + 1}"))

    async def _together(
        self, path: str, options: Split | Multicast, parts: Sequence[Branch], message: Message
    ) -> Message:
        count = self._count(path, len(parts))
        if options.parallel:
            results = await branches.in_parallel(parts, count, self._parts.deployment, options.workers)
        else:
            results = await branches.in_turn(parts, count)
        return message.changed(body=[result.body for result in results])

    async def _gather(self, path: str, how: str, message: Message) -> Result:
        if ":" in how:
            return message.changed(body=await scripts.run(how, message.body, GATHER_S))
        return message.changed(body=branches.gathered(how, message.body))

    async def _try(self, path: str, options: Try, message: Message) -> Result:
        before = message.copied()
        try:
            return await self.run(options.do, f"{path}.do", message)
        except StepFailed as exc:
            error = {"code": exc.cause.code, "text": str(exc.cause), "place": exc.place, "step": exc.kind}
            told = {**error, **(exc.cause.facts if isinstance(exc.cause, CallRefused) else {})}
            return await self.run(options.on_error, f"{path}.on_error", before.changed(properties={"error": told}))
