"""A sink for tests."""

from holdfast.core.events import Event, Fact
from holdfast.testing import RecordingSink


def test_a_sink_keeps_what_it_is_told_in_order() -> None:
    sink = RecordingSink()
    opened, ended = Event(fact=Fact.OPENED, at=1.0), Event(fact=Fact.ENDED, at=2.0, mark="abc")
    sink.emit(opened)
    sink.emit(ended)
    assert sink.events == [opened, ended]
    assert sink.facts() == [Fact.OPENED, Fact.ENDED]
    assert sink.of(Fact.ENDED) == [ended]
    sink.clear()
    assert sink.events == []
