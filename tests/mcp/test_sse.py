"""Events as bytes: what a parser of the standard reads out of them is what went in."""

import re

from hypothesis import given
from hypothesis import strategies as st

from holdfast.mcp import jsonrpc, sse


def parsed(stream: bytes) -> list[dict[str, str]]:
    """Read events as WHATWG HTML §9.2.6 says."""
    events, fields = [], {}
    for line in re.split(r"\r\n|\r|\n", stream.decode()):
        if not line:
            if "data" in fields:
                events.append(fields)
            fields = {}
            continue
        name, _, value = line.partition(":")
        if name:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
    return events


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_data_arrives_as_it_was_but_for_its_line_ends(text: str) -> None:
    [event] = parsed(sse.event(text.encode(), id="0123456789abcdef.7", name="message"))
    assert event == {"event": "message", "id": "0123456789abcdef.7", "data": re.sub(r"\r\n|\r", "\n", text)}


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**63), 2**63) | st.booleans() | st.none()))
def test_a_message_is_one_line_of_data_whatever_is_in_it(params: dict[str, object]) -> None:
    [event] = parsed(sse.message(jsonrpc.notification("x", params)))
    assert "\n" not in event["data"]
    assert event["data"].encode() == jsonrpc.notification("x", params)


def test_comments_are_no_events() -> None:
    assert parsed(sse.KEEP_ALIVE) == []


def test_a_priming_event_has_an_id_a_waiting_time_and_no_data() -> None:
    # M15
    assert parsed(sse.priming("0123456789abcdef.1", 250)) == [{"retry": "250", "id": "0123456789abcdef.1", "data": ""}]
