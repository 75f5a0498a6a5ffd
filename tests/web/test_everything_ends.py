"""All sessions end at once, at two processes on every store, and what is left of them goes away (R35)."""

import time
from pathlib import Path

import anyio
import pytest

from attacks.web_world import NOBODY, web_target
from holdfast.core.manager import Manager
from holdfast.core.sealing import KeyRing
from holdfast.web.administration import Administrator
from holdfast.web.kinds import KINDS
from stores.stores import Place

KNOWN_AFTER_S = 1.0  # by workers that nobody told; those that were told know it at once
GONE_AFTER_S = 20.0


@pytest.mark.slow
async def test_every_cookie_is_dead_a_second_later_at_every_worker(shared_place: Place, tmp_path: Path) -> None:
    # R35, R32, R76: those of visitors as well
    async with web_target(shared_place, tmp_path) as attacked, shared_place.open() as store:
        victims = [attacked.browser() for _ in range(4)]
        for victim in victims[1:]:
            await victim.post("/login/ann")
        for victim in victims:
            await victim.post("/write?mine=1")
            await victim.post("/bank/write?mine=2")
        manager = Manager(store, KeyRing.parse(attacked.key), KINDS, worker="administrator")
        before = {record.key for record in [record async for record in manager.each("all", b"")]}
        assert len(before) >= 11
        began = time.monotonic()
        await Administrator(manager, by="root", local=True).end_all()
        took = time.monotonic() - began
        await anyio.sleep(max(KNOWN_AFTER_S - took, 0.0))
        for victim in victims:
            for path in ("/", "/bank/") * 3:
                assert await victim.copy().seen(path) == NOBODY
            assert (await victim.copy().get("/me")).status_code == 401
        await victims[0].post("/login/ann")
        assert (await victims[0].seen())["who"] == "ann"
        with anyio.fail_after(GONE_AFTER_S):
            while before & {record.key for record in [record async for record in manager.each("all", b"")]}:
                await anyio.sleep(0.1)
        assert (await victims[0].seen())["who"] == "ann"
