"""The tasks extension on the wire: `tools/call` answered by a task, `tasks/get`, `tasks/update`, `tasks/cancel`.

A task is in the store before its id is given away, so any worker finds it (SEP-2663, mcp.md §6.8).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from holdfast.core.events import ADDRESS
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.mcp.changes import Change, Changes
from holdfast.mcp.dispatch import AsTask, Context
from holdfast.mcp.jsonrpc import JSON, RpcError, is_object
from holdfast.mcp.listen import Telling
from holdfast.mcp.protocol import INVALID_PARAMS, META_SERVER, MISSING_CAPABILITY, TASKS
from holdfast.mcp.tasks.register import Register, task_in
from holdfast.mcp.tasks.runner import Answering, Run, Runner, TaskLine
from holdfast.mcp.tasks.task import Call, Status, Task
from holdfast.web.address import network_of

REQUIRED: Final[dict[str, Any]] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}


class _Named(msgspec.Struct, frozen=True):
    task_id: str = msgspec.field(name="taskId")


class _Update(_Named, frozen=True):
    responses: dict[str, Raw] = msgspec.field(name="inputResponses")


def declares_tasks(context: Context) -> bool:
    """Say whether the client has declared the extension in this request."""
    extensions = context.capabilities.get("extensions")
    return isinstance(extensions, Mapping) and TASKS in extensions


class Tasks:
    """The extension.

    Args:
        answer: Runs a tool.
        tools: Which tools run as tasks, and how.
        info: What the server says about itself.
    """

    def __init__(
        self,
        register: Register,
        changes: Changes,
        answer: Answering,
        tools: Mapping[str, AsTask],
        info: Mapping[str, Any],
    ) -> None:
        self._register, self._changes, self._tools = register, changes, tools
        self._runner = Runner(register, answer, tools)
        self._meta = {"_meta": {META_SERVER: dict(info)}} if info else {}
        self.methods: dict[str, Callable[[Context], Awaitable[bytes]]] = {
            "tasks/get": self._get,
            "tasks/update": self._update,
            "tasks/cancel": self._cancel,
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run tasks until the block ends."""
        async with self._runner.open(self._changes):
            yield

    def policy_for(self, tool: str, context: Context) -> AsTask | None:
        """Return how this call becomes a task; None if it is an ordinary one.

        Raises:
            RpcError: The tool runs as a task only, and the client has not declared the extension.
        """
        policy = self._tools.get(tool)
        if policy is None or declares_tasks(context):
            return policy
        if policy.required:
            raise RpcError(MISSING_CAPABILITY, f"the tool {tool} runs as a task only; declare {TASKS}", REQUIRED)
        return None

    async def call(self, context: Context, tool: str, policy: AsTask) -> bytes:
        """Answer a call with a task, or with what the tool comes to at once."""
        line = TaskLine()
        run = Run(context, line)
        if policy.prompt:
            self._runner.begin(run)
            if await run.within(policy.prompt):
                return run.outcome()
        try:
            session = await self._open(context, tool, policy, run.name)
            node = await self._runner.open_run(session, run.name)
        except BaseException:
            run.scope.cancel()
            raise
        if not policy.prompt:
            self._runner.begin(run)
        self._runner.attend(run, session, node)
        return self._encoded({"resultType": "task", **described(session, str(session.id), task_in(session))})

    async def tellings(self, context: Context, ids: list[str]) -> dict[str, tuple[Change, Telling]]:
        """Return how to tell of the caller's own tasks among these ids (`notifications/tasks`)."""
        found: dict[str, tuple[Change, Telling]] = {}
        for task_id in ids if declares_tasks(context) else ():
            try:
                session = await self._register.find(task_id, context.principal)
            except SessionNotFound:
                continue
            found[task_id] = (Change("task", session.key.hex()), self._telling(task_id, context.principal))
        return found

    # -- methods

    async def _get(self, context: Context) -> bytes:
        task_id = _read(_Named, context).task_id
        session = await self._find(task_id, context)
        return self._encoded({"resultType": "complete", **detailed(session, task_id, task_in(session))})

    async def _update(self, context: Context) -> bytes:
        wanted = _read(_Update, context)
        session = await self._find(wanted.task_id, context)
        wrong = next((key for key, answer in wanted.responses.items() if not is_object(answer)), None)
        if wrong is not None:
            raise RpcError(INVALID_PARAMS, f"inputResponses: the answer to {wrong!r} must be an object")
        answers = {key: bytes(answer) for key, answer in wanted.responses.items()}

        def step(task: Task, now: float) -> Task:
            return task.answered(answers, now)

        with _still_there():
            if step(task_in(session), 0.0).ready:
                await self._runner.take_up(session, step)
            else:
                after = await self._register.change(session.ref, step)
                if after.ready:  # somebody answered the rest at the same time
                    await self._runner.take_up(session)
        return self._encoded({"resultType": "complete"})

    async def _cancel(self, context: Context) -> bytes:
        session = await self._find(_read(_Named, context).task_id, context)
        with _still_there():
            await self._register.change(session.ref, Task.cancelled)
        return self._encoded({"resultType": "complete"})

    # -- inside

    async def _open(self, context: Context, tool: str, policy: AsTask, run: str) -> Session:
        call = Call(
            tool=tool,
            params=bytes(context.params),
            version=context.version,
            client=JSON.encode(context.client),
            capabilities=JSON.encode(context.capabilities),
        )
        task = Task(call=call, updated_at=self._register.manager.clock(), poll=policy.poll, run=run, tries=1)
        client = context.principal or network_of(ADDRESS.get())
        return await self._register.open(task, owner=context.principal, client=client, ttl=policy.ttl)

    async def _find(self, task_id: str, context: Context) -> Session:
        if not declares_tasks(context):
            raise RpcError(MISSING_CAPABILITY, f"{context.method} needs the extension {TASKS}; declare it", REQUIRED)
        with _still_there():
            return await self._register.find(task_id, context.principal)

    def _telling(self, task_id: str, owner: str) -> Telling:
        async def tell() -> tuple[str, dict[str, Any]] | None:
            try:
                session = await self._register.find(task_id, owner)
            except SessionNotFound:
                return None
            return "notifications/tasks", detailed(session, task_id, task_in(session))

        return tell

    def _encoded(self, result: dict[str, Any]) -> bytes:
        return JSON.encode({**result, **self._meta})


@contextmanager
def _still_there() -> Iterator[None]:
    """Say of a task that is not there, or no more: its time may be over between two looks."""
    try:
        yield
    except (SessionNotFound, SessionEnded):
        raise RpcError(INVALID_PARAMS, "there is no such task; it has expired, or never was yours") from None


def described(session: Session, task_id: str, task: Task) -> dict[str, Any]:
    """Return what clients see of a task, without what it came to."""
    record = session.record
    shown = {
        "taskId": task_id,
        "status": task.status.value,
        "createdAt": _instant(record.created_at),
        "lastUpdatedAt": _instant(task.updated_at),
        "ttlMs": round((record.ends_at - record.created_at) * 1000),
        "pollIntervalMs": max(round(task.poll * 1000), 1),
    }
    return shown | ({"statusMessage": task.message} if task.message else {})


def detailed(session: Session, task_id: str, task: Task) -> dict[str, Any]:
    """Return a task with its result, its error or what it asks for."""
    shown = described(session, task_id, task)
    match task.status:
        case Status.COMPLETED:
            return {**shown, "result": Raw(task.result)}
        case Status.FAILED:
            return {**shown, "error": Raw(task.error)}
        case Status.INPUT_REQUIRED:
            return {**shown, "inputRequests": {key: Raw(asked.request) for key, asked in task.questions.items()}}
    return shown


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(type_: Any, context: Context) -> Any:
    try:
        return msgspec.json.decode(context.params, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params of {context.method}: {exc}") from None
