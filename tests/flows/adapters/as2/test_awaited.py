"""Receipts that come later, over the wire, to any worker (RFC 4130 §7.2)."""

import logging
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from e2e.flows_world import Receiver
from flows.adapters.as2.served import Worker, worker
from flows.adapters.as2.world import OURS, flow
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.flows import flow_kinds
from holdfast.flows.adapters.as2.awaited import AWAITED, Awaited
from holdfast.flows.failures import BadReceipt, DispositionRefused
from holdfast.flows.runtime import StepFailed
from holdfast.stores import open_store
from holdfast.testing.clock import Clock

WAITS = ", wait: 20"
NAMED = "6f0b1a4e-2f43-4a51-9f0c-6d2f2d1f5b7e"


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.flows.as2")


async def deliver(partner: Receiver, number: int = 0, **changes: Any) -> dict[str, Any]:
    """Let the partner send one of its receipts; return how it was answered."""
    return await anyio.to_thread.run_sync(partner.tell, "deliver", {"number": number, **changes})


async def stored(at: Worker) -> list[str]:
    """Return the labels of the receipts that are expected or there."""
    found = await at.engine.store.sessions.find("kind", AWAITED)
    return [record.label for record in found]


async def test_a_call_returns_at_once_and_its_receipt_is_told_when_it_comes(
    partner: Receiver, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # F16
    async with worker(folder, partner) as here:
        result = await here.send()
        message_id = result.headers["as2-message-id"]
        assert "as2-disposition" not in result.headers
        [request] = partner.tell()["requests"]
        assert request["headers"]["receipt-delivery-option"] == here.url
        assert await stored(here) == [f"partner {message_id}"[:60]]
        assert (await deliver(partner))["status"] == 200
    assert f"partner: {message_id}: automatic-action/MDN-sent-automatically; processed" in caplog.messages
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def in_time(here: Worker, partner: Receiver, **changes: Any) -> Any:
    """Send a message that waits for its receipt, let that be delivered meanwhile, and return what became of it."""
    became: list[Any] = []

    async def send() -> None:
        try:
            became.append(await here.send())
        except StepFailed as exc:
            became.append(exc.cause)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        while not (await anyio.to_thread.run_sync(partner.tell))["receipts"]:
            await anyio.sleep(0.02)
        assert (await deliver(partner, **changes))["status"] == 200
    return became[0]


async def test_a_call_can_wait_for_its_receipt(partner: Receiver, folder: Path) -> None:
    async with worker(folder, partner, WAITS) as here:
        result = await in_time(here, partner)
    assert result.headers["as2-disposition"].endswith("processed")
    assert b"Original-Message-ID" in result.body


async def test_a_refusal_that_comes_later_is_an_error_of_the_call_that_waits(
    partner: Receiver, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    partner.tell("answer", {"disposition": "processed/error: decryption-failed"})
    async with worker(folder, partner, WAITS) as here:
        failure = await in_time(here, partner)
    assert isinstance(failure, DispositionRefused)
    assert failure.disposition == "processed/error: decryption-failed"
    assert any("did not process the message: processed/error" in one for one in caplog.messages)


async def test_another_content_is_an_error_when_it_comes_later_too(partner: Receiver, folder: Path) -> None:
    partner.tell("answer", {"mic": "b3RoZXI=, sha-256"})
    async with worker(folder, partner, WAITS) as here:
        failure = await in_time(here, partner)
    assert isinstance(failure, BadReceipt)


async def test_who_waits_too_long_is_told_and_the_receipt_is_still_taken(partner: Receiver, folder: Path) -> None:
    async with worker(folder, partner, ", wait: 0.2") as here:
        with pytest.raises(StepFailed, match=r"no receipt came within 0\.2 s") as caught:
            await here.send()
        assert isinstance(caught.value.cause, BadReceipt)
        assert (await deliver(partner))["status"] == 200


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"


async def test_a_receipt_comes_to_another_worker(partner: Receiver, folder: Path, url: str) -> None:
    async with (
        open_store(url) as store,
        worker(folder, partner, WAITS, store=store) as here,
        worker(folder, partner, WAITS, store=store, name="other") as there,
    ):
        result = await in_time(here, partner, url=there.url)
    assert result.headers["as2-disposition"].endswith("processed")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"signer": "other"}, "signed by somebody else"),
        ({"signer": ""}, "the receipt is not signed"),
        ({"change": ["processed", "Processed"]}, "the content is another than what was signed"),
        ({"raw": ["text/plain", "hello"]}, "what came instead of a receipt"),
        ({"text": "x" * 300_000}, ""),
        ({"id": "<another@you>"}, "no receipt is expected for such a message"),
    ],
)
async def test_what_is_not_the_partners_receipt_is_refused_and_the_true_one_still_taken(
    partner: Receiver, folder: Path, answer: dict[str, Any], said: str
) -> None:
    partner.tell("answer", answer)
    async with worker(folder, partner) as here:
        await here.send(name="m1")
        told = await deliver(partner)
        assert told["status"] in (400, 404, 413)
        assert said in told["body"]
        partner.tell("answer", {})
        result = await here.send(name="m1")
        assert "as2-disposition" not in result.headers
        assert (await deliver(partner, 1))["status"] == 200


async def test_the_first_receipt_decides_and_another_changes_nothing(
    partner: Receiver, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker(folder, partner) as here:
        await here.send(name="m1")
        partner.tell("answer", {"disposition": "failed/failure: no space"})
        await here.send(name="m1")
        for number in (0, 1, 0):
            assert (await deliver(partner, number))["status"] == 200
        result = await here.send(name="m1")
    assert result.headers["as2-disposition"].endswith("processed")
    assert len(partner.tell()["requests"]) == 2  # what was processed is not sent again
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_another_content_under_the_same_name_is_sent_all_the_same(partner: Receiver, folder: Path) -> None:
    async with worker(folder, partner, f", message_id: '{NAMED}'") as here:
        await here.send("one")
        await deliver(partner)
        assert "as2-disposition" in (await here.send("one")).headers
        assert "as2-disposition" not in (await here.send("two")).headers
    first, second = partner.tell()["requests"]
    assert (first["content"], second["content"]) == ("one", "two")
    assert first["headers"]["message-id"] == second["headers"]["message-id"] == f"<{NAMED}@me>"


async def test_what_was_refused_can_be_sent_again(partner: Receiver, folder: Path) -> None:
    async with worker(folder, partner) as here:
        partner.tell("answer", {"disposition": "failed/failure: no space"})
        await here.send(name="m1")
        await deliver(partner)
        partner.tell("answer", {})
        await here.send(name="m1")
        await deliver(partner, 1)
        result = await here.send(name="m1")
    assert result.headers["as2-disposition"].endswith("processed")
    assert len(partner.tell()["requests"]) == 2


@pytest.mark.parametrize(("status", "left"), [(500, 0), (429, 0), (503, 1)])
async def test_nothing_is_expected_for_a_message_that_surely_did_not_go_out(
    partner: Receiver, folder: Path, status: int, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    partner.tell("answer", {"status": status})
    async with worker(folder, partner, ", retry: {times: 0}") as here:
        with pytest.raises(StepFailed, match=str(status)):
            await here.send()
        records = await here.engine.store.sessions.find("kind", AWAITED)
        assert len([one for one in records if one.ended_at is None]) == left
    assert len([one for one in caplog.messages if "no receipt came" in one]) == left


async def test_a_message_that_was_turned_away_is_repeated_and_expected_again(partner: Receiver, folder: Path) -> None:
    # F17
    partner.tell("answer", {"status": 429})
    async with worker(folder, partner, ", retry: {times: 2, first: 0.01}") as here:
        with pytest.raises(StepFailed, match="429"):
            await here.send(name="m1")
        partner.tell("answer", {})
        await here.send(name="m1")
        assert (await deliver(partner, 3))["status"] == 200
    assert len({one["headers"]["message-id"] for one in partner.tell()["requests"]}) == 1


async def test_a_receipt_that_does_not_come_is_told(
    partner: Receiver, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(time.time())
    async with worker(folder, partner, ", receipt_within: 60", clock=clock) as here:
        message_id = (await here.send()).headers["as2-message-id"]
        clock.advance(61)
        with anyio.fail_after(20):
            while await stored(here):
                await here.engine.keeper.sweep()
                await anyio.sleep(0.02)
        assert (await deliver(partner))["status"] == 404
    assert f"partner: no receipt came for {message_id}" in caplog.messages


async def test_a_certificate_that_expires_while_the_flow_runs_is_told_by_the_next_call(
    partner: Receiver, folder: Path
) -> None:
    clock = Clock(time.time())
    async with worker(folder, partner, ", wait: 20", clock=clock) as here:
        clock.advance(31 * 86_400)
        with pytest.raises(StepFailed, match=r"orders\.yaml:5: call: our own certificate expired on 20") as caught:
            await here.send()
    assert isinstance(caught.value.cause, ConfigurationError)
    assert partner.tell()["requests"] == []


async def test_receivers_share_the_path_at_which_receipts_come(partner: Receiver, folder: Path) -> None:
    more = f"}}\n  second: {{adapter: as2, url: '{partner.url}', {OURS}, receipt_url: 'http://127.0.0.1:9/r'"
    async with worker(folder, partner, more) as here:
        await here.send()
        assert (await deliver(partner))["status"] == 200


async def test_a_receipt_that_comes_later_needs_a_server(folder: Path, partner: Receiver) -> None:
    receiver = f"url: '{partner.url}', {OURS}, receipt_url: 'http://127.0.0.1:9/r', receipt_path: /mine"
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:4: .* has to answer at /mine, and no server runs"):
        async with flow(folder, receiver):
            pass


async def test_nothing_is_expected_without_a_message() -> None:
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        awaited = Awaited(engine.manager, "<1@me>")
        await awaited.forget()
        with pytest.raises(BadReceipt, match="no receipt came"):
            await awaited.wait(0.05)
