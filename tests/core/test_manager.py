"""Opening, loading, saving, rotating and ending through the manager, over the memory store."""

from typing import Any

import msgspec
import pytest

from core.world import KEYS, TUNING, World, manager_on, opened
from holdfast.core.events import Fact
from holdfast.core.ids import alias_of
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, Ref
from holdfast.errors import (
    BadInput,
    ConfigurationError,
    LimitReached,
    PayloadTooLarge,
    SessionConflict,
    SessionEnded,
    SessionExists,
    SessionNotFound,
)


async def test_a_session_is_found_by_its_id_with_its_content(manager: Manager) -> None:  # E1, E4
    session = await opened(manager)
    assert session.id is not None
    found = await manager.load(session.id, kind="http", owner="ann")
    assert found.content == {"cart": 1}
    assert found.key == session.key
    assert found.owner == "ann"
    assert repr(found) == f"<Session http {session.id[:8]}>"


async def test_the_store_sees_neither_the_id_nor_the_content(manager: Manager) -> None:  # E4, E5
    session = await manager.open("http", {"password": "Tops3cret"})
    assert session.id is not None
    [stored] = await manager.store.sessions.find("key", session.key)
    raw = msgspec.msgpack.encode(stored)
    assert session.id.encode() not in raw
    assert b"Tops3cret" not in raw


@pytest.mark.parametrize("wrong", ["malformed", "unknown", "foreign", "other kind", "expired", "ended"])
async def test_malformed_unknown_foreign_expired_and_ended_ids_get_one_answer(
    manager: Manager, world: World, wrong: str
) -> None:  # E3, E9, E34
    session = await opened(manager)
    assert session.id is not None
    session_id, kind, owner = session.id, "http", "ann"
    if wrong == "malformed":
        session_id = "nonsense"
    elif wrong == "unknown":
        session_id = manager.ids.generate()
    elif wrong == "foreign":
        owner = "bob"
    elif wrong == "other kind":
        kind = "security"
    elif wrong == "expired":
        world.now += 100.0
    else:
        await manager.end(session, Reason.LOGOUT)
    with pytest.raises(SessionNotFound, match=r"^there is no such session$"):
        await manager.load(session_id, kind=kind, owner=owner)
    assert world.facts()[-1] is (Fact.FOREIGN_ID if wrong == "foreign" else Fact.UNKNOWN_ID)
    told = world.events[-1]
    assert (told.mark, told.owner, told.client) == (session_id[:8], owner, owner)


@pytest.mark.parametrize(("elapsed", "alive"), [(99.0, True), (100.0, False), (101.0, False)])
async def test_a_session_ends_at_the_very_instant_its_idle_clock_runs_out(
    manager: Manager, world: World, elapsed: float, alive: bool
) -> None:  # E7
    session = await opened(manager)
    assert session.id is not None
    world.now += elapsed
    if alive:
        assert (await manager.load(session.id, kind="http")).content == {"cart": 1}
    else:
        with pytest.raises(SessionNotFound):
            await manager.load(session.id, kind="http")


async def test_use_keeps_a_session_and_the_absolute_clock_ends_it(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager)
    assert session.id is not None
    for _ in range(12):
        world.now += 80.0
        await manager.load(session.id, kind="http")
    world.now += 40.0
    with pytest.raises(SessionNotFound):
        await manager.load(session.id, kind="http")


async def test_looking_without_touching_is_no_use(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager)
    assert session.id is not None
    world.now += 60.0
    await manager.load(session.id, kind="http", touch=False)
    await manager.get(session.ref)
    world.now += 40.0
    with pytest.raises(SessionNotFound):
        await manager.get(session.ref)


async def test_getting_a_node_by_its_place_may_count_as_use(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager)
    backend = await manager.open("backend", parent=session, label="S", named=False)
    world.now += 60.0
    await manager.get(session.ref, touch=True)
    await manager.get(backend.ref, touch=True)
    world.now += 60.0
    assert (await manager.get(session.ref)).key == session.key


async def test_a_foreign_look_is_no_use(manager: Manager, world: World) -> None:  # M12
    session = await opened(manager)
    assert session.id is not None
    world.now += 60.0
    with pytest.raises(SessionNotFound):
        await manager.load(session.id, kind="http", owner="bob")
    world.now += 40.0
    with pytest.raises(SessionNotFound):
        await manager.load(session.id, kind="http", owner="ann")


async def test_a_held_lock_below_keeps_a_session_from_ending_by_idleness(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager)
    backend = await manager.open("backend", parent=session, label="S", named=False)
    lock = await manager.open("lock", parent=backend, label="L", named=False)
    world.now += 500.0
    assert (await manager.get(lock.ref)).above == (backend.key, session.key)
    world.now += 500.0
    with pytest.raises(SessionNotFound):
        await manager.get(lock.ref)


async def test_a_child_does_not_outlive_the_absolute_end_of_its_parent(manager: Manager, world: World) -> None:  # E31
    session = await opened(manager)
    world.now += 10.0
    backend = await manager.open("backend", parent=session.ref, named=False)
    assert backend.record.ends_at == session.record.ends_at


async def test_nothing_can_be_opened_below_a_node_that_is_ending(manager: Manager) -> None:  # E17
    session = await opened(manager)
    await manager.end(session, Reason.ADMIN)
    for parent in (session, session.ref):
        with pytest.raises(SessionEnded):
            await manager.open("backend", parent=parent, named=False)


async def test_a_forced_end_is_told_as_a_security_event(manager: Manager, world: World) -> None:  # E34
    session = await opened(manager)
    assert await manager.end(session.ref, Reason.ADMIN)
    assert Fact.FORCED_END in world.facts()
    assert not await manager.end(session, Reason.ADMIN)


async def test_of_two_writers_of_one_version_the_second_is_refused(manager: Manager) -> None:  # E18
    session = await opened(manager)
    other = await manager.get(session.ref)
    session.content["cart"] = 2
    await manager.save(session)
    other.content["cart"] = 3
    with pytest.raises(SessionConflict):
        await manager.save(other)
    await manager.save(session, due_at=world_far(), label="shop")
    assert (await manager.get(session.ref)).record.label == "shop"


def world_far() -> float:
    return 1e9


async def test_a_late_write_resurrects_nothing(manager: Manager) -> None:  # E18
    session = await opened(manager)
    below = await manager.open("backend", parent=session, named=False)
    await manager.end(session, Reason.LOGOUT)
    for late in (below, session):
        with pytest.raises(SessionEnded):
            await manager.save(late)


async def test_two_writers_of_different_keys_both_win(manager: Manager) -> None:  # E24
    session = await opened(manager)
    other = await manager.get(session.ref)
    await manager.merge(session, {"a": 1}, removed=["cart"])
    await manager.merge(other, {"b": 2})
    assert (await manager.get(session.ref)).content == {"a": 1, "b": 2}


async def test_of_two_writers_of_one_key_the_later_wins_and_is_told_by_choice(manager: Manager) -> None:  # E24
    session = await opened(manager)
    other, third = await manager.get(session.ref), await manager.get(session.ref)
    told: list[tuple[str, int, int]] = []

    def add(name: str, theirs: int, ours: int) -> int:
        told.append((name, theirs, ours))
        return theirs + ours

    await manager.merge(session, {"cart": 5})
    await manager.merge(other, {"cart": 2}, on_conflict=add)
    assert told == [("cart", 5, 2)]
    assert other.content["cart"] == 7
    await manager.merge(third, {"cart": 1})
    assert (await manager.get(session.ref)).content["cart"] == 1


async def test_of_what_two_writers_change_only_what_both_changed_is_settled(manager: Manager) -> None:  # E24
    session = await manager.open("http", {"cart": 1, "note": "a"})
    other = await manager.load(session.id or "", kind="http")
    await manager.merge(session, {"cart": 5})
    asked: list[str] = []

    def settle(name: str, theirs: object, ours: object) -> object:
        asked.append(name)
        return ours

    await manager.merge(other, {"cart": 2, "note": "b"}, removed=["note"], on_conflict=settle)
    assert asked == ["cart"]
    assert other.content == {"cart": 2, "note": "b"}, "what is written is not removed"


async def test_a_payload_over_the_limit_names_both_sizes_and_the_old_one_stays(manager: Manager) -> None:  # E6
    session = await opened(manager)
    session.content["big"] = "x" * 2000
    with pytest.raises(PayloadTooLarge, match=r"20\d\d bytes; the limit is 1000"):
        await manager.save(session)
    assert (await manager.get(session.ref)).content == {"cart": 1}


async def test_a_label_has_at_most_256_bytes(manager: Manager) -> None:  # E6
    with pytest.raises(BadInput):
        await manager.open("http", label="é" * 129)


async def test_rotation_gives_a_new_id_and_the_old_one_is_dead_at_once(manager: Manager, world: World) -> None:  # E20
    session = await opened(manager)
    child = await manager.open("backend", parent=session, named=False)
    old = session.id
    assert old is not None
    new = await manager.rotate(session)
    with pytest.raises(SessionNotFound):
        await manager.load(old, kind="http")
    found = await manager.load(new, kind="http")
    assert (found.key, found.content) == (session.key, {"cart": 1})
    assert (await manager.get(child.ref)).above == (session.key,)
    assert Fact.ROTATED in world.facts()


async def test_rotation_may_hang_the_session_below_a_logon(manager: Manager) -> None:  # E20
    logon = await manager.open("security", owner="ann")
    session = await opened(manager)
    child = await manager.open("backend", parent=session, named=False)
    await manager.rotate(session, parent=logon)
    assert session.above == (logon.key,)
    assert (await manager.get(Ref(logon.key, child.key))).above == (session.key, logon.key)


async def test_an_unreadable_payload_is_an_absent_session_told_once(manager: Manager, world: World) -> None:  # E6
    session = await opened(manager)
    assert session.id is not None
    record = msgspec.structs.replace(session.record, payload=b"\x80\x04K\x01.")
    await manager.store.sessions.replace(record, now=world.now)
    for _ in range(2):
        with pytest.raises(SessionNotFound):
            await manager.load(session.id, kind="http")
    assert world.facts().count(Fact.UNREADABLE) == 1


async def test_content_is_written_as_json_where_that_is_set_and_either_is_read(manager: Manager, world: World) -> None:
    # E6: the setting may change while sessions live
    other = manager_on(manager.store, world, tuning=msgspec.structs.replace(TUNING, serializer="json"))
    ours, theirs = await opened(manager), await opened(other)
    assert KEYS.open(theirs.record.payload, theirs.key + b"http") == b'{"cart":1}'
    assert (await other.get(ours.ref)).content == (await manager.get(theirs.ref)).content == {"cart": 1}


@pytest.mark.parametrize("content", [{"b": b"{"}, {"b": {"c": [1, (b"x", 2)]}}, {"b": [{"c": "x"}]}])
async def test_content_that_json_cannot_hold_comes_back_as_it_was(
    manager: Manager, world: World, content: dict[str, Any]
) -> None:  # E6
    other = manager_on(manager.store, world, tuning=msgspec.structs.replace(TUNING, serializer="json"))
    session = await other.open("http", content)
    found = (await manager.get(session.ref)).content
    assert msgspec.msgpack.encode(found) == msgspec.msgpack.encode(content)


async def test_a_sealed_text_that_is_no_message_is_unreadable(manager: Manager, world: World) -> None:  # E6
    session = await opened(manager)
    sealed = KEYS.seal(b"\xc1", session.key + b"http")
    await manager.store.sessions.replace(msgspec.structs.replace(session.record, payload=sealed), now=world.now)
    with pytest.raises(SessionNotFound):
        await manager.get(session.ref)


async def test_children_are_the_live_readable_ones_of_a_kind(manager: Manager, world: World) -> None:
    parent = await manager.open("security", owner="ann")
    first = await opened(manager, parent=parent)
    ended = await opened(manager, parent=parent)
    expired = await opened(manager, parent=parent)
    broken = await opened(manager, parent=parent)
    await manager.open("backend", parent=parent, named=False)
    await manager.end(ended, Reason.CLIENT)
    sessions = manager.store.sessions
    await sessions.replace(msgspec.structs.replace(expired.record, ends_at=world.now), now=world.now)
    await sessions.replace(msgspec.structs.replace(broken.record, payload=b""), now=world.now)
    assert [child.key for child in await manager.children(parent.ref, "http")] == [first.key]
    assert len(await manager.children(parent.ref)) == 2


async def test_an_index_is_read_page_by_page(manager: Manager) -> None:
    parent = await manager.open("security")
    for _ in range(205):
        await manager.open("backend", parent=parent, named=False)
    found = [record.key async for record in manager.each("parent", parent.key)]
    assert len(found) == len(set(found)) == 205


async def test_the_sixth_session_of_a_client_replaces_the_least_recently_used(
    manager: Manager, world: World
) -> None:  # E11, E12
    sessions = []
    for _ in range(6):
        world.now += 1.0
        sessions.append(await opened(manager, client="10.0.0.1"))
    with pytest.raises(SessionNotFound):
        await manager.get(sessions[0].ref)
    assert Fact.REPLACED in world.facts()


async def test_a_session_in_which_a_call_runs_is_not_replaced(manager: Manager, world: World) -> None:  # E12
    sessions = [await opened(manager, client="c") for _ in range(5)]
    async with manager.running(sessions[0]):
        world.now += 1.0
        await opened(manager, client="c")
        await manager.get(sessions[0].ref)


async def test_a_full_limit_that_may_replace_nothing_refuses_and_says_so(
    manager: Manager, world: World
) -> None:  # E12, E34
    for _ in range(5):
        session = await opened(manager, client="c")
        backend = await manager.open("backend", parent=session, named=False)
        await manager.open("lock", parent=backend, named=False)
    with pytest.raises(LimitReached):
        await opened(manager, client="c")
    assert world.facts()[-1] is Fact.LIMIT_REACHED


async def test_clocks_and_limits_are_set_per_kind_and_per_application(manager: Manager, world: World) -> None:  # E31
    shop, kind = (Clocks(idle=7.0), Limits(per_client=1, policy=Policy.REJECT)), (Clocks(idle=50.0), Limits())
    configured = Manager(
        manager.store, KEYS, world.kinds(), worker="w", clock=world,
        overrides={("shop", "http"): shop, ("", "http"): kind},
    )  # fmt: skip
    assert (await configured.open("http", app="shop")).record.idle == 7.0
    assert (await configured.open("http", app="other")).record.idle == 50.0
    with pytest.raises(LimitReached):
        await configured.open("http", app="shop")


async def test_a_node_may_be_opened_under_limits_of_its_own(manager: Manager) -> None:  # A29
    one = Limits(per_client=1, policy=Policy.REJECT)
    await opened(manager, client="c", limits=one)
    with pytest.raises(LimitReached):
        await opened(manager, client="c", limits=one)
    assert await opened(manager, client="c")


async def test_two_kinds_of_one_name_are_refused(manager: Manager, world: World) -> None:  # E30
    with pytest.raises(ConfigurationError):
        manager_on(manager.store, world, kinds=[Kind(name="http"), Kind(name="http")])


async def test_a_node_may_have_clocks_of_its_own(manager: Manager, world: World) -> None:  # E7
    session = await opened(manager, clocks=Clocks(idle=20.0, absolute=50.0))
    assert (session.record.idle, session.record.ends_at) == (20.0, world.now + 50.0)
    world.now += 20.0
    with pytest.raises(SessionNotFound):
        await manager.get(session.ref)


async def test_waiting_for_closing_is_bounded(manager: Manager) -> None:
    session = await opened(manager)
    assert not await manager.gone(session.ref, timeout=0.03)
    await manager.store.sessions.delete([session.ref])
    assert await manager.gone(session.ref, timeout=1.0)


async def test_a_node_may_be_found_by_what_its_opener_calls_it_and_only_one_is(manager: Manager, world: World) -> None:
    alias = alias_of("the basket of ann")
    session = await manager.open("http", {"cart": 1}, alias=alias, owner="ann")
    assert session.id is None
    with pytest.raises(SessionExists):
        await manager.open("http", alias=alias)
    loaded = await manager.store.sessions.load(alias, now=world.now)
    assert loaded is not None
    assert (await manager.read(loaded.record)).content == {"cart": 1}
