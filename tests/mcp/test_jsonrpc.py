"""Messages out of bodies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.mcp import jsonrpc
from holdfast.mcp.jsonrpc import Incoming, Malformed, RpcError, Shape, meta_of, parse
from holdfast.mcp.protocol import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR


def one(body: bytes) -> Incoming:
    message = parse(body)
    assert isinstance(message, Incoming)
    return message


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"x"}', Shape.REQUEST),
        (b'{"jsonrpc":"2.0","id":"a","method":"x","params":{}}', Shape.REQUEST),
        (b'{"jsonrpc":"2.0","method":"x"}', Shape.NOTIFICATION),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', Shape.RESPONSE),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}', Shape.RESPONSE),
        (b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"x"}', Shape.REQUEST),
    ],
)
def test_a_message_has_one_of_three_shapes(body: bytes, shape: Shape) -> None:
    assert one(body).shape is shape


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"nonsense", b'{"jsonrpc":"2.0","id":"\xff","method":"x"}', b"\xef\xbb\xbf{}"),
        *(
            b'{"jsonrpc":"2.0","id":1,"method":"x","more":"\xed\xa0\x80"}',
            b"[1, 2",
            b"[" * 100_000,
            b'[{"jsonrpc":"2.0"',
            b'{"jsonrpc":5,',
            b"5 x",
        ),  # wrong before it ends
    ],
)
def test_what_is_not_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse(body)
    assert caught.value.number == PARSE_ERROR


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (b"5", None),
        (b'"x"', None),
        (b"[]", None),
        (b"[5]", None),
        (b"{}", None),
        (b'{"id":3,"method":"x"}', 3),
        (b'{"jsonrpc":"1.0","id":3,"method":"x"}', 3),
        (b'{"jsonrpc":"2.0","id":3,"method":5}', 3),
        (b'{"jsonrpc":"2.0","id":"q"}', "q"),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', None),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', None),
        (b'{"jsonrpc":"2.0","id":4,"method":"x","params":[1]}', 4),
        (b'{"jsonrpc":"2.0","id":4,"result":{},"error":{}}', 4),
    ],
)
def test_what_is_json_but_no_message_is_an_invalid_request_that_names_the_id_it_could_read(
    body: bytes, known: object
) -> None:
    with pytest.raises(Malformed) as caught:
        parse(body)
    assert (caught.value.number, caught.value.id) == (INVALID_REQUEST, known)


def test_a_batch_is_a_list_of_messages() -> None:
    messages = parse(b'[{"jsonrpc":"2.0","method":"x"}, {"jsonrpc":"2.0","id":1,"method":"y"}]')
    assert isinstance(messages, list)
    assert [message.shape for message in messages] == [Shape.NOTIFICATION, Shape.REQUEST]


@pytest.mark.parametrize(
    "params", [b"{}", b'{"_meta":5}', b'{"_meta":{"progressToken":{}}}', b'{"_meta":{"progressToken":true}}']
)
def test_meta_that_is_not_of_the_right_form_says_nothing(params: bytes) -> None:
    assert meta_of(one(b'{"jsonrpc":"2.0","id":1,"method":"x","params":%b}' % params)) == jsonrpc.NO_META


@given(st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_answer_carries_the_id_of_its_request_as_it_was(sent: int | str) -> None:
    assert json.loads(jsonrpc.response(sent, b'{"a":1}')) == {"jsonrpc": "2.0", "id": sent, "result": {"a": 1}}
    assert json.loads(jsonrpc.error(sent, -1, "no", {"why": 1}))["id"] == sent


def test_an_error_without_a_readable_id_carries_null() -> None:
    assert json.loads(jsonrpc.error(None, -32700, "no"))["id"] is None


def test_what_json_cannot_say_is_an_internal_error() -> None:
    with pytest.raises(RpcError) as caught:
        jsonrpc.encoded({"x": object()})
    assert caught.value.number == INTERNAL_ERROR
