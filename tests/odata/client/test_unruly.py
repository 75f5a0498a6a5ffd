"""The client against a service that misbehaves as real ones are reported to, over real HTTP (O16-O18)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from holdfast.backend.wire import AnswerLost
from holdfast.errors import BackendError, BackendUnavailable, LogonFailed
from holdfast.odata.client import Loss, ServiceError, StickyClient, StickySessionLost
from holdfast.testing.clock import Clock
from odata.client.unruly import GONE, Answer, Fault, Unruly, bare, listening

ONE, TWO = "Orders('1')", "Orders('2')"
OVERLOADED: Answer = (503, {"retry-after": "7"}, b"busy")
BROKEN: Answer = (502, {}, b"proxy")
PAGE: Answer = (200, {"content-type": "text/html"}, b"<html>Log on</html>")


class World:
    """A service, a client of it, and what the client told of losses."""

    def __init__(self, service: Unruly, client: StickyClient, clock: Clock, losses: list[Loss]) -> None:
        self.service, self.client, self.clock, self.losses = service, client, clock, losses

    def sessions_of(self, line: str) -> list[str]:
        return [asked.session for asked in self.service.asked if str(asked) == line]


@asynccontextmanager
async def made(cap: float | None = 1800.0) -> AsyncIterator[World]:
    """The client is not entered: nothing is kept alive but by the test."""
    service, clock, losses = Unruly(), Clock(), list[Loss]()
    with anyio.fail_after(30):
        async with listening(service) as origin:
            client = StickyClient(f"{origin}/svc", on_loss=losses.append, cap=cap, clock=clock, timeout=5.0)
            try:
                yield World(service, client, clock, losses)
            finally:
                await client.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with made() as world:
        yield world


# -- loss, and what is none


async def test_a_slow_read_that_crosses_an_edit_does_not_end_its_session(world: World) -> None:  # O16, scenario G
    held = anyio.Event()
    fault = Fault("GET Orders", hold=held)
    world.service.faults.append(fault)
    await world.client.service()
    async with anyio.create_task_group() as group:
        group.start_soon(world.client.read, "Orders")
        await fault.arrived.wait()
        order = await world.client.edit(ONE)
        held.set()
    assert world.client.inside
    await order.save()
    assert world.losses == []
    assert world.service.sessions == {}


async def test_an_error_without_the_id_is_probed_and_the_session_goes_on(world: World) -> None:  # O16
    order = await world.client.edit(ONE)
    order["Note"] = "kept"
    world.service.faults.append(Fault("PATCH", before=(500, {}, b"proxy")))
    with pytest.raises(ServiceError) as failed:
        await order.save()
    assert failed.value.answer_status == 500
    assert world.service.lines()[-1] == "HEAD "
    assert world.sessions_of("HEAD ")[0] in world.service.sessions
    await order.save()
    assert world.losses == []
    assert world.service.stored["1"]["Note"] == "kept"


async def test_an_overloaded_server_is_no_loss_and_says_when_to_come_back(world: World) -> None:
    order = await world.client.edit(ONE)
    world.service.faults += [Fault(f"GET {ONE}", before=OVERLOADED), Fault("HEAD", before=OVERLOADED)]
    world.service.faults.append(Fault(f"GET {ONE}", before=OVERLOADED))
    with pytest.raises(ServiceError) as busy:
        await world.client.read(ONE)
    assert (busy.value.answer_status, busy.value.retry_after) == (503, 7.0)
    assert world.client.inside  # nobody could be asked: not sure, but not lost
    await order.save()
    assert world.losses == []


async def test_a_session_the_server_does_not_know_is_one_loss_and_nothing_is_replayed(world: World) -> None:  # O16
    order = await world.client.edit(ONE)
    order["Note"] = "gone"
    world.service.sessions.clear()
    with pytest.raises(StickySessionLost):
        await order.save()
    sent = len(world.service.asked)
    for step in (order.save, order.flush, order.refresh, world.client.discard):
        with pytest.raises(StickySessionLost):
            await step()
    with pytest.raises(StickySessionLost):
        await world.client.patch(ONE, {"Note": "again"})
    assert len(world.service.asked) == sent
    assert [loss.unsaved for loss in world.losses] == [(ONE,)]
    assert world.service.lines().count(f"PATCH {ONE}") == 1
    again = await world.client.edit(ONE)
    await again.save()
    assert len(world.losses) == 1


async def test_a_dead_id_found_while_a_token_is_fetched_sends_no_change(world: World) -> None:
    order = await world.client.edit(ONE)
    order["Note"] = "x"
    world.service.token = "T2"
    world.service.faults.append(Fault("HEAD", before=GONE))
    with pytest.raises(StickySessionLost):
        await order.flush()
    assert world.service.lines()[-2:] == [f"PATCH {ONE}", "HEAD "]  # the one that was refused


async def test_a_loss_inside_of_the_block_is_told_by_the_block(world: World) -> None:
    with pytest.raises(StickySessionLost) as lost:
        async with world.client.edit(ONE) as order:
            order["Note"] = "x"
            world.service.sessions.clear()
    assert lost.value.loss == world.losses[0]
    assert world.service.lines()[-1] == f"PATCH {ONE}"  # no discard of what is not there


async def test_a_deletion_cookie_on_an_error_is_taken_and_the_session_asked_for(world: World) -> None:
    # abap-adt-api issue 50: it comes on errors, and clients that look at good answers only keep a dead cookie
    order = await world.client.edit(ONE)
    expired = "expires=Thu, 01 Jan 1970 00:00:00 GMT"
    world.service.set_cookies = ["sap-usercontext=sap-client=100; path=/"]
    await order.refresh()
    await order.refresh()
    assert world.service.asked[-1].headers["cookie"] == "sap-usercontext=sap-client=100"
    world.service.set_cookies = [f"sap-contextid=0; path=/; {expired}", f"sap-usercontext=x; path=/; {expired}"]
    world.service.faults.append(Fault("GET", before=(404, {}, b"")))
    with pytest.raises(ServiceError):
        await order.refresh()
    assert "cookie" not in world.service.asked[-1].headers
    assert world.client.inside
    await order.save()
    assert world.losses == []


async def test_the_id_travels_as_a_header_and_never_as_a_cookie(world: World) -> None:
    world.service.set_cookies = ["sap-contextid=SID%3aANON; path=/", "SAP_SESSIONID_X_001=s; path=/"]
    order = await world.client.edit(ONE)
    await order.save()
    assert world.service.asked[-1].headers["cookie"] == "SAP_SESSIONID_X_001=s"


async def test_an_id_in_any_other_answer_starts_nothing(world: World) -> None:  # O16
    world.service.faults.append(Fault("GET Orders", after=lambda answer: (*with_id(answer), answer[2])))
    await world.client.read("Orders")
    await world.client.read("Orders")
    assert world.service.asked[-1].session == ""
    assert not world.client.inside


def with_id(answer: Answer) -> tuple[int, dict[str, str]]:
    return answer[0], answer[1] | {"sap-contextid": "invented", "sap-http-session-timeout": "60"}


async def test_a_service_that_begins_no_session_is_told_of(world: World) -> None:
    world.service.faults.append(Fault("Demo.Edit", after=bare))
    with pytest.raises(BackendError, match="no SAP-ContextId"):
        await world.client.edit(ONE)
    assert not world.client.inside


async def test_a_good_answer_without_the_id_is_no_loss_if_the_server_says_so(world: World) -> None:
    order = await world.client.edit(ONE)
    order["Note"] = "kept"
    world.service.faults.append(Fault("PATCH", after=bare))
    await order.save()
    assert world.losses == []
    assert world.service.stored["1"]["Note"] == "kept"


async def test_a_read_that_ends_the_session_by_mistake_loses_what_is_unsaved(world: World) -> None:
    # §2.8: a stateless handler called with a live id may end the context and answer 200
    await world.client.edit(ONE)

    def ending(answer: Answer) -> Answer:
        world.service.sessions.clear()
        return bare(answer)

    world.service.faults.append(Fault("GET", after=ending))
    with pytest.raises(StickySessionLost):
        await world.client.read("Orders")
    assert [loss.unsaved for loss in world.losses] == [(ONE,)]


async def test_a_save_that_ends_the_session_of_another_entity_is_saved_and_the_other_lost(world: World) -> None:
    first, second = await world.client.edit(ONE), await world.client.edit(TWO)

    def ending(answer: Answer) -> Answer:
        world.service.sessions.clear()
        return bare(answer)

    world.service.faults.append(Fault("Demo.Save", after=ending))
    await first.save()
    assert [loss.unsaved for loss in world.losses] == [(TWO,)]
    assert first.loss is None
    with pytest.raises(StickySessionLost):
        await second.save()


async def test_a_session_that_should_be_over_and_is_not_is_discarded_before_the_next(world: World) -> None:
    first = await world.client.edit(ONE)
    context = next(iter(world.service.sessions))
    more = {"sap-contextid": context, "sap-http-session-timeout": "600"}
    world.service.faults.append(Fault("Demo.Save", after=lambda answer: (answer[0], answer[1] | more, answer[2])))
    await first.save()
    assert world.client.inside  # the server says so
    second = await world.client.edit(ONE)
    assert world.service.lines()[-2:] == ["POST Discard", f"POST {ONE}/Demo.Edit"]
    assert world.service.asked[-1].session == ""
    await second.save()
    assert world.losses == []


async def test_a_logon_page_in_the_middle_is_a_missing_logon_and_no_end(world: World) -> None:
    order = await world.client.edit(ONE)
    world.service.faults.append(Fault("GET", before=PAGE))
    with pytest.raises(LogonFailed):
        await order.refresh()
    assert world.client.inside
    await order.save()
    assert world.losses == []


# -- CSRF


async def test_an_expired_token_is_fetched_in_the_same_session_and_the_request_repeated(world: World) -> None:
    order = await world.client.edit(ONE)
    order["Note"] = "x"
    world.service.token = "T2"
    world.service.set_cookies = ["sap-XSRF_X_001=new; path=/"]  # with the refusal: an error's cookie
    await order.save()
    context = world.sessions_of(f"PATCH {ONE}")[0]
    assert world.service.lines()[1:] == [f"PATCH {ONE}", "HEAD ", f"PATCH {ONE}", f"POST {ONE}/Demo.Save"]
    assert {asked.session for asked in world.service.asked[-4:]} == {context}
    assert world.service.asked[-2].headers["x-csrf-token"] == "T2"
    assert world.service.asked[-2].headers["cookie"] == "sap-XSRF_X_001=new"
    assert world.service.stored["1"]["Note"] == "x"


# -- answers that do not come


async def test_a_lost_answer_is_asked_for_and_not_sent_again(world: World) -> None:  # O16
    order = await world.client.edit(ONE)
    order["Note"] = "sent"
    world.service.faults.append(Fault("PATCH", cut=True))
    with pytest.raises(AnswerLost):
        await order.flush()
    assert world.service.lines()[-2:] == [f"PATCH {ONE}", "HEAD "]
    assert world.client.inside
    await order.refresh()
    assert order.changes == {"Note": "sent"}
    await order.save()
    assert world.service.stored["1"]["Note"] == "sent"


async def test_a_save_whose_answer_is_lost_and_whose_session_has_ended_may_have_been_carried_out(world: World) -> None:
    order = await world.client.edit(ONE)
    world.service.faults.append(Fault("Demo.Save", cut=True))
    with pytest.raises(AnswerLost) as unknown:
        await order.save()
    assert "before you repeat" in unknown.value.hint
    assert not world.client.inside
    assert [loss.unsaved for loss in world.losses] == [(ONE,)]


async def test_an_edit_whose_answer_is_lost_says_that_a_lock_may_be_held(world: World) -> None:
    world.service.faults.append(Fault("Demo.Edit", cut=True))
    with pytest.raises(AnswerLost) as unknown:
        await world.client.edit(ONE)
    assert "nobody knows" in unknown.value.hint
    assert not world.client.inside


async def test_unsure_of_its_session_the_client_asks_before_the_next_change(world: World) -> None:
    order = await world.client.edit(ONE)
    world.service.faults += [Fault("GET", cut=True), Fault("HEAD", before=BROKEN), Fault("GET", before=BROKEN)]
    with pytest.raises(AnswerLost):
        await order.refresh()
    world.service.sessions.clear()
    order["Note"] = "x"
    with pytest.raises(StickySessionLost):
        await order.save()
    assert world.service.lines()[-1] == "HEAD "  # the change was not even sent


# -- keeping alive, the cap


async def test_an_open_session_is_touched_before_its_end_and_reads_its_timeout_anew(world: World) -> None:  # O17
    await world.client.edit(ONE)
    start = world.clock()
    assert await world.client.keep_alive() == start + 595
    world.clock.advance(595)
    world.service.timeout = "30"
    assert await world.client.keep_alive() == world.clock() + 10
    assert world.service.lines()[-1] == "HEAD "
    assert "if-match" not in world.service.asked[-1].headers


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", ""])
async def test_a_timeout_that_makes_no_sense_is_taken_for_a_short_one(world: World, wrong: str) -> None:
    world.service.timeout = wrong
    await world.client.edit(ONE)
    assert await world.client.keep_alive() == world.clock() + 55


async def test_a_touch_that_finds_the_session_gone_tells_of_the_loss_at_once(world: World) -> None:
    await world.client.edit(ONE)
    world.service.sessions.clear()
    world.clock.advance(595)
    assert await world.client.keep_alive() is None
    assert [loss.unsaved for loss in world.losses] == [(ONE,)]


async def test_a_touch_that_fails_is_repeated_soon(world: World) -> None:
    await world.client.edit(ONE)
    world.clock.advance(595)
    world.service.faults += [Fault("HEAD", before=BROKEN), Fault("GET", before=BROKEN)]
    assert await world.client.keep_alive() == world.clock() + 2
    world.clock.advance(2)
    assert await world.client.keep_alive() == world.clock() + 595
    assert world.losses == []


async def test_a_session_nobody_uses_is_discarded_at_the_cap_and_not_only_forgotten(world: World) -> None:  # O17
    order = await world.client.edit(ONE)
    for _ in range(3):
        world.clock.advance(595)
        await world.client.keep_alive()
    world.clock.advance(15)
    assert await world.client.keep_alive() is None
    assert world.service.sessions == {}
    assert world.service.lines()[-1] == "POST Discard"
    assert [(loss.unsaved, loss.given_up) for loss in world.losses] == [((ONE,), True)]
    with pytest.raises(StickySessionLost, match="not used for 1800 s"):
        await order.save()


async def test_using_the_session_puts_the_cap_off_and_without_a_cap_it_lives_on() -> None:
    async with made(cap=None) as world:
        await world.client.edit(ONE)
        world.clock.advance(100_000)
        await world.client.keep_alive()
        assert world.client.inside
    async with made(cap=500.0) as world:
        order = await world.client.edit(ONE)
        world.clock.advance(400)
        await order.refresh()
        assert await world.client.keep_alive() == world.clock() + 500


async def test_an_entered_client_keeps_its_session_alive_by_itself() -> None:  # O17
    service, clock = Unruly(), Clock()
    with anyio.fail_after(30):
        async with listening(service) as origin:
            touched = Fault("HEAD")
            service.faults.append(touched)
            client = StickyClient(f"{origin}/svc", clock=clock)
            await client.edit(ONE)
            clock.advance(599)
            async with client:
                await touched.arrived.wait()
            assert service.sessions == {}


# -- the end


async def test_a_session_that_cannot_be_discarded_is_terminated(world: World) -> None:  # O18
    await world.client.edit(ONE)
    world.service.faults.append(Fault("Discard", before=(500, {}, b"")))
    world.service.faults += [Fault("HEAD"), Fault("HEAD", before=(200, {}, b""))]
    closed = await world.client.close()
    assert closed.how == "terminated"
    assert world.service.asked[-1].headers["sap-terminate"] == "session"
    assert world.service.asked[-1].session
    assert world.losses == []


async def test_a_session_that_nobody_ends_is_reported_with_the_latest_end_of_its_locks(world: World) -> None:  # O18
    await world.client.edit(ONE)
    world.clock.advance(100)
    world.service.faults += [Fault(on, before=BROKEN) for on in ("Discard", "HEAD", "GET", "HEAD")]
    closed = await world.client.close()
    assert (closed.how, closed.locked_until) == ("left", world.clock() + 600)
    assert [(loss.unsaved, loss.locked_until) for loss in world.losses] == [((ONE,), world.clock() + 600)]


async def test_a_service_that_cannot_be_reached_at_the_end_is_reported_too() -> None:  # O18
    losses: list[Loss] = []
    service, clock = Unruly(), Clock()
    with anyio.fail_after(30):
        async with listening(service) as origin:
            client = StickyClient(f"{origin}/svc", on_loss=losses.append, clock=clock)
            await client.edit(ONE)
        edited_at = clock()
        clock.advance(50)
        with pytest.raises(BackendUnavailable):
            await client.read(ONE)
        closed = await client.close()
    assert closed.how == "left"
    assert closed.locked_until is not None
    assert edited_at + 600 <= closed.locked_until <= clock() + 600
    assert [loss.why for loss in losses] == ["it could not be ended at the server"]


async def test_a_cancelled_block_discards_before_it_is_left() -> None:
    service = Unruly()
    with anyio.fail_after(30):
        async with listening(service) as origin, StickyClient(f"{origin}/svc") as client:
            with anyio.CancelScope() as scope:
                async with client.edit(ONE):
                    scope.cancel()
                    await anyio.sleep_forever()
            assert service.sessions == {}
            assert service.lines()[-1] == "POST Discard"


async def test_a_discard_that_fails_without_ending_the_session_can_be_repeated(world: World) -> None:
    await world.client.edit(ONE)
    world.service.faults.append(Fault("Discard", before=(503, {}, b"")))
    with pytest.raises(ServiceError):
        await world.client.discard()
    assert world.client.unsaved == {ONE}
    await world.client.discard()
    assert world.service.sessions == {}


async def test_discarding_a_session_that_is_gone_is_no_error_and_no_loss(world: World) -> None:
    await world.client.edit(ONE)
    world.service.sessions.clear()
    await world.client.discard()
    assert world.losses == []
    assert not world.client.inside


async def test_requests_of_a_session_go_one_after_the_other(world: World) -> None:  # O8, the client's part
    order = await world.client.edit(ONE)
    held = anyio.Event()
    slow = Fault("GET", hold=held)
    world.service.faults.append(slow)
    async with anyio.create_task_group() as group:
        group.start_soon(world.client.read, ONE)
        await slow.arrived.wait()
        group.start_soon(order.save)
        await anyio.wait_all_tasks_blocked()
        assert world.service.lines()[-1] == f"GET {ONE}"
        held.set()
    assert world.service.lines()[-1] == f"POST {ONE}/Demo.Save"
