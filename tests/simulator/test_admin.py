"""A24: the administrator's view."""

import httpx2
import pytest

from holdfast.simulator import Simulator
from simulator.wire import GREETER, START, Caller, System


async def test_the_clock_moves_forward_only(system: System) -> None:
    assert (await system.admin("POST", "/clock/advance", json={"seconds": 60}))["now"] == START + 60
    for wrong in ({"seconds": -1}, {"seconds": "x"}, {}, []):
        answer = await system.http.post("/_sim/clock/advance", json=wrong)
        assert answer.status_code == 400
    assert system.sim.clock() == START + 60


async def test_switches_are_read_and_changed_and_nonsense_is_refused(system: System) -> None:
    assert (await system.admin("GET", "/switches"))["context_timeout_s"] == 1800
    changed = await system.admin("PUT", "/switches", json={"context_timeout_s": 5, "lenient_unlock": True})
    assert (changed["context_timeout_s"], changed["lenient_unlock"]) == (5, True)
    for wrong in ({"no_such": 1}, {"lenient_unlock": "perhaps"}, {"already_exists_status": 418}, [1]):
        assert (await system.http.put("/_sim/switches", json=wrong)).status_code == 400
    assert (await system.admin("GET", "/switches"))["context_timeout_s"] == 5


async def test_a_shorter_time_out_takes_effect_at_once(system: System, caller: Caller) -> None:
    await caller.lock()
    system.clock.now += 10
    await system.admin("PUT", "/switches", json={"context_timeout_s": 5})
    assert await system.sm12() == []


async def test_counters_and_requests_tell_what_was_asked_without_secrets(system: System, caller: Caller) -> None:
    handle = await caller.lock()
    await caller.put(handle, "* nonce: a-1")
    await caller.put(handle, "* nonce: a-1\n")
    counters = await system.admin("GET", "/counters")
    assert counters["by_route"]["PUT /sap/bc/adt/oo/classes/{name}/source/main"] == 2
    assert counters["puts_by_nonce"] == {"a-1": 2}
    assert counters["logons"] == 1
    answer = await system.http.get("/_sim/requests")
    assert [row["method"] for row in answer.json()] == ["GET", "POST", "PUT", "PUT"]
    assert "Holdfast1" not in answer.text
    assert caller.token not in answer.text
    assert caller.cookies["SAP_SESSIONID_HFT_001"] not in answer.text
    assert len(await system.admin("GET", "/requests?last=1")) == 1
    [third, fourth] = await system.admin("GET", "/requests?after=2")
    assert [third["number"], fourth["number"], fourth["nonces"]] == [3, 4, ["a-1"]]
    assert [row["session"] for row in answer.json()] == [(await system.sm05())[0]["id"]] * 4


async def test_sm04_and_sm05_show_who_and_since_when(system: System, caller: Caller) -> None:
    await caller.lock()
    [session], [context] = await system.sm05(), await system.sm04()
    assert (session["user"], session["created_at"], session["contexts"]) == ("DEVELOPER", START, 1)
    assert (context["user"], context["session"], context["running"]) == ("DEVELOPER", session["id"], 0)
    assert caller.context is not None
    assert context["context"] != caller.context


async def test_a_reset_goes_back_to_the_first_state(system: System, caller: Caller) -> None:
    before = await caller.source()
    await caller.put(await caller.lock(), "* changed")
    await system.fault("unavailable", times=0)
    await system.admin("PUT", "/switches", json={"delay_s": 9})
    await system.admin("POST", "/reset")
    assert (await system.sm04(), await system.sm05(), await system.sm12()) == ([], [], [])
    assert (await system.admin("GET", "/counters"))["requests"] == 0
    assert await (await system.caller()).source() == before


async def test_status_says_what_kind_of_system_this_is(system: System, caller: Caller) -> None:
    await caller.lock()
    found = await system.admin("GET", "/status")
    assert (found["system"], found["profile"], found["contexts"], found["locks"]) == ("HFT", "7.58", 1, 1)
    assert found["purpose"] == "learning and testing"


@pytest.mark.parametrize("path", ["/sm04", "/status"])
async def test_the_admin_api_is_an_application_of_its_own(path: str) -> None:
    transport = httpx2.ASGITransport(Simulator().admin)
    async with httpx2.AsyncClient(transport=transport, base_url="http://admin.test") as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.get(GREETER)).status_code == 404
