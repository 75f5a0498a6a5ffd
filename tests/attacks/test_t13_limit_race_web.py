"""T13: more logons of one person at once than they may have (R74)."""

from pathlib import Path

import anyio
import pytest

from attacks.web_world import web_target
from stores.stores import Place


@pytest.mark.parametrize("policy", ["reject", "replace_oldest"])
async def test_of_fifty_logons_at_once_three_live(policy: str, each_place: Place, tmp_path: Path) -> None:
    settings = {"KINDS__SECURITY__PER_PRINCIPAL": "3", "KINDS__SECURITY__POLICY": policy}
    async with web_target(each_place, tmp_path, settings=settings) as attacked:
        browsers = [attacked.browser() for _ in range(50)]
        statuses: list[int] = []

        async def log_on(number: int) -> None:
            statuses.append((await browsers[number].post("/login/ann")).status_code)

        async with anyio.create_task_group() as tasks:
            for number in range(len(browsers)):
                tasks.start_soon(log_on, number)
        assert len(await attacked.records("security")) == 3
        live = [one for one in browsers if (await one.seen())["who"] == "ann"]
        assert len(live) == 3
        assert set(statuses) <= ({200, 429} if policy == "reject" else {200, 401}), "401: replaced before its answer"
        assert len(attacked.told("limit_reached")) == (47 if policy == "reject" else 0)
        await attacked.browser().post("/login/bob")
        assert len([one for one in live if (await one.seen())["who"] == "ann"]) == 3, "others' logons change nothing"
