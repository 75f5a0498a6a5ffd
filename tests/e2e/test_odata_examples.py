"""The example service and the example client, as they stand, against each other (O12, O15)."""

import sys
from pathlib import Path

import anyio
import pytest

from e2e.cluster import cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 90.0

pytestmark = pytest.mark.slow  # it starts three processes


async def test_the_example_client_changes_a_row_of_the_example_service(tmp_path: Path) -> None:
    server = str(EXAMPLES / "odata_server.py")
    files = [f"sqlite:///{tmp_path / 'sessions.db'}", str(tmp_path / "orders.db")]
    client = str(EXAMPLES / "odata_client.py")
    with anyio.fail_after(PATIENCE_S):
        async with cluster(lambda port: [sys.executable, server, str(port), *files], count=1) as workers:
            changed = await anyio.run_process([sys.executable, client, workers.url, "orders('1')", "note=changed"])
            assert "note: 'tea' -> 'changed'" in changed.stdout.decode()
            again = await anyio.run_process([sys.executable, client, workers.url, "orders('1')", "note=again"])
            assert "note: 'changed' -> 'again'" in again.stdout.decode()
            missing = await anyio.run_process(
                [sys.executable, client, workers.url, "orders('9')", "note=x"], check=False
            )
            assert missing.returncode != 0
