"""The choreography of a lock and its operations: a property over every order of events and crashes (A1, A5, A6)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backend.locks import Lock, Operation, Outcome, Phase, Signal, Step, digest_of
from holdfast.errors import BackendError

NEW = Lock(system="dev", user="DEVELOPER", type="CLAS/OC", name="ZCL_A")
LOCK = Operation(kind="lock", at=1.0)
UNLOCK = Operation(kind="unlock", at=3.0)


def put(text: str) -> Operation:
    return Operation(kind="put", at=2.0, digest=digest_of(text))


def held() -> Lock:
    return NEW.begun(LOCK).after(Signal.LOCKED, handle="H1").settled(Outcome.APPLIED, at=1.0)


def test_a_lock_is_an_intent_before_it_is_held() -> None:
    # A1
    asked = NEW.begun(LOCK)
    assert (asked.phase, asked.handle, asked.step) == (Phase.INTENT, "", Step.LOCK_AGAIN)
    assert (held().phase, held().handle, held().step) == (Phase.HELD, "H1", Step.GO_ON)


def test_nothing_is_written_without_a_held_lock() -> None:
    with pytest.raises(BackendError):
        NEW.begun(put("x"))
    with pytest.raises(BackendError):
        held().begun(UNLOCK).after(Signal.UNLOCKED).settled(Outcome.APPLIED, at=3.0).begun(put("x"))


def test_an_open_operation_is_settled_before_another_begins() -> None:
    # A5
    with pytest.raises(BackendError):
        held().begun(put("x")).begun(put("y"))


def test_after_a_crash_a_put_asks_for_a_new_lock_and_an_unlock_for_release() -> None:
    # A5
    assert held().begun(put("x")).step is Step.LOCK_AGAIN
    assert held().begun(UNLOCK).step is Step.RELEASE


def test_a_handle_is_not_used_again_after_a_refused_write() -> None:
    # ADT §7.3
    refused = held().begun(put("x")).settled(Outcome.NOT_APPLIED, at=2.0, spent=True)
    assert refused.step is Step.LOCK_AGAIN
    assert refused.after(Signal.LOCKED, handle="H2").step is Step.GO_ON


def test_only_an_applied_text_of_the_same_part_counts_as_written() -> None:
    # A6: never written twice
    done = held().begun(put("x")).settled(Outcome.APPLIED, at=2.0)
    lost = held().begun(put("x")).settled(Outcome.NOT_APPLIED, at=2.0)
    assert done.has_written("main", digest_of("x\r\n"))
    assert not done.has_written("main", digest_of("y"))
    assert not done.has_written("testclasses", digest_of("x"))
    assert not lost.has_written("main", digest_of("x"))


def test_ends_of_line_do_not_make_another_text() -> None:
    # ADT §12
    assert digest_of("a\r\nb\n\n") == digest_of("a\nb") != digest_of("a\n\nb")


def test_a_lock_is_plain_values_and_back_and_never_shows_its_handle() -> None:
    lock = held().begun(put("x"))
    assert Lock.load(lock.dump()) == lock
    assert "H1" not in repr(lock)


class Enqueue:
    """A back end reduced to what matters: who holds the object in which context, and the text."""

    def __init__(self) -> None:
        self.context = 0
        self.holder: int | None = None
        self.text = ""
        self.writes: list[str] = []

    def lock(self) -> str:
        assert self.holder in (None, self.context)
        self.holder = self.context
        return f"H{self.context}"

    def put(self, handle: str, text: str) -> bool:
        if handle != f"H{self.context}" or self.holder != self.context:
            return False
        self.text = text
        self.writes.append(text)
        return True

    def end_context(self) -> None:
        if self.holder == self.context:
            self.holder = None
        self.context += 1


class Workers:
    """Workers that die anywhere, over one stored lock: what the driver in `adt` does, without waiting for anything."""

    def __init__(self) -> None:
        self.sap = Enqueue()
        self.stored = NEW
        self.acknowledged = ""
        self.texts = 0

    def take_over(self) -> None:
        """What every new holder of the lease does first."""
        step = self.stored.step
        if step is Step.GO_ON:
            return
        self.sap.end_context()
        if step is Step.RELEASE:
            self.stored = self.stored.after(Signal.UNLOCKED).settled(Outcome.APPLIED, at=0)
            return
        operation = self.stored.operation
        lock = self.stored.after(Signal.LOCKED, handle=self.sap.lock())
        wrote = operation is not None and operation.digest == digest_of(self.sap.text)
        self.stored = lock.settled(Outcome.APPLIED if wrote else Outcome.NOT_APPLIED, at=0)

    def lock(self, crash: str) -> None:
        if self.stored.phase is not Phase.INTENT or self.stored.operation is not None:
            return
        self.stored = self.stored.begun(LOCK)
        if crash == "before":
            return
        handle = self.sap.lock()
        if crash == "after":
            return
        self.stored = self.stored.after(Signal.LOCKED, handle=handle).settled(Outcome.APPLIED, at=1)

    def update(self, crash: str, retry: bool) -> None:
        self.take_over()
        if self.stored.phase is not Phase.HELD:
            return
        self.texts += not retry
        text = f"text {self.texts}"
        if self.stored.has_written("main", digest_of(text)):
            self.acknowledged = text
            return
        self.stored = self.stored.begun(put(text))
        if crash == "before":
            return
        applied = self.sap.put(self.stored.handle, text)
        if crash == "after":
            return
        assert applied
        self.stored = self.stored.settled(Outcome.APPLIED, at=2)
        self.acknowledged = text

    def unlock(self, crash: str) -> None:
        self.take_over()
        if self.stored.phase is not Phase.HELD:
            return
        self.stored = self.stored.begun(UNLOCK)
        if crash != "before":
            self.sap.holder = None
        if crash == "no":
            self.stored = self.stored.after(Signal.UNLOCKED).settled(Outcome.APPLIED, at=3)

    def close(self) -> None:
        """The closer: whatever was known, the end of the context releases the lock."""
        self.sap.end_context()


crashes = st.sampled_from(["no", "no", "before", "after"])
steps = st.one_of(
    st.tuples(st.just("lock"), crashes),
    st.tuples(st.just("update"), crashes, st.booleans()),
    st.tuples(st.just("unlock"), crashes),
    st.tuples(st.just("look after")),
)


@given(st.lists(steps, max_size=20))
def test_whatever_dies_whenever_no_acknowledged_text_is_lost_none_is_written_twice_and_nothing_stays_locked(
    events: list[tuple[object, ...]],
) -> None:
    # A4, A5, A6
    workers = Workers()
    for event in events:
        match event:
            case ("lock", str(crash)):
                workers.lock(crash)
            case ("update", str(crash), bool(retry)):
                before = workers.acknowledged
                workers.update(crash, retry)
                if workers.acknowledged != before:
                    assert workers.sap.text == workers.acknowledged
            case ("unlock", str(crash)):
                workers.unlock(crash)
            case _:
                workers.take_over()
        assert (workers.stored.handle != "") == (workers.stored.phase is Phase.HELD)
    assert len(set(workers.sap.writes)) == len(workers.sap.writes)
    workers.close()
    assert workers.sap.holder is None


@given(st.lists(st.one_of(st.sampled_from(Signal), st.sampled_from([LOCK, UNLOCK, put("x")]), st.just(None))))
def test_released_and_gone_are_the_end_and_no_order_of_events_holds_a_handle_outside_held(events: list[object]) -> None:
    lock, ended = NEW, False
    for event in events:
        with contextlib.suppress(BackendError):
            if isinstance(event, Signal):
                lock = lock.after(event, handle="H" if event is Signal.LOCKED else "")
            elif isinstance(event, Operation):
                lock = lock.begun(event)
            else:
                lock = lock.settled(Outcome.UNKNOWN, at=0)
        assert not ended or lock.phase in (Phase.RELEASED, Phase.GONE)
        ended |= lock.phase in (Phase.RELEASED, Phase.GONE)
        assert bool(lock.handle) == (lock.phase is Phase.HELD)
