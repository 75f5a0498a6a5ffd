"""pyodata, a client for OData V2 that we did not write, and flows, at the same service: both see and do the same."""

from collections.abc import Iterator
from typing import Any

import pyodata
import pytest
import requests

from e2e.flows_fixtures import fixtures_of
from holdfast.flows.message import Message
from peers.flows.odata_world import GATEWAY, Shop, flow, running_shop, sent

receiver_process, shop = fixtures_of(running_shop)


@pytest.fixture
def session(shop: Shop) -> Iterator[requests.Session]:
    """Return pyodata's connection, with the token that it has to be given."""
    with requests.Session() as session:
        session.auth, session.headers["sap-client"] = ("bert", "secret"), "100"
        answer = session.head(shop.url + GATEWAY + "/", headers={"X-CSRF-Token": "Fetch"})
        session.headers["X-CSRF-Token"] = answer.headers["x-csrf-token"]
        yield session


@pytest.fixture
def client(shop: Shop, session: requests.Session) -> Any:
    return pyodata.Client(shop.url + GATEWAY, session)


def facts(order: Any) -> dict[str, Any]:
    return {"ID": order.ID, "Note": order.Note, "Count": order.Count, "Done": order.Done}


async def of_flow(shop: Shop, settings: str, body: Any = None) -> Any:
    return (await sent(shop.receiver(f"resource: Orders, {settings}"), Message(body=body))).body


async def test_both_read_the_same(shop: Shop, client: Any) -> None:  # F16
    for form in ("json", "atom"):
        rows = await of_flow(shop, f"format: {form}, orderby: ID desc")
        theirs = client.entity_sets.Orders.get_entities().order_by("ID desc").execute()
        assert [{name: row[name] for name in ("ID", "Note", "Count", "Done")} for row in rows] == list(
            map(facts, theirs)
        )
        assert [row["Price"] for row in rows] == [order.Price for order in theirs]
        items = await of_flow(shop, f"format: {form}, operation: read, key: '1', expand: Items")
        order = client.entity_sets.Orders.get_entity("1").expand("Items").execute()
        assert [item["Name"] for item in items["Items"]["results"]] == [item.Name for item in order.Items]
        assert order.etag == items["__metadata"]["etag"]


async def test_both_ask_the_same_question(shop: Shop, client: Any) -> None:
    note = "O'Neil & Söhne"
    (ours,) = await of_flow(shop, """filter: "Note eq '${body}'" """, note)
    request = client.entity_sets.Orders.get_entities()
    (theirs,) = request.filter(request.Note == note).execute()
    assert theirs.ID == ours["ID"] == "2"
    paths = [each["path"].partition("filter=")[2].partition("&sap")[0] for each in shop.tell()["requests"][-2:]]
    assert [path.replace("+", " ") for path in paths] == ["Note eq 'O''Neil & Söhne'", "Note eq 'O''Neil & Söhne'"]


async def test_what_one_makes_the_other_changes(shop: Shop, client: Any) -> None:
    await of_flow(shop, "operation: create", {"ID": "a'b/c", "Note": "by a flow", "Price": "1.25", "Count": 3})
    orders = client.entity_sets.Orders
    made = orders.get_entity("a'b/c").execute()
    assert (made.ID, made.Note, made.Count, made.Price) == ("a'b/c", "by a flow", 3, "1.25")
    change = orders.update_entity("a'b/c", method="MERGE")
    change.set(Note="by pyodata", Count=4)
    change.execute()
    read = await of_flow(shop, "operation: read, key: '${body}'", "a'b/c")
    assert (read["Note"], read["Count"], read["Price"]) == ("by pyodata", 4, "1.25")
    creation = orders.create_entity()
    creation.set(ID="theirs", Note="x", Price=2)
    assert creation.execute().ID == "theirs"
    await of_flow(shop, "operation: delete, key: theirs, etag: '*'")
    orders.delete_entity("a'b/c").execute()
    assert not {"theirs", "a'b/c"} & set(shop.orders)


async def test_both_call_the_same_functions(shop: Shop, client: Any) -> None:
    theirs = client.functions.CountAbove.parameter("count", 2).parameter("note", "it's").execute()
    settings = 'operation: function_import, resource: CountAbove, parameters: {count: 2, note: "it\'s"}'
    ours = await sent(shop.receiver(settings), Message())
    assert theirs == ours.body == {"CountAbove": 3}
    done = client.functions.Finish.parameter("ID", "3").execute()
    assert (done.Done, (await of_flow(shop, "operation: read, key: '3'"))["Done"]) == (True, True)


async def test_both_keep_one_session_and_its_token(shop: Shop, client: Any) -> None:
    # F2, statement 28
    for name in "ab":
        creation = client.entity_sets.Orders.create_entity()
        creation.set(ID=name)
        creation.execute()
    assert (shop.authentications, shop.sessions) == (1, 1)
    async with flow(shop.receiver("resource: Orders, operation: create"), "on_integration_flow") as running:
        for name in "cd":
            await running.process(Message(body={"ID": name}))
    assert (shop.authentications, shop.sessions) == (2, 2)
    requests_ = [each for each in shop.tell()["requests"] if each["method"] == "POST"]
    assert len({each["cookie"].partition(";")[0] for each in requests_}) == 2
