"""Tasks in the store: a node each, so that any worker finds them and restarts lose none.

A run is a node below its task. Its worker writes it again and again; when that stops, any keeper notices. So the end of
a worker is told of a task within the time a lease stands and one turn of a keeper: the run is first suspected, since a
worker that was only slow says so within a few seconds, then given up.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionNotFound, StoreUnavailable
from holdfast.mcp.changes import Change, Changes, publish
from holdfast.mcp.tasks.task import Task

TASK: Final = "task"
RUN: Final = "run"
Step = Callable[[Task, float], Task]  # what happens to a task, and when
_NAME, _AGAIN, _SUSPECTED = "run", "again", "suspected"


def as_it_is(task: Task, now: float) -> Task:
    """Let nothing happen."""
    return task


def name_of_run() -> str:
    """Return a name for a run that no other has."""
    return secrets.token_hex(8)


def task_in(session: Session) -> Task:
    """Return the task that a node holds."""
    return msgspec.convert(session.content, Task)


def _content(task: Task) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(task, builtin_types=(bytes,))
    return content


class Register:
    """Where tasks are found and changed."""

    def __init__(self, manager: Manager, changes: Changes) -> None:
        self.manager, self._changes = manager, changes

    async def open(self, task: Task, *, owner: str, client: str, ttl: float) -> Session:
        """Add a task, which every worker finds from now on; its id is the session's."""
        clocks = Clocks(absolute=ttl)
        return await self.manager.open(
            TASK, _content(task), owner=owner, client=client, label=task.call.tool[:200], clocks=clocks
        )

    async def find(self, task_id: str, owner: str) -> Session:
        """Return the task with this id, if it is this principal's; raise SessionNotFound otherwise."""
        return await self.manager.load(task_id, kind=TASK, owner=owner, touch=False)

    async def change(self, ref: Ref, step: Step) -> Task:
        """Let something happen to a task, however many do at the same time, and tell who listens.

        Returns the task as it is afterwards. Raises SessionNotFound if it is gone.
        """
        task, made = await changed(self.manager, ref, step)
        if made:
            self._changes.announce(Change("task", ref.key.hex()))
        return task

    # -- runs

    async def open_run(self, task: Session, name: str, *, again: bool) -> Session:
        """Note that a run works on a task. `again` says that another worker may do it over if this one dies."""
        return await self.manager.open(
            RUN, {_NAME: name, _AGAIN: again}, parent=task, owner=task.owner, named=False, due_at=self._due()
        )

    async def beat(self, run: Session) -> None:
        """Show that the run is alive; raise SessionNotFound if it was given up or its task has gone."""
        run.content.pop(_SUSPECTED, None)
        try:
            await self.manager.save(run, due_at=self._due())
        except SessionConflict:
            fresh = await self.manager.get(run.ref)
            run.record = fresh.record
            await self.manager.save(run, due_at=self._due())

    async def end_run(self, run: Session) -> None:
        """Note that the run is over."""
        await self.manager.end(run, Reason.CLIENT)

    def _due(self) -> float:
        return self.manager.clock() + self.manager.tuning.lease_ttl * 2 / 3


async def changed(manager: Manager, ref: Ref, step: Step) -> tuple[Task, bool]:
    """Write what `step` makes of a task, and say whether it made a difference; repeated when somebody else wrote."""
    while True:
        session = await manager.get(ref)
        before = task_in(session)
        after = step(before, manager.clock())
        if after is before:
            return before, False
        session.content = _content(after)
        try:
            await manager.save(session)
        except SessionConflict:
            continue
        return after, True


async def watch_over(duty: Duty) -> float | None:
    """Look after a run that has not shown itself: suspect it, then give it up (upkeep of its kind)."""
    manager, content, record = duty.manager, duty.session.content, duty.session.record
    grace = manager.tuning.lease_ttl / 3
    if _SUSPECTED not in content:
        content[_SUSPECTED] = True
        return duty.now + grace
    assert record.parent is not None  # noqa: S101 - runs are opened below their tasks
    task = Ref(record.tree, record.parent)
    try:
        after, made = await changed(
            manager, task, lambda one, now: one.lost(content[_NAME], now, again=bool(content[_AGAIN]))
        )
    except SessionNotFound:
        return None
    if made:
        await _hint(manager, Change("task", task.key.hex()))
    if after.ready:
        await _hint(manager, Change("orphan", task.key.hex()))
        return duty.now + grace  # told again until some worker has taken it up
    await manager.end(duty.session, Reason.BACKEND_GONE)
    return None


async def _hint(manager: Manager, change: Change) -> None:
    with suppress(StoreUnavailable):
        await publish(manager.store.channel, change)
