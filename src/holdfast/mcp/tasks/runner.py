"""Runs tools for tasks, in this process: begins them, minds them, writes down what they come to.

A run ends early when its task was cancelled, has gone, or was given to another worker. When the server stops, a task
that may be run again is left to the next worker; any other one fails and says so.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from holdfast.core.model import Ref
from holdfast.core.session import Session
from holdfast.errors import (
    HoldfastError,
    PayloadTooLarge,
    SessionConflict,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)
from holdfast.identity.facts import named
from holdfast.mcp.changes import Change, Changes, publish
from holdfast.mcp.dispatch import AsTask, Context
from holdfast.mcp.jsonrpc import JSON, RpcError
from holdfast.mcp.lines import OneWay
from holdfast.mcp.protocol import INTERNAL_ERROR, Era
from holdfast.mcp.replay import Bell
from holdfast.mcp.settle import Failure, settled
from holdfast.mcp.tasks.register import Register, Step, as_it_is, name_of_run, task_in
from holdfast.mcp.tasks.task import Outcome, Task, error_of

logger = logging.getLogger(__name__)

BEATS: Final = 5  # how often a run shows itself in the time a lease stands
RETRY_S: Final = 1.0
Answering = Callable[[Context], bytes | Awaitable[bytes]]
_OUTCOME: Final = msgspec.json.Decoder(Outcome)


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    data: Any = None


class _Answered(msgspec.Struct, frozen=True):
    error: _Error


class TaskLine(OneWay):
    """The way to the client of a task: what progress says is shown with the task, nothing else reaches it."""

    def __init__(self) -> None:
        self.message = ""

    async def tell(self, method: str, params: object) -> None:
        """Keep the message of a report of progress."""
        if method == "notifications/progress" and isinstance(params, Mapping):
            self.message = str(params.get("message") or self.message)


class Run:
    """One run of a tool: first in this process only, then for a task."""

    def __init__(self, context: Context, line: TaskLine, name: str = "") -> None:
        self.name = name or name_of_run()
        self.context, self.line = context.for_task(line, self.name), line
        self.scope, self.done, self.bell = anyio.CancelScope(), anyio.Event(), Bell()
        self.result: bytes | None = None
        self.failure: _Error | None = None

    async def work(self, answer: Answering) -> None:
        """Run the tool to its end, or until cancelled."""
        try:
            with self.scope:
                self.result = await settled(_outcome(answer, self.context), self.name, {})
        except Failure as failure:
            self.failure = msgspec.json.decode(failure.body, type=_Answered).error
        except HoldfastError as error:  # a session of the tool's own has ended
            self.failure = _Error(error.status, str(error), {"code": error.code, "hint": error.hint})
        finally:
            self.done.set()

    async def within(self, seconds: float) -> bool:
        """Wait for the end of the run, at most for so long; who is cancelled while waiting cancels it."""
        try:
            with anyio.move_on_after(seconds):
                await self.done.wait()
        except BaseException:
            self.scope.cancel()
            raise
        return self.done.is_set()

    def outcome(self) -> bytes:
        """Return the result of a run that has ended, or raise what it came to."""
        if self.failure is not None:
            raise RpcError(self.failure.code, self.failure.message, self.failure.data)
        return self.result or b"{}"

    def conclude(self, task: Task, now: float) -> Task:
        """Return the task with what the run came to; one that was stopped has said nothing."""
        if self.failure is not None:
            return task.failed(self.name, JSON.encode(self.failure), now)
        if self.result is None:
            return task
        outcome = outcome_of(self.result)
        if not outcome.asks:
            return task.completed(self.name, self.result, now)
        requests = {key: bytes(request) for key, request in outcome.requests.items()}
        return task.asking(self.name, requests, outcome.state, now)

    def too_large(self, error: PayloadTooLarge) -> Step:
        """Return what happens to a task whose result cannot be kept."""
        told = error_of(f"the tool's result cannot be kept: {error}")
        return lambda task, now: task.failed(self.name, told, now)


class Runner:
    """The runs of this process."""

    def __init__(self, register: Register, answer: Answering, tools: Mapping[str, AsTask]) -> None:
        self._register, self._answer, self._tools = register, answer, tools
        self._runs: dict[str, Run] = {}  # by the key of their task, as changes name it
        self._running: TaskGroup | None = None
        self._stopping = False

    @asynccontextmanager
    async def open(self, changes: Changes) -> AsyncIterator[None]:
        """Run tasks until the block ends; those that still run then are left or failed."""
        with changes.heard_by(self._hear):
            async with anyio.create_task_group() as self._running:
                yield
                self._stopping = True
                self._running.cancel_scope.cancel()

    def begin(self, run: Run) -> None:
        """Let a tool run."""
        self._group.start_soon(run.work, self._answer)

    def attend(self, run: Run, task: Session, node: Session) -> None:
        """Look after the run of a task until it has come to its end, and write down what that was."""
        self._group.start_soon(self._attend, run, task, node)

    async def take_up(self, task: Session, step: Step = as_it_is) -> None:
        """Let a step happen to a task, and run it here if it is ready then and no other worker is faster."""
        register, name = self._register, name_of_run()
        node = await self.open_run(task, name)
        after = await register.change(task.ref, lambda one, now: step(one, now).begun(name, now))
        if after.run != name:
            await register.end_run(node)
            return
        run = run_of(after, task.owner, name)
        self.begin(run)
        self.attend(run, task, node)

    async def open_run(self, task: Session, name: str) -> Session:
        """Note in the store that a run works on a task."""
        return await self._register.open_run(task, name, again=self._again(task))

    # -- inside

    def _again(self, task: Session) -> bool:
        policy = self._tools.get(task_in(task).call.tool)
        return policy is not None and policy.idempotent

    @property
    def _group(self) -> TaskGroup:
        assert self._running is not None  # noqa: S101 - the endpoint serves only while it runs
        return self._running

    def _hear(self, change: Change | None) -> None:
        if change is None:
            for run in self._runs.values():
                run.bell.ring()
        elif change.what == "task" and change.about in self._runs:
            self._runs[change.about].bell.ring()
        elif change.what == "orphan" and not self._stopping:
            self._group.start_soon(self._adopt, Ref(bytes.fromhex(change.about), bytes.fromhex(change.about)))

    async def _adopt(self, ref: Ref) -> None:
        """Take up a task that nobody works on, if this worker serves its tool."""
        with suppress(HoldfastError):  # it is told of again
            task = await self._register.manager.get(ref)
            if task_in(task).ready and task_in(task).call.tool in self._tools:
                await self.take_up(task)

    async def _attend(self, run: Run, task: Session, node: Session) -> None:
        key = task.key.hex()
        self._runs[key] = run
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._mind, run, task, node)
                await run.done.wait()
                tasks.cancel_scope.cancel()
            await self._write_down(run, task, node)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), suppress(HoldfastError):
                await self._leave(run, task, node)
            raise
        finally:
            if self._runs.get(key) is run:
                del self._runs[key]

    async def _write_down(self, run: Run, task: Session, node: Session) -> None:
        """Write what became of a run, however long the store is out of reach, and let the run go."""
        step: Step = run.conclude
        while True:
            try:
                after = await self._register.change(task.ref, step)
                if after.ready:  # it has asked for nothing but to be called again
                    await anyio.sleep(after.poll)
                    await self.take_up(task)
                await self._register.end_run(node)
            except StoreUnavailable:
                await anyio.sleep(RETRY_S)
            except PayloadTooLarge as error:
                step = run.too_large(error)
            except (SessionNotFound, SessionEnded):
                return
            else:
                return

    async def _leave(self, run: Run, task: Session, node: Session) -> None:
        """Stop a run because the server does: another worker may take the task up, or it has failed."""
        register = self._register
        after = await register.change(task.ref, lambda one, now: one.lost(run.name, now, again=self._again(task)))
        if after.ready:
            await publish(register.manager.store.channel, Change("orphan", task.key.hex()))
        else:
            await register.end_run(node)

    async def _mind(self, run: Run, task: Session, node: Session) -> None:
        """Show that a run is alive, and stop it when it is no longer wanted."""
        register, interval = self._register, self._register.manager.tuning.lease_ttl / BEATS
        while True:
            rung = await run.bell.wait(interval)
            try:
                known = task_in(await register.manager.get(task.ref))
                if known.run != run.name:
                    break
                if not rung:
                    await register.beat(node)
                if run.line.message != known.message:
                    await register.change(task.ref, lambda one, now: one.told(run.name, run.line.message, now))
            except (StoreUnavailable, SessionConflict):
                await anyio.sleep(RETRY_S)
            except (SessionNotFound, SessionEnded):
                break
        run.scope.cancel()


def outcome_of(result: bytes) -> Outcome:
    """Return what matters of a tool's result."""
    return _OUTCOME.decode(result)


def run_of(task: Task, owner: str, name: str) -> Run:
    """Return a run of a task's next round. It has no HTTP request any more, so no headers, and no token's scopes."""
    line = TaskLine()
    call = task.call
    context = Context(
        method="tools/call",
        id=name,
        params=task.params(),
        era=Era.MODERN,
        version=call.version,
        identity=named(owner),
        scope={"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []},
        line=line,
        client=msgspec.json.decode(call.client),
        capabilities=msgspec.json.decode(call.capabilities),
    )
    return Run(context, line, name)


async def _outcome(answer: Answering, context: Context) -> bytes:
    answered = answer(context)
    result = answered if isinstance(answered, bytes) else await answered
    outcome = outcome_of(result)
    if outcome.asks and not outcome.requests and outcome.state is None:
        raise RpcError(INTERNAL_ERROR, "the tool asks for input, but for none")
    return result
