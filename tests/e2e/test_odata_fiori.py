"""What SAP Fiori elements asks a service for: list report, value help, object page, edit without drafts (O11).

Fiori elements itself may not be used here (protocols, §8). Its requests are of OpenUI5's model under it, and which
it makes of that is public: OpenUI5's samples and tests of sales orders, SAP's mock server for Fiori elements (tests of
open-ux-odata), and SAP's documentation. `sap-client` and `sap-language` stand in every address, as in a launchpad.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest

from e2e.fiori_page import CUSTOMERS, ROOT, TABLE, Customers, Page, SalesOrders, stored
from holdfast.config import Settings
from holdfast.odata.server import EntitySet, Service, asgi
from holdfast.odata.server.table import TableSet
from odata.server.world import BASE


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with opened(SalesOrders()) as page:
        yield page


@pytest.fixture(params=["rows", "table"])
async def list_page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page over rows in Python, and over a table."""
    engine = stored()
    table = TableSet(TABLE, engine, version="Version", searched=["Note"])
    async with opened(table if request.param == "table" else SalesOrders()) as page:
        yield page
    engine.dispose()


@asynccontextmanager
async def opened(orders: EntitySet[Any]) -> AsyncIterator[Page]:
    app = asgi(Service("Sales", orders, Customers()), settings=Settings(_env_file=None), path="/svc", timeout=60)
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 40_000))
    async with app.opened.running(), httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Page(http)


def context(what: str, told: Any) -> dict[str, Any]:
    """Return a payload of a set or an entity."""
    return {"@odata.context": f"/svc/$metadata#{what}", **told}


def without_context(told: Any) -> Any:
    return {name: value for name, value in told.items() if name != "@odata.context"}


def etag(version: int) -> dict[str, str]:
    return {"@odata.etag": f'W/"{version}"'}


TEA = {"ID": "1", "Note": "Green tea"}
BLACK = {"ID": "2", "Note": "Black tea"}
COFFEE = {"ID": "3", "Note": "Coffee"}
GONE = {"code": "not_supported", "message": "$apply is not supported", "target": "$apply"}

# a filter bar's conditions, each with the orders that it leaves
FILTERS = {
    "(ID ge '1' and Status eq 'N') and (Buyer/Name ge 'M')": [COFFEE],
    "Status eq 'N' or Status eq 'P'": [TEA, BLACK, COFFEE],
    "(Status eq 'N' or Status eq 'P') and contains(Note,'tea')": [TEA, BLACK],
    "Status in ('P','C')": [BLACK],
    "contains(tolower(Note),tolower('TEA'))": [TEA, BLACK],
    "startswith(Note,'Green')": [TEA],
    "not endswith(Note,'tea')": [COFFEE],
    "not contains(Note,'tea') and Status ne 'C'": [COFFEE],
    "NetAmount ge 10 and NetAmount le 20.00": [TEA, BLACK],
    "not (NetAmount ge 10 and NetAmount le 20)": [COFFEE],
    "ChangedAt ge 2026-01-02T00:00:00Z and ChangedAt le 2026-01-02T23:59:59.999Z": [BLACK],
    "Items/any(Items:Items/Product eq 'HT-1' and Items/Quantity lt 5)": [TEA, COFFEE],
    "BuyerID eq 'C1' or BuyerID eq 'C3'": [TEA, COFFEE],
    "contains('O''Neill & Söhne? #1/2+',Note) or endswith('O''Neill & Söhne? #1/2+','& Söhne? #1/2+') and ID eq '2'": [
        BLACK
    ],
    "ID eq '1'": [TEA],  # one entity is read again
    "ID eq '3' or ID eq '1'": [TEA, COFFEE],  # several are, as side effects
    "not (ID eq '1') and Status eq 'N'": [COFFEE],  # one that was created is left out
}


@pytest.mark.parametrize("condition", FILTERS)
async def test_a_filter_bar(list_page: Page, condition: str, request: pytest.FixtureRequest) -> None:
    page, is_table = list_page, "table" in request.node.callspec.params.values()
    if is_table and ("Buyer/" in condition or "Items/" in condition):
        [(status, told)] = await page.batch(f"GET SalesOrders?$filter={condition}")
        assert (status, told["error"]["target"]) == (400, "$filter")  # a table has columns only
        return
    told = await page.one(
        f"GET SalesOrders?$count=true&$filter={condition}&$orderby=ID&$select=ID,Note&$skip=0&$top=30"
    )
    rows = [{**etag(1), **row} for row in FILTERS[condition]]
    assert told == context("SalesOrders(ID,Note)", {"@odata.count": len(rows), "value": rows})
    assert page.tab.id is None
    counted = await page.batch(f"GET SalesOrders/$count?$filter={condition}")
    assert counted == [(200, str(len(rows)))]


SEARCHES = {
    "tea": [TEA, BLACK],
    '"Green"': [TEA],
    '"Green" "tea"': [TEA],
    "NOT tea": [COFFEE],
    "green OR coff": [TEA, COFFEE],
}


@pytest.mark.parametrize("words", SEARCHES)
async def test_a_basic_search(list_page: Page, words: str) -> None:
    told = await list_page.one(
        f"GET SalesOrders?$count=true&$search={words}&$orderby=ID&$select=ID,Note&$skip=0&$top=30"
    )
    assert [without_context(row) for row in told["value"]] == [{**etag(1), **row} for row in SEARCHES[words]]


async def test_a_list_report_asks_for_pages_of_columns(page: Page) -> None:
    query = "$count=true&$orderby=GrossAmount desc,ID&$select=BuyerID,GrossAmount,ID&$expand=Buyer($select=ID,Name)"
    first, last = await page.batch(
        f"GET SalesOrders?{query}&$skip=0&$top=2",
        f"GET SalesOrders?{query}&$skip=2&$top=2",
    )
    rows = [
        {
            **etag(1),
            "ID": number,
            "BuyerID": buyer.ID,
            "GrossAmount": gross,
            "Buyer": {"ID": buyer.ID, "Name": buyer.Name},
        }
        for number, buyer, gross in zip("321", reversed(CUSTOMERS), ("33.5500", "22.0000", "11.0000"), strict=True)
    ]
    what = "SalesOrders(BuyerID,GrossAmount,ID,Buyer(ID,Name))"
    assert first == (200, context(what, {"@odata.count": 3, "value": rows[:2]}))
    assert last == (200, context(what, {"@odata.count": 3, "value": rows[2:]}))


async def test_views_with_counts_and_an_empty_page(page: Page) -> None:
    told = await page.batch(
        "GET SalesOrders?$count=true&$filter=Status eq 'N'&$select=ID&$top=0",
        "GET SalesOrders/$count?$filter=Status eq 'P'",
        "GET SalesOrders/$count?$search=tea&$filter=Status eq 'P'",
        "GET SalesOrders?$select=ID&$skip=100&$top=30",
    )
    assert told == [
        (200, context("SalesOrders(ID)", {"@odata.count": 2, "value": []})),
        (200, "1"),
        (200, "1"),
        (200, context("SalesOrders(ID)", {"value": []})),
    ]


async def test_a_value_help_with_typing_ahead_and_a_text(page: Page) -> None:
    def customers(*numbers: int, **more: Any) -> Any:
        rows = [msgspec.structs.asdict(CUSTOMERS[number - 1]) for number in numbers]
        return 200, {**more, "value": rows}

    told = await page.batch(
        "GET Customers?$count=true&$orderby=Name&$select=City,ID,Name&$skip=0&$top=10",
        "GET Customers?$orderby=Name&$search=ber&$select=City,ID,Name&$skip=0&$top=10",
        "GET Customers?$filter=startswith(tolower(ID),tolower('c2')) or contains(tolower(Name),tolower('talpa'))"
        "&$orderby=ID&$select=City,ID,Name&$skip=0&$top=10",
        "GET Customers?$filter=ID eq 'C1'&$select=City,ID,Name&$skip=0&$top=2",
    )
    shown = [(status, {n: _plain(v) for n, v in without_context(body).items()}) for status, body in told]
    assert shown == [customers(1, 2, 3, **{"@odata.count": 3}), customers(1), customers(2, 3), customers(1)]


def _plain(value: Any) -> Any:
    """Return rows without their ETags, which are hashes where there is no version."""
    return value if isinstance(value, int) else [{n: v for n, v in row.items() if n[0] != "@"} for row in value]


async def test_aggregation_is_refused_by_name_and_the_rest_of_the_batch_goes_on(page: Page) -> None:
    parts = [
        "GET Customers?$apply=groupby((City))",
        "GET Customers?$apply=filter(contains(Name,'x'))/groupby((City,ID),aggregate(ID with countdistinct as N))",
        "GET SalesOrders?$count=true&$apply=concat(aggregate(NetAmount),groupby((Status))/top(5))",
    ]
    for part in parts:
        [(status, told)] = await page.batch(part)
        assert status == 501
        assert {name: told["error"][name] for name in GONE} == GONE


async def test_an_object_page_reads_header_and_table_in_one_batch(page: Page) -> None:
    head, items, few = await page.batch(
        "GET SalesOrders('1')?$select=BuyerID,ID,Note,Status&$expand=Buyer($select=ID,Name)",
        "GET SalesOrders('1')/Items?$count=true&$orderby=Pos desc&$select=Pos,Product&$skip=0&$top=10",
        "GET SalesOrders('1')?$select=ID"
        "&$expand=Items($count=true;$filter=Quantity gt 1;$orderby=Pos;$select=Pos;$top=1)",
    )
    what = "SalesOrders(BuyerID,ID,Note,Status,Buyer(ID,Name))/$entity"
    shown = {"ID": "1", "Note": "Green tea", "Status": "N", "BuyerID": "C1"}
    assert head == (200, context(what, {**etag(1), **shown, "Buyer": {"ID": "C1", "Name": "Becker Berlin"}}))
    rows = [{"Pos": 20, "Product": "HT-2"}, {"Pos": 10, "Product": "HT-1"}]
    assert items == (200, context("SalesOrders('1')/Items(Pos,Product)", {"@odata.count": 2, "value": rows}))
    assert without_context(few[1]) == {**etag(1), "ID": "1", "Items@odata.count": 1, "Items": [{"Pos": 20}]}


FIELDS = "$select=BuyerID,GrossAmount,ID,NetAmount,Note&$expand=Buyer($select=ID,Name)"
SHOWN = {"ID": "1", "Note": "Green tea", "BuyerID": "C1", "NetAmount": "10.00", "GrossAmount": "11.0000"}
BUYER = {"Buyer": {"ID": "C1", "Name": "Becker Berlin"}}


async def test_edit_change_with_side_effects_and_save(page: Page) -> None:
    what = "SalesOrders(BuyerID,GrossAmount,ID,NetAmount,Note,Buyer(ID,Name))/$entity"
    edited = await page.one(f"POST SalesOrders('1')/Sales.Edit?{FIELDS}\nIf-Match:W/\"1\"\n{{}}")
    assert edited == context(what, {**etag(1), **SHOWN, **BUYER})
    first = page.tab.id
    assert first

    # a change, and what it may have changed besides, asked for in the same batch
    changed, effects, table = await page.batch(
        "PATCH SalesOrders('1')\nIf-Match:W/\"1\"\n" + '{"BuyerID":"C2","NetAmount":"12.00"}',
        "GET SalesOrders('1')?$select=GrossAmount,ID&$expand=Buyer($select=ID,Name)",
        "GET SalesOrders?$filter=ID eq '1' or ID eq '2'&$orderby=ID&$select=BuyerID,ID&$top=2",
    )
    assert (changed[0], changed[1]["NetAmount"], changed[1]["GrossAmount"]) == (200, "12.00", "13.2000")
    studios = {"Buyer": {"ID": "C2", "Name": "Panorama Studios"}}
    assert without_context(effects[1]) == {**etag(1), "ID": "1", "GrossAmount": "13.2000", **studios}
    assert [(row["ID"], row["BuyerID"]) for row in table[1]["value"]] == [("1", "C2"), ("2", "C2")]
    assert page.tab.id == first

    # a change whose answer nobody wants
    [(status, content)] = await page.batch("PATCH SalesOrders('1')\nPrefer:return=minimal\n" + '{"Note":"Tea"}')
    assert (status, content) == (204, "")

    # a line more, and one that is wrong
    made = await page.batch("POST SalesOrders('1')/Items\n" + '{"Pos":30,"Product":"HT-9"}')
    assert (made[0][0], without_context(made[0][1])) == (201, {"Pos": 30, "Product": "HT-9", "Quantity": 1})
    [(status, told)] = await page.batch("PATCH SalesOrders('1')\n" + '{"BuyerID":"C9"}')
    assert (status, told["error"]["code"], told["error"]["target"]) == (422, "refused", "BuyerID")
    assert page.tab.id == first

    # outside it is as it was; kept alive meanwhile
    outside = await Page(page.tab.http).one(f"GET SalesOrders('1')?{FIELDS}")
    assert outside == context(what, {**etag(1), **SHOWN, **BUYER})
    kept = await page.tab.http.head(f"/svc/?{ROOT}", headers={"SAP-ContextId": first})
    assert (kept.status_code, kept.content) == (200, b"")
    assert (kept.headers["sap-contextid"], kept.headers["sap-http-session-timeout"]) == (first, "60")

    saved, listed = await page.batch(
        f"POST SalesOrders('1')/Sales.Save?{FIELDS}\nIf-Match:W/\"1\"\n{{}}",
        "GET SalesOrders?$count=true&$filter=ID eq '1'&$select=ID,Note&$skip=0&$top=30",
    )
    now = {**SHOWN, "Note": "Tea", "BuyerID": "C2", "NetAmount": "12.00", "GrossAmount": "13.2000", **studios}
    assert saved == (200, context(what, {**etag(2), **now}))
    assert listed[1]["value"] == [{**etag(2), "ID": "1", "Note": "Tea"}]
    assert page.tab.id is None


async def test_create_and_save_and_create_and_discard(page: Page) -> None:
    made = await page.one("POST SalesOrders/Sales.Create?$select=ID,Note,Status\n{}")
    assert made == context("SalesOrders(ID,Note,Status)/$entity", {**etag(0), "ID": "", "Note": "", "Status": "N"})
    changed = await page.one("PATCH SalesOrders('')?$select=ID,Note\nIf-Match:W/\"0\"\n" + '{"Note":"Milk"}')
    assert (changed["ID"], changed["Note"]) == ("", "Milk")
    saved = await page.one("POST SalesOrders('')/Sales.Save?$select=ID,Note\nIf-Match:W/\"0\"\n{}")
    assert without_context(saved) == {**etag(1), "ID": "4", "Note": "Milk"}
    assert page.tab.id is None
    await page.one("POST SalesOrders/Sales.Create\n{}")
    assert page.tab.id
    assert await page.batch("POST Discard\n{}") == [(204, "")]
    assert page.tab.id is None
    assert await page.batch("GET SalesOrders/$count") == [(200, "4")]


async def test_an_action_on_several_lines_is_one_change_set(page: Page) -> None:
    # the grouping that SAP's mock server is tested with: a change set, then what it may have changed
    act = "POST SalesOrders('{}')/Sales.Confirm?$select=ID,Status\nPrefer:handling=strict\nIf-Match:W/\"1\"\n{{}}"
    fresh = "GET SalesOrders?$select=ID,Status&$filter=ID eq '{}'"
    done, one, two = await page.batch([act.format(1), act.format(2)], fresh.format(1), fresh.format(2))
    assert [(status, told["ID"], told["Status"]) for status, told in done] == [(200, "1", "C"), (200, "2", "C")]
    assert [told["value"] for _, told in (one, two)] == [[{**etag(2), "ID": n, "Status": "C"}] for n in "12"]
    stale = act.format(3).replace('W/"1"', 'W/"7"')
    [(status, told)] = await page.batch([act.format(3).replace("If-Match", "X-If-Match"), stale], fresh.format(3))
    assert (status, told["error"]["code"]) == (412, "precondition_failed")
    again = act.format(1).replace('W/"1"', 'W/"2"')
    [(status, told)] = await page.batch([again, act.format(3)], fresh.format(3))
    assert (status, told["error"]["code"], told["error"]["target"]) == (422, "refused", "Status")


async def test_the_client_and_the_language_of_a_launchpad_change_nothing(page: Page) -> None:
    http = page.tab.http
    headers = {"Accept": "*/*", "Accept-Language": "en", "X-SAP-Security-Session": "disabled"}
    metadata = await http.get(f"/svc/$metadata?{ROOT}&sap-context-token=1", headers=headers)
    assert (metadata.status_code, metadata.headers["content-type"]) == (200, "application/xml")
    assert re.search(r'<Annotations Target="Sales\.\w+/SalesOrders">', metadata.text)
    root = await http.head(f"/svc/?{ROOT}", headers={"X-CSRF-Token": "Fetch"})
    assert root.headers["x-csrf-token"]
    for query in (ROOT, f"{ROOT}&sap-statistics=true", f"{ROOT}&custom-option=value", "SAP-CLIENT=000&saml2=disabled"):
        told = (await http.get(f"/svc/SalesOrders('1')?{query}&$select=ID,Note")).json()
        assert told == context("SalesOrders(ID,Note)/$entity", {**etag(1), **TEA})
