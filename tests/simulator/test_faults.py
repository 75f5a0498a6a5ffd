"""ADT §23: every fault on demand, in process and over a real socket."""

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import uvicorn

from holdfast.simulator import ConnectionCut, Simulator, asgi
from holdfast.simulator.cutting import SimulatorProtocol
from simulator.wire import DESK, GRAPH, GREETER, Caller, System, error_of

SOURCE = f"{GREETER}/source/main"
LOCK = f"{GREETER}?_action=LOCK&accessMode=MODIFY"

STANDING = {
    "unauthorized": (401, "Logon Error Message"),
    "csrf_required": (403, "CSRF token validation failed"),
    "unavailable": (503, "Service Unavailable"),
    "html_logon": (200, "loginForm"),
    "icm_unreachable": (400, "Service cannot be reached"),
    "icm_session": (400, "Session timed out"),
    "dump": (500, "Runtime error"),
    "not_authorized": (403, "ExceptionNotAuthorized"),
    "empty": (200, ""),
}


# A24
@pytest.mark.parametrize("effect", STANDING)
async def test_a_standing_answer_meets_one_request_and_nothing_is_done(
    system: System, caller: Caller, effect: str
) -> None:
    await system.fault(effect, method="POST", action="LOCK")
    assert (await caller.call("GET", SOURCE)).status_code == 200
    answer = await caller.call("POST", LOCK, "stateful")
    status, text = STANDING[effect]
    assert answer.status_code == status
    assert text in answer.text
    assert await system.sm12() == []
    caller.cookies.pop("sap-contextid", None)
    await caller.lock()


async def test_a_rule_skips_counts_and_matches_by_path(system: System, caller: Caller) -> None:
    await system.fault("unavailable", path="order_desk", times=2, skip=1)
    statuses = [(await caller.call("GET", f"{DESK}/source/main")).status_code for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    await system.fault("unavailable", times=0)
    assert [(await caller.call("GET", GRAPH)).status_code for _ in range(3)] == [503] * 3
    assert await system.admin("DELETE", "/faults") == []
    assert (await caller.call("GET", GRAPH)).status_code == 200


async def test_a_request_lost_is_not_processed_and_an_answer_lost_is(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    before = await caller.source()
    await system.fault("cut_before", method="PUT")
    with pytest.raises(ConnectionCut):
        await caller.put(handle, "* lost request")
    assert await caller.source() == before
    await system.fault("cut_after", method="PUT")
    with pytest.raises(ConnectionCut):
        await caller.put(handle, "* lost answer")
    assert await caller.source() == "* lost answer"
    counters = await system.admin("GET", "/counters")
    assert counters["puts_by_hash"] == {hashlib.sha256(b"* lost answer").hexdigest(): 1}


async def test_a_lock_whose_answer_was_lost_is_held(system: System, caller: Caller) -> None:
    await system.fault("cut_after", action="LOCK")
    with pytest.raises(ConnectionCut):
        await caller.lock()
    assert await system.locked() == ["ZCL_HF_GREETER"]


async def test_expiry_of_the_context_meets_the_request_that_presents_it(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await system.fault("expire_context", method="PUT")
    answer = await caller.put(handle, "* late")
    assert (answer.status_code, answer.headers["sap-err-id"]) == (400, "ICMENOSESSION")
    assert await system.sm12() == []
    assert len(await system.sm05()) == 1


async def test_expiry_of_the_session_is_401_without_credentials(system: System, caller: Caller) -> None:
    await caller.lock()
    await system.fault("expire_session", method="PUT")
    assert (await caller.put("A" * 40, "* late")).status_code == 401
    assert (await system.sm05(), await system.sm12()) == ([], [])


async def test_a_rotated_token_can_be_fetched_again_in_the_same_session(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await system.fault("rotate_token", method="PUT")
    assert (await caller.put(handle, "* x")).headers["x-csrf-token"] == "Required"
    answer = await caller.call("GET", GRAPH, "stateful", headers={"x-csrf-token": "fetch"})
    caller.token = answer.headers["x-csrf-token"]
    assert (await caller.put(handle, "* x")).status_code == 200


async def test_a_foreign_lock_stands_in_the_way(system: System, caller: Caller) -> None:
    await system.fault("foreign_lock", action="LOCK", user="bob")
    answer = await caller.call("POST", LOCK, "stateful")
    assert error_of(answer) == (403, "ExceptionResourceNoAccess", "EU/510")
    assert "User BOB" in answer.text
    assert len(await system.sm04()) == 1


async def test_somebody_was_faster_between_lock_and_put(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await system.fault("foreign_lock", method="PUT", user="BOB")
    assert (await caller.put(handle, "* x")).status_code == 423
    assert [row["user"] for row in await system.sm12()] == ["BOB"]


async def test_a_deleted_lock_entry_makes_the_handle_dead(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await system.fault("delete_lock", method="PUT")
    assert (await caller.put(handle, "* x")).status_code == 423
    await caller.lock()


async def test_activation_and_deletion_are_refused_on_demand(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await caller.put(handle, (await caller.source()) + "\n* changed")
    body = (
        '<adtcore:objectReferences xmlns:adtcore="http://www.sap.com/adt/core">'
        f'<adtcore:objectReference adtcore:uri="{GREETER}"/></adtcore:objectReferences>'
    )
    await system.fault("refuse_activation")
    answer = await caller.call("POST", "/sap/bc/adt/activation", "stateful", content=body)
    assert answer.status_code == 200
    assert 'activationExecuted="false"' in answer.text
    assert "Activation was cancelled" in answer.text
    await system.fault("refuse_deletion")
    assert (await caller.call("DELETE", f"{GREETER}?lockHandle={handle}", "stateful")).status_code == 403
    body = (
        '<del:deletionRequest xmlns:del="http://www.sap.com/adt/deletion" xmlns:adtcore="http://www.sap.com/adt/core">'
        f'<del:object adtcore:uri="{GREETER}"/></del:deletionRequest>'
    )
    await system.fault("refuse_deletion")
    answer = await caller.call("POST", "/sap/bc/adt/deletion/delete", "stateful", content=body)
    assert 'isDeleted="false"' in answer.text
    assert (await caller.call("GET", GREETER, "stateful")).status_code == 200


async def test_a_restart_on_demand_ends_all_contexts(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await system.fault("restart", method="PUT")
    assert (await caller.put(handle, "* x")).status_code == 401
    assert (await system.sm04(), await system.sm12()) == ([], [])


async def test_a_slow_answer_waits_as_long_as_the_rule_says(system: System, caller: Caller) -> None:
    system.gatekeeper.open()
    await system.fault("delay", seconds=30)
    assert (await caller.call("GET", GRAPH)).status_code == 200
    assert system.gatekeeper.waiting == 1


async def test_a_request_whose_sender_is_gone_before_its_end_is_not_carried_out(system: System, caller: Caller) -> None:
    before, handle = await caller.source(), await caller.lock()
    headers = {
        "cookie": "; ".join(f"{name}={value}" for name, value in caller.cookies.items()),
        "x-csrf-token": caller.token,
        "x-sap-adt-sessiontype": "stateful",
    }
    scope = {
        "type": "http",
        "method": "PUT",
        "path": SOURCE,
        "query_string": f"lockHandle={handle}".encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    arriving = iter([{"type": "http.request", "body": b"* half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(arriving)

    async def send(message: object) -> None:
        raise AssertionError(f"nobody is there to be told {message}")

    asked = (await system.admin("GET", "/counters"))["requests"]
    await system.sim.app(scope, receive, send)
    assert (await system.admin("GET", "/counters"))["requests"] == asked
    assert await caller.source() == before
    assert (await caller.put(handle, "* whole")).status_code == 200


NONSENSE = [{"effect": "nonsense"}, {"effect": "empty", "path": "("}, {"effect": "empty", "x": 1}, [1]]


@pytest.mark.parametrize("rule", NONSENSE)
async def test_a_rule_that_makes_no_sense_is_refused(system: System, rule: object) -> None:
    answer = await system.http.post("/_sim/faults", json=rule)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert await system.admin("GET", "/faults") == []


@pytest.fixture
def socket_url() -> Iterator[str]:
    """A simulator behind a real socket."""
    simulator = Simulator()
    server = uvicorn.Server(
        uvicorn.Config(asgi(simulator), port=0, http=SimulatorProtocol, ws="none", lifespan="off", log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    ready = threading.Event()
    server.startup = _announcing(server.startup, ready)  # type: ignore[method-assign]
    thread.start()
    assert ready.wait(10)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def _announcing(startup, ready):  # type: ignore[no-untyped-def]
    async def started(sockets=None):  # type: ignore[no-untyped-def]
        await startup(sockets)
        ready.set()

    return started


@pytest.mark.parametrize("effect", ["cut_before", "cut_after"])
async def test_over_a_socket_the_client_really_sees_a_dropped_connection(socket_url: str, effect: str) -> None:
    async with httpx2.AsyncClient(base_url=socket_url, auth=("DEVELOPER", "Holdfast1")) as client:
        token = (await client.get(GRAPH, headers={"x-csrf-token": "fetch"})).headers["x-csrf-token"]
        headers = {"x-csrf-token": token, "x-sap-adt-sessiontype": "stateful"}
        await client.post("/_sim/faults", json={"effect": effect, "action": "LOCK"})
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(LOCK, headers=headers)
        assert len((await client.get("/_sim/sm12")).json()) == (1 if effect == "cut_after" else 0)
        assert (await client.get(GRAPH)).status_code == 200


async def test_over_a_socket_the_icm_says_session_timed_out_in_the_status_line(socket_url: str) -> None:
    async with httpx2.AsyncClient(base_url=socket_url, auth=("DEVELOPER", "Holdfast1")) as client:
        answer = await client.get(GRAPH, headers={"sap-contextid": "SID%3anobody"})
        assert (answer.status_code, answer.reason_phrase) == (400, "Session timed out")
        assert answer.headers["connection"] == "close"
