"""Reading and changing resources over the wire, and what is refused, with target and code (O1, O11)."""

from typing import Any

import msgspec
import pytest

from holdfast.odata import csdl, vocabulary
from odata.server.world import opened


async def test_metadata_tells_the_choreography_in_both_formats() -> None:
    # O1, O20
    async with opened() as world:
        xml = await world.http.get("/$metadata", headers={"Accept": "*/*"})
        assert xml.headers["content-type"] == "application/xml"
        assert xml.headers["odata-version"] == "4.0"
        json = await world.http.get("/$metadata?$format=json")
        assert json.headers["content-type"] == "application/json"
        for model in (csdl.read_xml(xml.content), csdl.read_json(json.content)):
            [sticky] = vocabulary.sticky_sets(model, strict=True).values()
            assert (sticky.new, sticky.edit, sticky.save, sticky.discard) == (
                "Demo.Create",
                "Demo.Edit",
                "Demo.Save",
                "Discard",
            )
            assert sticky.more_new == ("Demo.CreateFrom",)
        assert (await world.http.get("/$metadata", headers={"Accept": "text/html"})).status_code == 406


async def test_the_service_document_names_the_sets() -> None:
    async with opened(path="/svc") as world:
        answer = (await world.http.get("/svc/")).json()
        assert answer["@odata.context"] == "/svc/$metadata"
        assert [one["name"] for one in answer["value"]] == ["Orders", "Frees"]
        assert (await world.http.get("/svc")).status_code == 200
        assert (await world.http.get("/elsewhere")).status_code == 404


async def asked(path: str, **headers: str) -> Any:
    """Return the JSON answer to a read."""
    async with opened() as world:
        answer = await world.tab().send("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("$filter=Amount gt 10 and startswith(Note,'s')", ["2"]),
        ("$filter=Price eq 1.5 and Status eq Demo.State'Open'", ["1", "2", "3"]),
        ("$filter=Due eq null&$orderby=ID desc", ["3", "2", "1"]),
        ("$filter=Items/any(i:i/Pos eq 1)", []),
        ("$search=first OR third", ["1", "3"]),
        ("$top=1&$skip=1", ["2"]),
        ("$top=0", []),
        ("filter=ID eq '1'", ["1"]),
    ],
)
async def test_a_list_is_filtered_sorted_and_cut(query: str, ids: list[str]) -> None:
    answer = await asked(f"Orders?{query}")
    assert [row["ID"] for row in answer["value"]] == ids


async def test_a_count_does_not_heed_top() -> None:
    answer = await asked("Orders?$count=true&$top=1")
    assert (answer["@odata.count"], len(answer["value"])) == (3, 1)
    assert "@odata.nextLink" not in answer


async def test_what_is_selected_and_expanded_is_told_and_nothing_else() -> None:
    answer = await asked("Orders('1')?$select=ID,Amount&$expand=Items($select=Pos)")
    assert answer.keys() == {"@odata.context", "@odata.etag", "ID", "Amount", "Items"}
    assert answer["@odata.context"] == "/$metadata#Orders(ID,Amount,Items(Pos))/$entity"


async def test_numbers_are_as_the_client_can_read_them() -> None:
    plain = await asked("Orders('1')", Accept="application/json")
    assert (plain["Price"], plain["Big"]) == (1.5, 2**53 + 1)
    exact = await asked("Orders('1')", Accept="application/json;odata.metadata=minimal;IEEE754Compatible=true")
    assert (exact["Price"], exact["Big"]) == ("1.50", str(2**53 + 1))


async def test_metadata_none_and_full() -> None:
    none = await asked("Orders?$count=true&$top=1", Accept="application/json;odata.metadata=none")
    assert none["@odata.count"] == 3
    assert not any(name.startswith("@") for name in none["value"][0])
    full = await asked("Orders('1')", Accept="application/json;odata.metadata=full")
    assert (full["@odata.type"], full["@odata.id"]) == ("#Demo.Order", "/Orders('1')")


async def test_pages_lead_on_to_the_end_of_what_was_asked_for() -> None:
    # O11: server-driven paging
    async with opened() as world:
        tab, seen, path = world.tab(), [], "Orders?$orderby=ID desc&$top=3&$skip=0"
        while path:
            answer = (await tab.send("GET", path, Prefer="odata.maxpagesize=2")).json()
            seen.append([row["ID"] for row in answer["value"]])
            path = answer.get("@odata.nextLink", "").removeprefix("/")
        assert seen == [["3", "2"], ["1"]]
        skipping = (await tab.send("GET", "Orders?$skip=1", Prefer="odata.maxpagesize=1")).json()
        following = (await tab.send("GET", skipping["@odata.nextLink"].removeprefix("/"))).json()
        assert [row["ID"] for row in [*skipping["value"], *following["value"]]] == ["2", "3"]


async def test_properties_and_their_values_have_addresses() -> None:
    async with opened() as world:
        tab = world.tab()
        assert (await tab.send("GET", "Orders('1')/Note")).json()["value"] == "first"
        assert (await tab.send("GET", "Orders('1')/Amount/$value")).text == "10"
        assert (await tab.send("GET", "Orders('1')/Status/$value")).text == "Open"
        assert (await tab.send("GET", "Orders('1')/Due")).status_code == 204
        assert (await tab.send("GET", "Orders('1')/Due/$value")).status_code == 404
        assert (await tab.send("GET", "Orders('1')/Nothing")).status_code == 404


async def test_an_entity_that_the_client_has_is_not_sent_again() -> None:
    async with opened() as world:
        tab = world.tab()
        etag = (await tab.send("GET", "Orders('1')")).headers["etag"]
        answer = await tab.send("GET", "Orders('1')", If_None_Match=etag)
        assert (answer.status_code, answer.content) == (304, b"")
        assert (await tab.send("GET", "Orders('1')", If_None_Match='W/"9"')).status_code == 200


async def test_what_an_entity_contains_is_changed_within_it() -> None:
    # O11: deep inserts and contained entities, in the session
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        made = await tab.send("POST", "Orders('1')/Items", {"Pos": 10, "Text": "a"})
        assert (made.status_code, made.json()["Pos"]) == (201, 10)
        assert (await tab.send("POST", "Orders('1')/Items", {"Pos": 10})).status_code == 409
        assert (await tab.send("PATCH", "Orders('1')/Items(10)", {"Text": "b"})).json()["Text"] == "b"
        assert (await tab.send("POST", "Orders('1')/Items", {"Pos": 20})).status_code == 201
        assert (await tab.send("DELETE", "Orders('1')/Items(20)")).status_code == 204
        assert (await tab.send("GET", "Orders('1')/Items(10)/Text")).json()["value"] == "b"
        assert (await tab.send("GET", "Orders('1')/Items/$count")).text == "1"
        assert (await tab.send("GET", "Orders('1')/Items?$filter=Pos gt 10")).json()["value"] == []
        assert world.orders.table["1"].Items == []
        await tab.send("POST", "Orders('1')/Demo.Save", {})
        assert [(item.Pos, item.Text) for item in world.orders.table["1"].Items] == [(10, "b")]


async def test_put_of_an_entity_sets_what_it_leaves_out_to_the_default() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("PUT", "Orders('1')", {"Note": "only this"})
        assert (answer.json()["Note"], answer.json()["Amount"], answer.json()["ID"]) == ("only this", 0, "1")
        assert (await tab.send("PUT", "Orders('1')/Amount", {"value": 8})).status_code == 204
        assert (await tab.send("DELETE", "Orders('1')/Price")).status_code == 204
        now = (await tab.send("GET", "Orders('1')")).json()
        assert (now["Amount"], now["Price"]) == (8, None)


async def test_a_set_without_the_annotation_has_the_usual_methods() -> None:
    # O5
    async with opened() as world:
        tab = world.tab()
        made = await tab.send("POST", "Frees", {"ID": 1, "Text": "a"})
        assert (made.status_code, made.headers["location"]) == (201, "/Frees(1)")
        assert (await tab.send("POST", "Frees", {"ID": 1})).status_code == 409
        etag = made.headers["etag"]
        changed = await tab.send("PATCH", "Frees(1)", {"Text": "b"}, If_Match=etag)
        assert (changed.status_code, changed.json()["Text"]) == (200, "b")
        stale = await tab.send("PATCH", "Frees(1)", {"Text": "c"}, If_Match=etag)
        assert (stale.status_code, stale.json()["error"]["code"]) == (412, "precondition_failed")
        minimal = await tab.send("PATCH", "Frees(1)", {"Text": "d"}, Prefer="return=minimal")
        assert (minimal.status_code, minimal.content) == (204, b"")
        assert (await tab.send("DELETE", "Frees(1)", If_Match="*")).status_code == 204
        assert not world.frees.table
        assert tab.id is None


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({"Nothing": 1}, "wrong_value", "Nothing"),
        ({"Note": 7}, "wrong_value", "Note"),
        ({"Note": None}, "wrong_value", "Note"),
        ({"Note": "x" * 41}, "wrong_value", "Note"),
        ({"Amount": 2**31}, "wrong_value", "Amount"),
        ({"Amount": "7"}, "wrong_value", "Amount"),
        ({"Price": "INF"}, "wrong_value", "Price"),
        ({"Due": "2026-13-01"}, "wrong_value", "Due"),
        ({"Status": "Closed"}, "wrong_value", "Status"),
        ({"Ship": {"Town": "x"}}, "wrong_value", "Ship/Town"),
        ({"Tags": "x"}, "wrong_value", "Tags"),
        ({"Tags": ["x", None]}, "wrong_value", "Tags/1"),
        ({"Items": [{"Text": "no key"}]}, "wrong_value", "Items/0/Pos"),
        ({"Customer@odata.bind": "Customers(1)"}, "not_supported", "Customer@odata.bind"),
        (b"{", "bad_request", None),
        (b"[]", "bad_request", None),
        (b"\xff", "bad_request", None),
        (b"[" * 100_000, "bad_request", None),
    ],
)
async def test_a_bad_body_is_refused_with_its_target_and_the_session_stays(body: Any, code: str, target: str) -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("PATCH", "Orders('1')", body)
        error = answer.json()["error"]
        assert (error["code"], error.get("target")) == (code, target)
        assert answer.status_code == (501 if code == "not_supported" else 400)
        assert answer.headers["sap-contextid"] == tab.id
        same = (await tab.send("GET", "Orders('1')")).json()
        assert (same["Note"], same["Amount"]) == ("first", 10)


@pytest.mark.parametrize(
    ("path", "status", "code", "target"),
    [
        ("Orders(1)", 400, "bad_value", "ID"),
        ("Orders(ID='1',X=2)", 400, "bad_query", None),
        ("Orders('1", 400, "bad_query", None),
        ("Orders/1", 404, "no_such_resource", None),
        ("Nothing", 404, "no_such_resource", None),
        ("Orders?$filter=Nothing eq 1", 400, "bad_query", "$filter"),
        ("Orders?$filter=Amount eq", 400, "bad_query", "$filter"),
        ("Orders?$filter=isof(Note,Edm.String)", 501, "not_supported", "$filter"),
        ("Orders?$orderby=Nothing", 400, "bad_query", "$orderby"),
        ("Orders?$select=Nothing", 400, "bad_query", "$select"),
        ("Orders?$expand=Note", 400, "bad_query", "$expand"),
        ("Orders?$top=-1", 400, "bad_query", "$top"),
        ("Orders?$apply=groupby((Note))", 501, "not_supported", "$apply"),
        ("Orders?$skiptoken=abc", 400, "bad_request", "$skiptoken"),
        ("Orders?$nonsense=1", 400, "bad_query", "$nonsense"),
        ("Orders('1')/$ref", 501, "not_supported", None),
        ("Orders/Demo.Largest(count='x')", 400, "bad_value", "count"),
        ("Ping", 405, "method_not_allowed", None),
        ("Orders('1')/Demo.Edit", 405, "method_not_allowed", None),
    ],
)
async def test_a_bad_address_is_refused_with_what_is_wrong(path: str, status: int, code: str, target: str) -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('2')/Demo.Edit", {})
        answer = await tab.send("GET", path)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error.get("target")) == (status, code, target), error
        assert error["message"]
        assert answer.headers["sap-contextid"] == tab.id


@pytest.mark.parametrize(
    ("path", "body", "target"),
    [
        ("Orders('1')/Demo.Raise", {}, "by"),
        ("Orders('1')/Demo.Raise", {"by": "x"}, "by"),
        ("Orders('1')/Demo.Raise", {"by": 1, "more": 2}, "more"),
        ("Orders('1')/Demo.Save", {"by": 1}, "by"),
        ("Orders/Demo.Create", {"Note": "x"}, "Note"),
        ("Discard", {"x": 1}, "x"),
        ("Ping", {"text": None}, "text"),
    ],
)
async def test_a_bad_parameter_is_refused_and_the_session_stays(path: str, body: Any, target: str) -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("POST", path, body)
        assert (answer.status_code, answer.json()["error"]["target"]) == (400, target)
        assert answer.headers["sap-contextid"] == tab.id


async def test_other_formats_and_versions_are_refused() -> None:
    async with opened() as world:
        tab = world.tab()
        assert (await tab.send("GET", "Orders", Accept="application/atom+xml")).status_code == 406
        assert (await tab.send("GET", "Orders?$format=xml")).status_code == 406
        assert (await tab.send("GET", "Orders", OData_Version="3.0")).status_code == 400
        assert (await tab.send("GET", "Orders", OData_MaxVersion="3.0")).status_code == 400
        assert (await tab.send("POST", "Frees", {"ID": 1}, Content_Encoding="gzip")).status_code == 415
        assert (await tab.send("POST", "Frees", b"<a/>", Content_Type="application/xml")).status_code == 415
        assert (await tab.send("OPTIONS", "Orders")).status_code == 405


async def test_a_body_over_the_limit_is_refused_and_the_session_stays() -> None:
    async with opened() as world:
        tab = world.tab()
        await tab.send("POST", "Orders('1')/Demo.Edit", {})
        answer = await tab.send("PATCH", "Orders('1')", b'{"Note": "' + b"x" * (4 * 1024 * 1024) + b'"}')
        assert (answer.status_code, answer.headers["sap-contextid"]) == (413, tab.id)
        assert msgspec.json.decode(answer.content)["error"]["code"] == "body_too_large"


async def test_a_head_tells_the_length_of_what_it_leaves_out_and_no_content_has_none() -> None:
    async with opened() as world:
        tab = world.tab()
        whole, head = await tab.send("GET", "Orders('1')"), await tab.send("HEAD", "Orders('1')")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
        assert head.headers["etag"] == whole.headers["etag"]
        assert "content-length" not in (await tab.send("GET", "Orders('1')/Due")).headers
