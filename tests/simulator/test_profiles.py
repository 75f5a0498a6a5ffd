"""ADT §3.2: what differs between releases, and the switches of §24 that no other file covers."""

import pytest

from holdfast.simulator import PROFILES, Simulator
from simulator.wire import CLOCK, GRAPH, GREETER, PROGRAM, SESSIONS, Build, Caller, System

HONOURING = [name for name, profile in PROFILES.items() if profile.header_honoured]
CORE = "/sap/bc/adt/core/discovery"


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown profile '7.00'; there are 7.50"):
        Simulator("7.00")


# A24, ADT §3.2: 7.50
async def test_on_7_50_locks_die_with_each_request_and_a_put_is_423(build: Build) -> None:
    system = build("7.50")
    caller = await system.caller()
    handle = await caller.lock()
    assert caller.context is None
    assert (await system.sm04(), await system.sm12()) == ([], [])
    assert (await caller.put(handle, "* no")).status_code == 423
    assert (await caller.call("GET", SESSIONS)).status_code == 404


async def test_on_7_50_with_the_back_port_locks_live_and_the_way_back_answers_400(build: Build) -> None:
    system = build("7.50", stateful_backport=True)
    caller = await system.caller()
    handle = await caller.lock()
    assert (await caller.put(handle, "* yes")).status_code == 200
    answer = await caller.call("GET", f"{GREETER}/source/main", "stateless")
    assert answer.status_code == 400
    assert "sap-contextid=0" in answer.headers["set-cookie"]
    assert await system.sm12() == []


async def test_on_7_50_inactive_objects_are_a_flat_list_and_there_is_no_deletion_service(build: Build) -> None:
    caller = await build("7.50", stateful_backport=True).caller()
    await caller.put(await caller.lock(), "* changed")
    answer = await caller.call("GET", "/sap/bc/adt/activation/inactiveobjects", "stateful")
    assert "<adtcore:objectReferences" in answer.text
    assert "ZCL_HF_GREETER" in answer.text
    assert (await caller.call("POST", "/sap/bc/adt/deletion/check", "stateful")).status_code == 404


# A24, ADT §24.1
@pytest.mark.parametrize("profile", HONOURING)
@pytest.mark.parametrize("mode", ["stateful", None])
async def test_a_put_without_the_header_is_accepted_except_on_7_55(
    build: Build, profile: str, mode: str | None
) -> None:
    caller = await _caller(build(profile))
    handle = await caller.lock()
    expected = 423 if profile == "7.55" and mode is None else 200
    assert (await caller.put(handle, "* x", mode=mode)).status_code == expected


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "7.50"])
async def test_close_session_works_wherever_the_session_resource_is(build: Build, profile: str) -> None:
    system = build(profile)
    caller = await _caller(system)
    await caller.lock()
    headers = {"sap-adt-purpose": "close-session"}
    assert (await caller.call("GET", SESSIONS, "stateless", headers=headers)).status_code == 200
    assert (await system.sm04(), await system.sm12()) == ([], [])


# A24, ADT §2.2, §2.3
@pytest.mark.parametrize(("profile", "status"), [("7.50", 200), ("7.58", 200), ("816", 200), ("cloud", 403)])
async def test_a_head_fetches_the_token_except_on_cloud(build: Build, profile: str, status: int) -> None:
    answer = await build(profile).stranger().call("HEAD", CORE, credentials=True, headers={"x-csrf-token": "fetch"})
    assert answer.status_code == status
    assert ("x-csrf-token" in answer.headers) is (status == 200)
    assert answer.content == b""


async def test_cloud_has_neither_graph_nor_programs(build: Build) -> None:
    caller = await _caller(build("cloud"))
    for path in (GRAPH, PROGRAM, "/sap/bc/adt/programs/validation"):
        assert (await caller.call("GET", path)).status_code == 404
    assert "programs" not in (await caller.call("GET", "/sap/bc/adt/discovery")).text
    assert 'adtcore:abapLanguageVersion="cloudDevelopment"' in (await caller.call("GET", GREETER)).text


async def test_on_cloud_a_lock_needs_a_session_that_was_created(build: Build) -> None:
    system = build("cloud")
    caller = system.stranger()
    first = await caller.call("GET", CORE, credentials=True, headers={"x-csrf-token": "fetch"})
    names = [line.partition("=")[0] for line in first.headers.get_list("set-cookie")]
    assert names == ["sap-XSRF_HFT_001", "sap-usercontext"]
    caller.token = first.headers["x-csrf-token"]
    handle = await caller.lock(CLOCK, credentials=True)
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])
    assert (await caller.put(handle, "* no", CLOCK, credentials=True)).status_code == 423
    caller = await _caller(system)
    handle = await caller.lock(CLOCK)
    assert (await caller.put(handle, "* yes", CLOCK)).status_code == 200


async def _caller(system: System) -> Caller:
    """Log on as the release wants it."""
    if system.sim.profile.compatibility_graph:
        return await system.caller()
    caller = system.stranger()
    headers = {"x-csrf-token": "fetch", "x-sap-security-session": "create"}
    caller.token = (await caller.call("GET", SESSIONS, credentials=True, headers=headers)).headers["x-csrf-token"]
    return caller
