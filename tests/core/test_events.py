"""Facts as log lines, and handed to several sinks."""

import json
import logging

import pytest

from holdfast.core.events import FACTS_LOG, Event, Fact, LogLines, Sinks
from holdfast.testing.sink import RecordingSink

OPENED = Event(fact=Fact.OPENED, at=1.5, kind="mcp", mark="abcdefgh")
FOREIGN = Event(fact=Fact.FOREIGN_ID, at=2.5, address="198.51.100.7")


def test_a_fact_is_one_line_of_json_at_the_level_it_deserves(caplog: pytest.LogCaptureFixture) -> None:  # E34
    own = logging.getLogger("of.its.own")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, FACTS_LOG):
        LogLines().emit(OPENED)
        LogLines(own).emit(FOREIGN)
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("holdfast.events", "DEBUG"),
        ("of.its.own", "WARNING"),
    ]
    assert json.loads(caplog.messages[0]) == {"fact": "opened", "at": 1.5, "kind": "mcp", "mark": "abcdefgh"}


def test_every_sink_gets_every_fact() -> None:
    first, second = RecordingSink(), RecordingSink()
    Sinks(first, second).emit(OPENED)
    assert first.events == second.events == [OPENED]
