"""ADT §4 and §5, every way a session or context ends: what the caller sees, and that no lock stays."""

import anyio
import pytest

from simulator.wire import CLOCK, DESK, GRAPH, GREETER, LOGOFF, SESSIONS, Build, Caller, System

SOURCE = f"{GREETER}/source/main"
CLOSE = {"sap-adt-purpose": "close-session", "accept": "*/*"}


# A24, ADT §4.1
async def test_logging_off_ends_session_contexts_and_locks_and_needs_no_token(system: System, caller: Caller) -> None:
    await caller.lock(GREETER)
    await caller.lock(DESK, context=False)
    caller.token = ""
    answer = await caller.call("GET", LOGOFF, "stateless")
    assert answer.status_code == 200
    assert any("SAP_SESSIONID_HFT_001=deleted; expires=" in line for line in answer.headers.get_list("set-cookie"))
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])


async def test_logging_off_opens_no_session(system: System) -> None:
    answer = await system.stranger().call("GET", LOGOFF, credentials=True)
    assert answer.status_code == 200
    assert await system.sm05() == []


# A24, ADT §4.2
async def test_close_session_ends_one_context_as_eclipse_does(system: System, caller: Caller) -> None:
    await caller.lock(GREETER)
    first = caller.context or ""
    await caller.lock(DESK, context=False)
    session = caller.cookies["SAP_SESSIONID_HFT_001"]
    headers = CLOSE | {"sap-contextid": first}
    answer = await caller.call("GET", SESSIONS, "stateless", context=False, headers=headers)
    assert answer.status_code == 200
    assert "sap-contextid=0" in answer.headers["set-cookie"]
    assert await system.locked() == ["ZCL_HF_ORDER_DESK"]
    assert caller.cookies["SAP_SESSIONID_HFT_001"] == session


async def test_close_session_without_the_session_type_leaves_the_context(system: System, caller: Caller) -> None:
    await caller.lock()
    answer = await caller.call("GET", SESSIONS, headers=CLOSE)
    assert answer.status_code == 200
    assert len(await system.sm04()) == 1


async def test_on_7_50_close_session_is_unknown_and_a_stateless_head_closes_with_400(build: Build) -> None:
    system = build("7.50", stateful_backport=True)
    caller = await system.caller()
    await caller.lock()
    assert (await caller.call("GET", SESSIONS, "stateless", headers=CLOSE)).status_code == 404
    assert len(await system.sm04()) == 1
    answer = await caller.call("HEAD", "/sap/bc/adt/core/discovery", "stateless")
    assert answer.status_code == 400
    assert "sap-contextid=0" in answer.headers["set-cookie"]
    assert (await system.sm04(), await system.sm12()) == ([], [])


# A24, ADT §4.3
async def test_drop_session_of_abap_adt_api_ends_the_context(system: System, caller: Caller) -> None:
    await caller.lock()
    assert (await caller.call("GET", GRAPH, "stateless")).status_code == 200
    assert (await system.sm04(), await system.sm12()) == ([], [])
    assert len(await system.sm05()) == 1


# A24, ADT §4.4
async def test_a_forgotten_context_stays_until_its_time_is_over(system: System, caller: Caller) -> None:
    for _ in range(6):
        await caller.lock(mode="stateful", context=False) if not await system.sm12() else None
        await caller.call("GET", SOURCE, "stateful", context=False)
    assert len(await system.sm04()) == 7
    await system.admin("POST", "/clock/advance", json={"seconds": 1800})
    assert (await system.sm04(), await system.sm12()) == ([], [])


# A24, ADT §2.4
async def test_deleting_the_session_resource_ends_the_session(system: System, caller: Caller) -> None:
    await caller.lock()
    page = (await caller.call("GET", SESSIONS, context=False)).text
    href = page.split('href="')[1].split('"')[0]
    answer = await caller.call("DELETE", href, headers={"x-sap-security-session": "use"}, context=False)
    assert answer.status_code == 200
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])


async def test_the_session_resource_of_another_session_cannot_be_deleted(system: System, caller: Caller) -> None:
    other = await system.caller("ALICE")
    page = (await other.call("GET", SESSIONS)).text
    href = page.split('href="')[1].split('"')[0]
    assert (await caller.call("DELETE", href)).status_code == 404
    assert len(await system.sm05()) == 2


# A24, ADT §5.1: boundaries
@pytest.mark.parametrize(("idle", "lives"), [(599, True), (600, False), (601, False)])
async def test_a_context_ends_after_its_idle_time(build: Build, idle: float, lives: bool) -> None:
    system = build(context_timeout_s=600)
    caller = await system.caller()
    handle = await caller.lock()
    system.clock.now += idle
    answer = await caller.put(handle, "* in time?")
    assert answer.status_code == (200 if lives else 400)
    assert await system.locked() == (["ZCL_HF_GREETER"] if lives else [])


async def test_use_of_a_context_starts_its_idle_time_again(build: Build) -> None:
    system = build(context_timeout_s=600)
    caller = await system.caller()
    handle = await caller.lock()
    for _ in range(5):
        system.clock.now += 599
        assert (await caller.call("GET", SOURCE, "stateful")).status_code == 200
    assert (await caller.put(handle, "* still mine")).status_code == 200


async def test_an_expired_lock_is_free_for_others_at_once(system: System, caller: Caller) -> None:
    other = await system.caller("ALICE")
    await caller.lock()
    system.clock.now += 1700
    await other.call("GET", GRAPH)
    system.clock.now += 100
    await other.lock()
    assert [row["user"] for row in await system.sm12()] == ["ALICE"]


# A24, ADT §5.2
@pytest.mark.parametrize("cookies", ["of an ended session", "that never were"])
async def test_session_cookies_without_credentials_are_refused_once_the_session_ended(
    system: System, caller: Caller, cookies: str
) -> None:
    if cookies == "that never were":
        caller.cookies["SAP_SESSIONID_HFT_001"] = "bm9ib2R5"
    else:
        system.clock.now += 1800
    answer = await caller.call("GET", SOURCE, context=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="SAP NetWeaver Application Server [HFT/001]"'


async def test_credentials_open_a_new_session_silently_and_the_old_token_does_not_fit(
    system: System, caller: Caller
) -> None:
    old = caller.cookies["SAP_SESSIONID_HFT_001"]
    system.clock.now += 1800
    answer = await caller.call("POST", f"{GREETER}?_action=LOCK", "stateful", credentials=True)
    assert answer.status_code == 403
    assert answer.headers["x-csrf-token"] == "Required"
    assert caller.cookies["SAP_SESSIONID_HFT_001"] != old
    assert len(await system.sm05()) == 1


async def test_the_end_of_a_session_takes_its_contexts_along(build: Build) -> None:
    system = build(session_timeout_s=60, context_timeout_s=10_000)
    caller = await system.caller()
    await caller.lock()
    system.clock.now += 60
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])


async def test_a_context_with_a_running_request_is_not_idle(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await caller.call("GET", GRAPH, context=False)
    system.switch(delay_s=1)
    async with anyio.create_task_group() as group:
        group.start_soon(caller.put, handle, "* long running")
        await system.gatekeeper.until(1)
        system.clock.now += 5000
        assert len(await system.sm04()) == 1
        system.gatekeeper.open()
    assert await system.locked() == ["ZCL_HF_GREETER"]


# A5: the two orders of a close and a running PUT
@pytest.mark.parametrize("serialise", [True, False])
@pytest.mark.parametrize("way", ["close-session", "log-off"])
async def test_a_close_waits_for_the_running_put_or_goes_first(build: Build, serialise: bool, way: str) -> None:
    system = build(serialise_close=serialise)
    caller = await system.caller()
    handle = await caller.lock()
    before = await caller.source()
    await system.fault("delay", method="PUT")
    statuses: dict[str, int] = {}

    async def put() -> None:
        statuses["put"] = (await caller.put(handle, "* written")).status_code

    async def close() -> None:
        path = SESSIONS if way == "close-session" else LOGOFF
        statuses["close"] = (await caller.call("GET", path, "stateless", headers=CLOSE)).status_code

    await system.admin("DELETE", "/faults")
    system.switch(delay_s=1)
    async with anyio.create_task_group() as group:
        group.start_soon(put)
        await system.gatekeeper.until(1)
        system.switch(delay_s=0)
        group.start_soon(close)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert ("close" in statuses) is not serialise
        system.gatekeeper.open()
    assert statuses == {"put": 200 if serialise else 400, "close": 200}
    assert await (await system.caller("ALICE")).source() == ("* written" if serialise else before)
    assert (await system.sm04(), await system.sm12()) == ([], [])


# A24, ADT §6
async def test_locks_are_released_with_a_delay_if_asked_for(build: Build) -> None:
    system = build(release_delay_s=2)
    caller, other = await system.caller(), await system.caller("ALICE")
    await caller.lock()
    await caller.call("GET", GRAPH, "stateless")
    assert await system.sm04() == []
    assert [row["releasing"] for row in await system.sm12()] == [True]
    refused = await other.call("POST", f"{GREETER}?_action=LOCK", "stateful")
    assert refused.status_code == 403
    system.clock.now += 2
    assert await system.sm12() == []
    await other.lock()


async def test_an_unlock_releases_at_once_even_then(build: Build) -> None:
    system = build(release_delay_s=2)
    caller = await system.caller()
    handle = await caller.lock()
    await caller.call("POST", f"{GREETER}?_action=UNLOCK&lockHandle={handle}", "stateful")
    assert await system.sm12() == []


# A24: restart
async def test_a_restart_ends_everything_but_objects(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await caller.put(handle, "* survives")
    await system.admin("POST", "/restart")
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])
    assert (await caller.call("GET", SOURCE)).status_code == 401
    assert await (await system.caller()).source() == "* survives"


# A24, ADT §24.6
async def test_a_limit_of_sessions_displaces_the_longest_idle_one(build: Build) -> None:
    system = build(sessions_per_user=2)
    first, second = await system.caller(), await system.caller()
    await first.lock(CLOCK)
    await second.lock(GREETER)
    system.clock.now += 1
    await first.call("GET", GRAPH, context=False)
    await system.caller()
    assert await system.locked() == ["ZIF_HF_CLOCK"]
    assert len(await system.sm05()) == 2
    await system.caller("ALICE")
    assert len(await system.sm05()) == 3
