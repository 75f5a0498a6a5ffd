"""T13: many sessions of one client are opened at the same time, at two processes: never more than the limit (R74)."""

import json
from pathlib import Path

import anyio
import pytest

from attacks.world import Target, target
from e2e.mcp_world import initialize, request
from stores.stores import Place

LIMIT, PARALLEL = 3, 40


async def storm(attacked: Target) -> list[tuple[int, str]]:
    """Open many sessions at once; return each answer's status and id."""
    seen: list[tuple[int, str]] = []

    async def opened() -> None:
        answer = await attacked.post(initialize(), authorization="Bearer ann.1")
        seen.append((answer.status_code, answer.headers.get("mcp-session-id", "")))

    async with anyio.create_task_group() as tasks:
        for _ in range(PARALLEL):
            tasks.start_soon(opened)
    return seen


async def test_of_a_limit_that_refuses_exactly_as_many_as_allowed_get_in(shared_place: Place, tmp_path: Path) -> None:
    # R74, E12
    async with target(shared_place, tmp_path, settings=limited("reject")) as attacked:
        bob = await attacked.session(authorization="Bearer bob.1")
        seen = await storm(attacked)
        given = {one[:8] for status, one in seen if status == 200}
        assert {status for status, _ in seen} == {200, 429}
        assert (0 if shared_place.sort == "cluster" else LIMIT) <= len(given) <= LIMIT  # E25: reservations in flight
        assert {record.mark for record in await attacked.records() if record.owner == "ann"} == given
        assert (await attacked.post(request("ping"), **bob)).status_code == 200, "another client notices nothing"


@pytest.mark.parametrize("policy", ["replace_oldest", "replace_least_recent"])
async def test_of_a_limit_that_replaces_as_many_as_allowed_are_left(policy: str, sqlite: Place, tmp_path: Path) -> None:
    # R74, E12
    async with target(sqlite, tmp_path, settings=limited(policy)) as attacked:
        bob = await attacked.session(authorization="Bearer bob.1")
        given = [one for _, one in await storm(attacked)]
        left = {record.mark for record in await attacked.records() if record.owner == "ann"}
        assert len(set(given)) == PARALLEL
        assert len(left) == LIMIT
        assert {one[:8] for one in given if await attacked.used(one) == 200} == left
        assert (await attacked.post(request("ping"), **bob)).status_code == 200, "another client notices nothing"


def limited(policy: str) -> dict[str, str]:
    return {"KINDS": json.dumps({"mcp": {"per_client": LIMIT, "policy": policy}})}
