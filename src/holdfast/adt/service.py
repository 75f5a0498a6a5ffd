"""The ABAP service: what the handlers and the MCP tools call. Answers are plain mappings, errors are typed.

Findings about an object (a name that is taken, syntax errors, a refused activation) are answers with `success` false
and `messages`; errors are for calls that could not be carried out.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar, cast

from holdfast.adt import calls
from holdfast.adt.answers import (
    Answer,
    Done,
    ListAnswer,
    LockAnswer,
    LockList,
    ReadAnswer,
    SessionList,
    UpdateAnswer,
)
from holdfast.adt.changing import Changed, Changing
from holdfast.adt.desk import LOCK, WORKSPACE, Caller, Desk, Workspace, lock_of, plain
from holdfast.adt.documents import (
    ActivationResult,
    Message,
    has_errors,
    message,
    read_activation,
    read_check,
    read_properties,
    read_references,
    read_validation,
)
from holdfast.adt.listing import Listing
from holdfast.adt.locking import Locking
from holdfast.adt.mistakes import SessionMissing
from holdfast.adt.reading import Reading
from holdfast.adt.refusals import CREATE_FINDINGS, error_for, raise_for, read_refusal
from holdfast.adt.removing import Removing
from holdfast.adt.tokens import Ticket, Tokens
from holdfast.adt.types import ObjectType, checked_description, checked_package, object_type
from holdfast.adt.visit import Visit
from holdfast.backend.errands import Errands
from holdfast.backend.locks import Outcome
from holdfast.backend.session import BackendSession
from holdfast.backend.system import Systems
from holdfast.backend.wire import AnswerLost, Call, Reply
from holdfast.core.manager import Manager
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import BackendError, BadInput, LockLostError, SessionEnded, SessionExpiredError

T = TypeVar("T")
State = Mapping[str, Any] | None
LOCAL_PACKAGE: Final = "$TMP"
LONGEST_SOURCE: Final = 4 * 1024 * 1024
ACTIVATION_LOOKS: Final = 6
ACTIVATION_PAUSE_S: Final = 1.0


class Abap:
    """The ABAP face over one engine.

    Args:
        manager: The tree.
        systems: The back ends of this process.
        errands: Where back-end work goes on when its caller has gone.
        strict: Refuse a stale `session_state` instead of warning (A11).
        form: `plain` shows cookies and tokens in `session_state`, for trusted callers only (A10).
    """

    def __init__(
        self,
        manager: Manager,
        systems: Systems,
        errands: Errands,
        *,
        hold_limit: float = 900.0,
        strict: bool = False,
        form: Literal["sealed", "plain"] = "sealed",
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        more = {} if sleep is None else {"sleep": sleep}
        self._desk = Desk(manager, systems, hold_limit=hold_limit, **more)
        self._tokens, self._strict = Tokens(manager.keys, form), strict
        self._reading = Reading(self._desk, errands)
        self._locking = Locking(self._desk, errands)
        self._changing = Changing(self._desk, errands)
        self._removing = Removing(self._locking, self._changing)
        self._listing = Listing(self._desk)
        self._opened: set[Ref] = set()

    # -- sessions

    async def get_session(self, caller: Caller, *, force_new: bool = False, system: str | None = None) -> Answer:
        """Open a session and return its id (A9, A31). What the caller has otherwise stays as it is.

        Args:
            force_new: Log on afresh instead of using the caller's living logon.
            system: A configured system; the default one if left out.
        Raises:
            LogonFailed, BackendUnavailable: The system cannot be logged on to; no session was opened.
        """
        manager, found = self._desk.manager, self._desk.systems.get(system)
        node = await manager.open(
            WORKSPACE,
            plain(Workspace(system=found.name)),
            parent=caller.parent,
            owner=caller.owner,
            client=caller.client,
            label=found.name,
        )
        self._opened.add(node.ref)
        try:
            backend, stamp = await self._reading.attach(caller, node, fresh=force_new)
        except BaseException:
            await manager.end(node, Reason.CLIENT)
            raise
        visit = Visit(self._tokens, caller, node, node.id or "")
        text = f"Session opened on {found.name} as {backend.logon.user}. Use this session_id in the following calls."
        return visit.answer(True, " ".join((text, found.note)).strip(), backend, stamp)

    async def list_sessions(self, caller: Caller) -> SessionList:
        """List the caller's sessions."""
        return await self._listing.sessions(caller)

    async def list_locks(self, caller: Caller) -> LockList:
        """List the caller's locks in whatever state they are, stranded ones included (A7)."""
        return await self._listing.locks(caller)

    async def end_opened(self) -> None:
        """End the sessions that were opened here and wait until they are closed: for a program that ends."""
        manager, opened = self._desk.manager, list(self._opened)
        for ref in opened:
            await manager.end(ref, Reason.SHUTDOWN)
        for ref in opened:
            await manager.gone(ref, timeout=manager.tuning.closer_timeout)

    async def close_session(self, caller: Caller, session_id: str) -> Done:
        """End a session: what it locks is released and its logons are logged off."""
        manager = self._desk.manager
        node = await self._desk.workspace(caller, session_id)
        await manager.end(node, Reason.CLIENT)
        gone = await manager.gone(node.ref, timeout=manager.tuning.closer_timeout)
        return {
            "success": True,
            "message": "Session closed." if gone else "Session closed; its log-off goes on in the background.",
        }

    # -- objects, read

    async def validate(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        description: str = "",
        package: str = LOCAL_PACKAGE,
        session_id: str | None = None,
        session_state: State = None,
    ) -> Answer:
        """Say whether an object of this name can be created; `success` is false with the reason in `messages`."""
        row, name = _checked(kind, name)
        call = calls.validate(
            row, name, description=checked_description(description) or name, package=checked_package(package)
        )

        async def work(backend: BackendSession) -> list[Message]:
            reply = await backend.send(call)
            refusal = read_refusal(reply)
            if refusal is not None and refusal.status == 400:
                return [message("E", refusal.message)]
            return read_validation(_good(reply, f"validate {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            found, backend, stamp = await self._reading.run(caller, visit.workspace, work, look=visit.look)
            good = not has_errors(found)
            text = f"{name} can be created: call Create." if good else f"{name} cannot be created."
            return visit.answer(good, text, backend, stamp, messages=found)

    async def create(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        description: str = "",
        package: str = LOCAL_PACKAGE,
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
    ) -> Answer:
        """Create an object, inactive. One that exists already is an answer with `success` false."""
        row, name = _checked(kind, name)
        text, package = checked_description(description) or name, checked_package(package)

        async def work(backend: BackendSession) -> list[Message]:
            settings, cloud = backend.system.settings, backend.system.settings.profile == "cloud"
            call = calls.create(
                row,
                name,
                description=text,
                package=package,
                responsible="" if cloud else backend.logon.user,
                language=settings.language,
                transport=transport,
            )
            refusal = read_refusal(await backend.send(call))
            if refusal is None:
                return []
            if refusal.type in CREATE_FINDINGS:
                return [message("E", refusal.message)]
            raise error_for(refusal, f"create {name}")

        async with self._visit(caller, session_id, session_state) as visit:
            found, backend, stamp = await self._reading.run(caller, visit.workspace, work, look=visit.look)
            said = f"{name} was not created." if found else f"{name} was created in {package}: call Lock to edit it."
            return visit.answer(not found, said, backend, stamp, messages=found)

    async def read(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        version: Literal["", "active", "inactive"] = "",
        include: str = "main",
        properties: bool = False,
        session_id: str | None = None,
        session_state: State = None,
    ) -> ReadAnswer:
        """Read an object's source; the newest version unless one is named. With `properties`, its metadata too."""
        row, name = _checked(kind, name)
        _one_of(version, ("", "active", "inactive"), "version")
        call = calls.read_source(row, name, version=version, part=include)

        async def work(backend: BackendSession) -> tuple[Reply, dict[str, str] | None]:
            source = _good(await backend.send(call), f"read {name}")
            if not properties:
                return source, None
            more = await backend.send(calls.read_properties(row, name, version=version))
            return source, read_properties(_good(more, f"read the properties of {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            (reply, more), backend, stamp = await self._reading.run(caller, visit.workspace, work, look=visit.look)
            await self._note_use(visit.workspace, row, name)
            text = f"Source of {name}: {len(reply.text.splitlines())} lines."
            answer = cast("ReadAnswer", visit.answer(True, text, backend, stamp))
            answer["source_code"] = reply.text.replace("\r\n", "\n")
            answer["version"] = version
            if "etag" in reply.headers:
                answer["etag"] = reply.headers["etag"]
            if more is not None:
                answer["properties"] = more
            return answer

    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        kind: str = "",
        package: str = "",
        max_results: int = 50,
        session_id: str | None = None,
        session_state: State = None,
    ) -> ListAnswer:
        """Search objects by a name pattern in which `*` and `?` are wild."""
        if not query.strip():
            raise BadInput("query is empty", hint="Give a name or a pattern such as ZCL_*.")
        if max_results < 1:
            raise BadInput("max_results is less than 1")
        wanted = object_type(kind).type if kind else ""
        call = calls.search(query.strip().upper(), object_type=wanted, package=package.upper(), most=max_results)
        return await self._list(caller, call, "search", session_id, session_state)

    async def inactive_objects(
        self, caller: Caller, *, session_id: str | None = None, session_state: State = None
    ) -> ListAnswer:
        """List the SAP user's inactive objects."""
        return await self._list(caller, calls.inactive_objects(), "list what is inactive", session_id, session_state)

    async def check(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        source_code: str | None = None,
        version: Literal["active", "inactive"] = "inactive",
        include: str = "main",
        lock_handle: str | None = None,
        session_id: str | None = None,
        session_state: State = None,
    ) -> Answer:
        """Check the stored source, or `source_code` in its place; `success` is false if there are errors."""
        row, name = _checked(kind, name)
        _one_of(version, ("active", "inactive"), "version")
        row.source_path(name, include)
        source = None if source_code is None else _source(source_code).encode()
        call = calls.check(row, name, version=version, part=include, source=source)

        async def work(backend: BackendSession) -> list[Message]:
            return read_check(_good(await backend.send(call), f"check {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            look: Callable[..., None] = visit.look
            if lock_handle is not None:
                await self._locked(visit, lock_handle, row, name)
                look = _no_look
            found, backend, stamp = await self._reading.run(caller, visit.workspace, work, look=look)
            await self._note_use(visit.workspace, row, name)
            good = not has_errors(found)
            text = f"{name} has no errors." if good else f"{name} has errors: correct the source."
            return visit.answer(good, text, backend, stamp, messages=found)

    # -- objects, changed

    async def lock(
        self, caller: Caller, kind: str, name: str, *, session_id: str | None = None, session_state: State = None
    ) -> LockAnswer:
        """Lock an object for editing. Locking again what this session holds answers the same lock.

        Raises:
            ObjectLocked: Somebody else is editing it; the message names the user.
        """
        row, name = _checked(kind, name)
        async with self._visit(caller, session_id, session_state) as visit:
            locked = await self._locking.lock(caller, visit.workspace, row, name)
            if locked.again:
                visit.warn("already_locked", "this session held the lock already; its handle is answered again")
            text = f"{name} is locked: call Update with this lock_handle, then Unlock."
            answer = cast("LockAnswer", visit.answer(True, text, locked.backend, locked.stamp))
            answer["lock_handle"] = self._tokens.handle(locked.ticket, owner=visit.workspace.owner)
            if locked.lock.transport:
                answer["transport"] = locked.lock.transport
            return answer

    async def update(
        self,
        caller: Caller,
        kind: str,
        name: str,
        source_code: str,
        *,
        lock_handle: str,
        include: str = "main",
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
    ) -> UpdateAnswer:
        """Write a source under its lock; it becomes the inactive version.

        `outcome` is `applied`, or after a lost answer `not_applied` or `unknown` with the reason in `message` (A6).

        Raises:
            LockLostError, SessionExpiredError: Nothing is locked any more; start again from Lock.
        """
        row, name = _checked(kind, name)
        row.source_path(name, include)
        source = _source(source_code)
        async with self._visit(caller, _needed(session_id, "Update"), session_state) as visit:
            ticket = await self._locked(visit, lock_handle, row, name)
            changed = await self._changing.update(ticket, row, name, part=include, source=source, transport=transport)
            said = {
                Outcome.APPLIED: f"{name} is written: call Unlock, then Activate.",
                Outcome.NOT_APPLIED: f"{name} was not written: call Update again.",
                Outcome.UNKNOWN: f"Whether {name} was written is not known yet: call Update again with the same text.",
            }
            return self._changed(visit, ticket, changed, said[changed.outcome])

    async def unlock(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        lock_handle: str,
        session_id: str | None = None,
        session_state: State = None,
    ) -> UpdateAnswer:
        """Give a lock back. What a session that has ended held is being released; then this waits for it (A11).

        Raises:
            LockLostError: The lock was lost before; nothing is held.
        """
        row, name = _checked(kind, name)
        async with self._visit(caller, _needed(session_id, "Unlock"), session_state) as visit:
            ticket = self._tokens.ticket(lock_handle, owner=visit.workspace.owner)
            try:
                await self._locked(visit, lock_handle, row, name)
            except LockLostError:
                if not await self._released(ticket):
                    raise
                return await self._already(visit, name)
            changed = await self._changing.unlock(ticket, row, name)
            done = changed.outcome is Outcome.APPLIED
            said = f"{name} is unlocked: call Activate." if done else f"{name} is being unlocked."
            return self._changed(visit, ticket, changed, said)

    async def activate(
        self, caller: Caller, kind: str, name: str, *, session_id: str | None = None, session_state: State = None
    ) -> UpdateAnswer:
        """Activate an object; `success` is false with SAP's messages if it refuses."""
        row, name = _checked(kind, name)

        async def work(backend: BackendSession) -> tuple[Outcome, ActivationResult, str]:
            try:
                reply = await backend.send(calls.activate(row, name))
            except AnswerLost as lost:
                outcome, why = await self._find_out_activation(backend, row, name, lost)
                return outcome, ActivationResult(outcome is Outcome.APPLIED, []), why
            refusal = read_refusal(reply)
            if refusal is not None and refusal.t100 == "EU/510":
                return Outcome.NOT_APPLIED, ActivationResult(False, [message("E", refusal.message)]), ""
            result = read_activation(_good(reply, f"activate {name}").body)
            return _activation_outcome(result), result, ""

        async with self._visit(caller, session_id, session_state) as visit:
            (outcome, result, why), backend, stamp = await self._reading.run(
                caller, visit.workspace, work, look=visit.look
            )
            await self._note_use(visit.workspace, row, name)
            good = outcome is Outcome.APPLIED
            text = f"{name} is active." if good else f"{name} was not activated."
            said = " ".join((text, why)).strip()
            return {**visit.answer(good, said, backend, stamp, messages=result.messages), "outcome": outcome}

    async def delete(
        self,
        caller: Caller,
        kind: str,
        name: str,
        *,
        transport: str = "",
        session_id: str | None = None,
        session_state: State = None,
    ) -> Answer:
        """Delete an object in all versions; `success` is false with the reason if SAP refuses."""
        row, name = _checked(kind, name)
        async with self._visit(caller, session_id, session_state) as visit:

            async def work(backend: BackendSession) -> list[Message] | None:
                return await self._removing.by_service(backend, row, name, transport)

            found, backend, stamp = await self._reading.run(caller, visit.workspace, work, look=visit.look)
            if found is None:
                found = await self._removing.under_lock(caller, visit.workspace, row, name, transport)
            text = f"{name} was not deleted." if found else f"{name} is deleted."
            return visit.answer(not found, text, backend, stamp, messages=found)

    # -- inside

    @asynccontextmanager
    async def _visit(self, caller: Caller, session_id: str | None, state: State) -> AsyncIterator[Visit]:
        """Run a call in its workspace: it counts as use, and is cancelled if the workspace ends (E18)."""
        if session_id is None:
            session_id = (await self.get_session(caller))["session_id"]
        node = await self._desk.workspace(caller, session_id)
        visit = Visit(self._tokens, caller, node, session_id, state=state, strict=self._strict)
        try:
            async with self._desk.manager.running(node):
                yield visit
        except SessionEnded as exc:
            raise SessionExpiredError(f"Session expired: session {session_id[:8]} has ended") from exc

    async def _locked(self, visit: Visit, lock_handle: str, row: ObjectType, name: str) -> Ticket:
        """Return what a lock handle names, after the checks of A11."""
        ticket = self._tokens.ticket(lock_handle, owner=visit.workspace.owner)
        node = await self._changing.find(ticket, row, name)
        visit.look_at_lock(node, lock_of(node))
        return ticket

    async def _released(self, ticket: Ticket) -> bool:
        """Say whether a lock that is not live any more is properly released, waiting for it if need be."""
        manager = self._desk.manager
        if await manager.current(ticket.lock_ref) is not None:
            return await manager.gone(ticket.lock_ref, timeout=manager.tuning.closer_timeout)
        past = await self._changing.past(ticket)
        return past is not None and past[1] is Reason.CLIENT

    async def _already(self, visit: Visit, name: str) -> UpdateAnswer:
        backend, stamp = await self._reading.state(visit.caller, visit.workspace)
        answer = visit.answer(True, f"{name} is unlocked: its lock has been released.", backend, stamp)
        return {**answer, "outcome": Outcome.APPLIED}

    def _changed(self, visit: Visit, ticket: Ticket, changed: Changed, text: str) -> UpdateAnswer:
        if not changed.recorded:
            visit.warn("not_recorded", "SAP has applied the change; our store could not be told and will be later")
        said = f"{text} ({changed.reason})" if changed.reason else text
        stamp = changed.stamp(visit.workspace, ticket)
        good = changed.outcome is Outcome.APPLIED
        answer = visit.answer(good, said, changed.backend, stamp, messages=changed.messages or None)
        return {**answer, "outcome": changed.outcome}

    async def _list(self, caller: Caller, call: Call, doing: str, session_id: str | None, state: State) -> ListAnswer:
        async def work(backend: BackendSession) -> Reply:
            return _good(await backend.send(call), doing)

        async with self._visit(caller, session_id, state) as visit:
            reply, backend, stamp = await self._reading.run(caller, visit.workspace, work, look=visit.look)
            found = read_references(reply.body, doing)
            return {**visit.answer(True, f"{len(found)} objects.", backend, stamp), "objects": found}

    async def _find_out_activation(
        self, backend: BackendSession, row: ObjectType, name: str, lost: AnswerLost
    ) -> tuple[Outcome, str]:
        """Look for a while whether the object is still inactive: an activation may take its time (A6)."""
        try:
            for look in range(ACTIVATION_LOOKS):
                if look:
                    await self._desk.sleep(ACTIVATION_PAUSE_S)
                reply = _good(await backend.send(calls.inactive_objects()), "list what is inactive")
                found = read_references(reply.body, "inactive objects")
                if not any((ref["name"], ref["type"]) == (name, row.type) for ref in found):
                    return Outcome.APPLIED, f"({lost}; it was found active)"
        except BackendError as exc:
            return Outcome.UNKNOWN, f"({lost}; and it could not be found out: {exc})"
        return Outcome.NOT_APPLIED, f"({lost}; it is still inactive)"

    async def _note_use(self, workspace: Session, row: ObjectType, name: str) -> None:
        """Count a call about an object as use of this session's lock on it (A3)."""
        if not workspace.record.held:
            return
        _, locks = await self._desk.below(workspace)
        for record in locks:
            if record.kind == LOCK and record.label.split(" ")[-3:-1] == [row.type, name]:
                await self._locking.touch(record)


def _checked(kind: str, name: str) -> tuple[ObjectType, str]:
    row = object_type(kind)
    return row, row.checked_name(name)


def _one_of(value: str, allowed: tuple[str, ...], argument: str) -> None:
    if value not in allowed:
        listed = ", ".join(repr(name) for name in allowed if name)
        raise BadInput(f"{argument} is {value!r}", hint=f"Use one of: {listed}.")


def _needed(session_id: str | None, operation: str) -> str:
    if not session_id:
        raise SessionMissing(f"{operation} needs the session_id that holds the lock")
    return session_id


def _source(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise BadInput("source_code is not valid Unicode text", hint="Send it as UTF-8.") from exc
    if size > LONGEST_SOURCE:
        raise BadInput(f"source_code has {size} bytes; at most {LONGEST_SOURCE} are accepted", hint="Split the object.")
    return text


def _good(reply: Reply, doing: str) -> Reply:
    raise_for(reply, doing)
    return reply


def _no_look(_: object) -> None:
    """The lock has been looked at already."""


def _activation_outcome(result: ActivationResult) -> Outcome:
    """An activation that was not executed and has no errors found the object active already (ADT §14)."""
    return Outcome.APPLIED if result.executed or not result.messages else Outcome.NOT_APPLIED
