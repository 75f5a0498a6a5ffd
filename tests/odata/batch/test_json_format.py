"""Batches as JSON: groups, dependencies, bodies of every kind; what may not be is refused (O11)."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.batch import (
    Answer,
    BadBatch,
    BatchTooLarge,
    ChangeSet,
    ChangeSetAnswer,
    Limits,
    MissingContentId,
    Part,
    ReadInChangeSet,
    read_json,
    write_json,
)
from holdfast.odata.errors import NotSupported, ODataError


def batch(*requests: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"requests": requests})


def request(name: str, method: str = "PATCH", **more: Any) -> dict[str, Any]:
    return {"id": name, "method": method, "url": "Orders('1')", **more}


def test_requests_groups_and_dependencies_are_read() -> None:  # O11
    body = batch(
        request("0", "get", headers={"Accept": "application/json"}),
        request("1", atomicityGroup="g", body={"Note": "x", "Big": 9007199254740993}),
        request("2", "DELETE", atomicityGroup="g", dependsOn=["1"]),
        request("3", "post", url="$1/Items", dependsOn=["0", "g"], body="T0s", headers={"Content-Type": "image/png"}),
        request("4", "put", body="äh", headers={"content-type": "text/plain"}),
    )
    assert read_json(body) == [
        Part(method="GET", url="Orders('1')", headers={"accept": "application/json"}, id="0"),
        ChangeSet(
            id="g",
            parts=(
                Part(method="PATCH", url="Orders('1')", body=b'{"Note":"x","Big":9007199254740993}', id="1"),
                Part(method="DELETE", url="Orders('1')", id="2", depends_on=("1",)),
            ),
        ),
        Part(
            method="POST",
            url="$1/Items",
            headers={"content-type": "image/png"},
            body=b"OK",
            id="3",
            depends_on=("0", "g"),
        ),
        Part(method="PUT", url="Orders('1')", headers={"content-type": "text/plain"}, body="äh".encode(), id="4"),
    ]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", BadBatch),
        (b"{}", BadBatch),
        (b"[]", BadBatch),
        (b'{"requests":[{"id":"1"}]}', BadBatch),
        (b'{"requests":' + b"[" * 100_000, BadBatch),
        (b"\xff", BadBatch),
        (batch(request("")), BadBatch),
        (batch(request("1", "BREW")), BadBatch),
        (batch(request("1") | {"url": ""}), BadBatch),
        (batch(request("1"), request("1")), BadBatch),
        (batch(request("g", atomicityGroup="g")), BadBatch),
        (batch(request("1", dependsOn=["2"]), request("2")), BadBatch),
        (batch(request("1", dependsOn=["1"])), BadBatch),
        (batch(request("1", atomicityGroup="g", dependsOn=["g"])), BadBatch),
        (batch(request("1", atomicityGroup="g"), request("2"), request("3", atomicityGroup="g")), BadBatch),
        (batch(request("1", body=5, headers={"content-type": "text/plain"})), BadBatch),
        (batch(request("1", body="???", headers={"content-type": "image/png"})), BadBatch),
        (batch(request("1", "GET", atomicityGroup="g")), ReadInChangeSet),
        (batch(request("1", atomicityGroup="g"), request("1", atomicityGroup="g")), MissingContentId),
        (batch(request("1", **{"if": "true"})), NotSupported),
        (batch(*(request(str(number)) for number in range(11))), BatchTooLarge),
        (batch(*(request(str(number), atomicityGroup="g") for number in range(11))), BatchTooLarge),
        (batch(request("1", body="x" * 5000)), BatchTooLarge),
    ],
)
def test_a_batch_that_may_not_be_is_refused_with_a_code_of_its_own(body: bytes, error: type[ODataError]) -> None:
    limits = Limits(requests=10, size=4000) if error is BatchTooLarge else Limits()
    with pytest.raises(ODataError) as refused:
        read_json(body, limits)
    assert type(refused.value) is error


def test_answers_carry_json_text_and_bytes_each_in_its_way() -> None:
    told = write_json(
        [
            Answer(status=200, headers={"Content-Type": "application/json;charset=UTF-8"}, body=b'{"a":1}', id="0"),
            ChangeSetAnswer(answers=(Answer(status=204, id="1"), Answer(status=204, id="2")), id="g"),
            Answer(status=200, headers={"Content-Type": "text/plain"}, body="äh".encode(), id="3"),
            Answer(status=200, headers={"Content-Type": "image/png"}, body=b"\xfb", id="4"),
        ]
    )
    assert msgspec.json.decode(told)["responses"] == [
        {"id": "0", "status": 200, "headers": {"content-type": "application/json;charset=UTF-8"}, "body": {"a": 1}},
        {"id": "1", "status": 204, "headers": {}, "atomicityGroup": "g"},
        {"id": "2", "status": 204, "headers": {}, "atomicityGroup": "g"},
        {"id": "3", "status": 200, "headers": {"content-type": "text/plain"}, "body": "äh"},
        {"id": "4", "status": 200, "headers": {"content-type": "image/png"}, "body": "-w=="},
    ]


REQUESTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from("123"),
        "method": st.sampled_from(["GET", "patch", "x"]),
        "url": st.sampled_from(["", "Orders"]),
    },
    optional={
        "atomicityGroup": st.sampled_from(["g", "1", None]),
        "dependsOn": st.lists(st.sampled_from(["1", "2", "g"]), max_size=2),
        "body": st.one_of(st.none(), st.text(max_size=5), st.integers()),
        "headers": st.dictionaries(
            st.sampled_from(["content-type", "a"]), st.sampled_from(["text/plain", "image/png"])
        ),
    },
)


@settings(max_examples=100)
@given(st.lists(REQUESTS, max_size=4))
def test_any_requests_are_a_batch_or_refused_as_one(requests: list[dict[str, Any]]) -> None:
    with suppress(ODataError):
        found = read_json(batch(*requests))
        assert sum(len(item.parts) if isinstance(item, ChangeSet) else 1 for item in found) == len(requests)


@settings(max_examples=100)
@given(st.binary(max_size=40))
def test_any_bytes_are_a_batch_or_refused_as_one(body: bytes) -> None:
    with suppress(ODataError):
        assert isinstance(read_json(body), list)
