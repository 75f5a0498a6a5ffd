"""Logons, contexts and locks that go under an agent's hands, and tokens (A8, A13, A21)."""

import anyio
import pytest

from adt.world import CLASS, GOOD, ME, OTHER, World, open_world
from holdfast.errors import (
    BackendError,
    BackendUnavailable,
    BadInput,
    LockLostError,
    LogonFailed,
    NotFound,
    SessionExpiredError,
)
from holdfast.simulator import Simulator, Switches


@pytest.mark.parametrize(
    "effect", ["expire_context", "expire_session", "unauthorized", "html_logon", "restart", "icm_session"]
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_session_lost_under_a_lock_is_an_error_and_nothing_stays(
    world: World, effect: str, method: str
) -> None:
    # A8, A13, A30
    session_id, handle = await world.locked()
    world.fault(effect, method=method, path="zcl_new")
    with pytest.raises(SessionExpiredError, match=r"^Session expired"):
        await (world.update(session_id, handle) if method == "PUT" else world.unlock(session_id, handle))
    await world.quiet()
    with pytest.raises(LockLostError, match="backend_gone") as lost:
        await world.update(session_id, handle)
    assert "Lock the object again" in lost.value.hint
    assert (await world.update(session_id, await world.lock(session_id)))["success"]


async def test_a_lock_deleted_by_an_administrator_is_lost_not_empty(world: World) -> None:
    # A8
    session_id, handle = await world.locked()
    world.fault("delete_lock", method="PUT")
    with pytest.raises(LockLostError):
        await world.update(session_id, handle)
    await world.quiet()


async def test_the_lock_handle_of_sap_is_in_no_error(world: World) -> None:
    session_id, handle = await world.locked()
    [entry] = list(world.sim.locks.entries(world.sim.clock()))
    world.fault("delete_lock", method="PUT")
    with pytest.raises(LockLostError) as lost:
        await world.update(session_id, handle)
    assert entry.handle not in str(lost.value)


async def test_the_recovery_of_the_source_works(world: World) -> None:
    # A13: new session, best-effort unlock with the old handle, restart
    session_id, handle = await world.locked()
    world.fault("expire_session", method="PUT")
    with pytest.raises(SessionExpiredError):
        await world.update(session_id, handle)
    await world.quiet()
    new = await world.session()
    with pytest.raises(LockLostError):
        await world.unlock(new, handle)
    handle = await world.lock(new)
    assert (await world.update(new, handle))["success"]


async def test_a_dead_logon_for_reading_is_replaced_without_a_word(world: World) -> None:
    # A13: nothing was bound to it
    session_id = await world.created()
    world.sim.restart()
    assert "CLASS" in await world.source(session_id)
    world.fault("html_logon", method="GET")
    assert "CLASS" in await world.source(session_id)


async def test_an_edit_logon_found_dead_without_a_lock_is_replaced(world: World) -> None:
    session_id, handle = await world.locked()
    await world.unlock(session_id, handle)
    await world.quiet()
    world.sim.restart()
    assert (await world.update(session_id, await world.lock(session_id)))["success"]


async def test_a_refused_token_is_fetched_again_in_the_same_session_and_the_request_sent_once_more(
    world: World,
) -> None:
    # A13, A21
    session_id, handle = await world.locked()
    world.fault("rotate_token", method="PUT")
    before, logons = world.sent, world.sim.sessions.logons
    assert (await world.update(session_id, handle))["success"]
    assert world.requests(before) == ["PUT main", "GET sessions", "PUT main"]
    assert world.sim.sessions.logons == logons
    assert world.locks == [("DEVELOPER", CLASS)]


async def test_a_token_refused_twice_is_said_to_be_invalid_and_nothing_stays(world: World) -> None:
    # A13
    session_id, handle = await world.locked()
    world.fault("csrf_required", method="PUT", times=2)
    with pytest.raises(SessionExpiredError, match=r"^CSRF token invalid"):
        await world.update(session_id, handle)
    await world.quiet()


async def test_an_expired_or_foreign_or_malformed_session_gets_one_answer(world: World) -> None:
    # E3
    mine = await world.session()
    foreign = await world.session(OTHER)
    for wrong in (foreign, "x", "A" * 43, mine[:-1]):
        with pytest.raises(SessionExpiredError, match=r"^Session expired") as error:
            await world.source(wrong)
        assert error.value.code == "session_expired"
        assert wrong not in str(error.value) or len(wrong) <= 8


async def test_a_session_idles_out_but_not_while_it_holds_a_lock() -> None:
    # E7
    async with open_world(keeper=False, lock_hold_limit=100_000) as world:
        idle, (busy, handle) = await world.session(), await world.locked()
        world.switch(context_timeout_s=100_000, session_timeout_s=100_000)
        world.clock.advance(1801)
        with pytest.raises(SessionExpiredError):
            await world.source(idle)
        assert (await world.update(busy, handle))["success"]


async def test_wrong_credentials_are_said_and_leave_no_session() -> None:
    async with open_world(sim=Simulator(users={"DEVELOPER": "other"})) as world:
        with pytest.raises(LogonFailed, match="refused the logon of DEVELOPER") as error:
            await world.session()
        assert "Holdfast1" not in str(error.value)
        await world.turns()
        assert await world.records("workspace") == []


async def test_a_logon_page_instead_of_data_is_no_data() -> None:
    # A21
    sim = Simulator(users={}, switches=Switches(html_logon_page=True))
    async with open_world(sim=sim) as world:
        with pytest.raises(LogonFailed, match="page for a browser"):
            await world.session()


async def test_overload_is_said_and_the_lock_stays(world: World) -> None:
    session_id, handle = await world.locked()
    for effect in ("unavailable", "icm_unreachable"):
        world.fault(effect, method="PUT")
        with pytest.raises(BackendUnavailable, match="no free work process"):
            await world.update(session_id, handle)
    assert (await world.update(session_id, handle))["success"]


async def test_what_does_not_exist_is_not_found_with_saps_message(world: World) -> None:
    with pytest.raises(NotFound, match="ZCL_NONE"):
        await world.source(await world.session(), "ZCL_NONE")


@pytest.mark.parametrize("profile", ["7.55", "7.56", "7.57", "816", "cloud"])
async def test_the_workflow_runs_on_every_release_that_keeps_sessions(profile: str) -> None:
    # A22
    async with open_world(sim=Simulator(profile)) as world:
        session_id, handle = await world.locked()
        assert (await world.update(session_id, handle))["success"]
        assert (await world.unlock(session_id, handle))["success"]
        assert (await world.abap.activate(ME, "class", CLASS, session_id=session_id))["success"]
        assert (await world.abap.delete(ME, "class", CLASS, session_id=session_id))["success"]
        await world.quiet()
        await world.abap.close_session(ME, session_id)
        assert (world.contexts, world.locks, world.logons) == (0, [], 0)


async def test_the_workflow_runs_on_an_old_release_with_the_back_port() -> None:
    # A4, A22: no session resource; a stateless request answers 400 with sap-contextid=0; base64 handles
    sim = Simulator("7.50", switches=Switches(stateful_backport=True))
    async with open_world(sim=sim) as world:
        session_id, handle = await world.locked()
        assert (await world.update(session_id, handle))["success"]
        assert (await world.unlock(session_id, handle))["success"]
        await world.quiet()
        assert "HEAD discovery" in world.requests()
        assert (await world.abap.activate(ME, "class", CLASS, session_id=session_id))["success"]
        assert (await world.abap.delete(ME, "class", CLASS, session_id=session_id))["success"]  # under a lock
        with pytest.raises(NotFound):
            await world.source(session_id)
        await world.quiet()
        logons = [request for request in world.requests() if "discovery" in request and "GET" in request]
        assert len(logons) == sim.sessions.logons == 2
        assert world.requests().count("GET sessions logon") == 1


async def test_a_release_that_keeps_no_sessions_is_said_by_name(  # A22
) -> None:
    async with open_world(sim=Simulator("7.50")) as world:
        session_id = await world.created()
        with pytest.raises(BackendError, match="keeps no stateful sessions"):
            await world.lock(session_id)
        await world.quiet()


async def test_no_secret_is_in_a_representation_or_an_answer(world: World) -> None:
    # A10
    session_id, handle = await world.locked()
    update = await world.update(session_id, handle)
    [context] = list(world.sim.sessions.contexts())
    [entry] = list(world.sim.locks.entries(world.sim.clock()))
    secrets = [context.key, entry.handle, context.session.cookie, context.session.token, "Holdfast1"]
    nodes = [await world.manager.read(r) for kind in ("lock", "backend") for r in await world.records(kind)]
    shown = repr((update, handle, nodes, [world.systems.get()], [r.label for r in await world.records("lock")]))
    assert [secret for secret in secrets if secret in shown] == []
    assert GOOD not in shown


async def test_a_token_is_fetched_once_for_many_calls_that_wait_for_it(world: World) -> None:
    # A21
    session_id = await world.created()
    world.fault("rotate_token", method="POST")
    before = world.sent
    async with anyio.create_task_group() as calls:
        for _ in range(6):
            calls.start_soon(lambda: world.abap.check(ME, "class", CLASS, session_id=session_id))
    assert world.requests(before).count("GET sessions") == 1


async def test_a_logon_is_renewed_once_for_many_calls_that_find_it_gone(world: World) -> None:
    # A21, A23
    session_id = await world.created()
    world.sim.restart()
    logons = world.sim.sessions.logons
    async with anyio.create_task_group() as calls:
        for _ in range(6):
            calls.start_soon(world.source, session_id)
    assert world.sim.sessions.logons == logons + 1


@pytest.mark.parametrize("kind", ["DEVC/K", "devc", "CLAS", "class", ""])
async def test_any_type_can_be_searched_for(world: World, kind: str) -> None:
    found = await world.abap.search(ME, "*", kind=kind, max_results=3)
    wanted = {"class": "CLAS"}.get(kind, kind.upper())
    assert found["objects"]
    assert all(entry["type"].startswith(wanted) for entry in found["objects"])
    with pytest.raises(BadInput, match="not an object type"):
        await world.abap.search(ME, "*", kind="nonsense!")
