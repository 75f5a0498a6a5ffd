"""T29: requests for a logout come in a storm: so many are checked at a time, the others are told to come again.

`python bench/saml.py` sends ten thousand, and says how many a second are checked.
"""

import gc
import os
from collections import Counter
from pathlib import Path

import anyio

from holdfast.web.saml.gate import Gate
from identity.saml.idp import SP_URL, envelope, logout_request, sign
from web.saml_site import Site, site

STORM, AT_ONCE, WAITING = 900, 150, 30
MEGABYTE = 2**20


async def storm(attacked: Site, body: bytes, count: int, seen: Counter[int], most: list[int]) -> None:
    numbers = iter(range(count))
    gate = attacked.saml._shared.gate

    async def send() -> None:
        browser = attacked.browser()
        for _ in numbers:
            answer = await browser.post("/saml/slo/soap", content=body)
            seen[answer.status_code] += 1
            most[0] = max(most[0], gate.inside)
            assert answer.status_code != 503 or "retry-after" in answer.headers

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(send)


async def test_the_queue_is_bounded_and_what_is_good_gets_through_afterwards() -> None:  # R42, S8
    forged = envelope(sign(logout_request(to=SP_URL + "/slo/soap"), "thief"))
    good = envelope(sign(logout_request(to=SP_URL + "/slo/soap")))
    with anyio.fail_after(120):
        async with site(gate=Gate(threads=2, waiting=WAITING)) as attacked:
            browser, seen, most = attacked.browser(), Counter[int](), [0]
            await browser.log_on()
            await storm(attacked, forged, AT_ONCE, Counter(), most)
            before = resident()
            await storm(attacked, forged, STORM, seen, most)
            assert set(seen) == {400, 503}
            assert sum(seen.values()) == STORM
            assert most[0] <= WAITING + 2
            assert resident() - before < 8 * MEGABYTE
            assert attacked.saml._shared.gate.inside == 0
            assert await browser.who() == "ann"
            assert (await browser.post("/saml/slo/soap", content=good)).status_code == 200
            assert await browser.who() is None


async def test_applications_are_served_while_the_storm_lasts() -> None:
    forged = envelope(sign(logout_request(to=SP_URL + "/slo/soap"), "thief"))
    with anyio.fail_after(120):
        async with site(gate=Gate(threads=2, waiting=WAITING)) as attacked:
            browser, served = attacked.browser(), 0
            await browser.log_on()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(storm, attacked, forged, STORM // 3, Counter[int](), [0])
                for _ in range(20):
                    assert await browser.who() == "ann"
                    served += 1
            assert served == 20


def resident() -> int:
    """Return how many bytes of memory this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
