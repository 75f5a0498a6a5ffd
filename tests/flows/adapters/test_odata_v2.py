"""The adapter `odata_v2` against a service of a SAP Gateway, in a process of its own: what it has seen, and has now."""

from typing import Any

import anyio
import pytest

from e2e.flows_fixtures import fixtures_of
from holdfast.errors import BackendError, BackendUnavailable, BadInput, ConfigurationError, LogonFailed
from holdfast.flows.failures import CallRefused, NotCarriedOut
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows.odata_world import GATEWAY, Shop, flow, running_shop, sent

NEW = {"ID": "N/1", "Note": "ü & 'x'", "Price": "9.90", "Count": 4, "Big": "9007199254740993", "Done": True}
FORMATS = pytest.mark.parametrize("form", ["json", "atom"])


receiver_process, shop = fixtures_of(running_shop)


async def failure(shop: Shop, more: str, mode: str = "", body: Any = None, **flow_: Any) -> Any:
    with pytest.raises(StepFailed, match=r"^orders\.yaml:5: call: ") as caught:
        await sent(shop.receiver(more, mode), Message(body=body), **flow_)
    return caught.value.cause


# -- operations


@FORMATS
async def test_a_query_brings_the_rows_that_it_asks_for(shop: Shop, form: str) -> None:  # F16
    options = """filter: "Note ne '${body}' and Count gt ${properties.n}", select: 'ID,Note', orderby: Count desc"""
    message = Message(body="O'Neil & Söhne", properties={"n": 1})
    answer = await sent(shop.receiver(f"format: {form}, resource: Orders, {options}, top: 2, count: true"), message)
    assert [(row["ID"], row["Note"]) for row in answer.body] == [("5", "100% / a+b?"), ("4", "nut")]
    assert (answer.headers["http-status"], answer.headers["odata-count"]) == (200, 3)
    assert "Price" not in answer.body[0]
    assert shop.last["path"] == (
        f"{GATEWAY}/Orders?$select=ID,Note&$filter=Note ne 'O''Neil & Söhne' and Count gt 1"
        "&$orderby=Count desc&$top=2&$inlinecount=allpages&sap-client=100"
    )
    assert shop.last["dataserviceversion"] == "2.0"


@FORMATS
async def test_an_entity_is_read_by_its_key_with_what_belongs_to_it(shop: Shop, form: str) -> None:
    receiver = shop.receiver(f"format: {form}, operation: read, resource: Orders, key: '${{body.id}}', expand: Items")
    answer = await sent(receiver, Message(body={"id": "1"}))
    due = "2026-11-21T12:30:00" if form == "atom" else "/Date(1795264200000)/"
    wanted = {"ID": "1", "Note": "bolt", "Price": "1.50", "Count": 1, "Big": "1099511627777", "Done": False}
    assert {**answer.body, **wanted, "Weight": 0.25, "Due": due} == answer.body
    assert [item["Name"] for item in answer.body["Items"]["results"]] == ["part 10", "part 20"]
    assert answer.headers["etag"] == answer.body["__metadata"]["etag"] == 'W/"1"'
    item = await sent(
        shop.receiver(f"format: {form}, operation: read, resource: Items, key: {{OrderID: '1', Pos: '${{body}}'}}"),
        Message(body=20),
    )
    assert item.body["Name"] == "part 20"


@FORMATS
async def test_entities_are_created_changed_and_deleted(shop: Shop, form: str) -> None:
    body = {**NEW, "Items": [{"Pos": 1, "Name": "first"}, {"Pos": 2, "Name": "second"}]}
    made = await sent(shop.receiver(f"format: {form}, operation: create, resource: Orders"), Message(body=body))
    assert (made.headers["http-status"], made.headers["etag"], made.body["ID"]) == (201, 'W/"1"', "N/1")
    assert {**shop.orders["N/1"], **NEW} == shop.orders["N/1"]
    assert [row["Name"] for row in shop.tell()["rows"]["Items"] if row["OrderID"] == "N/1"] == ["first", "second"]
    one = f"format: {form}, resource: Orders, key: '${{properties.id}}'"

    async def change(operation: str, body: Any = None) -> Message:
        message = Message(body=body, properties={"id": "N/1"})
        return await sent(shop.receiver(f"{one}, operation: {operation}"), message)

    merged = await change("merge", {"Note": None})
    assert (merged.body, merged.headers["http-status"]) == (None, 204)
    assert (shop.orders["N/1"]["Note"], shop.orders["N/1"]["Count"]) == (None, 4)
    await change("patch", {"Count": 5})
    assert (shop.orders["N/1"]["Count"], shop.orders["N/1"]["Price"]) == (5, "9.90")
    await change("update", {"Note": "whole"})
    assert (shop.orders["N/1"]["Note"], shop.orders["N/1"]["Count"]) == ("whole", None)
    await change("delete")
    assert "N/1" not in shop.orders
    assert [method for method in shop.methods if method != "HEAD"] == ["POST", "MERGE", "PATCH", "PUT", "DELETE"]


@FORMATS
async def test_what_was_read_is_sent_back_unless_it_was_changed_meanwhile(shop: Shop, form: str) -> None:
    common = f"format: {form}, resource: Orders, key: '1'"
    write = "{receiver: erp, operation: update, etag: '${headers.etag}'}"
    steps = f"- call: erp\n- send: {write}\n- call: {{receiver: erp, operation: patch, etag: 'W/\"1\"'}}"
    with pytest.raises(StepFailed, match=r"^orders\.yaml:7: .*erp answered 412: /IWFND/CM_MGW/412: Precondition"):
        await sent(shop.receiver(f"{common}, operation: read"), Message(), steps=steps)
    assert shop.tell()["requests"][-1]["if-match"] == 'W/"1"'
    assert shop.orders["1"]["Note"] == "bolt"
    await sent(shop.receiver(f"{common}, operation: delete, etag: '*'"), Message())
    assert "1" not in shop.orders


async def test_methods_that_nothing_lets_through_go_as_post(shop: Shop) -> None:
    settings = "resource: Orders, key: '1', operation: merge, tunnel: true"
    await sent(shop.receiver(settings), Message(body={"Note": "tunnelled"}))
    assert (shop.last["method"], shop.last["x-http-method"]) == ("POST", "MERGE")
    assert shop.orders["1"]["Note"] == "tunnelled"


async def test_a_receiver_for_lists_serves_single_entities_and_changes_too(shop: Shop) -> None:
    receiver = shop.receiver("resource: Orders, filter: ID eq '1', select: 'ID,Note', top: 1, orderby: ID, count: true")
    read, merge = "{receiver: erp, operation: read, key: '1'}", "{receiver: erp, operation: merge, key: '1'}"
    await sent(receiver, Message(), steps=f"- call: erp\n- call: {read}\n- send: {merge}", reuse="on_exchange")
    paths = [request["path"].partition("Orders")[2] for request in shop.tell()["requests"]]
    assert paths[1:] == ["('1')?$select=ID,Note&sap-client=100", "", "('1')?sap-client=100"]


@FORMATS
async def test_function_imports_are_called_with_literals(shop: Shop, form: str) -> None:
    called = f"format: {form}, operation: function_import, resource:"
    count = f"{called} CountAbove, parameters: {{count: 2, note: '${{body}}'}}"
    answer = await sent(shop.receiver(count), Message(body="it's"))
    assert answer.body == (3 if form == "atom" else {"CountAbove": 3})
    finish = shop.receiver(f"{called} Finish, method: POST, parameters: {{ID: '1'}}")
    assert (await sent(finish, Message(body="unused"))).body["Done"] is True
    assert shop.orders["1"]["Done"] is True


async def test_bodies_of_text_or_bytes_go_out_as_they_are(shop: Shop) -> None:
    settings = "resource: Orders, key: '1', operation: merge, headers: {X-By: flow}"
    for body in ('{"Note": "text"}', b'{"Note": "text"}'):
        await sent(shop.receiver(settings), Message(body=body))
        assert (shop.orders["1"]["Note"], shop.last["content-type"]) == ("text", "application/json")


async def test_counts_and_navigation_are_resources_too(shop: Shop) -> None:
    assert (await sent(shop.receiver("resource: Orders/$count"), Message())).body == "5"
    items = await sent(shop.receiver("""resource: "Orders('${body}')/Items", orderby: Pos desc"""), Message(body="1"))
    assert [row["Pos"] for row in items.body] == [20, 10]


# -- pages


@FORMATS
async def test_all_pages_come_in_one_body(shop: Shop, form: str) -> None:
    shop.tell("page", 2)
    answer = await sent(shop.receiver(f"format: {form}, resource: Orders, count: true"), Message())
    assert [row["ID"] for row in answer.body] == ["1", "2", "3", "4", "5"]
    assert (answer.headers["odata-count"], shop.methods) == (5, ["GET"] * 3)


@pytest.mark.parametrize("paging", ["service", "client"])
async def test_a_loop_takes_one_page_after_the_other(shop: Shop, paging: str) -> None:
    shop.tell("page", 2 if paging == "service" else None)
    size = "page_size: 2, " if paging == "client" else ""
    steps = """\
- loop:
    while: properties.pages.erp
    max: 9
    do:
      - call: erp
      - modify: {properties: {seen: "${properties.seen}${len(body)} ${body[0].ID}, "}}
- call: erp
"""
    receiver = shop.receiver(f"{size}resource: Orders, process_in_pages: true, filter: 'Count ne 9'")
    result = await sent(receiver, Message(properties={"seen": ""}), steps=steps, reuse="on_exchange")
    assert result.properties["seen"] == "2 1, 2 3, 1 5, "
    assert result.body[0]["ID"] == "1"  # after the last page it begins anew
    assert (shop.authentications, shop.sessions) == (1, 1)


@pytest.mark.parametrize(("count", "pages"), [("", 3), (", count: true", 2)])
async def test_where_the_flow_asks_page_by_page_the_count_tells_which_is_the_last(
    shop: Shop, count: str, pages: int
) -> None:
    answer = await sent(shop.receiver(f"resource: Orders, page_size: 2, filter: Count gt 1{count}"), Message())
    assert [row["ID"] for row in answer.body] == ["2", "3", "4", "5"]
    assert shop.methods == ["GET"] * pages


@pytest.mark.parametrize(
    ("settings", "mode", "admin", "said"),
    [
        ("max_pages: 2", "", {"page": 2}, "erp has more than 2 pages"),
        ("", "circle", {}, "erp names a page as the next one that has been read"),
        ("", "", {"page": 2, "far": "https://evil.example/"}, "names a next page at another server, evil.example"),
        ("", "", {"page": 2, "far": "http://user:pass@127.0.0.1:1/"}, "names a next page at another server"),
        ("", "", {"page": 2, "far": "http://a:b/"}, "names a next page that is no URL"),
        ("max_answer: 1000", "", {"page": 1}, "the pages of erp have more than 1,000 bytes together"),
    ],
)
async def test_pages_have_an_end_and_stay_at_their_server(
    shop: Shop, settings: str, mode: str, admin: dict[str, Any], said: str
) -> None:
    for what, value in admin.items():
        shop.tell(what, value)
    cause = await failure(shop, f"resource: Orders, {settings}", mode)
    assert isinstance(cause, BackendError)
    assert said in str(cause)


# -- tokens and sessions


CREATE = "resource: Orders, operation: create"
LOGONS = pytest.mark.parametrize(
    ("reuse", "logons", "heads"), [("none", 6, 6), ("on_exchange", 3, 3), ("on_integration_flow", 1, 1)]
)


async def create_six(shop: Shop, reuse: str, format_: str = "json") -> None:
    """Let three messages at a time create two orders each."""
    receiver = shop.receiver(f"format: {format_}, {CREATE}")
    change = "- modify: {body: {ID: '${properties.id}2'}}"
    steps = f"- send: erp\n{change}\n- send: erp"
    async with flow(receiver, reuse, steps) as running, anyio.create_task_group() as tasks:
        for name in "abc":
            tasks.start_soon(running.process, Message(body={"ID": f"{name}1"}, properties={"id": name}))


@LOGONS
async def test_changes_carry_the_token_of_their_session(shop: Shop, reuse: str, logons: int, heads: int) -> None:
    # F1, F2, statements 2, 4 and 28: one logon, and one token, for each session
    await create_six(shop, reuse)
    assert {f"{name}{n}" for name in "abc" for n in (1, 2)} < set(shop.orders)
    assert (shop.authentications, shop.sessions) == (logons, logons)
    assert (shop.methods.count("HEAD"), shop.methods.count("POST"), len(shop.methods)) == (heads, 6, heads + 6)
    requests = shop.tell()["requests"]
    assert [request["cookie"] is None for request in requests].count(True) == logons


@pytest.mark.parametrize("reuse", ["none", "on_exchange", "on_integration_flow"])
async def test_reading_needs_no_token(shop: Shop, reuse: str) -> None:
    await sent(shop.receiver("resource: Orders"), Message(), reuse=reuse, steps="- send: erp\n- call: erp")
    assert shop.methods == ["GET", "GET"]
    assert shop.authentications == (2 if reuse == "none" else 1)
    assert [request["cookie"] is None for request in shop.tell()["requests"]] == [True, reuse == "none"]


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_a_token_that_is_refused_is_fetched_anew_once(shop: Shop, reuse: str) -> None:
    async with flow(
        shop.receiver(CREATE), reuse, "- send: erp\n- script: peers.flows.odata_steps:drop_tokens\n- send: erp"
    ) as running:
        await running.process(Message(body={"ID": "a"}, properties={"url": shop.url, "then": {"ID": "b"}}))
    assert {"a", "b"} < set(shop.orders)
    assert shop.methods == ["HEAD", "POST", "POST", "HEAD", "POST"]
    assert (shop.authentications, shop.sessions) == (1, 1)


async def test_tokens_that_hold_for_one_change_collide_and_no_change_is_lost(shop: Shop) -> None:
    # statement 29: one message fetches while another one's token is on its way
    shop.tell("csrf", "each")
    await create_six(shop, "on_exchange")
    assert (shop.sessions, len(shop.orders)) == (3, 11)
    shop.tell("reset")
    shop.tell("csrf", "each")
    async with flow(shop.receiver(CREATE), "on_integration_flow") as running:
        for name in "abc":
            await running.process(Message(body={"ID": name}))
    assert (shop.sessions, len(shop.orders)) == (1, 8)
    assert shop.methods == ["HEAD", "POST", *["POST", "HEAD", "POST"] * 2]


@pytest.mark.parametrize(("before", "sessions", "told"), [("- send: erp", 1, set()), ("", 3, {"branches"})])
async def test_branches_share_session_and_token_where_there_was_a_call_before(
    shop: Shop, before: str, sessions: int, told: set[str]
) -> None:
    # F8, statements 21 and 22
    steps = f"{before}\n- split: {{over: 'body', parallel: true, do: [{{send: {{receiver: erp, operation: create}}}}]}}"
    async with flow(shop.receiver("resource: Orders"), "on_exchange", steps.strip()) as running:
        await running.process(Message(body=[{"ID": name} for name in "abc"]))
        assert {finding.code for finding in running.deployment.findings} == told
    assert set("abc") < set(shop.orders)
    assert (shop.sessions, shop.authentications, shop.methods.count("HEAD")) == (sessions, sessions, sessions)


async def test_channels_of_several_kinds_to_one_host_share_a_session(shop: Shop) -> None:
    # F19, statement 5: HTTP, then OData V2, then the same service by its names, with the token that is there
    auth, url = "auth: {basic: anna}", f"url: '{shop.url}"
    http = f"adapter: http, {url}{GATEWAY}/Orders?sap-client=100', {auth}"
    odc = (
        f"adapter: odc, {url}', client: '100', service: SHOP, version: 2, resource: Orders, key: '1', operation: merge"
    )
    receivers = f"{http}}}, shop: {{{shop.receiver(CREATE)}, {auth}}}, gateway: {{{odc}"
    steps = "- send: {receiver: erp, method: GET}\n- send: shop\n- send: gateway"
    await sent(receivers, Message(body={"ID": "n", "Note": "x"}), reuse="on_exchange", steps=steps)
    assert (shop.authentications, shop.sessions, shop.methods) == (1, 1, ["GET", "HEAD", "POST", "MERGE"])


async def test_a_session_that_is_gone_takes_its_token_with_it(shop: Shop) -> None:
    # F7, statement 13
    async with flow(shop.receiver(CREATE), "on_integration_flow") as running:
        await running.process(Message(body={"ID": "a"}))
        shop.tell("expire")
        await running.process(Message(body={"ID": "b"}))
        await running.process(Message(body={"ID": "c"}))
    assert {"a", "b", "c"} < set(shop.orders)
    assert (shop.authentications, shop.sessions) == (2, 2)


@pytest.mark.parametrize(("head", "methods"), [(405, ["HEAD", "GET", "POST"]), (404, ["HEAD", "GET", "POST"])])
async def test_where_head_brings_no_token_get_does(shop: Shop, head: int, methods: list[str]) -> None:
    shop.tell("head", head)
    await sent(shop.receiver(CREATE), Message(body={"ID": "a"}))
    assert (shop.methods, shop.authentications, shop.sessions) == (methods, 1, 1)


async def test_a_service_without_tokens_is_asked_once_in_a_session(shop: Shop) -> None:
    shop.tell("csrf", "off")
    async with flow(shop.receiver(CREATE), "on_integration_flow") as running:
        for name in "ab":
            await running.process(Message(body={"ID": name}))
    assert shop.methods == ["HEAD", "GET", "POST", "POST"]


async def test_without_its_token_a_change_is_refused(shop: Shop) -> None:
    cause = await failure(shop, f"{CREATE}, csrf: false", body={"ID": "a"})
    assert (type(cause), cause.http_status) == (CallRefused, 403)
    assert shop.methods == ["POST"]


# -- what goes wrong


@pytest.mark.parametrize(
    ("settings", "body", "status", "said"),
    [
        ("resource: Nothing", None, 404, "404: /IWBEP/CM_MGW_RT/020: Resource not found for segment 'Nothing'"),
        ("resource: Orders, filter: nonsense", None, 400, "400: /IWBEP/CM_MGW_RT/021: nonsense is no filter"),
        (CREATE, {"ID": "1"}, 400, "400: SHOP/001: It is there already"),
        (CREATE, {"ID": "x", "Count": "many"}, 400, "400: /IWBEP/CM_MGW_RT/022: Property value 'many' is no Edm.Int32"),
    ],
)
@FORMATS
async def test_an_error_of_the_service_has_its_code_and_message(
    shop: Shop, form: str, settings: str, body: Any, status: int, said: str
) -> None:
    cause = await failure(shop, f"format: {form}, {settings}", body=body)
    assert (type(cause), cause.http_status, str(cause)) == (CallRefused, status, f"erp answered {said}")
    assert len(shop.orders) == 5


@pytest.mark.parametrize(
    ("mode", "settings", "error", "said"),
    [
        ("html", "", BackendError, "erp answered with text/html, which is no OData"),
        ("broken", "", BackendError, "erp: what it answered cannot be read: it is no JSON"),
        ("foreign", "", BackendError, "erp: what it answered cannot be read: it is no OData V2"),
        ("deep", "", BackendError, "erp: what it answered cannot be read: it is no JSON"),
        ("doctype", "", BackendError, "erp: what it answered cannot be read: it is no JSON"),
        ("doctype", "format: atom", BackendError, "cannot be read: it has a document type declaration"),
        ("long", "max_answer: 10000", BackendError, "erp answered with more than 10,000 bytes"),
        ("fault", "", CallRefused, "erp answered 500: SY/530: It broke down"),
        ("hang", "timeout: 0.3, repeatable: false", BackendUnavailable, "erp did not answer within 0.3 s"),
        ("cut", "repeatable: false", BackendUnavailable, "erp did not answer"),
        ("half", "repeatable: false", BackendUnavailable, "erp did not answer"),
    ],
)
async def test_what_is_no_answer_is_told(
    shop: Shop, mode: str, settings: str, error: type[Exception], said: str
) -> None:
    cause = await failure(shop, f"resource: Orders, {settings}", mode)
    assert isinstance(cause, error)
    assert said in str(cause)
    shop.tell("release")


@pytest.mark.parametrize("mode", ["cut", "half", "unavailable", "busy"])
async def test_reading_is_repeated(shop: Shop, mode: str) -> None:  # F17
    answer = await sent(shop.receiver("resource: Orders", mode), Message())
    assert (len(answer.body), shop.methods) == (5, ["GET", "GET"])


@pytest.mark.parametrize(
    ("operation", "mode", "times"),
    [("create", "cut", 1), ("create", "busy", 2), ("update", "cut", 2), ("merge", "cut", 1), ("delete", "cut", 2)],
)
async def test_changes_are_repeated_where_http_lets_them(shop: Shop, operation: str, mode: str, times: int) -> None:
    shop.tell("csrf", "off")
    key = "" if operation == "create" else "key: '1', "
    settings = shop.receiver(f"resource: Orders, {key}operation: {operation}, csrf: false", mode)
    message = Message(body={"Note": "new", **({} if key else {"ID": "n"})})
    if operation == "delete":  # the first one has deleted it
        with pytest.raises(StepFailed, match="erp answered 404"):
            await sent(settings, message)
    elif times == 1:
        with pytest.raises(StepFailed, match="erp did not answer"):
            await sent(settings, message)
    else:
        await sent(settings, message)
    assert len(shop.methods) == times


@pytest.mark.parametrize("head", [429, 503, 504])
async def test_a_change_whose_token_cannot_be_had_has_not_happened(shop: Shop, head: int) -> None:
    # F17: so it is tried again, though a POST is not repeatable
    shop.tell("head", head)
    cause = await failure(shop, CREATE, body={"ID": "a"})
    assert isinstance(cause, NotCarriedOut)
    assert shop.methods == ["HEAD"] * 3
    assert "a" not in shop.orders


async def test_wrong_credentials_are_tried_once(shop: Shop) -> None:
    cause = await failure(shop, CREATE, body={"ID": "a"}, secret="wrong")
    assert isinstance(cause, LogonFailed)
    assert shop.methods == ["HEAD"]
    assert "wrong" not in str(cause)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (CREATE, "there is no body to create anything with"),
        ("resource: Orders, top: '${properties.n}'", "'' is no number of entities"),
        ("resource: Orders, filter: 'ID eq ${properties}'", "cannot stand outside single quotes"),
        ("resource: Orders, key: '${properties}', operation: delete", "there is no key"),
        ("resource: Orders, key: '${body.id}', operation: delete", "there is no key"),
        ("resource: Orders, key: {ID: '${body.id}'}, operation: read", "there is no key"),
    ],
)
async def test_a_message_that_makes_no_request_is_told(shop: Shop, settings: str, said: str) -> None:
    cause = await failure(shop, settings)
    assert isinstance(cause, BadInput)
    assert said in str(cause)
    assert shop.methods == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("resource: Orders, operation: upsert", "invalid enum value 'upsert'"),
        ("resource: Orders, operation: read", "operation: a read needs the `key` of one entity"),
        ("resource: 'Orders?x=1'", "resource: query options have keys of their own"),
        ("resource: Orders(1), key: 1", "key: the resource has a key already"),
        ("resource: Orders, etag: '*'", "etag: the operation query compares no versions"),
        ("resource: Orders, top: many", "top: 'many' is no number of entities"),
        ("resource: Orders, top: 1, page_size: 5", "page_size: it cannot stand beside `top`"),
        ("resource: Orders, format: xml", "invalid enum value 'xml'"),
        ("resource: Orders, page_size: 0", "`int` >= 1"),
        ("resource: Orders, filter: 'ID eq ${nothing}'", "the name 'nothing'"),
    ],
)
async def test_settings_that_are_wrong_are_told_with_file_and_line(settings: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^orders\.yaml:\d: ") as caught:
        async with flow(f"adapter: odata_v2, url: 'http://erp', {settings}"):
            pass
    assert said in str(caught.value)


async def test_a_url_with_a_query_and_a_format_of_ones_own_are_refused() -> None:
    for settings, said in (
        ("url: 'http://erp?x=1'", "url: the root of a service has no query"),
        ("url: 'http://erp', query: {$format: json}", "the format is not chosen by"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            async with flow(f"adapter: odata_v2, {settings}"):
                pass
