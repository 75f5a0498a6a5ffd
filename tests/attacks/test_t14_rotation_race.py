"""T14: many requests come with the old id at the very moment it is rotated (R9; E20, M13).

Ids of this face rotate at a logon only, where R9 allows no grace: one request gets the fresh id, and from then on the
old one is dead.
"""

from pathlib import Path

import anyio

from attacks.world import DIALECT, target
from e2e.mcp_world import call, request
from stores.stores import Place

PARALLEL = 20
ANN, BOB = {"authorization": "Bearer ann.1"}, {"authorization": "Bearer bob.1"}


async def test_of_parallel_logons_to_one_session_exactly_one_gets_it(shared_place: Place, tmp_path: Path) -> None:
    # R8, R9: one fresh id, no fork
    async with target(shared_place, tmp_path, **DIALECT) as attacked:
        old = (await attacked.session())["mcp_session_id"]
        fresh: list[tuple[str, str]] = []
        served: list[str] = []

        async def log_on(number: int) -> None:
            who = (ANN, BOB)[number % 2]
            answer = await attacked.post(call("write", number, key=f"{number}"), x_session_id=old, **who)
            assert answer.status_code in (200, 404)
            if answer.status_code == 200:
                served.append(who["authorization"])
            if "mcp-session-id" in answer.headers:
                fresh.append((answer.headers["mcp-session-id"], who["authorization"]))

        async with anyio.create_task_group() as tasks:
            for number in range(PARALLEL):
                tasks.start_soon(log_on, number)
        [(session_id, winner)] = fresh
        assert served == [winner]
        [record] = await attacked.records()
        assert (record.mark, f"Bearer {record.owner}.1") == (session_id[:8], winner)
        assert len(attacked.told("rotated")) == 1
        assert (await attacked.post(request("ping"), x_session_id=session_id, authorization=winner)).status_code == 200
        for who in (ANN, BOB, {}):
            assert (await attacked.post(request("ping"), x_session_id=old, **who)).status_code == 404
