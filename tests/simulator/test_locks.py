"""ADT §6 and §7: LOCK and UNLOCK in every detail."""

import re
from urllib.parse import quote

import pytest

from simulator.wire import CLOCK, DESK, GRAPH, GREETER, PROGRAM, Build, Caller, System, error_of

LOCK = "?_action=LOCK&accessMode=MODIFY"
ACCEPTS = {
    "abap-adt-api": "application/*,application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.lock.result",
    "sapcli": "application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.lock.result;q=0.8, "
    "application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.lock.result2;q=0.9",
    "arc-1": "application/vnd.sap.as+xml;charset=UTF-8;dataname=com.sap.adt.lock.result, application/*;q=0.8",
}


# A24, ADT §7.1
@pytest.mark.parametrize("client", ACCEPTS)
async def test_a_lock_answers_the_structure_with_a_capital_r(system: System, caller: Caller, client: str) -> None:
    answer = await caller.call("POST", GREETER + LOCK, "stateful", headers={"accept": ACCEPTS[client]})
    assert answer.status_code == 200
    media = "application/vnd.sap.as+xml; charset=utf-8; dataname=com.sap.adt.lock.Result"
    assert answer.headers["content-type"] == media
    for element in ("<CORRNR/>", "<CORRUSER/>", "<CORRTEXT/>", "<IS_LOCAL>X</IS_LOCAL>", "<MODIFICATION_SUPPORT/>"):
        assert element in answer.text


@pytest.mark.parametrize(("profile", "shape"), [("7.58", "[0-9A-F]{40}"), ("7.50", "[A-Za-z0-9+/]{27}=")])
async def test_both_handle_alphabets_are_spoken(build: Build, profile: str, shape: str) -> None:
    system = build(profile, stateful_backport=True)
    caller = await system.caller()
    handle = await caller.lock()
    assert re.fullmatch(shape, handle)
    assert (await caller.put(handle, "* written")).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        GREETER,
        f"{GREETER}/",
        f"{GREETER}/source/main",
        f"{GREETER}/source/main/",
        f"{GREETER}/includes/testclasses",
        "/sap/bc/adt/oo/classes/ZCL_HF_GREETER",
        "/sap/bc/adt/oo/classes/zcl%5fhf_greeter",
    ],
)
async def test_every_address_of_an_object_means_one_lock(system: System, caller: Caller, address: str) -> None:
    await caller.lock(address)
    other = await system.caller("ALICE")
    assert (await other.call("POST", GREETER + LOCK, "stateful")).status_code == 403
    assert await system.locked() == ["ZCL_HF_GREETER"]


# A24, ADT §7.1, §8.2
@pytest.mark.parametrize("path", [GREETER, CLOCK, PROGRAM])
@pytest.mark.parametrize("who", ["the same context", "another context", "another session", "another user"])
async def test_a_second_lock_is_refused_with_the_name_of_the_owner(system: System, path: str, who: str) -> None:
    caller = await system.caller()
    handle = await caller.lock(path)
    second = await system.caller("ALICE" if who == "another user" else "DEVELOPER") if "context" not in who else caller
    answer = await second.call("POST", path + LOCK, "stateful", context=who == "the same context")
    name = path.rpartition("/")[2].upper()
    assert error_of(answer) == (403, "ExceptionResourceNoAccess", "EU/510")
    assert f"User DEVELOPER is currently editing {name}" in answer.text
    assert '"T100KEY-V1">DEVELOPER<' in answer.text
    assert f'"T100KEY-V2">{name}<' in answer.text
    if who == "the same context":
        assert (await caller.put(handle, "* first handle stays valid", path)).status_code == 200


async def test_by_a_switch_a_second_lock_returns_the_held_handle(build: Build) -> None:
    caller = await build(same_context_relock="same_handle").caller()
    assert await caller.lock() == await caller.lock()


async def test_by_a_switch_the_refusal_has_status_200(build: Build) -> None:
    system = build(lock_error_status=200)
    await (await system.caller()).lock()
    answer = await (await system.caller("ALICE")).call("POST", GREETER + LOCK, "stateful")
    assert error_of(answer) == (200, "ExceptionResourceNoAccess", "EU/510")


async def test_the_transports_resource_answers_without_locking(system: System, caller: Caller) -> None:
    answer = await caller.call("GET", f"{GREETER}/transports")
    assert "<LOCK_HANDLE/>" in answer.text
    assert answer.headers["content-type"].endswith("dataname=com.sap.adt.lock.result2")
    assert await system.sm12() == []


# A24, ADT §7.2
async def test_unlock_answers_200_without_a_body_or_type(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    answer = await caller.call("POST", f"{GREETER}?_action=UNLOCK&lockHandle={handle}", "stateful")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert "content-type" not in answer.headers
    assert await system.sm12() == []


@pytest.mark.parametrize("handle", ["GARBAGE", "0" * 40, "%00%ff<>"])
async def test_unlock_with_garbage_answers_200_and_releases_nothing(
    system: System, caller: Caller, handle: str
) -> None:
    await caller.lock()
    answer = await caller.call("POST", f"{GREETER}?_action=UNLOCK&lockHandle={quote(handle)}", "stateful")
    assert answer.status_code == 200
    assert await system.locked() == ["ZCL_HF_GREETER"]


async def test_unlock_without_a_handle_names_the_parameter(caller: Caller) -> None:
    answer = await caller.call("POST", f"{GREETER}?_action=UNLOCK", "stateful")
    assert error_of(answer) == (400, "ExceptionParameterNotFound", "SADT_RESOURCE/017")


@pytest.mark.parametrize("across", [False, True])
async def test_unlock_from_another_context_is_a_switch(build: Build, across: bool) -> None:
    system = build(unlock_across_contexts=across)
    caller = await system.caller()
    handle = await caller.lock()
    path = f"{GREETER}?_action=UNLOCK&lockHandle={handle}"
    assert (await caller.call("POST", path, "stateful", context=False)).status_code == 200
    assert await system.locked() == ([] if across else ["ZCL_HF_GREETER"])


@pytest.mark.parametrize("lenient", [False, True])
async def test_a_handle_encoded_twice_fits_only_if_the_system_is_lenient(build: Build, lenient: bool) -> None:
    system = build("7.50", stateful_backport=True, lenient_unlock=lenient)
    caller = await system.caller()
    handle = await caller.lock()
    twice = quote(quote(handle, safe=""), safe="")
    await caller.call("POST", f"{GREETER}?_action=UNLOCK&lockHandle={twice}", "stateful")
    assert await system.locked() == ([] if lenient else ["ZCL_HF_GREETER"])


async def test_a_plus_that_was_not_encoded_is_lost(build: Build) -> None:
    system = build("7.50", stateful_backport=True)
    caller = await system.caller()
    handle = await caller.lock()
    while "+" not in handle:
        await caller.call("POST", GREETER, "stateful", params={"_action": "UNLOCK", "lockHandle": handle})
        handle = await caller.lock()
    answer = await caller.call("PUT", f"{GREETER}/source/main?lockHandle={handle}", "stateful", content="* no")
    assert answer.status_code == 423
    assert (await caller.put(handle, "* yes")).status_code == 200


# A24, ADT §7.3
async def test_deleting_the_object_consumes_the_handle_and_unlock_answers_200(system: System, caller: Caller) -> None:
    handle = await caller.lock(PROGRAM)
    assert (await caller.call("DELETE", f"{PROGRAM}?lockHandle={handle}", "stateful")).status_code == 200
    assert await system.sm12() == []
    assert (await caller.call("POST", f"{PROGRAM}?_action=UNLOCK&lockHandle={handle}", "stateful")).status_code == 200


@pytest.mark.parametrize("killed", [True, False])
async def test_after_a_failed_put_the_handle_is_dead_unless_switched(build: Build, killed: bool) -> None:
    system = build(failed_put_kills_handle=killed)
    caller = await system.caller()
    handle = await caller.lock(DESK)
    failed = await caller.put(handle, "* x", DESK, headers={"content-type": "image/png"})
    assert failed.status_code == 415
    assert (await caller.put(handle, "* y", DESK)).status_code == (423 if killed else 200)
    if killed:
        fresh = await caller.lock(DESK)
        assert (await caller.put(fresh, "* z", DESK)).status_code == 200


async def test_a_put_with_a_wrong_handle_leaves_the_right_one_alone(caller: Caller) -> None:
    handle = await caller.lock()
    assert (await caller.put("0" * 40, "* no")).status_code == 423
    assert (await caller.put(handle, "* yes")).status_code == 200


# A24: SM12
async def test_sm12_shows_object_user_since_and_owner(system: System, caller: Caller) -> None:
    await caller.lock()
    [row] = await system.sm12()
    [context] = await system.sm04()
    assert (row["object_type"], row["object"], row["user"], row["mode"]) == (
        "CLAS/OC",
        "ZCL_HF_GREETER",
        "DEVELOPER",
        "E",
    )
    assert row["since"] == system.clock.now
    assert row["context"] == context["context"]
    assert row["argument"].startswith("CLASZCL_HF_GREETER\uffff")


async def test_an_administrator_deletes_a_lock_and_the_handle_is_dead(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    [row] = await system.sm12()
    assert await system.admin("DELETE", f"/sm12/{row['id']}") == {"deleted": True}
    assert await system.admin("DELETE", f"/sm12/{row['id']}") == {"deleted": False}
    assert (await caller.put(handle, "* no")).status_code == 423
    await (await system.caller("ALICE")).lock()


async def test_a_context_may_hold_several_objects(system: System, caller: Caller) -> None:
    for path in (GREETER, DESK, CLOCK, PROGRAM):
        await caller.lock(path)
    assert len(await system.sm12()) == 4
    await caller.call("GET", GRAPH, "stateless")
    assert await system.sm12() == []
