"""ADT §3.1, row by row: what `X-sap-adt-sessiontype` and the presented context id do to contexts and locks."""

import anyio
import pytest

from simulator.wire import CLOCK, DESK, GRAPH, GREETER, Build, Caller, System

SOURCE = f"{GREETER}/source/main"
OTHER_VALUES = [None, "", "stateful_enqueue", "stateful;enqueue", "keep"]


# A24, ADT §3.1 row 1
async def test_stateful_without_a_context_creates_one_and_tells_its_id(system: System, caller: Caller) -> None:
    answer = await caller.call("GET", SOURCE, "stateful")
    assert answer.status_code == 200
    assert len(await system.sm04()) == 1
    assert caller.context is not None
    assert caller.context.startswith("SID%3aANON%3a")
    assert caller.context.endswith("-ATT")
    assert len(caller.context) == 77


# A24, ADT §3.1 row 2
async def test_stateful_with_a_context_runs_in_it_and_keeps_it(system: System, caller: Caller) -> None:
    await caller.lock()
    answer = await caller.call("GET", SOURCE, "stateful")
    assert answer.headers.get_list("set-cookie") == []
    assert len(await system.sm04()) == 1
    assert await system.locked() == ["ZCL_HF_GREETER"]


# A24, ADT §3.1 row 3
async def test_stateless_with_a_context_runs_in_it_and_ends_it_with_its_locks(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    answer = await caller.call("GET", SOURCE, "stateless")
    assert answer.status_code == 200
    assert "sap-contextid=0" in answer.headers["set-cookie"]
    assert await system.sm04() == []
    assert await system.sm12() == []
    assert (await caller.put(handle, "* too late")).status_code == 423


# A24, ADT §3.1 row 4
async def test_stateless_without_a_context_touches_no_other_context(system: System, caller: Caller) -> None:
    await caller.lock()
    answer = await caller.call("GET", SOURCE, "stateless", context=False)
    assert answer.headers.get_list("set-cookie") == []
    assert len(await system.sm04()) == 1
    assert await system.locked() == ["ZCL_HF_GREETER"]


# A24, ADT §3.1 row 5
@pytest.mark.parametrize("mode", OTHER_VALUES)
async def test_any_other_value_with_a_context_keeps_it(system: System, caller: Caller, mode: str | None) -> None:
    handle = await caller.lock()
    assert (await caller.call("GET", SOURCE, mode)).status_code == 200
    assert len(await system.sm04()) == 1
    assert (await caller.put(handle, "* in time", mode=mode)).status_code == 200


# A24, ADT §24.2
async def test_by_a_switch_an_unknown_value_ends_the_context(build: Build) -> None:
    system = build(unknown_session_type="end")
    caller = await system.caller()
    await caller.lock()
    await caller.call("GET", SOURCE)
    assert len(await system.sm04()) == 1
    await caller.call("GET", SOURCE, "stateful;enqueue")
    assert await system.sm04() == []


# A24, ADT §3.1 row 6
@pytest.mark.parametrize("mode", OTHER_VALUES)
async def test_any_other_value_without_a_context_keeps_nothing(
    system: System, caller: Caller, mode: str | None
) -> None:
    await caller.lock(mode=mode)
    assert caller.context is None
    assert await system.sm04() == []
    assert await system.sm12() == []


# A24, ADT §3.1 row 7, §5.2
@pytest.mark.parametrize("mode", ["stateful", "stateless", None])
@pytest.mark.parametrize("which", ["unknown", "expired", "of another session"])
async def test_a_context_that_is_not_ours_is_answered_by_the_icm(system: System, mode: str | None, which: str) -> None:
    caller = await system.caller()
    foreign = await system.caller("ALICE" if which == "of another session" else "DEVELOPER")
    await foreign.lock(DESK)
    key = "SID%3aANON%3anowhere-ATT" if which == "unknown" else foreign.context or ""
    if which == "expired":
        await foreign.call("GET", SOURCE, "stateless")
    answer = await caller.call("GET", SOURCE, mode, headers={"sap-contextid": key})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-sap-icm-err-id"] == answer.headers["sap-err-id"] == "ICMENOSESSION"
    assert answer.headers["connection"] == "close"
    deletions = answer.headers.get_list("set-cookie")
    assert len(deletions) == 4
    assert all(line.startswith("sap-contextid=0; expires=") for line in deletions)
    assert "Session timed out" in answer.text
    assert "<exc:exception" not in answer.text
    assert len(await system.sm04()) == (1 if which != "expired" else 0)


# A24, ADT §3.1: the context id is a header or a cookie, and `0` or nothing is none
@pytest.mark.parametrize("value", ["0", ""])
async def test_an_empty_context_cookie_presents_none(system: System, caller: Caller, value: str) -> None:
    caller.cookies["sap-contextid"] = value
    assert (await caller.call("GET", SOURCE)).status_code == 200


async def test_the_context_id_may_travel_as_a_header(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    headers = {"sap-contextid": caller.context or ""}
    assert (await caller.put(handle, "* by header", context=False, headers=headers)).status_code == 200


# A24, ADT §3.1 consequences
async def test_a_lock_taken_stateless_answers_a_handle_that_is_worth_nothing(system: System, caller: Caller) -> None:
    handle = await caller.lock(mode="stateless")
    assert len(handle) == 40
    assert await system.sm12() == []
    assert (await caller.put(handle, "* no")).status_code == 423


async def test_parallel_first_requests_make_two_contexts_and_a_lock_works_in_its_own_only(
    system: System, caller: Caller
) -> None:
    handle = await caller.lock(GREETER, context=False)
    first = caller.context
    await caller.call("GET", SOURCE, "stateful", context=False)
    assert caller.context != first
    assert len(await system.sm04()) == 2
    assert (await caller.put(handle, "* wrong context")).status_code == 423
    headers = {"sap-contextid": first or ""}
    assert (await caller.put(handle, "* right context", context=False, headers=headers)).status_code == 200


async def test_an_error_answer_tells_the_new_context_too(system: System, caller: Caller) -> None:
    await (await system.caller("ALICE")).lock()
    answer = await caller.call("POST", f"{GREETER}?_action=LOCK&accessMode=MODIFY", "stateful")
    assert answer.status_code == 403
    assert answer.headers["set-cookie"].startswith("sap-contextid=SID")
    assert len(await system.sm04()) == 2


async def test_requests_of_one_context_run_one_after_another_in_order(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    system.switch(delay_s=1)
    order: list[str] = []

    async def put(text: str) -> None:
        assert (await caller.put(handle, text)).status_code == 200
        order.append(text)

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(put, f"* {number}")
            await system.gatekeeper.until(1)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        assert system.gatekeeper.waiting == 1
        system.gatekeeper.open()
    assert order == [f"* {number}" for number in range(4)]
    assert await caller.source() == "* 3"


async def test_a_request_queued_behind_the_one_that_ends_the_context_finds_it_gone(
    system: System, caller: Caller
) -> None:
    handle = await caller.lock()
    cookie, statuses = caller.context, dict[str, int]()
    system.switch(delay_s=1)

    async def read() -> None:
        statuses["read"] = (await caller.call("GET", SOURCE, "stateless")).status_code

    async def put() -> None:
        headers = {"sap-contextid": cookie or ""}
        statuses["put"] = (await caller.put(handle, "* late", headers=headers)).status_code

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await system.gatekeeper.until(1)
        group.start_soon(put)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        system.gatekeeper.open()
    assert statuses == {"read": 200, "put": 400}
    assert await caller.source() != "* late"


async def test_another_session_is_not_held_up_by_a_busy_context(system: System, caller: Caller) -> None:
    await caller.lock()
    other = await system.caller("ALICE")
    await system.fault("delay", path="zif_hf_clock")
    async with anyio.create_task_group() as group:
        group.start_soon(caller.call, "GET", f"{CLOCK}/source/main", "stateful")
        await system.gatekeeper.until(1)
        with anyio.fail_after(5):
            assert (await other.call("GET", GRAPH)).status_code == 200
        system.gatekeeper.open()


# A24: work processes
async def test_without_a_free_work_process_a_request_waits_or_gets_503(build: Build) -> None:
    system = build(work_processes=1, busy_answers_503=True)
    caller, other = await system.caller(), await system.caller("ALICE")
    system.switch(delay_s=1)
    async with anyio.create_task_group() as group:
        group.start_soon(caller.call, "GET", GRAPH)
        await system.gatekeeper.until(1)
        assert (await other.call("GET", GRAPH)).status_code == 503
        system.switch(work_processes=1, busy_answers_503=False, delay_s=0)
        assert (await other.call("GET", GRAPH)).status_code == 200
        system.gatekeeper.open()
