"""Failed logons: how many there may be, by account, address and both."""

import anyio
import pytest

from holdfast.identity.attempts import Attempts, Most, TooManyAttempts
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock

MOST = Most(pair=3, account=6, address=5, window=100.0)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return Attempts(memory_store().counters, clock=clock, most=MOST)


async def failures(attempts: Attempts, account: str, address: str, most: int = 20) -> int:
    """Return how many attempts may fail until one is refused."""
    for number in range(most):
        try:
            await attempts.begin(account, address)
        except TooManyAttempts:
            return number
    return most


async def test_one_account_from_one_address_is_stopped_soon(attempts: Attempts, clock: Clock) -> None:  # R75
    assert await failures(attempts, "ann", "10.0.0.1") == 3
    with pytest.raises(TooManyAttempts) as refused:
        await attempts.begin("ann", "10.0.0.1")
    assert refused.value.retry_after == MOST.window
    await attempts.begin("ann", "10.0.0.2")  # its owner, elsewhere
    clock.now += 100.0
    assert await failures(attempts, "ann", "10.0.0.1") == 3


async def test_one_account_from_many_addresses_and_many_accounts_from_one_are_stopped(attempts: Attempts) -> None:
    spread = [await failures(attempts, "ann", f"10.0.0.{number}", 1) for number in range(10)]
    assert spread == [1] * 6 + [0] * 4
    sprayed = [await failures(attempts, f"n{number}", "10.1.0.1", 1) for number in range(10)]
    assert sprayed == [1] * 5 + [0] * 5


async def test_who_succeeds_is_not_counted(attempts: Attempts) -> None:
    for _ in range(50):
        await attempts.begin("ann", "10.0.0.1")
        await attempts.succeeded("ann", "10.0.0.1")
    assert await failures(attempts, "ann", "10.0.0.1") == 3


async def test_guesses_made_at_once_all_count(attempts: Attempts) -> None:
    went: list[int] = []

    async def guess() -> None:
        went.append(await failures(attempts, "ann", "10.0.0.1", 1))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(guess)
    assert sum(went) == 3
