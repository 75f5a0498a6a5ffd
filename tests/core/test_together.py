"""Many small errands at once."""

import anyio
import pytest

from holdfast.core.together import MANY, every
from holdfast.errors import StoreUnavailable


async def test_each_result_stands_where_its_item_stood_and_no_more_than_so_many_errands_run_at_once() -> None:
    running = most = 0

    async def errand(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0)
        running -= 1
        return 2 * number

    with anyio.fail_after(5):
        assert await every(errand, range(3 * MANY)) == [2 * number for number in range(3 * MANY)]
    assert most == MANY
    assert await every(errand, []) == []


async def test_an_errand_that_fails_keeps_no_other_from_being_done() -> None:
    done = []

    async def errand(number: int) -> None:
        await anyio.sleep(0)
        if number % 2:
            raise StoreUnavailable(str(number))
        done.append(number)

    with anyio.fail_after(5), pytest.raises(StoreUnavailable, match=r"^1$"):
        await every(errand, range(6))
    assert done == [0, 2, 4]
