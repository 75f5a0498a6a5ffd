"""What reads: validate, read, search, check. It travels in the logon for reading and reaches no lock (A2, A16)."""

from collections.abc import Callable
from typing import Literal, cast

from holdfast.adt import calls
from holdfast.adt.answers import Answer, ListAnswer, ReadAnswer
from holdfast.adt.arguments import checked, checked_source, one_of
from holdfast.adt.desk import Caller
from holdfast.adt.documents import (
    Message,
    has_errors,
    message,
    read_check,
    read_properties,
    read_references,
    read_validation,
)
from holdfast.adt.refusals import accepted, read_refusal
from holdfast.adt.sessions import Sessions, State
from holdfast.adt.types import checked_description, checked_package, searched_type
from holdfast.backend.session import BackendSession
from holdfast.backend.wire import Call, Reply
from holdfast.errors import BadInput

LOCAL_PACKAGE = "$TMP"


class Reads(Sessions):
    """The operations that change nothing."""

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
        row, name = checked(kind, name)
        call = calls.validate(
            row, name, description=checked_description(description) or name, package=checked_package(package)
        )

        async def work(backend: BackendSession) -> list[Message]:
            reply = await backend.send(call)
            refusal = read_refusal(reply)
            if refusal is not None and refusal.status == 400:
                return [message("E", refusal.message)]
            return read_validation(accepted(reply, f"validate {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            found, backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
            good = not has_errors(found)
            text = f"{name} can be created: call Create." if good else f"{name} cannot be created."
            return visit.answer(good, text, backend, stamp, messages=found)

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
        row, name = checked(kind, name)
        one_of(version, ("", "active", "inactive"), "version")
        call = calls.read_source(row, name, version=version, part=include)

        async def work(backend: BackendSession) -> tuple[Reply, dict[str, str] | None]:
            source = accepted(await backend.send(call), f"read {name}")
            if not properties:
                return source, None
            more = await backend.send(calls.read_properties(row, name, version=version))
            return source, read_properties(accepted(more, f"read the properties of {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            (reply, more), backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
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
        wanted = searched_type(kind) if kind else ""
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
        row, name = checked(kind, name)
        one_of(version, ("active", "inactive"), "version")
        row.source_path(name, include)
        source = None if source_code is None else checked_source(source_code).encode()
        call = calls.check(row, name, version=version, part=include, source=source)

        async def work(backend: BackendSession) -> list[Message]:
            return read_check(accepted(await backend.send(call), f"check {name}").body)

        async with self._visit(caller, session_id, session_state) as visit:
            look: Callable[..., None] = visit.look
            if lock_handle is not None:
                await self._locked(visit, lock_handle, row, name)
                look = _no_look
            found, backend, stamp = await self._reading.run(visit.workspace, work, look=look)
            await self._note_use(visit.workspace, row, name)
            good = not has_errors(found)
            text = f"{name} has no errors." if good else f"{name} has errors: correct the source."
            return visit.answer(good, text, backend, stamp, messages=found)

    async def _list(self, caller: Caller, call: Call, doing: str, session_id: str | None, state: State) -> ListAnswer:
        async def work(backend: BackendSession) -> Reply:
            return accepted(await backend.send(call), doing)

        async with self._visit(caller, session_id, state) as visit:
            reply, backend, stamp = await self._reading.run(visit.workspace, work, look=visit.look)
            found = read_references(reply.body, doing)
            return {**visit.answer(True, f"{len(found)} objects.", backend, stamp), "objects": found}


def _no_look(_: object) -> None:
    """The lock has been looked at already."""
