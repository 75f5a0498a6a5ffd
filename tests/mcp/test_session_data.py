"""A session's data as tools have them, and that saving keeps exactly what was changed."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.mcp_world import Nothing, Text, call, handshake, modern, texts, world
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.errors import BadInput, ConfigurationError, SessionConflict, SessionError, SessionNotFound
from holdfast.mcp import KINDS, Context, NativeDispatcher, ServerInfo, SessionData, session_data, tool
from holdfast.mcp.kinds import SESSION
from holdfast.stores.memory import memory_store


@tool()
async def note(arguments: Text, context: Context) -> str:
    """Keep a text."""
    async with session_data() as data:
        data.setdefault("notes", []).append(arguments.text)
        return " ".join(data["notes"])


@tool()
async def fail(arguments: Nothing, context: Context) -> str:
    """Keep something, and fail."""
    async with session_data() as data:
        data["notes"] = []
        raise SessionError("no")


TOOLS = NativeDispatcher([note, fail], ServerInfo(name="notes", version="1"))


def manager() -> Manager:
    return Manager(memory_store(), KeyRing.parse(new_key_text()), KINDS, worker="w")


async def opened(kept: Manager, **content: Any) -> Session:
    return await kept.open(SESSION, {"version": "2025-11-25", **content})


async def again(kept: Manager, session: Session) -> SessionData:
    return SessionData(kept, await kept.get(session.ref))


async def test_tools_of_ours_keep_data_in_the_session_for_any_worker() -> None:
    # M22
    async with world(2, TOOLS) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        assert texts((await first.post(call("note", text="a"), **named)).result) == ["a"]
        assert texts((await second.post(call("note", text="b"), **named)).result) == ["a b"]
        assert (await first.post(call("fail"), **named)).result["isError"] is True
        assert texts((await second.post(call("note", text="c"), **named)).result) == ["a b c"]
        other = await handshake(first)
        assert texts((await first.post(call("note", text="x"), **other)).result) == ["x"]


async def test_a_client_without_a_session_is_told_so_and_what_to_use() -> None:
    async with world(1, TOOLS) as made:
        seen = await modern(made.workers[0].wire, call("note", text="a"))
    error = seen.result["structuredContent"]["error"]
    assert error["code"] == "session_not_found"
    assert "Handles" in error["hint"]


def test_outside_of_a_request_there_is_no_session() -> None:
    with pytest.raises(ConfigurationError):
        session_data()


KEYS = st.sampled_from(["a", "b", "c"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EDITS = st.lists(st.tuples(KEYS, VALUES | st.just(...)), max_size=5)


def edit(data: dict[str, Any], edits: list[tuple[str, Any]]) -> None:
    for key, value in edits:
        if value is ...:
            data.pop(key, None)
        else:
            data[key] = value


@given(before=EDITS, theirs=EDITS, ours=EDITS)
async def test_of_two_that_save_at_once_each_keeps_what_it_changed_and_the_later_wins(
    before: list[tuple[str, Any]], theirs: list[tuple[str, Any]], ours: list[tuple[str, Any]]
) -> None:
    # R66, E24
    kept = manager()
    session = await opened(kept)
    async with await again(kept, session) as data:
        edit(data, before)
    base = dict(data)
    one, other = await again(kept, session), await again(kept, session)
    assert one == base
    edit(one, theirs)
    edit(other, ours)
    await one.save()
    await other.save()
    expected = dict(one)
    for key in base.keys() | other.keys():
        if key not in other:
            expected.pop(key, None)
        elif key not in base or msgspec.msgpack.encode(other[key]) != msgspec.msgpack.encode(base[key]):
            expected[key] = other[key]
    assert await again(kept, session) == expected
    assert (await kept.get(session.ref)).content["version"] == "2025-11-25"


async def test_saving_again_writes_nothing_and_what_was_changed_since_it_does() -> None:
    kept = manager()
    data = await again(kept, await opened(kept))
    data["items"] = items = [1]
    assert await data.save()
    assert not await data.save()
    items.append(2)
    assert await data.save()
    assert not await data.save()
    assert await data.save(unchanged=True)
    assert data["items"] is items


async def test_a_change_begins_with_what_others_have_written_and_saves_what_was_changed_before_it() -> None:
    # T15
    kept = manager()
    session = await opened(kept)
    one, other = await again(kept, session), await again(kept, session)
    async with other:
        other["theirs"] = 1
    one["mine"] = 2
    assert await one.change(dict) == {"theirs": 1, "mine": 2}
    assert await one.change(lambda data: data.pop("theirs")) == 1
    assert await again(kept, session) == {"mine": 2}


async def test_a_change_is_made_again_when_somebody_else_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    # T15
    kept = manager()
    session = await opened(kept)
    data, save = await again(kept, session), kept.save
    seen: list[dict[str, Any]] = []

    async def late(written: Session) -> None:
        if len(seen) == 1:
            async with await again(kept, session) as other:
                other["count"] = 10
            raise SessionConflict("somebody else was faster")
        await save(written)

    def count(found: SessionData) -> None:
        seen.append(dict(found))
        found["count"] = found.get("count", 0) + 1
        if len(seen) == 1:
            monkeypatch.setattr(kept, "save", once)

    async def once(written: Session) -> None:
        monkeypatch.setattr(kept, "save", save)
        await late(written)

    await data.change(count)
    assert seen == [{}, {"count": 10}]
    assert await again(kept, session) == {"count": 11}


async def test_a_conflict_may_be_made_an_error() -> None:
    # R66: last-write, merge and fail are all there
    kept = manager()
    session = await opened(kept)
    one, other = await again(kept, session), await again(kept, session)
    one["a"], other["a"] = 1, 2
    await one.save()

    def refuse(key: str, theirs: Any, ours: Any) -> Any:
        raise SessionConflict(f"{key} was changed by somebody else")

    with pytest.raises(SessionConflict, match="a was changed"):
        await other.save(on_conflict=refuse)
    assert await again(kept, session) == {"a": 1}


async def test_the_data_of_a_session_that_has_ended_are_neither_read_nor_written() -> None:
    # T12
    kept = manager()
    session = await opened(kept)
    data = await again(kept, session)
    await kept.end(session, Reason.LOGOUT)
    data["a"] = 1
    with pytest.raises(SessionError):
        await data.save()
    with pytest.raises(SessionError):
        await data.change(lambda data: None)
    with pytest.raises(SessionNotFound):
        await again(kept, session)


async def test_a_change_that_cannot_be_kept_leaves_all_as_it_was() -> None:
    kept = manager()
    session = await opened(kept)
    data = await again(kept, session)
    with pytest.raises(BadInput):
        await data.change(lambda data: data.update(a=1, b=object()))
    assert await again(kept, session) == {}
