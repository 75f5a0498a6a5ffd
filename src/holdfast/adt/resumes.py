"""Drafts in the hands of their owner: list, read, discard, and write them after a new lock (A8)."""

import contextlib
from datetime import datetime
from typing import cast

import anyio

from holdfast.adt import calls
from holdfast.adt.answers import Done, DraftInfo, DraftList, ResumeAnswer
from holdfast.adt.changing import Changed
from holdfast.adt.desk import Caller, workspace_of
from holdfast.adt.documents import read_properties
from holdfast.adt.drafts import Draft, Seen, Verdict, id_of, judge, say_kept, writes_of
from holdfast.adt.locking import Locked
from holdfast.adt.refusals import accepted
from holdfast.adt.sessions import State
from holdfast.adt.types import TYPES
from holdfast.adt.visit import Visit
from holdfast.adt.writes import LOSSES, Writes
from holdfast.backend.locks import Outcome, digest_of
from holdfast.backend.session import BackendSession
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import BadInput, HoldfastError, ObjectChanged


class Resumes(Writes):
    """Writing what could not be written."""

    async def resume_update(
        self, caller: Caller, draft_id: str, *, session_id: str | None = None, session_state: State = None
    ) -> ResumeAnswer:
        """Lock the object of a draft again and write its source, unless somebody has changed the object meanwhile.

        The answer is that of Update with the new `lock_handle`: the object stays locked. A source that has arrived
        after all is not written again. The draft goes when its source is written, and stays in every other case.

        Raises:
            DraftNotFound: There is no such draft of the caller's.
            ObjectChanged: Somebody has changed the object since it was locked; it was left as it is, and unlocked.
            ObjectLocked, NotFound: Somebody is editing it; it has been deleted.
        """
        node, draft = await self._drafts.find(caller, draft_id)
        source = await self._drafts.text(node)
        try:
            return await self._resume_in(caller, node, draft, source, session_id, session_state)
        except LOSSES as error:
            say_kept(error, draft_id)
            raise

    async def list_drafts(self, caller: Caller, draft_id: str | None = None) -> DraftList:
        """List the caller's drafts, the oldest first; with `draft_id` that one alone, and its source with it."""
        if draft_id is not None:
            node, draft = await self._drafts.find(caller, draft_id)
            info = _info(node, draft)
            info["source_code"] = await self._drafts.text(node)
            return {"success": True, "drafts": [info], "message": "ResumeUpdate writes it; DiscardDraft drops it."}
        found = [_info(node, draft) for node, draft in await self._drafts.of(caller)]
        return {"success": True, "drafts": found, "message": f"{len(found)} draft{'' if len(found) == 1 else 's'}."}

    async def discard_draft(self, caller: Caller, draft_id: str) -> Done:
        """Drop a draft. Raises DraftNotFound."""
        node, draft = await self._drafts.find(caller, draft_id)
        await self._drafts.discard(node)
        return {"success": True, "message": f"The draft of {draft.name} is discarded."}

    async def _resume_in(
        self, caller: Caller, node: Session, draft: Draft, source: str, session_id: str | None, session_state: State
    ) -> ResumeAnswer:
        if session_id is not None:
            return await self._resume(caller, node, draft, source, session_id, session_state)
        session_id = (await self.get_session(caller, system=draft.system))["session_id"]
        try:
            return await self._resume(caller, node, draft, source, session_id, session_state)
        except BaseException:
            with anyio.CancelScope(shield=True), contextlib.suppress(HoldfastError):  # nobody knows of this session
                await self._desk.manager.end(await self._desk.workspace(caller, session_id), Reason.CLIENT)
            raise

    async def _resume(
        self, caller: Caller, node: Session, draft: Draft, source: str, session_id: str, state: State
    ) -> ResumeAnswer:
        async with self._visit(caller, session_id, state) as visit:
            system = workspace_of(visit.workspace).system
            if system != draft.system:
                raise BadInput(
                    f"session_id is of {system}, the draft of {draft.system}",
                    hint="Use a session of that system, or leave session_id out.",
                )
            locked = await self._locking.lock(visit.workspace, TYPES[draft.type], draft.name)
            try:
                changed = await self._write_draft(visit, locked, draft, source)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._locking.give_up(locked)
                raise
            return await self._resumed(visit, locked, changed, node, draft)

    async def _write_draft(self, visit: Visit, locked: Locked, draft: Draft, source: str) -> Changed:
        row = TYPES[draft.type]
        seen = await self._seen(visit, draft)
        verdict = judge(draft, seen)
        if verdict is Verdict.CHANGED:
            raise ObjectChanged(
                f"{draft.name} was not written: {_who(seen)} since it was locked for this draft",
                hint="Read the object and the draft (ListDrafts with draft_id), put both changes together, then lock "
                "and update the object and discard the draft.",
            )
        if verdict is Verdict.ALREADY:
            version = locked.backend.logon.version
            return Changed(Outcome.APPLIED, locked.backend, version, reason="already_applied: it was there before")
        node = await self._changing.find(locked.ticket, row, draft.name)
        return await self._changing.update(
            visit.workspace,
            locked.ticket,
            row,
            draft.name,
            node=node,
            part=draft.part,
            source=source,
            transport=draft.transport,
        )

    async def _resumed(
        self, visit: Visit, locked: Locked, changed: Changed, node: Session, draft: Draft
    ) -> ResumeAnswer:
        done = changed.outcome is Outcome.APPLIED
        text = f"{draft.name} is written and locked: call Unlock, then Activate." if done else "The draft stays."
        answer = cast("ResumeAnswer", self._changed(visit, locked.ticket, changed, text))
        answer["lock_handle"] = self._tokens.handle(locked.ticket, owner=visit.workspace.owner)
        if done:
            with contextlib.suppress(HoldfastError):  # resumed once more it would be found there already
                await self._drafts.discard(node)
        else:
            answer["draft_id"] = id_of(node.record)
        return answer

    async def _seen(self, visit: Visit, draft: Draft) -> Seen:
        """Read the object as it is now, under the new lock: nobody else can change it while it is compared."""
        row, manager = TYPES[draft.type], self._desk.manager

        async def work(backend: BackendSession) -> tuple[bytes, dict[str, str]]:
            reply = await backend.send(calls.read_source(row, draft.name, version="inactive", part=draft.part))
            digest = b"" if reply.status == 404 else digest_of(accepted(reply, f"read {draft.name}").text)
            more = accepted(
                await backend.send(calls.read_properties(row, draft.name, version="")), "read its properties"
            )
            return digest, read_properties(more.body)

        (digest, properties), _, _ = await self._reading.run(visit.workspace, work, look=lambda _: None)
        counter = writes_of(draft.system, draft.type, draft.name, draft.part)
        [writes] = await manager.store.counters.read([counter], now=manager.clock())
        return Seen(
            digest=digest,
            writes=writes,
            changed_at=_instant(properties.get("changedAt", "")),
            changed_by=properties.get("changedBy", ""),
        )


def _who(seen: Seen) -> str:
    if seen.changed_at is None:
        return "somebody may have changed it"
    when = datetime.fromtimestamp(seen.changed_at).astimezone().isoformat(timespec="seconds")
    return f"{seen.changed_by or 'somebody'} changed it at {when}"


def _instant(text: str) -> float | None:
    """Return an instant of ADT as Unix seconds, None if it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _info(node: Session, draft: Draft) -> DraftInfo:
    info: DraftInfo = {
        "draft_id": id_of(node.record),
        "object": f"{draft.type} {draft.name}",
        "include": draft.part,
        "system": draft.system,
        "bytes": draft.size,
        "reason": draft.why,
        "kept_at": node.record.created_at,
        "expires_at": node.record.ends_at,
    }
    if draft.transport:
        info["transport"] = draft.transport
    return info
