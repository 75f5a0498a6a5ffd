"""Places for calls in flight: as many as allowed, each agent in turn, and none is lost (A29)."""

import anyio
import pytest

from holdfast.backend.quotas import Quotas
from holdfast.config import SystemSettings
from holdfast.errors import BackendUnavailable, QuotaExceeded

SETTINGS = SystemSettings(url="http://sap.test", quota_calls=2, quota_wait=0.02)
PATIENT = SETTINGS.model_copy(update={"quota_wait": 5.0})


async def test_a_call_that_waits_too_long_is_refused_with_what_is_allowed_and_when_to_ask_again() -> None:
    quotas = Quotas(5)
    async with (
        quotas.call("dev 001 ANN", SETTINGS, client="me", agent=b"a"),
        quotas.call("dev 001 ANN", SETTINGS, client="me", agent=b"b"),
    ):
        with pytest.raises(QuotaExceeded, match=r"2 for dev 001 ANN and 5 of one client") as refused:
            async with quotas.call("dev 001 ANN", SETTINGS, client="you", agent=b"c"):
                pytest.fail("there was no place")
        async with quotas.call("dev 001 BOB", SETTINGS, client="you", agent=b"c"):
            pass  # another SAP user
    assert (refused.value.code, refused.value.status, refused.value.retry_after) == ("quota_exceeded", 429, 5.0)
    assert isinstance(refused.value, BackendUnavailable)  # nothing was sent
    assert "5 seconds" in refused.value.hint


async def test_one_client_has_its_number_at_all_systems_together() -> None:
    quotas = Quotas(1)
    async with quotas.call("dev 001 ANN", SETTINGS, client="me", agent=b"a"):
        with pytest.raises(QuotaExceeded):
            async with quotas.call("prod 001 ANN", SETTINGS, client="me", agent=b"b"):
                pytest.fail("there was no place")
        async with quotas.call("prod 001 ANN", SETTINGS, client="", agent=b"b"):
            pass  # nobody says who they are: only the SAP user counts


async def test_an_error_of_the_call_itself_stays_what_it_is_and_gives_the_place_back() -> None:
    quotas = Quotas(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with quotas.call("dev 001 ANN", SETTINGS, client="me", agent=b"a"):
                raise ZeroDivisionError


async def test_agents_are_served_in_turn_and_never_more_at_once_than_allowed() -> None:
    quotas, order, inside, most = Quotas(50), [], 0, 0

    async def call(agent: bytes) -> None:
        nonlocal inside, most
        async with quotas.call("dev 001 ANN", PATIENT, client="me", agent=agent):
            inside, most = inside + 1, max(most, inside + 1)
            await anyio.lowlevel.checkpoint()
            inside -= 1
        order.append(agent)

    async with anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(call, b"greedy")
        await anyio.lowlevel.checkpoint()
        for agent in (b"b", b"c"):
            tasks.start_soon(call, agent)
    assert most == 2
    assert max(order.index(b"b"), order.index(b"c")) < 12


async def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    quotas = Quotas(1)
    async with quotas.call("dev 001 ANN", PATIENT, client="me", agent=b"a"), anyio.create_task_group() as tasks:
        tasks.start_soon(_stay, quotas)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(1):
        async with quotas.call("dev 001 ANN", PATIENT, client="me", agent=b"c"):
            pass


async def _stay(quotas: Quotas) -> None:
    async with quotas.call("dev 001 ANN", PATIENT, client="me", agent=b"b"):
        await anyio.sleep_forever()
