"""ABAP objects edited through a sticky session (O14): two servers, either of which may be killed, a simulated system.

Each test ends with nothing locked.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from e2e.abap_world import CLASS, PROGRAM, AbapWorld, abap_world
from e2e.test_abap_logout import worlds
from holdfast.odata.client import StickyClient
from holdfast.web.security import Logon
from odata.server.world import Tab

PATIENCE_S = 60.0
GREETER = "Objects(Type='class',Name='ZCL_HF_GREETER')"
NAME = "ZCL_HF_GREETER"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AbapWorld]:
    with anyio.fail_after(PATIENCE_S):
        async with abap_world(tmp_path) as world:
            yield world
            assert await world.sap.locked() == []


@asynccontextmanager
async def page(world: AbapWorld, **headers: str) -> AsyncIterator[Tab]:
    """Be a tab of a browser of one's own."""
    async with httpx2.AsyncClient(base_url=world.workers.url, timeout=30, headers=headers) as http:
        yield Tab(http, "/odata/abap/")


async def done(tab: Tab, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Send a request that must succeed; return what it answers."""
    answer = await tab.send(method, path, body, **headers)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def refused(tab: Tab, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    answer = await tab.send(method, path, body)
    assert answer.is_error, answer.text
    return answer.status_code, answer.json()["error"]


def text(nonce: str) -> str:
    return CLASS.source(NAME, nonce)


async def source(world: AbapWorld, name: str = NAME, version: str = "active", kind: str = "Class") -> str:
    """Return what an agent reads of the object."""
    async with world.agent() as agent:
        session = await agent.session()
        answer = await agent.done(f"Read{kind}", session_id=session, version=version, **{f"{kind.lower()}_name": name})
        await agent.done("CloseSession", session_id=session)
    return str(answer["source_code"])


async def test_a_class_is_edited_checked_and_saved(world: AbapWorld) -> None:  # O14
    async with page(world) as tab:
        listed = await done(tab, "GET", "Objects?$search=GREETER&$select=Name,Type")
        assert {"Name": NAME, "Type": "class"} in [
            {k: v for k, v in one.items() if k[0] != "@"} for one in listed["value"]
        ]
        before = await done(tab, "GET", GREETER)
        assert (before["Package"], before["Name"]) == ("ZHOLDFAST_DEMO", NAME)
        edited = await done(tab, "POST", f"{GREETER}/Abap.Edit", {}, If_Match=before["@odata.etag"])
        assert await world.sap.locked() == [NAME]
        await done(tab, "PATCH", GREETER, {"Source": text("ours")}, If_Match=edited["@odata.etag"])
        assert "ours" not in await source(world, version="inactive")
        assert (await done(tab, "POST", f"{GREETER}/Abap.Check", {}))["value"] == []
        saved = await done(tab, "POST", f"{GREETER}/Abap.Save", {})
        assert tab.id is None
        assert saved["Source"] == text("ours")
        assert saved["@odata.etag"] != before["@odata.etag"]
    assert await source(world) == text("ours")
    assert await world.sap.locked() == []


async def test_our_client_edits_a_class_as_the_manual_says(world: AbapWorld) -> None:  # O15, O19
    async with StickyClient(f"{world.workers.url}/odata/abap/") as client, client.edit(GREETER) as greeter:
        greeter["Source"] = greeter["Source"].replace("Hello", "Good morning")
    assert "Good morning" in await source(world)


async def test_what_is_discarded_is_unlocked_and_never_written(world: AbapWorld) -> None:
    before = await source(world)
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        await done(tab, "PATCH", GREETER, {"Source": text("never")})
        await done(tab, "POST", "Discard", {})
        assert await world.sap.locked() == []
    assert await source(world, version="inactive") == before


async def test_a_worker_killed_between_edit_and_save_loses_nothing(world: AbapWorld) -> None:  # O10
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        session = tab.id
        await world.workers.kill(0)
        await done(tab, "PATCH", GREETER, {"Source": text("through it all")})
        await world.workers.start(0)
        await world.workers.kill(1)
        try:
            assert (await done(tab, "GET", GREETER))["Source"] == text("through it all")
            assert tab.id == session
            await done(tab, "POST", f"{GREETER}/Abap.Save", {})
        finally:
            await world.workers.start(1)
    assert await source(world) == text("through it all")
    assert await world.sap.locked() == []


async def test_a_source_with_errors_is_refused_line_by_line_and_the_lock_stays(world: AbapWorld) -> None:  # O3
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        wrong = text("wrong").replace("ENDMETHOD.", "ENDMETHOD")
        await done(tab, "PATCH", GREETER, {"Source": wrong})
        found = (await done(tab, "POST", f"{GREETER}/Abap.Check", {}))["value"]
        assert found[0]["Severity"] == "error"
        status, error = await refused(tab, "POST", f"{GREETER}/Abap.Save", {})
        assert (status, error["code"], error["target"]) == (422, "refused", "Source")
        assert error["details"][0]["message"].startswith(f"Line {found[0]['Line']}: ")
        assert tab.id is not None
        assert await world.sap.locked() == [NAME]
        assert await source(world, version="inactive") != wrong
        await done(tab, "PATCH", GREETER, {"Source": text("right")})
        await done(tab, "POST", f"{GREETER}/Abap.Save", {})
    assert await source(world) == text("right")


async def test_a_new_program_is_created_when_it_is_saved(world: AbapWorld) -> None:  # O2
    name = "Z_HF_FROM_A_PAGE"
    async with page(world) as tab:
        await done(tab, "POST", "Objects/Abap.Create", {})
        new = "Objects(Type='class',Name='')"
        about = {"Type": "program", "Name": name, "Description": "From a page", "Source": PROGRAM.source(name, "new")}
        await done(tab, "PATCH", new, about)
        assert (await tab.http.get(f"/odata/abap/Objects(Type='program',Name='{name}')")).status_code == 404
        saved = await done(tab, "POST", f"{new}/Abap.Save", {})
        assert (saved["Name"], saved["Description"]) == (name, "From a page")
        assert tab.id is None
    assert await source(world, name, kind="Program") == PROGRAM.source(name, "new")
    assert await world.sap.locked() == []


async def test_a_name_that_is_taken_is_refused_with_what_the_system_says(world: AbapWorld) -> None:
    async with page(world) as tab:
        await done(tab, "POST", "Objects/Abap.Create", {})
        await done(tab, "PATCH", "Objects(Type='class',Name='')", {"Name": "ZCL_HF_GREETER_2", "Source": text("x")})
        await done(tab, "PATCH", "Objects(Type='class',Name='ZCL_HF_GREETER_2')", {"Name": "1BAD"})
        status, error = await refused(tab, "POST", "Objects(Type='class',Name='1BAD')/Abap.Save", {})
        assert status in (400, 422)
        assert "1BAD" in error["message"]
        assert tab.id is not None
        await done(tab, "POST", "Discard", {})


async def test_what_somebody_else_is_editing_is_refused_and_nothing_stays_behind(world: AbapWorld) -> None:
    async with page(world) as one, page(world) as other:
        await done(one, "POST", f"{GREETER}/Abap.Edit", {})
        status, error = await refused(other, "POST", f"{GREETER}/Abap.Edit", {})
        assert (status, error["code"]) == (423, "object_locked")
        assert "DEVELOPER" in error["message"]
        assert other.id is None
        await done(one, "POST", "Discard", {})
        await done(other, "POST", f"{GREETER}/Abap.Edit", {})
        await done(other, "POST", "Discard", {})
    assert await world.sap.locked() == []


async def test_an_administrator_who_ends_the_session_frees_the_lock(world: AbapWorld) -> None:  # O9, S6
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        assert tab.id is not None
        ended = await world.run("sessions", "end", tab.id[:8])
        assert ended.returncode == 0, ended.stderr
        assert await world.sap.locked() == []
        answer = await tab.send("PATCH", GREETER, {"Source": text("too late")})
        assert (answer.status_code, answer.headers["sap-err-id"]) == (400, "ICMENOSESSION")
    assert "too late" not in await source(world, version="inactive")


async def test_a_lock_that_was_lost_is_taken_again_by_the_save(world: AbapWorld) -> None:  # A8
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        await done(tab, "PATCH", GREETER, {"Source": text("after all")})
        await world.sap.fault("expire_context", method="PUT")
        await done(tab, "POST", f"{GREETER}/Abap.Save", {})
    assert await source(world) == text("after all")


async def test_a_refused_activation_says_how_far_the_save_came(world: AbapWorld) -> None:
    async with page(world) as tab:
        await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
        await done(tab, "PATCH", GREETER, {"Source": text("inactive")})
        await world.sap.fault("refuse_activation", path="/activation")
        status, error = await refused(tab, "POST", f"{GREETER}/Abap.Save", {})
        assert (status, error["target"]) == (422, "Source")
        assert "saved and unlocked, but not active" in error["message"]
        assert tab.id is not None
        assert await world.sap.locked() == []
        await done(tab, "POST", "Discard", {})
    assert await source(world, version="inactive") == text("inactive")


async def test_who_logs_off_elsewhere_frees_what_their_page_has_locked(tmp_path: Path) -> None:  # S6
    async with worlds(tmp_path) as (world, login, logons):
        person = Logon(issuer=login.url, subject="ann", method="oidc", at=time.time(), sid="s1")
        security = await logons.begin(person)
        token = login.token("ann", "s1")
        async with page(world, authorization=f"Bearer {token}") as tab, page(world) as nobody:
            assert (await nobody.http.get(f"/odata/abap/{GREETER}")).status_code == 401
            await done(tab, "POST", f"{GREETER}/Abap.Edit", {})
            assert await world.sap.locked() == [NAME]
            await logons.end(security)
            await world.sap.free(NAME)
            assert (await tab.send("GET", GREETER)).status_code in (400, 401)
        await world.nothing_left()
