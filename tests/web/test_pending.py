"""Requests of browsers that are away: found once, soon, and by the browser that left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.errors import BadInput
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.web.cookies import Cookie
from holdfast.web.kinds import KINDS, PENDING
from holdfast.web.pending import Pending, browser_token

BROWSER, OTHER = "b" * 43, "o" * 43


def pending(clock: Clock | None = None) -> Pending:
    ring = KeyRing.parse(new_key_text())
    return Pending(Manager(memory_store(), ring, KINDS, worker="one", clock=clock or Clock(1000.0)))


async def test_what_was_kept_comes_back_once() -> None:
    waiting = pending()
    handle = await waiting.begin({"next": "/a", "deep": {"x": [1]}}, BROWSER, client="192.0.2.1")
    assert await waiting.take(handle, BROWSER) == {"next": "/a", "deep": {"x": [1]}}
    with pytest.raises(BadInput):
        await waiting.take(handle, BROWSER)


@pytest.mark.parametrize("browser", [OTHER, "", "ü"])
async def test_another_browser_gets_nothing_and_takes_nothing_away(browser: str) -> None:  # T10
    waiting = pending()
    handle = await waiting.begin({"next": "/a"}, BROWSER)
    with pytest.raises(BadInput):
        await waiting.take(handle, browser)
    assert await waiting.take(handle, BROWSER) == {"next": "/a"}


async def test_all_addresses_of_one_network_together_fill_the_limit_of_one() -> None:  # T19
    manager = Manager(memory_store(), KeyRing.parse(new_key_text()), KINDS, worker="one", clock=Clock(1000.0))
    for number in range(1, 4):
        await Pending(manager).begin({}, BROWSER, client=f"2001:db8::{number}")
    clients = {record.client async for record in manager.each("kind", PENDING)}
    assert clients == {"2001:db8::/64"}


@pytest.mark.parametrize("handle", ["", "x", "A" * 43, "../..", "\x00"])
async def test_a_handle_that_nobody_gave_is_none(handle: str) -> None:  # R3
    with pytest.raises(BadInput, match="begun too long ago"):
        await pending().take(handle, BROWSER)


async def test_nobody_waits_longer_than_ten_minutes() -> None:
    clock = Clock(1000.0)
    waiting = pending(clock)
    first, second = [await waiting.begin({}, BROWSER) for _ in range(2)]
    clock.now += 599.9
    assert await waiting.take(first, BROWSER) == {}
    clock.now += 0.1
    with pytest.raises(BadInput):
        await waiting.take(second, BROWSER)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.booleans()), max_size=12))
async def test_in_any_order_each_request_is_taken_once_and_by_its_own(steps: list[tuple[str, int, bool]]) -> None:
    """A step is a browser, the number of a request, and whether it is begun or taken."""
    waiting = pending()
    handles: dict[tuple[str, int], str] = {}
    open_: set[tuple[str, int]] = set()
    for browser, number, begins in steps:
        one = (browser, number)
        if begins:
            handles[one] = await waiting.begin({"n": number}, browser * 43)
            open_.add(one)
            continue
        for owner in "ab":
            handle = handles.get((owner, number), "A" * 43)
            if owner == browser and one in open_:
                assert await waiting.take(handle, browser * 43) == {"n": number}
                open_.discard(one)
            else:
                with pytest.raises(BadInput):
                    await waiting.take(handle, browser * 43)


def test_a_browser_keeps_its_token_and_a_made_up_one_is_replaced() -> None:
    cookie = Cookie("waits")
    scope = {"scheme": "https", "headers": [(b"cookie", b"__Host-waits=" + BROWSER.encode())]}
    assert browser_token(scope, cookie) == BROWSER
    for planted in (b"", b"x", b"y" * 44):
        fresh = browser_token({"scheme": "https", "headers": [(b"cookie", b"__Host-waits=" + planted)]}, cookie)
        assert (len(fresh), fresh.encode() != planted) == (43, True)
