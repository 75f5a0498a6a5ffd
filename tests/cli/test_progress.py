"""How far loops, splits and multicasts are, on a terminal and elsewhere (F18)."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.cli.progress import Counts, shown_progress
from holdfast.flows.runtime import Counted, StepEnded

LOOP, SPLIT = "orders.yaml:7", "orders.yaml:9"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ended(message: str, place: str, kind: str = "split") -> StepEnded:
    return StepEnded(message, place, kind, "done", 0.1)


def test_messages_at_one_place_are_counted_together() -> None:
    counts = Counts()
    for message in ("a", "b"):
        for done in (1, 2, 3):
            counts.take(Counted(message, SPLIT, done, 3))
            counts.take(ended(message, LOOP, "call"))
            counts.take(Counted(message, LOOP, done, None))
        assert counts.take(ended(message, SPLIT)) is None
    counts.take(Counted("a", SPLIT, 1, 5))
    assert (counts.places[SPLIT].done, counts.places[SPLIT].total) == (7, 11)
    assert (counts.places[LOOP].done, counts.places[LOOP].total) == (6, None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=20))
def test_no_more_is_done_than_there_is(splits: list[tuple[str, int]]) -> None:
    counts = Counts()
    for message, size in splits:  # of one message one after the other, as in a loop around the split
        for done in range(1, size + 1):
            count = counts.take(Counted(message, SPLIT, done, size))
            assert count is not None
            assert count.total is not None
            assert count.done <= count.total
    if splits:
        assert counts.places[SPLIT].done == counts.places[SPLIT].total == sum(size for _, size in splits)


def test_elsewhere_a_line_is_printed_now_and_then() -> None:
    # F18
    stream, now = io.StringIO(), [0.0]
    with shown_progress(stream=stream, clock=lambda: now[0]) as tell:
        for done in range(1, 1_013):
            now[0] += 0.0078125
            tell(Counted("a", SPLIT, done, 2_000))
            tell(Counted("a", LOOP, done, None))
    assert stream.getvalue() == "orders.yaml:9: 641 of 2,000\norders.yaml:7: 641\n"


def test_on_a_terminal_there_are_bars_that_go_in_the_end() -> None:
    # F18
    stream = Terminal()
    with shown_progress(stream=stream) as tell:
        tell(Counted("a", SPLIT, 1, 3))
        tell(Counted("a", LOOP, 41, None))
    shown = stream.getvalue()
    assert SPLIT in shown
    assert "1/3" in shown
    assert "41/?" in shown
    assert shown.endswith("\x1b[2K")


def test_quiet_shows_nothing() -> None:
    stream = Terminal()
    with shown_progress(quiet=True, stream=stream) as tell:
        tell(Counted("a", SPLIT, 1, 3))
    assert stream.getvalue() == ""
