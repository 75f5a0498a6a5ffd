"""ABAP objects as entities of a sticky OData service (O14): a page edits a class as it would edit an order.

    Edit     locks the object in a session of its own at the ABAP system, and reads it under the lock
    PATCH    changes the text in the sticky session alone
    Check    lets the system check the text as it is there
    Save     checks, writes, unlocks and activates; of a new object, validates and creates it first
    Discard  unlocks

What an edit has opened hangs below the sticky session, so it goes with it: when the tab's time is up, when its person
logs out, or when an administrator ends it, the object is unlocked (S6).
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Final, TypeVar

import anyio
import msgspec

from holdfast.adt.answers import Answer, WriteAnswer
from holdfast.adt.desk import Caller
from holdfast.adt.documents import Message, ObjectReference, has_errors
from holdfast.adt.service import LOCAL_PACKAGE, Abap
from holdfast.adt.types import TYPES, WORDS
from holdfast.backend.locks import Outcome, digest_of
from holdfast.core.remembered import Remembered
from holdfast.errors import (
    BackendUnavailable,
    ConfigurationError,
    HoldfastError,
    LockLostError,
    NotFound,
    SessionExpiredError,
)
from holdfast.odata.query import Search
from holdfast.odata.server import (
    Computed,
    Detail,
    EntitySet,
    ETag,
    Hidden,
    Key,
    Query,
    Refused,
    Service,
    action,
    calling,
)

R = TypeVar("R")
NAMESPACE: Final = "Abap"
MOST_HITS: Final = 500
READERS: Final = 10_000
LOST: Final = (LockLostError, SessionExpiredError)


class Finding(msgspec.Struct, frozen=True):
    """What the ABAP system says about a source. `Severity` is error, warning or info; `Line` is counted from 1."""

    Severity: str
    Text: str
    Line: int | None = None
    Column: int | None = None


class AbapObject(msgspec.Struct):
    """An object of the repository. `Type` is class, interface or program. A list tells no source, and no version."""

    Type: Annotated[str, Key] = "class"
    Name: Annotated[str, Key, msgspec.Meta(max_length=40)] = ""
    Package: Annotated[str, msgspec.Meta(max_length=30)] = LOCAL_PACKAGE
    Description: Annotated[str, msgspec.Meta(max_length=60)] = ""
    Source: str | None = None
    Transport: Annotated[str, msgspec.Meta(max_length=20)] = ""
    ChangedBy: Annotated[str, Computed] = ""
    ChangedAt: Annotated[str, Computed] = ""
    Version: Annotated[str | None, ETag] = None
    workspace: Annotated[str, Hidden] = ""
    lock_handle: Annotated[str, Hidden] = ""


class Objects(EntitySet[AbapObject]):
    """The classes, interfaces and programs of the default ABAP system, of which a list has 500 at most.

    `$search` looks for names. `serve` gives it the ABAP face, before the first request.
    """

    searched = ("Name",)

    def __init__(self) -> None:
        self._abap: Abap | None = None
        self._readers = Remembered[tuple[str, object], str](READERS)  # a workspace of each caller, to read in

    def serve(self, abap: Abap) -> None:
        """Work on this face from now on."""
        self._abap = abap

    @property
    def abap(self) -> Abap:
        """The ABAP face."""
        if self._abap is None:
            raise ConfigurationError("the service of ABAP objects was not given the ABAP face")
        return self._abap

    # -- reading

    async def list(self, query: Query) -> Iterable[AbapObject]:
        """Return the objects whose names the first word of `$search` is part of; without one, all."""
        pattern = f"*{_first_word(query.options.search)}*".replace("**", "*")
        answer = await self._reading(
            lambda me, session: self.abap.search(me, pattern, max_results=MOST_HITS, session_id=session)
        )
        return [_listed(one) for one in answer["objects"] if one["type"] in TYPES]

    async def read(self, key: tuple[str, str]) -> AbapObject | None:
        """Return an object with its newest source."""
        kind, name = key
        if kind not in WORDS:
            return None
        try:
            return await self._reading(lambda me, session: self._read(me, kind, name, session))
        except NotFound:
            return None

    @action
    async def Check(self, row: AbapObject) -> Sequence[Finding]:  # noqa: N802 - as the service names it
        """Return what the ABAP system finds in the source as it is in the sticky session; nothing is written."""
        found = await self._reading(lambda me, session: self._checked(me, row, session))
        return [Finding(one["severity"], one["text"], one.get("line"), one.get("column")) for one in found]

    # -- the choreography

    async def edit(self, row: AbapObject) -> AbapObject:
        """Lock the object and return it as it is under the lock."""
        me = _caller()
        session = (await self.abap.get_session(me))["session_id"]
        try:
            locked = await self.abap.lock(me, row.Type, row.Name, session_id=session)
            fresh = await self._read(me, row.Type, row.Name, session)
        except HoldfastError:
            await self.abap.close_session(me, session)
            raise
        return msgspec.structs.replace(
            fresh, workspace=session, lock_handle=locked["lock_handle"], Transport=locked.get("transport", "")
        )

    async def save(self, row: AbapObject, base: AbapObject | None) -> AbapObject:
        """Check, write, unlock and activate; what the system finds wrong is refused before anything is written."""
        me = _caller()
        if base is None:
            return await self._saved_new(me, row)
        _refuse(await self._checked(me, row, row.workspace), f"{row.Name} has errors; nothing was written.")
        return await self._activated(me, row, await self._written(me, row))

    async def discard(self, row: AbapObject) -> None:
        """Unlock. Where the sticky session has ended, its end has done so already."""
        if row.workspace:
            with suppress(SessionExpiredError):
                await self.abap.close_session(_caller(), row.workspace)

    # -- inside

    async def _saved_new(self, me: Caller, row: AbapObject) -> AbapObject:
        """Validate, create, lock, write, unlock, activate: in one session at the system, closed whatever happens."""
        if row.Type not in WORDS:
            raise Refused(f"there is no type {row.Type!r}: use one of {', '.join(WORDS)}", target="Type")
        session = (await self.abap.get_session(me))["session_id"]
        try:
            kind, name = row.Type, row.Name
            _refuse_unless(
                await self.abap.validate(
                    me, kind, name, description=row.Description, package=row.Package, session_id=session
                )
            )
            _refuse_unless(
                await self.abap.create(
                    me,
                    kind,
                    name,
                    description=row.Description,
                    package=row.Package,
                    transport=row.Transport,
                    session_id=session,
                )
            )
            locked = await self.abap.lock(me, row.Type, row.Name, session_id=session)
            held = msgspec.structs.replace(row, workspace=session, lock_handle=locked["lock_handle"])
            return await self._activated(me, held, await self._written(me, held))
        finally:
            with anyio.CancelScope(shield=True), suppress(SessionExpiredError):
                await self.abap.close_session(me, session)

    async def _written(self, me: Caller, row: AbapObject) -> str:
        """Write the source under its lock and unlock; return the session at the system in which that was done.

        A lock that was lost meanwhile is taken again, unless somebody has changed the object since (A8).
        """
        session, handle = row.workspace, row.lock_handle
        try:
            answer: WriteAnswer = await self.abap.update(
                me,
                row.Type,
                row.Name,
                row.Source or "",
                lock_handle=handle,
                transport=row.Transport,
                session_id=session,
            )
        except LOST as lost:
            draft = getattr(lost, "draft_id", "")
            if not draft:
                raise
            resumed = await self._with_draft(me, draft, self.abap.resume_update(me, draft))
            answer, session, handle = resumed, resumed["session_id"], resumed["lock_handle"]
        if answer["outcome"] is not Outcome.APPLIED:
            await self._drop_draft(me, answer.get("draft_id", ""))
            raise BackendUnavailable(f"{answer['message'].partition(' The source')[0]} Save again.")
        await self.abap.unlock(me, row.Type, row.Name, lock_handle=handle, session_id=session)
        return session

    async def _activated(self, me: Caller, row: AbapObject, session: str) -> AbapObject:
        """Activate what is written, and return it as it is then."""
        answer = await self.abap.activate(me, row.Type, row.Name, session_id=session)
        if not answer["success"]:
            said = f"{row.Name} is saved and unlocked, but not active. Discard, and edit it again."
            raise Refused(said, target="Source", details=_details(answer.get("messages", [])))
        saved = await self._read(me, row.Type, row.Name, session)
        await self.abap.close_session(me, session)
        return saved

    async def _with_draft(self, me: Caller, draft: str, work: Awaitable[R]) -> R:
        """Do something with a draft; if it fails, drop the draft: the sticky session has its text."""
        try:
            return await work
        except HoldfastError:
            await self._drop_draft(me, draft)
            raise

    async def _drop_draft(self, me: Caller, draft: str) -> None:
        if draft:
            with suppress(NotFound):
                await self.abap.discard_draft(me, draft)

    async def _checked(self, me: Caller, row: AbapObject, session: str) -> Sequence[Message]:
        answer = await self.abap.check(me, row.Type, row.Name, source_code=row.Source or "", session_id=session)
        return answer.get("messages", [])

    async def _read(self, me: Caller, kind: str, name: str, session: str) -> AbapObject:
        answer = await self.abap.read(me, kind, name, properties=True, session_id=session)
        about = answer.get("properties", {})
        return AbapObject(
            Type=kind,
            Name=about.get("name", name),
            Package=about.get("package", ""),
            Description=about.get("description", ""),
            Source=answer["source_code"],
            ChangedBy=about.get("changedBy", ""),
            ChangedAt=about.get("changedAt", ""),
            Version=answer.get("etag", "").strip('"') or digest_of(answer["source_code"]).hex()[:16],
        )

    async def _reading(self, work: Callable[[Caller, str], Awaitable[R]]) -> R:
        """Do something in the session that a caller has for reading; once more if it has come to its end."""
        call = calling()
        me = Caller(call.owner, call.owner, call.logon)
        mine = (call.owner, call.logon)
        session = self._readers.pop(mine, None)
        if session is not None:
            with suppress(SessionExpiredError):
                found = await work(me, session)
                self._readers[mine] = session
                return found
        session = (await self.abap.get_session(me))["session_id"]
        self._readers[mine] = session
        return await work(me, session)


def abap_service(objects: Objects) -> Service:
    """Return the service of which these objects are the one entity set."""
    return Service(NAMESPACE, objects)


def _caller() -> Caller:
    """Return who calls, with the sticky session as the place where sessions at the system hang."""
    call = calling()
    return Caller(call.owner, call.owner, call.node)


def _first_word(search: Search | None) -> str:
    while search is not None and search.op == "and":
        search = search.operands[0]
    return search.text if search is not None and search.op == "term" else ""


def _listed(found: ObjectReference) -> AbapObject:
    return AbapObject(
        Type=TYPES[found["type"]].word,
        Name=found["name"],
        Package=found.get("package", ""),
        Description=found.get("description", ""),
    )


def _refuse_unless(answer: Answer) -> None:
    """Refuse a new object whose name, package or description the system refuses."""
    if not answer["success"]:
        raise Refused(answer["message"], target="Name", details=_details(answer.get("messages", []), "Name"))


def _refuse(found: Sequence[Message], said: str) -> None:
    if has_errors(found):
        raise Refused(said, target="Source", details=_details(found))


def _details(found: Sequence[Message], target: str = "Source") -> tuple[Detail, ...]:
    return tuple(Detail(_told(one), target, f"abap_{one['severity']}") for one in found)


def _told(found: Message) -> str:
    return f"Line {found['line']}: {found['text']}" if "line" in found else found["text"]
