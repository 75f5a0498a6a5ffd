"""The processes of one run: a simulated ABAP system, a store, workers behind a proxy; and the view into the system.

Another user than ours (ALICE) edits objects there too, with a lock of her own; a third (BOB) reads, for the judge.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
from bench.chaos import ROOT
from bench.chaos.fleet import Fleet, fleet
from bench.chaos.stores import Kept, kept

from e2e.abap_world import PASSWORD, START_S, USER, environment, simulator
from holdfast.core.sealing import new_key_text

OBJECTS = "/sap/bc/adt/oo/classes"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes. Times are in seconds."""

    store: str = "sqlite"
    kills: int = 50
    seed: int = 1
    agents: int = 16
    workers: int = 2
    quiet_every: int = 50
    kill_every: float = 1.0
    outage_every: float = 60.0
    outage: float = 10.0
    jump: float = 8.0
    delay_ms: float = 20.0
    lease_ttl: float = 3.0
    hold_limit: float = 5.0
    idle: float = 15.0
    order: str = "both"
    plant: str = ""
    report: Path | None = None
    keep: Path | None = None


class Sap:
    """The administrator's view of the system, and a reader."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url, self._http = url, http
        self.requests: list[dict[str, Any]] = []

    async def rows(self, view: str) -> list[dict[str, Any]]:
        """Return the rows of sm04, sm05 or sm12."""
        return list(await self._get(view))

    async def ours(self, view: str) -> list[dict[str, Any]]:
        """Return the rows of the user that all agents share."""
        return [row for row in await self.rows(view) if row["user"] == USER]

    async def lock_on(self, name: str) -> dict[str, Any] | None:
        """Return the lock entry of an object."""
        return next((row for row in await self.rows("sm12") if row["object"] == name), None)

    async def puts(self) -> Mapping[str, int]:
        """Return how often each nonce was stored."""
        return dict((await self._get("counters"))["puts_by_nonce"])

    async def follow(self) -> None:
        """Fetch the requests that are new since the last time."""
        after = self.requests[-1]["number"] if self.requests else 0
        self.requests += await self._get(f"requests?after={after}")

    async def fault(self, **rule: Any) -> None:
        """Let the next request that matches meet a fault."""
        (await self._http.post(f"{self.url}/_sim/faults", json=rule)).raise_for_status()

    async def clear_faults(self) -> None:
        """Take back what no request has met."""
        (await self._http.delete(f"{self.url}/_sim/faults")).raise_for_status()

    async def switch(self, **changes: Any) -> None:
        """Change how the system behaves."""
        (await self._http.put(f"{self.url}/_sim/switches", json=changes)).raise_for_status()

    async def delete_lock(self, row: Mapping[str, Any]) -> bool:
        """Delete a lock entry by hand; False if it was not there any more."""
        return (await self._http.delete(f"{self.url}/_sim/sm12/{row['id']}")).status_code == 200

    async def source(self, name: str, version: str = "inactive") -> str | None:
        """Read an object past Holdfast; None if there is no such version."""
        path = f"{self.url}{OBJECTS}/{name.lower()}/source/main"
        answer = await self._http.get(path, params={"version": version}, auth=("BOB", PASSWORD))
        return answer.text if answer.status_code == 200 else None

    async def _get(self, path: str) -> Any:
        return (await self._http.get(f"{self.url}/_sim/{path}")).raise_for_status().json()


class World:
    """Everything that runs."""

    def __init__(self, options: Options, folder: Path, sap: Sap, store: Kept, workers: Fleet) -> None:
        self.options, self.folder, self.sap, self.store, self.workers = options, folder, sap, store, workers

    @property
    def url(self) -> str:
        """Where agents go."""
        return f"{self.workers.url}/mcp"


@asynccontextmanager
async def open_world(options: Options, folder: Path) -> AsyncIterator[World]:
    """Start everything, and leave nothing behind at the end."""
    async with (
        kept(options.store, folder) as store,
        simulator(f"--delay-ms={options.delay_ms}") as url,
        httpx2.AsyncClient(timeout=20.0) as http,
    ):
        env = worker_environment(options, folder, store.url, url)
        if store.url.startswith("postgresql:"):
            await _migrate(env)
        async with fleet(folder, options.workers, env, plant=options.plant) as workers:
            yield World(options, folder, Sap(url, http), store, workers)


def worker_environment(options: Options, folder: Path, store: str, sap: str) -> dict[str, str]:
    """Return the configuration of the workers: short times, so that much happens."""
    return environment(
        {
            "store": store,
            "keys": new_key_text(),
            "sap_url": sap,
            "sap_client": "001",
            "sap_user": USER,
            "sap_password": PASSWORD,
            "lease_ttl": str(options.lease_ttl),
            "lock_hold_limit": str(options.hold_limit),
            "cleanup_interval": "3",
            "kinds": f'{{"workspace": {{"idle": {options.idle}}}}}',
        }
    ) | {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}


async def _migrate(env: Mapping[str, str]) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    command = [sys.executable, "-m", "holdfast", "store", "migrate"]
    with anyio.fail_after(START_S):
        await anyio.run_process(command, env={**outside, **env}, cwd=ROOT, stderr=subprocess.STDOUT)
