"""Drafts: what could not be written is kept, and written after a new lock unless somebody changed the object (A8)."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adt.world import CLASS, GOOD, ME, OTHER, World, open_world
from holdfast.adt.drafts import (
    DRAFT,
    DRAFT_TEXT,
    LONGEST_DRAFT,
    MOST_DRAFTS,
    Draft,
    DraftNotFound,
    Drafts,
    Seen,
    Verdict,
    judge,
)
from holdfast.adt.kinds import kinds
from holdfast.backend.locks import digest_of
from holdfast.core.model import Reason
from holdfast.errors import (
    BackendUnavailable,
    BadInput,
    HoldfastError,
    LockLostError,
    NotFound,
    ObjectChanged,
    ObjectLocked,
    PayloadTooLarge,
    SessionExpiredError,
)
from holdfast.simulator.kinds import CLASS as CLASS_KIND

MINE = f"{GOOD}\n* mine"
THEIRS = f"{GOOD}\n* theirs"
HOUR = 3600.0


async def kept(world: World, session_id: str, handle: str, text: str = MINE, name: str = CLASS) -> str:
    """Update in vain and return the draft's id."""
    with pytest.raises(HoldfastError) as error:
        await world.update(session_id, handle, text, name)
    draft_id: str = error.value.draft_id
    assert draft_id
    assert f"draft {draft_id}: call ResumeUpdate" in str(error.value)
    return draft_id


async def lost(world: World, name: str = CLASS) -> tuple[str, str]:
    """Return a session and a draft: the lock was deleted in SM12 under an agent that had written nothing yet."""
    session_id, handle = await world.locked(name=name)
    delete_lock(world)
    return session_id, await kept(world, session_id, handle, name=name)


async def close(world: World, session_id: str) -> None:
    """End a session where no keeper runs, and close what hangs on it."""
    await world.manager.end(await world.manager.load(session_id, kind="workspace"), Reason.CLIENT)
    await settle(world)


async def settle(world: World) -> None:
    """Do what is due, and once more what had to wait for its lock."""
    await world.turns()
    await world.pass_time(1)


def delete_lock(world: World) -> None:
    for entry in list(world.sim.locks.entries(world.sim.clock())):
        world.sim.locks.remove(entry)


def write_as(world: World, user: str, text: str = THEIRS, name: str = CLASS) -> None:
    """Change a class as somebody who does not work through us."""
    repository = world.sim.repository
    target = repository.get(CLASS_KIND, name)
    assert target is not None
    repository.write(target, "main", text, user=user, now=world.sim.clock())


async def drafts_of(world: World, caller: Any = ME) -> list[Any]:
    return list((await world.abap.list_drafts(caller))["drafts"])


# -- kept


LOSSES = {
    "deleted in SM12": ("lock_lost", lambda world: world.fault("delete_lock", method="PUT")),
    "context timed out": ("session_expired", lambda world: world.fault("expire_context", method="PUT")),
    "logon timed out": ("session_expired", lambda world: world.fault("expire_session", method="PUT")),
    "another node": ("session_expired", lambda world: world.fault("icm_session", method="PUT")),
    "restarted": ("session_expired", lambda world: world.sim.restart()),
    "token refused": ("session_expired", lambda world: world.fault("csrf_required", method="PUT", times=2)),
    "overloaded": ("backend_unavailable", lambda world: world.fault("unavailable", method="PUT")),
}


@pytest.mark.parametrize("how", LOSSES)
async def test_a_source_that_could_not_be_written_is_kept_and_resumed_once(world: World, how: str) -> None:
    code, lose = LOSSES[how]
    session_id, handle = await world.locked()
    lose(world)
    draft_id = await kept(world, session_id, handle)
    [draft] = await drafts_of(world)
    assert (draft["draft_id"], draft["object"], draft["reason"]) == (draft_id, f"CLAS/OC {CLASS}", code)
    assert draft["bytes"] == len(MINE)
    [shown] = (await world.abap.list_drafts(ME, draft_id))["drafts"]
    assert shown["source_code"] == MINE
    answer = await world.abap.resume_update(ME, draft_id, session_id=session_id)
    assert (answer["success"], answer["outcome"], answer["session_id"]) == (True, "applied", session_id)
    assert "draft_id" not in answer
    assert await world.source(session_id) == MINE
    assert (await world.unlock(session_id, answer["lock_handle"]))["success"]
    assert (await world.abap.activate(ME, "class", CLASS, session_id=session_id))["success"]
    assert await drafts_of(world) == []
    with pytest.raises(DraftNotFound):
        await world.abap.resume_update(ME, draft_id)
    await world.quiet()


async def test_after_the_end_of_its_session_a_draft_is_resumed_in_a_new_one(world: World) -> None:
    session_id, handle = await world.locked()
    await world.abap.close_session(ME, session_id)
    draft_id = await kept(world, session_id, handle)
    answer = await world.abap.resume_update(ME, draft_id)
    assert answer["session_id"] != session_id
    assert (await world.unlock(answer["session_id"], answer["lock_handle"]))["success"]
    assert await world.source(answer["session_id"]) == MINE


async def test_a_session_that_ends_while_its_update_is_on_its_way_leaves_a_draft(world: World) -> None:
    session_id, handle = await world.locked()
    node = await world.manager.load(session_id, kind="workspace")
    send = world.systems.get().wire.send

    async def end(call: Any, headers: Any, **more: Any) -> Any:
        if call.method == "PUT":
            await world.manager.end(node, Reason.ADMIN)
        return await send(call, headers, **more)

    world.systems.get().wire.send = end  # type: ignore[method-assign]
    draft_id = await kept(world, session_id, handle)
    await world.quiet()
    answer = await world.abap.resume_update(ME, draft_id)
    assert answer["outcome"] == "applied"
    assert world.requests().count("PUT main") == 1  # it had arrived
    assert "already_applied" in answer["message"]


async def test_the_logout_of_its_owner_does_not_reach_a_draft(world: World) -> None:
    session_id, draft_id = await lost(world)
    await world.abap.close_session(ME, session_id)
    for record in await world.records("workspace"):
        await world.manager.end(record.ref, Reason.LOGOUT)
    await world.quiet()
    assert [draft["draft_id"] for draft in await drafts_of(world)] == [draft_id]


async def test_the_same_text_is_kept_once_however_often_it_is_tried(world: World) -> None:
    session_id, handle = await world.locked()
    delete_lock(world)
    ids = {await kept(world, session_id, handle) for _ in range(4)}
    other = await kept(world, session_id, handle, THEIRS)
    assert [draft["draft_id"] for draft in await drafts_of(world)] == [*ids, other]


async def test_an_outcome_that_is_not_known_leaves_a_draft_which_goes_when_it_is_written_after_all(
    world: World,
) -> None:
    # A6
    session_id, handle = await world.locked()
    world.fault("cut_before", method="PUT")
    world.fault("cut_before", method="GET", path="source/main")
    unknown = await world.update(session_id, handle, MINE)
    assert unknown["outcome"] == "unknown"
    assert unknown["draft_id"] in unknown["message"]
    assert [draft["reason"] for draft in await drafts_of(world)] == ["unknown"]
    assert (await world.update(session_id, handle, MINE))["outcome"] == "applied"
    assert await drafts_of(world) == []


async def test_what_sap_finds_in_a_source_is_no_loss(world: World) -> None:
    session_id = await world.session()
    with pytest.raises(BadInput):
        await world.update(session_id, "v1.nonsense", MINE)
    other, handle = await world.locked()
    with pytest.raises(BadInput):
        await world.update(session_id, handle, MINE)  # of another session, which lives
    world.fault("not_authorized", method="PUT")
    with pytest.raises(HoldfastError):
        await world.update(other, handle, MINE)
    assert await drafts_of(world) == []


# -- nobody else's change is lost


@pytest.mark.parametrize("user", ["ALICE", "DEVELOPER"])
async def test_an_object_that_somebody_else_has_changed_is_left_alone_and_the_draft_stays(
    still: World, user: str
) -> None:
    session_id, handle = await still.locked()
    delete_lock(still)
    still.clock.advance(60)
    write_as(still, user)
    draft_id = await kept(still, session_id, handle)
    await still.turns()
    before = still.sent
    with pytest.raises(ObjectChanged, match=f"{user} changed it at 20") as changed:
        await still.abap.resume_update(ME, draft_id, session_id=session_id)
    assert "PUT main" not in still.requests(before)
    assert (changed.value.code, "ListDrafts" in changed.value.hint) == ("object_changed", True)
    await still.quiet()
    assert still.locks == []
    assert await still.source(session_id) == THEIRS
    [shown] = (await still.abap.list_drafts(ME, draft_id))["drafts"]
    assert shown["source_code"] == MINE


@pytest.mark.parametrize("ends", [True, False])
async def test_another_agent_with_the_same_sap_user_is_noticed_within_seconds(still: World, ends: bool) -> None:
    session_id, handle = await still.locked()
    if ends:
        await close(still, session_id)
    delete_lock(still)
    other = await still.session(OTHER)
    theirs = await still.abap.lock(OTHER, "class", CLASS, session_id=other)
    await still.abap.update(OTHER, "class", CLASS, THEIRS, lock_handle=theirs["lock_handle"], session_id=other)
    await close(still, other)
    draft_id = await kept(still, session_id, handle)
    await still.turns()
    with pytest.raises(ObjectChanged):
        await still.abap.resume_update(ME, draft_id)
    assert await still.source(await still.session()) == THEIRS


async def test_what_the_agent_itself_had_written_before_is_no_change_of_somebody_else(still: World) -> None:
    session_id, handle = await still.locked()
    await still.update(session_id, handle, f"{GOOD}\n* first")
    await still.unlock(session_id, handle)
    await still.abap.activate(ME, "class", CLASS, session_id=session_id)
    await still.quiet()
    handle = await still.lock(session_id)
    delete_lock(still)
    draft_id = await kept(still, session_id, handle)
    await still.turns()
    assert (await still.abap.resume_update(ME, draft_id, session_id=session_id))["outcome"] == "applied"


@pytest.mark.parametrize("how", ["lost", "given up as idle"])
async def test_a_source_written_before_under_the_same_lock_is_what_it_is_compared_with(still: World, how: str) -> None:
    session_id, handle = await still.locked()
    await still.update(session_id, handle, f"{GOOD}\n* first")
    if how == "lost":
        delete_lock(still)
    else:
        await still.pass_time(901)
        assert still.locks == []
    draft_id = await kept(still, session_id, handle)
    await still.turns()
    answer = await still.abap.resume_update(ME, draft_id, session_id=session_id)
    assert answer["outcome"] == "applied"
    await still.unlock(session_id, answer["lock_handle"])
    await still.quiet()
    write_as(still, "DEVELOPER")
    assert await still.source(session_id) == THEIRS


async def test_an_object_that_is_locked_or_deleted_meanwhile_is_said_and_the_draft_stays(still: World) -> None:
    session_id, draft_id = await lost(still)
    await still.turns()
    other = await still.session(OTHER)
    handle = await still.lock(other, OTHER)
    with pytest.raises(ObjectLocked):
        await still.abap.resume_update(ME, draft_id, session_id=session_id)
    await still.abap.unlock(OTHER, "class", CLASS, lock_handle=handle, session_id=other)
    await still.quiet()
    await still.abap.delete(OTHER, "class", CLASS, session_id=other)
    with pytest.raises(NotFound):
        await still.abap.resume_update(ME, draft_id, session_id=session_id)
    assert len(await drafts_of(still)) == 1


async def test_a_resume_that_fails_leaves_neither_lock_nor_session(still: World) -> None:
    # A30
    session_id, draft_id = await lost(still)
    await close(still, session_id)
    still.fault("expire_context", method="PUT")
    with pytest.raises(SessionExpiredError, match=f"kept as draft {draft_id}"):
        await still.abap.resume_update(ME, draft_id)
    await settle(still)
    assert (still.contexts, still.locks, still.logons) == (0, [], 0)
    assert await still.records("workspace") == []
    assert [draft["draft_id"] for draft in await drafts_of(still)] == [draft_id]


async def test_a_draft_is_resumed_at_its_own_system_only(world: World) -> None:
    session_id, draft_id = await lost(world)
    node, draft = await Drafts(world.abap._desk).find(ME, draft_id)
    await Drafts(world.abap._desk)._set(node, Draft(**{**_asdict(draft), "system": "prod"}))
    with pytest.raises(BadInput, match="the draft of prod"):
        await world.abap.resume_update(ME, draft_id, session_id=session_id)


# -- whose, how long, how many, how large


async def test_to_others_a_draft_is_as_unknown_as_a_made_up_one(world: World) -> None:
    # E3
    _, draft_id = await lost(world)
    workspace = (await world.records("workspace"))[0]
    answers = set()
    for caller, wrong in (
        (OTHER, draft_id),
        (ME, "0" * 32),
        (ME, "x"),
        (ME, "x" * 32),
        (ME, workspace.key.hex()),
        (ME, ""),
    ):
        for call in (world.abap.resume_update, world.abap.list_drafts, world.abap.discard_draft):
            with pytest.raises(DraftNotFound) as error:
                await call(caller, wrong)
            answers.add(str(error.value).replace(wrong[:8], "…") if wrong else "")
    assert answers - {""} == {"there is no draft … (any more)"}
    assert await drafts_of(world, OTHER) == []
    assert len(await drafts_of(world)) == 1


async def test_a_draft_is_there_for_24_hours_and_not_a_second_longer(still: World) -> None:
    session_id, draft_id = await lost(still)
    await close(still, session_id)
    [draft] = await drafts_of(still)
    assert draft["expires_at"] - draft["kept_at"] == 24 * HOUR
    still.clock.advance(draft["expires_at"] - still.clock() - 1)
    assert [draft["draft_id"] for draft in await drafts_of(still)] == [draft_id]
    still.clock.advance(1)
    assert await drafts_of(still) == []
    with pytest.raises(DraftNotFound):
        await still.abap.list_drafts(ME, draft_id)
    await still.engine.keeper.sweep()
    await still.turns()
    await still.engine.keeper.sweep()
    assert [await still.records(kind) for kind in (DRAFT, DRAFT_TEXT)] == [[], []]


async def test_a_discarded_draft_is_gone_with_its_text(still: World) -> None:
    _, draft_id = await lost(still)
    assert (await still.abap.discard_draft(ME, draft_id))["success"]
    await still.turns()
    assert [await still.records(kind) for kind in (DRAFT, DRAFT_TEXT)] == [[], []]


async def test_of_too_many_drafts_the_oldest_make_room(still: World) -> None:
    session_id, handle = await still.locked()
    delete_lock(still)
    ids = []
    for number in range(MOST_DRAFTS + 2):
        still.clock.advance(1)
        ids.append(await kept(still, session_id, handle, f"{GOOD}\n* {number}"))
    assert [draft["draft_id"] for draft in await drafts_of(still)] == ids[2:]


async def test_a_large_source_is_kept_whole_and_one_of_more_than_8_mib_is_refused_with_both_sizes() -> None:
    async with open_world(keeper=False, max_payload_bytes=100_000) as world:
        text = "* Grüße\n" * 300_000
        session_id, handle = await world.locked()
        delete_lock(world)
        draft_id = await kept(world, session_id, handle, text)
        assert (await world.abap.list_drafts(ME, draft_id))["drafts"][0].get("source_code") == text
        assert max(len(record.payload) for record in await world.records(DRAFT_TEXT)) < 100_000
        too_long = "x" * (LONGEST_DRAFT + 1)
        _, draft = await Drafts(world.abap._desk).find(ME, draft_id)
        with pytest.raises(PayloadTooLarge, match=f"{LONGEST_DRAFT + 1} bytes.* at most {LONGEST_DRAFT}"):
            await Drafts(world.abap._desk).keep(ME, draft, too_long)


async def test_where_the_draft_cannot_be_kept_the_error_stays_what_it_is_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, handle = await world.locked()
    world.fault("delete_lock", method="PUT")
    monkeypatch.setattr("holdfast.adt.drafts.LONGEST_DRAFT", 10)
    with pytest.raises(LockLostError, match=f"could not be kept as a draft: the source has {len(MINE)} bytes") as error:
        await world.update(session_id, handle, MINE)
    assert error.value.draft_id == ""


async def test_a_draft_whose_worker_died_while_keeping_it_is_not_there(still: World) -> None:
    session_id, handle = await still.locked()
    delete_lock(still)
    save = still.manager.save

    async def die(*_: Any, **__: Any) -> None:
        raise BackendUnavailable("the worker is gone")

    still.manager.save = die  # type: ignore[method-assign]
    with pytest.raises(LockLostError, match="could not be kept"):
        await still.update(session_id, handle, MINE)
    still.manager.save = save  # type: ignore[method-assign]
    assert await drafts_of(still) == []
    [record] = await still.records(DRAFT)
    with pytest.raises(DraftNotFound):
        await still.abap.resume_update(ME, record.key.hex())


async def test_any_worker_of_the_face_knows_the_kinds_of_drafts(world: World) -> None:
    # E30
    found = {kind.name: kind for kind in kinds(world.systems, world.engine.settings)}
    assert {DRAFT, DRAFT_TEXT} <= set(found)
    assert not found[DRAFT].outside


async def test_neither_label_nor_log_of_a_draft_holds_its_source(still: World) -> None:
    await lost(still)
    records = [*await still.records(DRAFT), *await still.records(DRAFT_TEXT)]
    assert {record.label.rsplit(" ", 1)[0] for record in records} == {f"simulator DEVELOPER CLAS/OC {CLASS}"}
    assert all(b"mine" not in record.payload for record in records)


# -- the decision


BASE = Draft(
    system="dev", user="ANN", type="CLAS/OC", name="ZCL_A", part="main", transport="", digest=digest_of("mine"), size=4,
    why="lock_lost", held_at=1000.5, writes=3,
)  # fmt: skip
seen = partial(Seen, digest=digest_of("before"), writes=3, changed_at=900.0, changed_by="BOB")


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (seen(), Verdict.WRITE),
        (seen(digest=digest_of("mine"), changed_at=2000.0), Verdict.ALREADY),
        (seen(changed_at=1000.0), Verdict.CHANGED),  # the second in which it was locked
        (seen(changed_at=1005.0, changed_by="ann"), Verdict.WRITE),  # right before the lock, by a clock that is ahead
        (seen(changed_at=1011.0, changed_by="ANN"), Verdict.CHANGED),
        (seen(writes=4), Verdict.CHANGED),
        (seen(writes=0), Verdict.WRITE),  # the counter has started anew, and nobody has written since
        (seen(writes=1), Verdict.CHANGED),
        (seen(changed_at=None), Verdict.CHANGED),  # it cannot be told
        (seen(digest=b""), Verdict.WRITE),
    ],
)
def test_what_is_known_of_the_object_decides(what: Seen, verdict: Verdict) -> None:
    assert judge(BASE, what) is verdict


@given(
    st.sampled_from([b"", digest_of("before"), digest_of("other")]),
    st.sampled_from([digest_of("before"), digest_of("other"), digest_of("mine"), b""]),
    st.integers(0, 5),
    st.one_of(st.none(), st.floats(0, 3000)),
    st.sampled_from(["ANN", "BOB", ""]),
)
def test_nothing_is_written_over_what_is_not_known_to_be_the_same(
    base: bytes, digest: bytes, writes: int, changed_at: float | None, changed_by: str
) -> None:
    draft = Draft(**{**_asdict(BASE), "base": base})
    now = Seen(digest=digest, writes=writes, changed_at=changed_at, changed_by=changed_by)
    verdict = judge(draft, now)
    if verdict is Verdict.WRITE:
        assert digest != draft.digest
        assert digest == base or (not base and changed_at is not None and changed_at < draft.held_at + 10)
    assert (verdict is Verdict.ALREADY) == (digest == draft.digest)


def _asdict(draft: Draft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in Draft.__struct_fields__}
