"""Addresses, answers and values that make no sense, and an end that takes too long."""

import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal

import anyio
import httpx2
import pytest

from holdfast.backend.wire import Reply
from holdfast.errors import BackendError, BadInput, ConfigurationError
from holdfast.odata.client import ServiceError, StickyClient, StickySessionLost, driver
from holdfast.odata.client.service import Service
from holdfast.odata.client.together import last_of
from holdfast.odata.client.values import from_service, to_service
from holdfast.odata.csdl import read_xml
from holdfast.odata.edm import EdmError
from odata.client.unruly import GONE, METADATA, Fault, Unruly

ONE = "Orders('1')"
TYPES = b"""<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="D" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<TypeDefinition Name="Money" UnderlyingType="Edm.Decimal"/>
<ComplexType Name="Line"><Property Name="Sum" Type="D.Money"/></ComplexType>
<EntityType Name="Bill"><Key><PropertyRef Name="A"/><PropertyRef Name="B"/></Key>
<Property Name="A" Type="Edm.String"/><Property Name="B" Type="Edm.Int32"/>
<Property Name="Days" Type="Collection(Edm.Date)"/><Property Name="Lines" Type="Collection(D.Line)"/></EntityType>
<EntityContainer Name="C"><EntitySet Name="Bills" EntityType="D.Bill"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""


@pytest.fixture
async def place() -> AsyncIterator[tuple[Unruly, StickyClient]]:
    """The service without a network between."""
    service = Unruly()
    with anyio.fail_after(20):
        yield service, StickyClient("http://x/svc", transport=httpx2.ASGITransport(app=service))


@pytest.mark.parametrize("url", ["ftp://x/svc", "svc", "http:///svc", "http://x/svc?a=b", "http://me:pw@x/svc"])
def test_what_is_no_service_root_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        StickyClient(url, transport=httpx2.MockTransport(lambda request: httpx2.Response(200)))
    assert "pw" not in str(refused.value)


async def test_parameters_of_the_service_go_with_every_request_and_paths_are_encoded(
    place: tuple[Unruly, StickyClient],
) -> None:
    service, _ = place
    query = {"sap-client": "100"}
    client = StickyClient("http://x/svc/", query=query, transport=httpx2.ASGITransport(app=service))
    seen: list[str] = []
    line = client._line.call("GET", "Orders('ä b')?$filter=Note eq 'x'")
    seen.append(line.path)
    assert seen == ["/Orders('%C3%A4%20b')?$filter=Note%20eq%20'x'&sap-client=100"]
    with pytest.raises(BadInput):
        client._line.call("GET", "Orders\r\nX: y")


async def test_the_first_token_is_not_fetched_for_a_session_that_is_gone(place: tuple[Unruly, StickyClient]) -> None:
    service, client = place
    order = await client.edit(ONE)
    client._line._token, client._line._asked = "", False
    service.faults.append(Fault("HEAD", before=GONE))
    order["Note"] = "x"
    with pytest.raises(StickySessionLost):
        await order.save()
    assert service.lines()[-1] == "HEAD "


async def test_an_answer_that_is_no_json_is_said_to_be_none(place: tuple[Unruly, StickyClient]) -> None:
    service, client = place
    service.faults.append(Fault("GET Orders", before=(200, {}, b"{")))
    with pytest.raises(BackendError, match="no JSON"):
        await client.read("Orders")
    service.faults.append(Fault("GET Orders", before=(200, {}, b"[1]")))
    assert await client.read("Orders") == {"value": [1]}


async def test_pages_that_lead_nowhere_end(place: tuple[Unruly, StickyClient]) -> None:
    service, client = place
    page = json.dumps({"value": [{"ID": "1"}], "@odata.nextLink": "http://x/svc/Orders?$skiptoken=1"}).encode()
    service.faults += [Fault("GET Orders", before=(200, {}, page)) for _ in range(2)]
    with pytest.raises(BackendError, match="same one again"):
        [row async for row in client.rows("Orders")]


async def test_only_actions_that_create_are_called_to_create(place: tuple[Unruly, StickyClient]) -> None:
    service, client = place
    with pytest.raises(BadInput, match=r"no new action Demo\.Save"):
        await client.new("Orders", action="Demo.Save")
    assert service.lines() == []


async def test_a_new_entity_that_is_not_returned_is_found_where_one_says(place: tuple[Unruly, StickyClient]) -> None:
    # The vocabulary's own NewAction returns nothing
    service, client = place
    for _ in range(2):
        service.faults.append(Fault("Demo.Create", after=lambda answer: (204, answer[1], b"")))
    async with client.new("Orders", {"Note": "mine"}, path="Orders('')"):
        pass
    assert service.stored["9"]["Note"] == "mine"


async def test_a_discard_that_fails_on_leaving_is_logged_and_tried_again_at_the_end(
    place: tuple[Unruly, StickyClient], caplog: pytest.LogCaptureFixture
) -> None:
    service, client = place
    service.faults.append(Fault("Discard", before=(500, {}, b"")))
    with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError):
        async with client.edit(ONE):
            raise ZeroDivisionError
    assert "could not be discarded" in caplog.text
    assert (await client.close()).how == "discarded"
    assert service.sessions == {}


async def test_closing_ends_in_time_also_if_the_service_does_not_answer(
    place: tuple[Unruly, StickyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    # O18
    service, client = place
    await client.edit(ONE)
    monkeypatch.setattr(driver, "CLOSE_S", 0.05)
    service.faults.append(Fault("Discard", hold=anyio.Event()))
    closed = await client.close()
    assert closed.how == "left"
    assert closed.locked_until is not None
    assert not client.inside


async def test_a_handler_that_refuses_everything_names_no_secret(place: tuple[Unruly, StickyClient]) -> None:
    service, client = place
    await client.edit(ONE)
    service.faults.append(Fault("GET", before=(418, {"sap-contextid": next(iter(service.sessions))}, b"\xff{")))
    with pytest.raises(ServiceError, match="HTTP status 418") as refused:
        await client.read(ONE)
    assert refused.value.details == ()
    assert next(iter(service.sessions)) not in repr(refused.value)


def test_values_of_all_shapes_go_both_ways() -> None:
    model = read_xml(TYPES)
    body = {"A": "x", "B": 1, "Days": ["2026-11-21"], "Lines": [{"Sum": Decimal("1.10")}], "@odata.etag": "e", "New": 1}
    values = from_service(model, "D.Bill", body)
    assert values["Days"][0].isoformat() == "2026-11-21"
    assert values["Lines"] == [{"Sum": Decimal("1.10")}]
    assert (values["@odata.etag"], values["New"]) == ("e", 1)
    assert from_service(model, "D.Bill", {"B": "no number", "Days": None}) == {"B": "no number", "Days": None}
    sent = to_service(model, "D.Bill", {name: values[name] for name in ("B", "Days", "Lines")})
    assert (sent["B"], sent["Days"]) == (1, ["2026-11-21"])
    with pytest.raises(EdmError):
        to_service(model, "D.Bill", {"B": "one"})


def test_an_entity_is_found_by_all_parts_of_its_key() -> None:
    service = Service(read_xml(TYPES))
    assert service.entity_path("Bills", {"A": "it's/so", "B": 2}) == "Bills(A='it''s%2Fso',B=2)"
    assert service.entity_path("Bills", {"A": "x"}) == ""
    assert service.type_of("Nothing") == ""
    assert Service(read_xml(METADATA)).choreographed("Discard")


def test_a_batch_whose_answer_cannot_be_read_stays_as_it_is() -> None:
    broken = Reply(200, {"content-type": "multipart/mixed; boundary=b"}, b"nothing of it")
    assert last_of(broken) is broken
