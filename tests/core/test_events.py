"""Facts as log lines, and handed to several sinks."""

import json
import logging

import pytest

from holdfast.core.events import FACTS_LOG, Event, Fact, LogLines, Sinks, as_line, attended, visible
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


def test_a_line_has_nothing_in_it_that_a_terminal_obeys_and_reads_back_as_it_was() -> None:  # R71
    forged = 'a\r\n{"fact":"opened"}\x1b[2J\x9b31m\u202egnp.exe\u2028\x7f\ud7ff\U000e0001é'
    line = as_line(Event(fact=Fact.UNKNOWN_ID, at=1.0, mark=forged, detail="x" * 70_000))
    assert line.isprintable()
    assert "é" in line
    assert json.loads(line)["mark"] == forged
    assert len(line) < 600


@pytest.mark.parametrize(
    ("text", "shown"), [("a b-ä€", "a b-ä€"), ("a\nb", "a\\nb"), ("\x9b1m", "\\u009b1m"), ("", "")]
)
def test_what_is_printed_shows_what_cannot_be_seen(text: str, shown: str) -> None:  # R71
    assert visible(text) == shown


def test_a_fact_that_nobody_logs_is_not_written_out() -> None:  # M24: facts are many, and most are of no interest
    class Line(Event, frozen=True):
        @property
        def __struct_fields__(self) -> tuple[str, ...]:  # type: ignore[override]
            raise AssertionError("it was written out")

    quiet = logging.Logger("quiet", logging.WARNING)
    LogLines(quiet).emit(Line(fact=Fact.OPENED, at=1.0))


def test_sinks_with_work_of_their_own_are_found_among_others() -> None:  # M24
    class Busy(RecordingSink):
        async def attend(self, *_: object) -> None:
            """Do nothing."""

    busy = Busy()
    assert attended(Sinks(RecordingSink(), Sinks(busy))) == attended(busy) == [busy]
    assert attended(RecordingSink()) == []
