"""What writes: create, lock, update, unlock, activate, delete (A16). Findings are answers, never errors (A12)."""

from typing import Final, NamedTuple, cast

import anyio

from holdfast.adt import calls
from holdfast.adt.answers import Answer, LockAnswer, UpdateAnswer, WriteAnswer
from holdfast.adt.arguments import checked, checked_source, needed
from holdfast.adt.changing import Changed
from holdfast.adt.desk import Caller, lock_of
from holdfast.adt.documents import ActivationResult, Message, message, read_activation, read_references
from holdfast.adt.drafts import Draft, say_kept
from holdfast.adt.mistakes import BadLockHandle
from holdfast.adt.reads import LOCAL_PACKAGE
from holdfast.adt.refusals import CREATE_FINDINGS, accepted, error_for, read_refusal
from holdfast.adt.sessions import Sessions, State
from holdfast.adt.tokens import Ticket
from holdfast.adt.types import ObjectType, checked_description, checked_package
from holdfast.adt.visit import Visit
from holdfast.backend.locks import Outcome, digest_of
from holdfast.backend.session import BackendSession
from holdfast.backend.wire import AnswerLost
from holdfast.core.model import Reason
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    HoldfastError,
    LeaseLost,
    LockLostError,
    QuotaExceeded,
    SessionExpiredError,
)

ACTIVATION_LOOKS: Final = 6
ACTIVATION_PAUSE_S: Final = 1.0
LOSSES: Final = (SessionExpiredError, LockLostError, BackendUnavailable, LeaseLost)  # after these a source is kept


class Text(NamedTuple):
    """What is to be written."""

    row: ObjectType
    name: str
    part: str
    transport: str
    source: str


class Writes(Sessions):
    """The operations that change something."""

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
        row, name = checked(kind, name)
        text, package = checked_description(description) or name, checked_package(package)
        lost: list[AnswerLost] = []  # in a logon that replaces a dead one `work` begins anew, but sends nothing twice

        async def work(backend: BackendSession) -> tuple[list[Message], str]:
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
            if lost:
                return await self._find_out(backend, row, name, lost[0], wanted=True)
            try:
                refusal = read_refusal(await backend.send(call))
            except AnswerLost as exc:
                lost.append(exc)
                return await work(backend)
            if refusal is None:
                return [], ""
            if refusal.type in CREATE_FINDINGS:
                return [message("E", refusal.message)], ""
            raise error_for(refusal, f"create {name}")

        async with self._visit(caller, session_id, session_state) as visit:
            (found, why), backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
            said = f"{name} was not created." if found else f"{name} was created in {package}: call Lock to edit it."
            return visit.answer(not found, " ".join((said, why)).strip(), backend, stamp, messages=found)

    async def lock(
        self, caller: Caller, kind: str, name: str, *, session_id: str | None = None, session_state: State = None
    ) -> LockAnswer:
        """Lock an object for editing. Locking again what this session holds answers the same lock.

        Raises:
            ObjectLocked: Somebody else is editing it; the message names the user.
        """
        row, name = checked(kind, name)
        async with self._visit(caller, session_id, session_state) as visit:
            locked = await self._locking.lock(visit.workspace, row, name)
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
    ) -> WriteAnswer:
        """Write a source under its lock; it becomes the inactive version.

        `outcome` is `applied`, or after a lost answer `not_applied` or `unknown` with the reason in `message` (A6).
        A source that was not written, or not for certain, is kept as a draft (A8), and so it is when one of these is
        raised; its id stands in the message and in the error's `draft_id`.

        Raises:
            LockLostError, SessionExpiredError: Nothing is locked any more: ResumeUpdate, or start again from Lock.
            BackendUnavailable, LeaseLost: The back end or the store is out of reach.
        """
        row, name = checked(kind, name)
        row.source_path(name, include)
        text = Text(row, name, include, transport, checked_source(source_code))
        session_id = needed(session_id, "Update")
        try:
            return await self._update(caller, text, lock_handle, session_id, session_state)
        except QuotaExceeded:
            raise  # nothing has happened to the lock: the same call is to be sent again
        except LOSSES as error:
            await self._keep(caller, text, lock_handle, error)
            raise

    async def _update(self, caller: Caller, text: Text, lock_handle: str, session_id: str, state: State) -> WriteAnswer:
        row, name = text.row, text.name
        async with self._visit(caller, session_id, state) as visit:
            ticket, node = await self._locked(visit, lock_handle, row, name)
            lock = lock_of(node)
            changed = await self._changing.update(
                visit.workspace,
                ticket,
                row,
                name,
                node=node,
                part=text.part,
                source=text.source,
                transport=text.transport,
            )
            said = {
                Outcome.APPLIED: f"{name} is written: call Unlock, then Activate.",
                Outcome.NOT_APPLIED: f"{name} was not written: call Update again.",
                Outcome.UNKNOWN: f"Whether {name} was written is not known yet: call Update again with the same text.",
            }
            answer = cast("WriteAnswer", self._changed(visit, ticket, changed, said[changed.outcome]))
            if changed.outcome is not Outcome.APPLIED and not changed.messages:
                answer["draft_id"] = await self._draft(caller, text, ticket, str(changed.outcome))
                answer["message"] += f" The source is kept as draft {answer['draft_id']}."
            elif changed.reason or lock.operation or (lock.last and lock.last.outcome is not Outcome.APPLIED):
                await self._drafts.written(caller, await self._as_draft(text, ticket, ""))
            return answer

    async def _keep(self, caller: Caller, text: Text, lock_handle: str, error: HoldfastError) -> None:
        """Keep a source that could not be written, and say so in the error."""
        try:
            ticket = self._tokens.ticket(lock_handle, owner=caller.owner)
        except BadLockHandle:
            return  # it was never locked for this caller
        with anyio.CancelScope(shield=True):
            try:
                say_kept(error, await self._draft(caller, text, ticket, error.code))
            except HoldfastError as exc:
                error.args = (f"{error}; the source could not be kept as a draft: {exc}",)

    async def _draft(self, caller: Caller, text: Text, ticket: Ticket, why: str) -> str:
        return await self._drafts.keep(caller, await self._as_draft(text, ticket, why), text.source)

    async def _as_draft(self, text: Text, ticket: Ticket, why: str) -> Draft:
        return Draft(
            system=ticket.system,
            user=self._desk.systems.get(ticket.system).user,
            type=text.row.type,
            name=text.name,
            part=text.part,
            transport=text.transport,
            digest=digest_of(text.source),
            size=len(text.source.encode()),
            why=why,
            held_at=ticket.held_at,
            writes=ticket.writes.get(text.part, 0),
            base=await self._changing.base(ticket, text.part),
        )

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
        row, name = checked(kind, name)
        async with self._visit(caller, needed(session_id, "Unlock"), session_state) as visit:
            ticket = self._tokens.ticket(lock_handle, owner=visit.workspace.owner)
            try:
                _, node = await self._locked(visit, lock_handle, row, name)
                changed = await self._changing.unlock(ticket, row, name, node=node)
            except LockLostError:
                if not await self._released(ticket):
                    raise
                return await self._already(visit, name)
            done = changed.outcome is Outcome.APPLIED
            said = f"{name} is unlocked: call Activate." if done else f"{name} is being unlocked."
            return self._changed(visit, ticket, changed, said)

    async def activate(
        self, caller: Caller, kind: str, name: str, *, session_id: str | None = None, session_state: State = None
    ) -> UpdateAnswer:
        """Activate an object; `success` is false with SAP's messages if it refuses."""
        row, name = checked(kind, name)

        async def work(backend: BackendSession) -> tuple[Outcome, ActivationResult, str]:
            try:
                reply = await backend.send(calls.activate(row, name))
            except AnswerLost as lost:
                outcome, why = await self._find_out_activation(backend, row, name, lost)
                return outcome, ActivationResult(outcome is Outcome.APPLIED, []), why
            refusal = read_refusal(reply)
            if refusal is not None and refusal.t100 == "EU/510":
                return Outcome.NOT_APPLIED, ActivationResult(False, [message("E", refusal.message)]), ""
            result = read_activation(accepted(reply, f"activate {name}").body)
            return _activation_outcome(result), result, ""

        async with self._visit(caller, session_id, session_state) as visit:
            (outcome, result, why), backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
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
        row, name = checked(kind, name)
        lost: list[AnswerLost] = []  # as in `create`

        async def work(backend: BackendSession) -> tuple[list[Message] | None, str]:
            if lost:
                return await self._find_out(backend, row, name, lost[0], wanted=False)
            try:
                return await self._removing.by_service(backend, row, name, transport), ""
            except AnswerLost as exc:
                lost.append(exc)
                return await work(backend)

        async with self._visit(caller, session_id, session_state) as visit:
            (found, why), backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
            if found is None:
                found = await self._removing.under_lock(visit.workspace, row, name, transport)
            text = f"{name} was not deleted." if found else f"{name} is deleted."
            return visit.answer(not found, " ".join((text, why)).strip(), backend, stamp, messages=found)

    async def _released(self, ticket: Ticket) -> bool:
        """Say whether a lock that is not live any more is properly released, waiting for it if need be."""
        manager = self._desk.manager
        record = await manager.current(ticket.lock_ref)
        if record is not None:
            gone = await manager.gone(ticket.lock_ref, timeout=manager.tuning.closer_timeout)
            return gone and record.reason not in (Reason.IDLE, Reason.BACKEND_GONE)
        past = await self._changing.past(ticket)
        return past is not None and past.reason is Reason.CLIENT

    async def _already(self, visit: Visit, name: str) -> UpdateAnswer:
        backend, stamp = await self._reading.state(visit.workspace)
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

    async def _find_out(
        self, backend: BackendSession, row: ObjectType, name: str, lost: AnswerLost, *, wanted: bool
    ) -> tuple[list[Message], str]:
        """Look whether an object is there, after the answer to its creation or deletion was lost (A6)."""
        reply = await backend.send(calls.read_properties(row, name, version=""))
        there = reply.status != 404 and accepted(reply, f"look up {name}").status == 200
        if there is wanted:
            return [], f"({lost}; it was looked up)"
        return [message("E", f"{lost}; the object is {'still' if there else 'not'} there")], ""

    async def _find_out_activation(
        self, backend: BackendSession, row: ObjectType, name: str, lost: AnswerLost
    ) -> tuple[Outcome, str]:
        """Look for a while whether the object is still inactive: an activation may take its time (A6)."""
        try:
            for look in range(ACTIVATION_LOOKS):
                if look:
                    await self._desk.sleep(ACTIVATION_PAUSE_S)
                reply = accepted(await backend.send(calls.inactive_objects()), "list what is inactive")
                found = read_references(reply.body, "inactive objects")
                if not any((ref["name"], ref["type"]) == (name, row.type) for ref in found):
                    return Outcome.APPLIED, f"({lost}; it was found active)"
        except BackendError as exc:
            return Outcome.UNKNOWN, f"({lost}; and it could not be found out: {exc})"
        return Outcome.NOT_APPLIED, f"({lost}; it is still inactive)"


def _activation_outcome(result: ActivationResult) -> Outcome:
    """An activation that was not executed and has no errors found the object active already (ADT §14)."""
    return Outcome.APPLIED if result.executed or not result.messages else Outcome.NOT_APPLIED
