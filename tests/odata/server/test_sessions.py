"""Ids, tokens, turns and ends of sessions over the wire (O6 to O10, O13)."""

import anyio
import pytest

from holdfast.config import Settings
from holdfast.core.model import Reason
from holdfast.errors import StoreUnavailable
from holdfast.odata.server.kind import STICKY
from odata.server.world import Orders, Tab, World, opened

GONE = (400, "ICMENOSESSION")


async def editing(world: World) -> Tab:
    """Return a tab that edits the first order."""
    tab = world.tab()
    assert (await tab.send("POST", "Orders('1')/Demo.Edit", {})).status_code == 200
    return tab


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"])
async def test_an_unknown_id_is_refused_for_every_method_and_nothing_is_done(method: str) -> None:
    # O6, §11.5
    async with opened() as world:
        tab = world.tab()
        await tab.fetch()
        for unknown in ("A" * 43, "SID:ANON:other_TST_00:xyz-ATT", "undefined"):
            answer = await tab.send(method, "Orders('1')", {}, SAP_ContextId=unknown)
            assert (answer.status_code, answer.headers["sap-err-id"]) == GONE
            assert "sap-contextid" not in answer.headers
        answer = await tab.send("POST", "Orders('1')/Demo.Edit", {}, SAP_ContextId="A" * 43)
        assert (answer.status_code, answer.headers["sap-err-id"]) == GONE
        assert not world.orders.log


async def test_of_two_ids_in_one_request_neither_counts() -> None:
    # O6: which of them is meant, nobody can say
    async with opened() as world:
        one, other = await editing(world), world.tab()
        await other.send("POST", "Orders('2')/Demo.Edit", {})
        ids = [("SAP-ContextId", str(one.id)), ("SAP-ContextId", str(other.id))]
        answer = await world.http.get("/Orders('1')", headers=ids)
        assert (answer.status_code, answer.headers["sap-err-id"]) == GONE
        assert (await one.send("GET", "Orders('1')")).headers["sap-contextid"] == one.id


async def test_a_lost_session_is_told_before_a_missing_token() -> None:
    # O6, §2.5
    async with opened() as world:
        answer = await world.http.post("/$batch", headers={"SAP-ContextId": "A" * 43})
        assert (answer.status_code, answer.headers["sap-err-id"]) == GONE


async def test_an_ended_session_is_gone_for_whoever_has_its_id() -> None:
    async with opened() as world:
        tab = await editing(world)
        old = str(tab.id)
        await tab.send("POST", "Orders('1')/Demo.Save", {})
        answer = await tab.send("GET", "Orders", SAP_ContextId=old)
        assert (answer.status_code, answer.headers["sap-err-id"]) == GONE


async def test_every_answer_in_a_session_tells_id_and_timeout() -> None:
    # O6: errors, 403, 412, HEAD
    async with opened() as world:
        tab = await editing(world)
        statuses = []
        for method, path, body, headers in (
            ("GET", "Orders", None, {}),
            ("HEAD", "", None, {}),
            ("GET", "Nothing", None, {}),
            ("PATCH", "Orders('1')", {"Note": 7}, {}),
            ("PATCH", "Orders('1')", {"Note": "x"}, {"If_Match": 'W/"77"'}),
            ("PATCH", "Orders('1')", {"Note": "x"}, {"X_CSRF_Token": "stale"}),
            ("DELETE", "Orders", None, {}),
            ("POST", "Orders('1')", b"{", {}),
            ("GET", "Orders?$filter=Note has", None, {}),
            ("GET", "Orders?$apply=aggregate(Amount)", None, {}),
        ):
            answer = await tab.send(method, path, body, **headers)
            statuses.append(answer.status_code)
            assert answer.headers["sap-contextid"] == tab.id, path
            assert answer.headers["sap-http-session-timeout"] == "900"
        assert statuses == [200, 200, 404, 400, 412, 403, 405, 405, 400, 501]


async def test_a_handler_that_breaks_is_told_without_what_it_said_and_the_session_goes_on() -> None:
    class Broken(Orders):
        def patch(self, row: object, changes: object) -> None:
            raise RuntimeError("the password is secret")

    orders = Broken()
    Broken.name = "Orders"
    async with opened(orders=orders) as world:
        tab = await editing(world)
        answer = await tab.send("PATCH", "Orders('1')", {"Note": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
        assert "secret" not in answer.text
        assert answer.headers["sap-contextid"] == tab.id
        assert (await tab.send("POST", "Orders('1')/Demo.Save", {})).status_code == 200


async def test_metadata_needs_and_touches_nothing() -> None:
    # §11.6
    async with opened() as world:
        answer = await world.http.get("/$metadata", headers={"SAP-ContextId": "A" * 43})
        assert answer.status_code == 200
        assert "sap-contextid" not in answer.headers


async def test_metadata_is_told_to_those_who_may_come_in() -> None:
    async with opened(token="a-long-random-text") as world:
        for said, status in ((None, 401), ("Bearer another-text", 401), ("Bearer a-long-random-text", 200)):
            answer = await world.http.get("/$metadata", headers={"Authorization": said} if said else {})
            assert answer.status_code == status
            assert ("Demo" in answer.text) == (status == 200)


async def test_two_tabs_have_two_sessions() -> None:
    # O7
    async with opened() as world:
        one, other = world.tab(), world.tab()
        await one.send("POST", "Orders('1')/Demo.Edit", {})
        await other.send("POST", "Orders('2')/Demo.Edit", {})
        assert one.id != other.id
        await one.send("PATCH", "Orders('1')", {"Note": "one's"})
        assert (await other.send("GET", "Orders('1')")).json()["Note"] == "first"
        await other.send("POST", "Discard", {})
        assert (await one.send("POST", "Orders('1')/Demo.Save", {})).json()["Note"] == "one's"


async def test_an_id_is_bound_to_who_has_logged_on() -> None:
    # O7
    class Staff:
        async def verify(self, token: str):  # type: ignore[no-untyped-def]
            from holdfast.identity.facts import Identity

            return Identity(issuer="https://id.example", subject=token)

    async with opened(verifier=Staff()) as world:
        ada, bob = world.tab(), world.tab()
        ada.token = (await ada.send("HEAD", "", Authorization="Bearer ada", X_CSRF_Token="Fetch")).headers[
            "x-csrf-token"
        ]
        bob.token = (await bob.send("HEAD", "", Authorization="Bearer bob", X_CSRF_Token="Fetch")).headers[
            "x-csrf-token"
        ]
        await ada.send("POST", "Orders('1')/Demo.Edit", {}, Authorization="Bearer ada")
        stolen = await bob.send("GET", "Orders('1')", Authorization="Bearer bob", SAP_ContextId=str(ada.id))
        assert (stolen.status_code, stolen.headers["sap-err-id"]) == GONE
        theirs = await bob.send("POST", "Orders('2')/Demo.Edit", {}, Authorization="Bearer bob", X_CSRF_Token=ada.token)
        assert theirs.status_code == 403
        assert (await bob.send("GET", "Orders")).status_code == 401
        manager = (await world.app.opened.get())._sessions.manager
        [node] = [record async for record in manager.each("kind", STICKY)]
        assert node.owner == "https://id.example|ada|"
        assert node.parent is not None  # S6: it hangs below the logon


async def test_twenty_requests_of_one_session_are_served_one_at_a_time() -> None:
    # O8
    running = most = 0

    class Slow(Orders):
        async def patch(self, row: object, changes: object) -> None:
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            running -= 1
            order.append(changes["Amount"])  # type: ignore[index]

    order: list[int] = []
    Slow.name = "Orders"
    async with opened(orders=Slow()) as world:
        tab = await editing(world)
        await tab.fetch()

        async def one(amount: int) -> None:
            assert (await tab.send("PATCH", "Orders('1')", {"Amount": amount})).status_code == 200

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for amount in range(20):
                    tasks.start_soon(one, amount)
        assert most == 1
        assert order == list(range(20))  # first come, first served
        assert (await tab.send("GET", "Orders('1')")).json()["Amount"] == order[-1]


async def test_who_waits_too_long_for_a_session_is_told_to_come_back_and_keeps_it() -> None:
    # O6, §11.12
    entered, leave = anyio.Event(), anyio.Event()

    class Stuck(Orders):
        async def patch(self, row: object, changes: object) -> None:
            entered.set()
            await leave.wait()

    Stuck.name = "Orders"
    async with opened(orders=Stuck(), wait=0.05) as world:
        tab = await editing(world)
        await tab.fetch()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tab.send, "PATCH", "Orders('1')", {"Amount": 1})
                await entered.wait()
                beside = await world.tab().send("GET", "Orders('1')")
                assert beside.status_code == 200  # requests without id run beside it
                busy = await world.http.get("/Orders('1')", headers={"SAP-ContextId": str(tab.id)})
                assert busy.status_code == 503
                assert busy.headers["retry-after"]
                assert busy.headers["sap-contextid"] == tab.id
                assert busy.headers["sap-http-session-timeout"] == "900"
                leave.set()


async def test_head_on_the_root_keeps_a_session_alive() -> None:
    # O9, §2.7
    async with opened(timeout=60) as world:
        tab = await editing(world)
        manager = (await world.app.opened.get())._sessions.manager
        [before] = [record async for record in manager.each("kind", STICKY)]
        earlier = manager.clock
        manager.clock = lambda: earlier() + 55
        answer = await tab.send("HEAD", "")
        assert (answer.status_code, answer.headers["sap-contextid"]) == (200, tab.id)
        [after] = [record async for record in manager.each("kind", STICKY)]
        assert after.used_at >= before.used_at + 55
        manager.clock = lambda: earlier() + 110
        assert (await tab.send("GET", "Orders('1')")).status_code == 200
        manager.clock = lambda: earlier() + 200
        lost = await tab.send("GET", "Orders('1')")
        assert (lost.status_code, lost.headers["sap-err-id"]) == GONE


async def test_what_ends_a_session_from_outside_lets_its_locks_go() -> None:
    # O9, §11.9
    async with opened() as world:
        tab = await editing(world)
        assert world.orders.locks
        manager = (await world.app.opened.get())._sessions.manager
        [node] = [record async for record in manager.each("kind", STICKY)]
        await manager.end(node.ref, Reason.ADMIN)
        with anyio.fail_after(10):
            assert await manager.gone(node.ref, timeout=9)
        assert not world.orders.locks
        assert (await tab.send("GET", "Orders")).headers["sap-err-id"] == "ICMENOSESSION"


async def test_a_session_can_be_terminated_as_abap_clients_do() -> None:
    async with opened() as world:
        tab = await editing(world)
        answer = await tab.send("HEAD", "", sap_terminate="session")
        assert (answer.status_code, tab.id) == (200, None)
        assert not world.orders.locks


async def test_a_token_is_fetched_asked_for_and_required() -> None:
    # O13
    async with opened() as world:
        refused = await world.http.post("/Orders('1')/Demo.Edit", json={})
        assert (refused.status_code, refused.headers["x-csrf-token"]) == (403, "Required")
        still = await world.http.post("/Orders('1')/Demo.Edit", json={}, headers={"X-CSRF-Token": "Fetch"})
        assert still.status_code == 403
        tab = world.tab()
        await tab.fetch()
        assert (await tab.send("POST", "Orders('1')/Demo.Edit", {})).status_code == 200
        assert (await world.http.get("/Orders")).headers.get("x-csrf-token") is None


async def test_a_token_outlives_a_sticky_session_and_is_anothers_in_no_browser() -> None:
    # O13: it belongs to the logon
    async with opened() as world:
        tab = await editing(world)
        await tab.send("POST", "Discard", {})
        assert (await tab.send("POST", "Orders('1')/Demo.Edit", {})).status_code == 200
        world.http.cookies.clear()
        stolen = await world.http.post("/Orders('2')/Demo.Edit", json={}, headers={"X-CSRF-Token": tab.token})
        assert stolen.status_code == 403


async def test_a_full_house_is_a_refusal_and_not_the_end_of_others() -> None:
    settings = Settings(_env_file=None, kinds={"sticky": {"per_client": 2}})
    async with opened(settings=settings) as world:
        tabs = [world.tab() for _ in range(3)]
        for tab, number in zip(tabs, "123", strict=True):
            answer = await tab.send("POST", f"Orders('{number}')/Demo.Edit", {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "limit_reached")
        assert world.orders.locks.keys() == {"1", "2"}
        assert (await tabs[0].send("GET", "Orders('1')")).status_code == 200


async def test_an_outage_of_the_store_is_503_and_the_client_keeps_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    # O6: 503 in a session tells id and timeout
    async with opened() as world:
        tab = await editing(world)
        sessions = (await world.app.opened.get())._sessions.manager.store.sessions

        async def out(*args: object, **more: object) -> None:
            raise StoreUnavailable("the store is away")

        monkeypatch.setattr(type(sessions), "load", out)
        answer = await tab.send("GET", "Orders('1')")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert answer.headers["retry-after"]
        assert answer.headers["sap-contextid"] == tab.id
        assert answer.headers["sap-http-session-timeout"] == "900"
        monkeypatch.undo()
        assert (await tab.send("POST", "Orders('1')/Demo.Save", {})).status_code == 200
