"""What OData says in bodies, in JSON: rows, pages, values, errors."""

from typing import Any

import pytest

from holdfast.errors import BadInput
from holdfast.flows.adapters.odata_payloads import JsonV2, JsonV4, Page, error_in


@pytest.mark.parametrize(
    ("content", "page"),
    [
        (b'{"d": {"results": [], "__count": "7", "__next": "n"}}', Page([], "n", 7)),
        (b'{"d": [{"a": 1}]}', Page([{"a": 1}])),
        (b'{"d": {"a": 1}}', Page({"a": 1})),
        (b'{"d": {"__metadata": {"etag": "e"}, "results": {"of": "a game"}}}', "e"),
        (b'{"d": {"Add": 3}}', Page({"Add": 3})),
        (b'{"d": null}', Page(None)),
    ],
)
def test_the_json_of_v2(content: bytes, page: Any) -> None:
    # F16
    read = JsonV2().read(content)
    assert (read.etag if isinstance(page, str) else read) == page


@pytest.mark.parametrize(
    ("content", "page"),
    [
        (
            b'{"@odata.context": "c", "value": [1], "@odata.nextLink": "n", "@odata.count": 9}',
            Page([1], "n", 9, "", "c"),
        ),
        (b'{"@odata.context": "c", "value": 3}', Page(3, base="c")),
        (b'{"value": [], "@odata.count": "8"}', Page([], "", 8)),
        (b'{"@odata.etag": "e", "value": [1], "ID": 1}', Page({"@odata.etag": "e", "value": [1], "ID": 1}, etag="e")),
        (b"{}", Page({})),
    ],
)
def test_the_json_of_v4(content: bytes, page: Page) -> None:
    assert JsonV4().read(content) == page


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b'"d"', b"null"])
def test_what_is_no_odata_is_told(content: bytes) -> None:
    for payloads in (JsonV2(), JsonV4()):
        with pytest.raises(ValueError, match="it is no JSON"):
            payloads.read(content)
    with pytest.raises(ValueError, match="it is no OData V2"):
        JsonV2().read(b'{"value": []}')


def test_an_entity_that_was_read_can_be_sent_back() -> None:
    v2 = {"__metadata": {"uri": "u"}, "ID": "1", "Items": {"__deferred": {"uri": "v"}}}
    assert JsonV2().write(v2) == b'{"__metadata":{"uri":"u"},"ID":"1"}'
    v4 = {"@odata.context": "c", "@odata.etag": "e", "@odata.type": "#t", "ID": "1", "Of@odata.bind": "x"}
    assert JsonV4().write(v4) == b'{"@odata.type":"#t","ID":"1","Of@odata.bind":"x"}'
    with pytest.raises(BadInput, match="a body of type object cannot be sent as JSON"):
        JsonV2().write(object())


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (
            b'{"error": {"code": "A/1", "message": {"lang": "en", "value": "No\\n way"}}}',
            "application/json",
            "A/1: No way",
        ),
        (b'{"error": {"code": "404", "message": "gone"}}', "application/json", "404: gone"),
        (b'{"error": {"message": "gone"}}', "application/json", "gone"),
        (b"<error xmlns='x'><code>A</code><message>b</message></error>", "application/xml", "A: b"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><error><code>&b;</code></error>", "application/xml", ""),
        (b'{"error": "no"}', "application/json", ""),
        (b"<html>", "text/html", ""),
        (b"", "", ""),
        (b'{"error": {"code": "' + b"x" * 9000 + b'"}}', "application/json", "x" * 500),
    ],
)
def test_errors_of_both_versions_have_code_and_message(content: bytes, kind: str, said: str) -> None:
    assert error_in(content, kind) == said
