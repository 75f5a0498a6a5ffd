"""The tool of the end-to-end tests itself: requests go to workers at random, and a dead worker gets none."""

import sys
from pathlib import Path

import httpx2

from e2e.cluster import cluster

SERVER = Path(__file__).with_name("echo_server.py")


async def test_every_request_goes_to_a_worker_chosen_at_random(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store]) as workers:
        async with httpx2.AsyncClient() as client:
            statuses = [(await client.get(f"{workers.url}/mcp")).status_code for _ in range(20)]
            assert statuses == [400] * 20
            assert all(count > 2 for count in workers.served)
            assert sum(workers.served) == 20
            await workers.kill(0)
            before = list(workers.served)
            assert [(await client.get(f"{workers.url}/mcp")).status_code for _ in range(5)] == [400] * 5
            assert workers.served == [before[0], before[1] + 5]
            await workers.start(0)
        assert await workers.stop(0) is not None
