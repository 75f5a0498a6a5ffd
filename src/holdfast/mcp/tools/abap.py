"""The ABAP handlers as MCP tools, under the source's names: one per object type and operation (surface `handlers`).

Types come from `adt.types.TYPES` and operations from `OPERATIONS`: a new row there is a tool here. A tool does nothing
by itself but say who calls; everything else is the service's.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.adt.answers import (
    Answer,
    Done,
    DraftList,
    ListAnswer,
    LockAnswer,
    LockList,
    ReadAnswer,
    ResumeAnswer,
    SessionList,
    UpdateAnswer,
    WriteAnswer,
)
from holdfast.adt.desk import Caller
from holdfast.adt.names import own_name
from holdfast.adt.service import Abap
from holdfast.adt.types import TYPES, ObjectType
from holdfast.core.events import ADDRESS
from holdfast.core.model import Ref
from holdfast.mcp.calling import calling
from holdfast.mcp.dispatch import Context
from holdfast.mcp.protocol import Era
from holdfast.mcp.tool import Annotations, Tool
from holdfast.web.security import Logons

INSTRUCTIONS: Final = (
    "Edit ABAP objects: GetSession, then Validate, Create (for a new object), Lock, Update, Unlock, Activate, in this "
    "order, all with the session_id that GetSession gave; Update and Unlock also need the lock_handle that Lock gave. "
    "Other calls may come in between: a lock stays until Unlock, CloseSession, or 15 minutes without use. "
    "If an error names a draft_id, ResumeUpdate writes what could not be written. "
    "Findings (syntax errors, names that are taken) are answers with success=false and messages."
)
LOCAL: Final = "local"  # the principal where nobody has to say who they are: whoever reaches the loopback address

SessionId = Annotated[str, Meta(description="What GetSession answered; left out, a session is opened.")]
NeededSessionId = Annotated[str, Meta(description="The session_id that the Lock answer gave.")]
State = Annotated[dict[str, Any], Meta(description="The session_state of the last answer. May be left out.")]
Handle = Annotated[str, Meta(description="What the Lock answer gave.")]
Description = Annotated[str, Meta(description="Short text of the object, at most 60 characters.")]
Package = Annotated[str, Meta(description="Package; $TMP if left out.")]
Transport = Annotated[str, Meta(description="Transport request; not needed for local objects.")]
Version = Annotated[Literal["active", "inactive"], Meta(description="Which version; the newest if left out.")]
Source = Annotated[str, Meta(description="The whole source, as text.")]

Field = tuple[str, Any] | tuple[str, Any, Any]


class Operation(msgspec.Struct, frozen=True):
    """What can be done with an object of any type."""

    verb: str
    method: Callable[..., Awaitable[Mapping[str, Any]]]
    answer: Any
    about: str
    hints: Annotations
    fields: tuple[Field, ...] = ()
    session: Any = SessionId


READ_ONLY: Final = Annotations(read_only=True, open_world=True)
CHANGES: Final = Annotations(read_only=False, destructive=False, idempotent=False, open_world=True)
REPEATABLE: Final = Annotations(read_only=False, destructive=False, idempotent=True, open_world=True)
DESTROYS: Final = Annotations(read_only=False, destructive=True, idempotent=True, open_world=True)

INCLUDE: Final[Field] = ("include", str | UnsetType, UNSET)
OPERATIONS: Final = (
    Operation(
        "Validate",
        Abap.validate,
        Answer,
        "Say whether {a} of this name can be created. If success, call Create{Word}.",
        READ_ONLY,
        (("description", Description | UnsetType, UNSET), ("package", Package | UnsetType, UNSET)),
    ),
    Operation(
        "Create",
        Abap.create,
        Answer,
        "Create {a}, inactive and without content of its own. Then call Lock{Word}.",
        CHANGES,
        (
            ("description", Description | UnsetType, UNSET),
            ("package", Package | UnsetType, UNSET),
            ("transport", Transport | UnsetType, UNSET),
        ),
    ),
    Operation(
        "Read",
        Abap.read,
        ReadAnswer,
        "Read the source of {a}. Never disturbs a lock.",
        READ_ONLY,
        (("version", Version | UnsetType, UNSET), INCLUDE, ("properties", bool | UnsetType, UNSET)),
    ),
    Operation(
        "Lock",
        Abap.lock,
        LockAnswer,
        "Lock {a} for editing. Keep lock_handle and session_id: call Update{Word} and Unlock{Word} with them.",
        REPEATABLE,
    ),
    Operation(
        "Update",
        Abap.update,
        WriteAnswer,
        "Write the source of a locked {word}. Then call Unlock{Word}, then Activate{Word}.",
        REPEATABLE,
        (("source_code", Source), ("lock_handle", Handle), INCLUDE, ("transport", Transport | UnsetType, UNSET)),
        NeededSessionId,
    ),
    Operation(
        "Check",
        Abap.check,
        Answer,
        "Check the syntax of {a}: the stored source, or source_code in its place.",
        READ_ONLY,
        (
            ("source_code", Source | UnsetType, UNSET),
            ("version", Version | UnsetType, UNSET),
            INCLUDE,
            ("lock_handle", Handle | UnsetType, UNSET),
        ),
    ),
    Operation(
        "Unlock",
        Abap.unlock,
        UpdateAnswer,
        "Give the lock on {a} back. Always do this, also after an error. Then call Activate{Word}.",
        REPEATABLE,
        (("lock_handle", Handle),),
        NeededSessionId,
    ),
    Operation(
        "Activate",
        Abap.activate,
        UpdateAnswer,
        "Activate {a}: the inactive version becomes the active one. Refused with messages if it has errors.",
        REPEATABLE,
    ),
    Operation(
        "Delete",
        Abap.delete,
        Answer,
        "Delete {a} in all versions. Cannot be undone.",
        DESTROYS,
        (("transport", Transport | UnsetType, UNSET),),
    ),
)


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No arguments."""


class GetSession(msgspec.Struct, forbid_unknown_fields=True):
    """What GetSession takes."""

    force_new: Annotated[bool, Meta(description="Log on afresh instead of using the living logon.")] = False
    system: Annotated[str, Meta(description="A configured system; the default one if left out.")] | None = None


class CloseSession(msgspec.Struct, forbid_unknown_fields=True):
    """What CloseSession takes."""

    session_id: Annotated[str, Meta(description="What GetSession answered.")]


class ListDrafts(msgspec.Struct, forbid_unknown_fields=True):
    """What ListDrafts takes."""

    draft_id: Annotated[str, Meta(description="This one alone, and its source.")] | None = None


class DiscardDraft(msgspec.Struct, forbid_unknown_fields=True):
    """What DiscardDraft takes."""

    draft_id: str


class ResumeUpdate(msgspec.Struct, forbid_unknown_fields=True):
    """What ResumeUpdate takes."""

    draft_id: Annotated[str, Meta(description="What the error of Update, or ListDrafts, gave.")]
    session_id: SessionId | None = None
    session_state: State | None = None


class SearchObjects(msgspec.Struct, forbid_unknown_fields=True):
    """What SearchObjects takes."""

    query: Annotated[str, Meta(description="A name, or a pattern such as ZCL_*.")]
    object_type: Annotated[str, Meta(description="Such as CLAS, INTF or PROG.")] = ""
    package: str = ""
    max_results: Annotated[int, Meta(ge=1, le=1000)] = 50
    session_id: SessionId | None = None
    session_state: State | None = None


class InactiveObjects(msgspec.Struct, forbid_unknown_fields=True):
    """What InactiveObjects takes."""

    session_id: SessionId | None = None
    session_state: State | None = None


def abap_tools(abap: Abap) -> list[Tool]:
    """Return all tools of the surface `handlers` over a service."""
    made = [_object_tool(abap, operation, row) for row in TYPES.values() for operation in OPERATIONS]
    return [*_session_tools(abap), *made, *_draft_tools(abap), *_repository_tools(abap)]


def caller_of(context: Context) -> Caller:
    """Return who calls: sessions of the legacy era hang on the client's own, modern ones on the person's logon."""
    owner = context.principal or LOCAL
    parent = context.session.ref if context.era is Era.LEGACY and context.session is not None else None
    return Caller(
        owner=owner, client=context.principal or ADDRESS.get(), parent=parent, logon=partial(_logon_of, context)
    )


async def _logon_of(context: Context) -> Ref | None:
    """Return the node of the logon that the request's token belongs to, if it is a person's (S6)."""
    logon = await Logons(calling().manager).of_bearer(context.identity)
    return None if logon is None else logon.ref


def _session_tools(abap: Abap) -> list[Tool]:
    async def get_session(arguments: GetSession, context: Context) -> Answer:
        return await abap.get_session(caller_of(context), force_new=arguments.force_new, system=arguments.system)

    async def list_sessions(_: Nothing, context: Context) -> SessionList:
        return await abap.list_sessions(caller_of(context))

    async def list_locks(_: Nothing, context: Context) -> LockList:
        return await abap.list_locks(caller_of(context))

    async def close_session(arguments: CloseSession, context: Context) -> Done:
        return await abap.close_session(caller_of(context), arguments.session_id)

    opens = (
        "Open a session at an ABAP system. Pass its session_id to all following calls of the workflow. It ends 30 "
        "minutes after its last use; CloseSession ends it at once and releases what it holds."
    )
    return [
        _tool("GetSession", get_session, GetSession, Answer, opens, CHANGES),
        _tool("ListSessions", list_sessions, Nothing, SessionList, "List your sessions and when they end.", READ_ONLY),
        _tool("ListLocks", list_locks, Nothing, LockList, "List your locks, stranded ones included.", READ_ONLY),
        _tool(
            "CloseSession",
            close_session,
            CloseSession,
            Done,
            "End a session: what it locks is released, its logons are logged off.",
            REPEATABLE,
        ),
    ]


def _draft_tools(abap: Abap) -> list[Tool]:
    async def resume(arguments: ResumeUpdate, context: Context) -> ResumeAnswer:
        return await abap.resume_update(
            caller_of(context),
            arguments.draft_id,
            session_id=arguments.session_id,
            session_state=arguments.session_state,
        )

    async def list_drafts(arguments: ListDrafts, context: Context) -> DraftList:
        return await abap.list_drafts(caller_of(context), arguments.draft_id)

    async def discard(arguments: DiscardDraft, context: Context) -> Done:
        return await abap.discard_draft(caller_of(context), arguments.draft_id)

    resumes = (
        "Lock the object of a draft again and write its source, unless somebody has changed the object. Answers as "
        "Update, with a new lock_handle: call Unlock with it, then Activate."
    )
    lists = "List your sources that could not be written; with draft_id one alone, with its source."
    return [
        _tool("ResumeUpdate", resume, ResumeUpdate, ResumeAnswer, resumes, REPEATABLE),
        _tool("ListDrafts", list_drafts, ListDrafts, DraftList, lists, READ_ONLY),
        _tool("DiscardDraft", discard, DiscardDraft, Done, "Drop a draft. Cannot be undone.", DESTROYS),
    ]


def _repository_tools(abap: Abap) -> list[Tool]:
    async def search(arguments: SearchObjects, context: Context) -> ListAnswer:
        return await abap.search(
            caller_of(context),
            arguments.query,
            kind=arguments.object_type,
            package=arguments.package,
            max_results=arguments.max_results,
            session_id=arguments.session_id,
            session_state=arguments.session_state,
        )

    async def inactive(arguments: InactiveObjects, context: Context) -> ListAnswer:
        given = {"session_id": arguments.session_id, "session_state": arguments.session_state}
        return await abap.inactive_objects(caller_of(context), **given)  # type: ignore[arg-type]

    return [
        _tool("SearchObjects", search, SearchObjects, ListAnswer, "Search ABAP objects by name.", READ_ONLY),
        _tool(
            "InactiveObjects",
            inactive,
            InactiveObjects,
            ListAnswer,
            "List your inactive objects: they still have to be activated.",
            READ_ONLY,
        ),
    ]


def _object_tool(abap: Abap, operation: Operation, row: ObjectType) -> Tool:
    name = f"{operation.verb}{row.word.capitalize()}"

    async def call(arguments: msgspec.Struct, context: Context) -> Mapping[str, Any]:
        given = {word: value for word, value in msgspec.structs.asdict(arguments).items() if value is not UNSET}
        named = own_name(row, given.pop("object_name", ""), {row.argument: given.pop(row.argument, "")})
        return await operation.method(abap, caller_of(context), row.type, named, **given)

    about = operation.about.format(a=_with_article(row.title), word=row.title, Word=row.word.capitalize())
    return _tool(name, call, _arguments(name, operation, row), operation.answer, about, operation.hints)


def _arguments(name: str, operation: Operation, row: ObjectType) -> type[msgspec.Struct]:
    about_name = Meta(description=f"Name of the {row.title}, at most {row.longest_name} characters.")
    needed = [field for field in operation.fields if len(field) == 2]
    optional = [field for field in operation.fields if len(field) == 3]
    session: list[Field] = [("session_id", operation.session | UnsetType, UNSET)]
    return msgspec.defstruct(
        f"{name}Arguments",
        [
            *needed,
            (row.argument, Annotated[str, about_name] | UnsetType, UNSET),
            ("object_name", Annotated[str, Meta(description=f"Another name of {row.argument}.")] | UnsetType, UNSET),
            *optional,
            *session,
            ("session_state", State | UnsetType, UNSET),
        ],
        forbid_unknown_fields=True,
    )


def _with_article(title: str) -> str:
    return f"{'an' if title[0] in 'aeiou' else 'a'} {title}"


def _tool(
    name: str, handler: Callable[..., Any], arguments: type[msgspec.Struct], answer: Any, about: str, hints: Annotations
) -> Tool:
    return Tool(
        name=name,
        handler=handler,
        arguments=arguments,
        result=answer,
        description=about,
        title=_spaced(name),
        annotations=hints,
    )


def _spaced(name: str) -> str:
    """Return `LockClass` as `Lock class`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return words[0].upper() + words[1:]
