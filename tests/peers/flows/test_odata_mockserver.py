"""Flows against SAP's mock server for Fiori elements, in V2 and V4: a service that we did not write.

It cannot read a doubled quote in a $filter, so no text here has one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.flows_world import Receiver, started
from e2e.mcp_drivers import NODE
from holdfast.flows.failures import CallRefused
from holdfast.flows.message import Message
from holdfast.flows.runtime import StepFailed
from peers.flows.odata_world import sent

HERE = Path(__file__).parent
ORDERS = [
    {"ID": str(n), "Note": note, "Count": n, "Price": f"{n}.50"} for n, note in enumerate(["bolt", "nut & Söhne"], 1)
]
ITEMS = [{"OrderID": "1", "Pos": pos, "Name": f"part {pos}"} for pos in (10, 20)]
VERSIONS = pytest.mark.parametrize("version", ["v2", "v4"])


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Receiver]:
    for name, rows in (("Orders", ORDERS), ("Items", ITEMS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    with started(NODE, HERE / "odata_mock.mjs", tmp_path) as receiver:
        yield receiver


async def call(mock: Receiver, version: str, settings: str, body: Any = None, **more: Any) -> Message:
    receiver = f"adapter: odata_{version}, csrf: true, url: '{mock.url}/{version}', {settings}"
    return await sent(receiver, Message(body=body), **more)


def methods(mock: Receiver) -> list[str]:
    return [request["method"] for request in mock.tell()["requests"]]


@VERSIONS
async def test_rows_are_found_and_counted(mock: Receiver, version: str) -> None:  # F16
    settings = "resource: Orders, filter: \"Note eq '${body}'\", select: 'ID,Note', count: true"
    answer = await call(mock, version, settings, "nut & Söhne")
    assert [(row["ID"], row["Note"]) for row in answer.body] == [("2", "nut & Söhne")]
    assert answer.headers["odata-count"] == 1
    everything = await call(mock, version, "resource: Orders, orderby: ID desc, top: 1")
    assert [row["ID"] for row in everything.body] == ["2"]
    item = await call(mock, version, "resource: Items, operation: read, key: {OrderID: '1', Pos: 20}")
    assert item.body["Name"] == "part 20"


@VERSIONS
@pytest.mark.parametrize(("reuse", "logons", "heads"), [("none", 5, 4), ("on_exchange", 1, 1)])
async def test_an_order_is_made_changed_and_deleted_in_a_session(
    mock: Receiver, version: str, reuse: str, logons: int, heads: int
) -> None:
    # F1, F2, statement 28
    change = "merge" if version == "v2" else "patch"
    one = "key: a"
    steps = f"""\
- send: {{receiver: erp, operation: create}}
- modify: {{body: {{Note: changed}}}}
- send: {{receiver: erp, operation: {change}, {one}}}
- modify: {{body: {{Note: again}}}}
- send: {{receiver: erp, operation: patch, {one}}}
- call: {{receiver: erp, operation: read, {one}}}
- send: {{receiver: erp, operation: delete, {one}}}
"""
    new = {"ID": "a", "Note": "new", "Count": 7, "Price": "1.25"}
    answer = await call(mock, version, "resource: Orders", new, steps=steps, reuse=reuse)
    assert (answer.body["Note"], answer.body["Count"]) == ("again", 7)
    assert {row["ID"] for row in (await call(mock, version, "resource: Orders")).body} == {"1", "2"}
    counted = mock.tell()
    assert (counted["authentications"], counted["sessions"]) == (logons + 1, logons + 1)
    assert methods(mock).count("HEAD") == heads
    changes = [request["cookie"] for request in counted["requests"] if request["method"] not in ("GET", "HEAD")]
    assert None not in changes
    assert len(set(changes)) == heads


@VERSIONS
async def test_what_is_not_there_is_told(mock: Receiver, version: str) -> None:
    with pytest.raises(StepFailed, match="erp answered 404") as caught:
        await call(mock, version, "resource: Orders, operation: read, key: nothing")
    assert isinstance(caught.value.cause, CallRefused)
