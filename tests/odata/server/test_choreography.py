"""What the four actions do to a session, over the wire (O2 to O5, and the status table of sticky OData §1)."""

from odata.server.world import Orders, Tab, opened


def in_session(answer: object, tab: Tab) -> bool:
    """Say whether an answer tells that its client is in a session, by both headers."""
    headers = answer.headers  # type: ignore[attr-defined]
    assert ("sap-contextid" in headers) == ("sap-http-session-timeout" in headers)
    return "sap-contextid" in headers and headers["sap-contextid"] == tab.id


async def test_edit_outside_starts_a_session_and_returns_the_entity() -> None:
    # O3, O2
    async with opened(timeout=60) as world:
        tab = world.tab()
        answer = await tab.send("POST", "Orders('1')/Demo.Edit", {})
        assert answer.status_code == 200
        assert answer.json()["ID"] == "1"
        assert in_session(answer, tab)
        assert len(tab.id or "") == 43
        assert answer.headers["sap-http-session-timeout"] == "60"
        assert answer.headers["odata-version"] == "4.0"
        assert world.orders.locks.keys() == {"1"}


async def test_edit_that_fails_outside_starts_nothing_and_locks_nothing() -> None:
    # O3
    async with opened() as world:
        one, other = world.tab(), world.tab()
        await one.send("POST", "Orders('1')/Demo.Edit", {})
        refused = await other.send("POST", "Orders('1')/Demo.Edit", {})
        assert (refused.status_code, refused.json()["error"]["target"]) == (422, "ID")
        missing = await other.send("POST", "Orders('9')/Demo.Edit", {})
        assert missing.status_code == 404
        assert other.id is None
        assert len(world.orders.locks) == 1
        assert (await one.send("POST", "Orders('1')/Demo.Save", {})).status_code == 200


async def test_edit_and_new_inside_continue_the_session_under_the_same_id() -> None:
    # O3
    async with opened() as world:
        tab = world.tab()
        first = await tab.send("POST", "Orders('1')/Demo.Edit", {})
        for path in ("Orders('2')/Demo.Edit", "Orders/Demo.Create", "Orders('2')/Demo.Edit"):
            answer = await tab.send("POST", path, {})
            assert answer.status_code == 200
            assert answer.headers["sap-contextid"] == first.headers["sap-contextid"]
        failed = await tab.send("POST", "Orders('9')/Demo.Edit", {})
        assert failed.status_code == 404
        assert in_session(failed, tab)


async def test_of_several_entities_the_last_one_saved_ends_the_session() -> None:
    # O4
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("POST", "Orders('2')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Note": "one"})
        await tab.send("PATCH", "Orders('2')", {"Note": "two"})
        saved = await tab.send("POST", "Orders('1')/Demo.Save", {})
        assert saved.json()["Note"] == "one"
        assert in_session(saved, tab)
        assert (await tab.send("GET", "Orders('1')")).json()["Note"] == "one"
        last = await tab.send("POST", "Orders('2')/Demo.Save", {})
        assert last.status_code == 200
        assert "sap-contextid" not in last.headers
        assert "sap-http-session-timeout" not in last.headers
        assert not world.orders.locks  # O9: freed before the answer


async def test_a_refused_save_keeps_the_session_and_what_was_changed() -> None:
    # O3
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Note": "refuse", "Amount": 7})
        refused = await tab.send("POST", "Orders('1')/Demo.Save", {})
        assert (refused.status_code, refused.json()["error"]["target"]) == (422, "Note")
        assert in_session(refused, tab)
        assert (await tab.send("GET", "Orders('1')")).json()["Amount"] == 7
        await tab.send("PATCH", "Orders('1')", {"Note": "better"})
        assert (await tab.send("POST", "Orders('1')/Demo.Save", {})).status_code == 200
        assert world.orders.table["1"].Note == "better"


async def test_discard_ends_the_session_and_gives_up_what_was_changed() -> None:
    # O3, O9
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Note": "gone"})
        answer = await tab.send("POST", "Discard", {})
        assert answer.status_code == 204
        assert tab.id is None
        assert world.orders.table["1"].Note == "first"
        assert not world.orders.locks


async def test_discard_that_fails_ends_the_session_all_the_same() -> None:
    # O3
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        lost, world.orders.fails = tab.id, {"discard"}
        answer = await tab.send("POST", "Discard", {})
        assert answer.status_code == 422
        assert tab.id is None
        again = await tab.send("GET", "Orders", SAP_ContextId=str(lost))
        assert again.headers["sap-err-id"] == "ICMENOSESSION"
        world.orders.fails.clear()  # and what could not be let go is tried again


async def test_save_and_discard_outside_fail_and_start_nothing() -> None:
    # O3
    async with opened() as world:
        tab = world.tab()
        for path in ("Discard", "Orders('1')/Demo.Save"):
            answer = await tab.send("POST", path, {})
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sticky_choreography")
            assert tab.id is None


async def test_a_save_of_what_is_not_edited_here_fails_and_keeps_the_session() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("POST", "Orders('2')/Demo.Save", {})
        assert answer.status_code == 409
        assert in_session(answer, tab)


async def test_new_gives_an_entity_that_is_addressed_by_its_provisional_key() -> None:
    # O2, O20: sticky OData §2.4
    async with opened() as world:
        tab = world.tab()
        made = await tab.send("POST", "Orders/Demo.Create", {})
        assert (made.status_code, made.json()["ID"], made.json()["@odata.etag"]) == (200, "", 'W/"0"')
        patched = await tab.send("PATCH", "Orders('')", {"Note": "fresh"}, If_Match='W/"0"')
        assert patched.status_code == 200
        assert "4" not in world.orders.table
        saved = await tab.send("POST", "Orders('')/Demo.Save", {}, If_Match='W/"0"')
        assert (saved.json()["ID"], saved.json()["Note"]) == ("4", "fresh")
        assert tab.id is None
        assert (await tab.send("GET", "Orders('4')")).status_code == 200


async def test_a_new_entity_is_found_by_the_key_that_it_was_given() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders/Demo.Create", {})
        await tab.send("PATCH", "Orders('')", {"ID": "X1"})
        assert (await tab.send("PATCH", "Orders('X1')", {"Note": "by key"})).status_code == 200
        saved = await tab.send("POST", "Orders('X1')/Demo.Save", {})
        assert (saved.status_code, saved.json()["ID"], tab.id) == (200, "X1", None)


async def test_an_additional_new_action_starts_a_session_with_its_parameters() -> None:
    # O2
    async with opened() as world:
        tab = world.tab()
        made = await tab.send("POST", "Orders/Demo.CreateFrom", {"template": "2"})
        assert (made.status_code, made.json()["Note"]) == (200, "second")
        assert in_session(made, tab)


async def test_a_second_new_with_the_same_provisional_key_waits_for_the_first() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders/Demo.Create", {})
        again = await tab.send("POST", "Orders/Demo.Create", {})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        assert in_session(again, tab)


async def test_outside_every_action_but_the_four_runs_and_changes_are_refused() -> None:
    # O5
    async with opened() as world:
        tab = world.tab()
        raised = await tab.send("POST", "Orders('1')/Demo.Raise", {"by": 5})
        assert raised.json()["Amount"] == 15
        for method, path in (
            ("POST", "Orders"),
            ("PATCH", "Orders('1')"),
            ("PUT", "Orders('1')"),
            ("DELETE", "Orders('1')"),
        ):
            answer = await tab.send(method, path, {"ID": "7"} if method == "POST" else {})
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sticky_session_required"), method
        assert world.orders.table.keys() == {"1", "2", "3"}
        assert tab.id is None


async def test_reads_outside_see_what_is_stored_and_reads_inside_what_was_changed() -> None:
    # O5
    async with opened() as world:
        inside, outside = world.tab(), world.tab()
        await inside.send("POST", "Orders('1')/Demo.Edit", {})
        await inside.send("PATCH", "Orders('1')", {"Note": "mine", "Amount": 99})
        await inside.send("POST", "Orders/Demo.Create", {})
        query = "Orders?$filter=Amount ge 30 or Amount eq 0&$orderby=Amount desc&$count=true"
        seen = (await inside.send("GET", query)).json()
        assert [row["ID"] for row in seen["value"]] == ["1", "3", ""]
        assert seen["@odata.count"] == 3
        stored = (await outside.send("GET", query)).json()
        assert [row["ID"] for row in stored["value"]] == ["3"]
        assert (await inside.send("GET", "Orders/$count")).text == "4"
        assert (await outside.send("GET", "Orders('1')")).json()["Note"] == "first"


async def test_an_entity_that_was_not_taken_cannot_be_changed_in_a_session() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("PATCH", "Orders('2')", {"Note": "no"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sticky_session_required")
        assert in_session(answer, tab)


async def test_post_in_a_session_begins_a_new_entity() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        made = await tab.send("POST", "Orders", {"ID": "N", "Items": [{"Pos": 1, "Text": "deep"}]})
        assert made.status_code == 201
        assert made.headers["location"] == "/Orders('N')"
        assert "N" not in world.orders.table
        await tab.send("POST", "Orders('N')/Demo.Save", {})
        assert [item.Text for item in world.orders.table["N"].Items] == ["deep"]


async def test_a_new_entity_that_is_deleted_was_never_there() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders/Demo.Create", {})
        assert (await tab.send("DELETE", "Orders('')")).status_code == 204
        assert tab.id is not None
        assert (await tab.send("GET", "Orders('')")).status_code == 404
        assert (await tab.send("POST", "Discard", {})).status_code == 204


async def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Note": "mine"})
        world.orders.table["1"].Version = 7
        answer = await tab.send("POST", "Orders('1')/Demo.Save", {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (412, "precondition_failed")
        assert in_session(answer, tab)


async def test_an_action_on_an_edited_entity_changes_what_the_session_holds() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        assert (await tab.send("POST", "Orders('1')/Demo.Raise", {"by": 5})).json()["Amount"] == 15
        assert world.orders.table["1"].Amount == 10
        assert (await tab.send("GET", "Orders('1')")).json()["Amount"] == 15


async def test_a_set_that_allows_it_is_changed_outside_as_any_other() -> None:
    # O5: the vocabulary's "usual OData semantics"
    class Open(Orders):
        outside = "allow"
        name = "Orders"

    async with opened(orders=Open()) as world:
        tab = world.tab()
        assert (await tab.send("PATCH", "Orders('1')", {"Note": "at once"})).status_code == 200
        assert (await tab.send("POST", "Orders", {"ID": "9"})).status_code == 201
        assert (await tab.send("DELETE", "Orders('2')")).status_code == 204
        assert (world.orders.table.keys(), world.orders.table["1"].Note) == ({"1", "3", "9"}, "at once")
        assert tab.id is None
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Note": "later"})
        assert world.orders.table["1"].Note == "at once"
        assert (await tab.send("PATCH", "Orders('3')", {"Note": "beside"})).status_code == 200
        assert world.orders.table["3"].Note == "beside"


async def test_of_a_structure_that_is_changed_in_part_the_rest_stays() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        await tab.send("PATCH", "Orders('1')", {"Ship": {"City": "Ulm", "Zip": "89073"}})
        changed = await tab.send("PATCH", "Orders('1')", {"Ship": {"City": "Bonn"}})
        assert changed.json()["Ship"] == {"City": "Bonn", "Zip": "89073"}
        gone = await tab.send("PATCH", "Orders('1')", {"Ship": None})
        assert gone.json()["Ship"] is None
