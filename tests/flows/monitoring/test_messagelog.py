"""What the log has of messages: which, with what, for how long, and how they are processed again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from flows.runtime.world import RECEIVERS, Answer, Spoken, echo
from holdfast.core.ports import Store
from holdfast.engine import open_engine
from holdfast.errors import BackendUnavailable, BadInput, Busy, NotFound, StoreUnavailable
from holdfast.flows import flow_kinds
from holdfast.flows.adapters.http import Http
from holdfast.flows.failures import CallRefused
from holdfast.flows.model import read_flow
from holdfast.flows.monitoring import Entry, MessageLog, Retention
from holdfast.flows.runtime import DeployedFlow, Message, StepFailed, deployed
from holdfast.testing.clock import Clock

STEPS = "- call: erp\n- filter: body\n- send: crm\n"


@asynccontextmanager
async def orders(
    answer: Answer = echo, *, steps: str = STEPS, log: str = "all", store: Any = "memory://", **more: Any
) -> AsyncIterator[DeployedFlow]:
    """Run a flow of these steps, the first of which is in line 7 of `orders.yaml`."""
    text = f"flow: orders\nlog: {log}\nreceivers:\n{RECEIVERS}steps:\n{steps}"
    adapter = type("Adapter", (Spoken,), {"answer": staticmethod(answer)})
    how = {name: more.pop(name) for name in ("clock", "keys") if name in more}
    async with (
        open_engine(store, kinds=flow_kinds(), **how) as engine,
        deployed(read_flow(text, "orders.yaml"), engine.manager, adapters={Http: adapter}, **more) as running,
    ):
        yield running


async def refused(name: str, message: Message) -> Any:
    if message.body == "bad":
        raise CallRefused(f"{name} answered 422", http_status=422, answer="no such article")
    return message.body


async def logged(flow: DeployedFlow, count: int, **which: Any) -> list[Entry]:
    """Return what the log has, as soon as it has so many messages."""
    with anyio.fail_after(5):
        while len(found := (await flow.log.list(**which)).entries) < count:
            await anyio.sleep(0.02)
    return found


async def test_a_message_that_went_well_is_in_the_log_with_its_steps_and_without_its_body() -> None:
    # F17
    async with orders() as flow:
        await flow.process(Message(id="m-1", body="secret order"))
        [entry] = await logged(flow, 1)
    assert (entry.id, entry.flow, entry.file, entry.outcome, entry.kept) == (
        "m-1",
        "orders",
        "orders.yaml",
        "done",
        None,
    )
    assert [(line.place, line.kind, line.outcome) for line in entry.last.lines] == [
        ("orders.yaml:7", "call", "done"),
        ("orders.yaml:8", "filter", "done"),
        ("orders.yaml:9", "send", "done"),
    ]
    assert all(0 <= line.at < 5 and 0 <= line.seconds < 5 for line in entry.last.lines)


async def test_a_message_that_is_filtered_out_is_logged_as_such_and_where() -> None:
    # F17: nothing is dropped silently
    async with orders() as flow:
        assert await flow.process(Message(id="m-1", body="")) is None
        [entry] = await logged(flow, 1, outcome="filtered")
    assert entry.outcome == "filtered"
    assert (entry.last.lines[-1].place, entry.last.lines[-1].outcome) == ("orders.yaml:8", "filtered")


async def test_a_message_that_fails_is_in_the_log_at_once_with_what_came_in_and_why() -> None:
    # F17
    async with orders(refused) as flow:
        given = Message(id="m-1", body="bad", headers={"Kind": b"\x00"}, properties={"n": [1, {"a": None}]})
        with pytest.raises(StepFailed):
            await flow.process(given)
        entry = await flow.log.get("m-1", "orders")
        assert entry.outcome == "failed"
        assert entry.message() == given
        error = entry.error
    assert error is not None
    assert (error.code, error.place, error.step) == ("call_refused", "orders.yaml:7", "call")
    assert (error.text, error.answer) == ("erp answered 422", "no such article")
    assert entry.last.lines[-1].text == "call_refused: erp answered 422"


async def test_what_a_script_does_to_a_message_does_not_change_what_is_kept_of_it() -> None:
    async def answer(name: str, message: Message) -> Any:
        message.body.append(2)
        raise BackendUnavailable("gone")

    async with orders(answer) as flow:
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body=[1]))
        assert (await flow.log.get("m-1", "orders")).message().body == [1]


async def test_a_message_sent_again_has_its_old_id_and_the_same_deliveries() -> None:
    # F17
    deliveries, bodies = [], []
    broken = True

    async def answer(name: str, message: Message) -> Any:
        bodies.append(message.body)
        if broken:
            raise BackendUnavailable("down")
        return "thanks"

    class Telling(Spoken):
        async def call(self, message: Message, session: Any, delivery: Any) -> Message:
            deliveries.append((message.id, delivery))
            return await super().call(message, session, delivery)

    Telling.answer = staticmethod(answer)
    text = f"flow: orders\nreceivers:\n{RECEIVERS}steps:\n- call: erp"
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(read_flow(text, "orders.yaml"), engine.manager, adapters={Http: Telling}) as flow,
    ):
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body="order"))
        with pytest.raises(StepFailed):
            await flow.resend("m-1")
        assert len((await flow.log.get("m-1", "orders")).runs) == 2
        broken = False
        answered = await flow.resend("m-1")
        assert answered is not None
        assert answered.body == "thanks"
        [entry] = await logged(flow, 1, outcome="done")
    assert bodies == ["order"] * 3
    assert len(set(deliveries)) == 1
    assert [run.outcome for run in entry.runs] == ["failed", "failed", "done"]
    assert entry.kept is None


async def test_of_many_who_send_a_message_again_at_once_one_does() -> None:
    # F17
    calls = 0
    go_on = anyio.Event()

    async def answer(name: str, message: Message) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise BackendUnavailable("down")
        await go_on.wait()

    told: list[str] = []
    async with orders(answer, steps="- call: erp") as flow:
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body="order"))

        async def again() -> None:
            try:
                await flow.resend("m-1")
            except Busy as exc:
                told.append(exc.code)
                if len(told) == 7:
                    go_on.set()
            else:
                told.append("done")

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(again)
        assert calls == 2
        assert told == ["session_busy"] * 7 + ["done"]
        await logged(flow, 1, outcome="done")
        with pytest.raises(BadInput, match="cannot be sent again: it is done"):
            await flow.resend("m-1")


async def test_a_message_that_is_too_long_or_has_no_form_is_logged_but_cannot_be_sent_again() -> None:
    async with orders(refused, steps="- filter: '1'\n- modify: {body: bad}\n- call: erp") as flow:
        for name, body, why in (("m-1", "x" * 300_000, "has 300,0"), ("m-2", object(), "of type object")):
            with pytest.raises(StepFailed):
                await flow.process(Message(id=name, body=body))
            with pytest.raises(BadInput, match=why):
                await flow.resend(name)


async def test_an_unknown_message_cannot_be_sent_again() -> None:
    async with orders() as flow:
        with pytest.raises(NotFound):
            await flow.resend("nothing")


@pytest.mark.parametrize(
    ("log", "kept"), [("all", ["failed", "done", "filtered"]), ("errors", ["failed"]), ("none", [])]
)
@pytest.mark.parametrize("named", [False, True])
async def test_a_flow_says_which_messages_are_kept(log: str, kept: list[str], named: bool, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flows.db"
    async with orders(refused, log=log, store=store) as flow:
        for number, body in enumerate(("", "good", "bad")):
            with suppress(StepFailed):
                await flow.process(Message(id=f"m-{number}" if named else "", body=body))
        assert log != "none" or not [one async for one in flow.deployment.manager.each("all", b"")]
    async with open_engine(store, kinds=flow_kinds()) as engine:
        assert {entry.outcome for entry in (await MessageLog(engine.manager).list()).entries} == set(kept)


async def test_a_message_that_comes_again_and_goes_well_is_noted_where_it_failed() -> None:
    broken = True

    async def answer(name: str, message: Message) -> Any:
        if broken:
            raise BackendUnavailable("down")

    async with orders(answer, steps="- call: erp", log="errors") as flow:
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body="order"))
        broken = False
        await flow.process(Message(id="m-2", body="order"))
        await flow.process(Message(id="m-1", body="order"))
        [entry] = await logged(flow, 1, outcome="done")
        assert (entry.id, [run.outcome for run in entry.runs]) == ("m-1", ["failed", "done"])
        assert (await flow.log.list()).entries == [entry]


async def test_a_message_without_calls_waits_for_nothing_to_be_written() -> None:
    async with orders(steps="- filter: '1'") as flow:
        await flow.process(Message())
        assert not [one async for one in flow.deployment.manager.each("kind", "flow_journal")]


async def test_messages_are_listed_newest_first_and_page_by_page() -> None:
    async with orders(refused) as flow:
        for number in range(30):
            with suppress(StepFailed):
                await flow.process(Message(id=f"m-{number:02}", body="bad" if number % 3 == 0 else "good"))
            if number % 10 == 0:
                await anyio.sleep(0.3)  # pages of different times
        await logged(flow, 30)
        pages, after = [], ""
        while True:
            listed = await flow.log.list("orders", after=after, count=4)
            pages.append([entry.id for entry in listed.entries])
            after = listed.after
            if not after:
                break
        ids = [name for page in pages for name in page]
        assert len(ids) == len(set(ids)) == 30
        assert [len(page) for page in pages[:7]] == [4] * 7
        failed = [entry.id for entry in await logged(flow, 10, outcome="failed")]
        assert failed == sorted(failed, reverse=True)
        assert (await flow.log.list("others")).entries == []
        with pytest.raises(BadInput):
            await flow.log.list(outcome="odd")
        with pytest.raises(BadInput):
            await flow.log.list(after="odd")


async def test_a_message_is_found_by_the_beginning_of_its_id() -> None:
    async with orders(refused) as flow:
        await flow.process(Message(id="abcdef-1", body="good"))
        with pytest.raises(StepFailed):
            await flow.process(Message(id="abcdef-2", body="bad"))
        await logged(flow, 2)
        assert (await flow.log.get("abcdef-1")).outcome == "done"
        assert (await flow.log.get("abcdef-2")).outcome == "failed"
        with pytest.raises(NotFound, match="2 messages"):
            await flow.log.get("abcdef")
        with pytest.raises(NotFound, match="no message"):
            await flow.log.get("abc")


async def test_failed_messages_are_kept_longer_than_others_and_a_number_of_pages_is_not_exceeded() -> None:
    clock = Clock()
    kept = Retention(failed_for=1000, done_for=100, failed_pages=3)
    async with orders(refused, clock=clock, retention=kept) as flow:
        await flow.process(Message(id="good", body="good"))
        for number in range(5):
            clock.advance(1)
            with pytest.raises(StepFailed):
                await flow.process(Message(id=f"bad-{number}", body="bad"))
        assert [entry.id for entry in await logged(flow, 4)] == ["bad-4", "bad-3", "bad-2", "good"]
        clock.advance(100)
        assert [entry.id for entry in (await flow.log.list()).entries] == ["bad-4", "bad-3", "bad-2"]
        clock.advance(1000)
        assert (await flow.log.list()).entries == []


async def test_a_stopped_message_is_in_the_log_as_failed() -> None:
    started = anyio.Event()

    async def answer(name: str, message: Message) -> Any:
        started.set()
        await anyio.sleep(60)

    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        adapter = type("Adapter", (Spoken,), {"answer": staticmethod(answer)})
        text = f"flow: orders\nreceivers:\n{RECEIVERS}steps:\n- call: erp"
        async with (
            deployed(read_flow(text, "orders.yaml"), engine.manager, adapters={Http: adapter}) as flow,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(flow.process, Message(id="m-1", body="order"))
            await started.wait()
            tasks.cancel_scope.cancel()
        entry = await MessageLog(engine.manager).get("m-1", "orders")
    assert entry.error is not None
    assert (entry.outcome, entry.error.code, entry.message().body) == ("failed", "interrupted", "order")


async def test_of_many_lines_the_first_and_the_last_are_kept() -> None:
    steps = "- loop: {while: 'body < 500', max: 1000, do: [{modify: {body: '${body + 1}'}}]}\n- call: erp"
    async with orders(refused, steps=steps + "\n- modify: {body: bad}\n- call: erp") as flow:
        with pytest.raises(StepFailed):
            await flow.process(Message(id="m-1", body=0))
        run = (await flow.log.get("m-1", "orders")).last
    assert (len(run.lines), run.count) == (200, 504)
    assert [line.kind for line in run.lines[-4:]] == ["loop", "call", "modify", "call"]


async def test_without_a_store_nothing_is_begun_that_could_not_be_found_again() -> None:
    called = 0

    async def answer(name: str, message: Message) -> Any:
        nonlocal called
        called += 1

    async with orders(answer) as flow:
        store: Store = flow.deployment.manager.store
        away = True

        async def append(*args: Any, **more: Any) -> int:
            if away:
                raise StoreUnavailable("gone")
            return await type(store.events).append(store.events, *args, **more)

        store.events.append = append  # type: ignore[method-assign]
        with pytest.raises(StepFailed) as caught:
            await flow.process(Message(id="m-1", body="order"))
        assert isinstance(caught.value.cause, StoreUnavailable)
        assert called == 0
        away = False
        await flow.process(Message(id="m-2", body=""))
        assert called == 1
        assert [entry.id for entry in await logged(flow, 2)] == ["m-2", "m-1"]
