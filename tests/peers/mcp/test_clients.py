"""One table of clients and steps: what real clients do at two workers on Redis, of which each is killed in turn.

Each client runs once, with two server processes behind a proxy that picks one at random for each request; the tests
read what it saw. What a client cannot do stands in the table.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster
from e2e.mcp_drivers import CANNOT, CLIENTS, INSPECTOR, Driver
from holdfast.core.sealing import new_key_text
from stores.stores import Servers

HERE = Path(__file__).parent
SERVER = HERE.parent.parent / "e2e" / "clients_server.py"
PATIENCE = 120.0
EVENTS: Final = ("session", "session-resumed", "session-expired", "session-warning", "session-limit")
TOOLS: Final = ["echo", "where", "slowly", "cut", "ask", "changed", "send"]

NO_STREAM = "its era has no stream of the session's own"
LEFT = "it leaves its session to the clocks"
SHOWS_NOTHING = "it shows nothing of what comes on the session's own stream"

# What each step comes to: in the legacy era, in the modern one, and where the Inspector's command line differs.
STEPS: Final[dict[str, tuple[Any, Any]]] = {
    "connect": ("session", "no session"),
    "list": (TOOLS, TOOLS),
    "call": (["grüß dich", True], ["grüß dich", True]),
    "stream": (["done", [1, 2, 3]], ["done", [1, 2, 3]]),
    "elicit": ("accept word!", "accept word!"),
    "resume a cut answer": (["whole", [1, 2]], ["whole", [1, 2]]),
    "pass over unknown events": (list(EVENTS), NO_STREAM),
    "errors": ([], []),
    "go on after kills": ("one session", "no session"),
    "hear after kills": ([True, True], NO_STREAM),
    "end": ("gone", "no session"),
}
INSPECTOR_DIFFERS: Final[dict[str, Any]] = {
    "stream": ["done", CANNOT],
    "resume a cut answer": ["whole", CANNOT],
    "elicit": CANNOT,
    "pass over unknown events": SHOWS_NOTHING,  # `session` comes on it all the same, when it has connected
    "hear after kills": CANNOT,
    "end": LEFT,
}
_seen: dict[str, dict[str, Any]] = {}


def expected(client: str, step: str) -> Any:
    legacy, modern = STEPS[step]
    if not client.endswith(("legacy", "1.32")):
        legacy = modern
    return INSPECTOR_DIFFERS.get(step, legacy) if client.startswith("inspector") and legacy != "no session" else legacy


async def run(client: str, store: str, namespace: str) -> dict[str, Any]:
    """Let a client take every step; return what came of each."""
    env = {**os.environ, "HOLDFAST_KEYS": new_key_text(), "HOLDFAST_NAMESPACE": namespace}
    start, arguments = CLIENTS[client]
    async with cluster(lambda port: [sys.executable, str(SERVER), str(port), store], env=env) as workers:
        async with start(f"{workers.url}/mcp", *arguments) as driver:
            seen = {"connect": await driver.do("connect")}
            for step in ("list", "call", "stream", "elicit"):
                seen[step] = await driver.do(step)
            seen["resume a cut answer"] = await driver.do("cut")
            streams = expected(client, "pass over unknown events")
            seen["pass over unknown events"] = await events(driver) if isinstance(streams, list) else streams
            seen["errors"] = await driver.do("errors")
            if client.startswith("inspector"):
                seen |= await kill_under_load(client, driver, workers)
            else:
                seen |= await kills(client, driver, workers)
            session, _ = (await driver.do("where")).split()
        return seen | {"end": await ended(workers, session)}


async def events(driver: Driver) -> list[str]:
    """Return the names of the events that the session's stream took, after each of which the client still works."""
    taken = []
    for name in EVENTS:
        await until(driver, "send", "True", name)
        assert (await driver.do("call"))[0] == "grüß dich"
        taken.append(name)
    return taken


async def kills(client: str, driver: Driver, workers: Cluster) -> dict[str, Any]:
    """Kill each worker in turn; return what became of the client's session and of its own stream."""
    places, heard = [await driver.do("where")], []
    hears = isinstance(expected(client, "hear after kills"), list)
    for victim in (0, 1):
        await workers.kill(victim)
        places += [await driver.do("where") for _ in range(3)]
        if hears:
            heard.append(await until(driver, "hear", True))
        await workers.start(victim)
    sessions, processes = (set(column) for column in zip(*(place.split() for place in places), strict=True))
    assert len(processes) > 1
    on = "no session" if sessions == {"-"} else "one session" if len(sessions) == 1 else sessions
    return {"go on after kills": on, "hear after kills": heard or NO_STREAM}


async def kill_under_load(client: str, driver: Driver, workers: Cluster) -> dict[str, Any]:
    """Kill a worker while one run of the Inspector calls ten times a second; only calls that ran there may fail."""
    load: dict[str, int] = {}

    async def call() -> None:
        load.update(await driver.do("load"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await served(workers, 20)
        await workers.kill(0)
        await served(workers, 10)
    await workers.start(0)
    failed = load["requests"] - load["ok"]
    on = STEPS["go on after kills"][client.endswith("modern")] if failed <= 2 and load["ok"] > 30 else load
    return {"go on after kills": on, "hear after kills": await driver.do("hear")}


async def served(workers: Cluster, more: int) -> None:
    """Wait until the workers have got so many requests more."""
    enough = sum(workers.served) + more
    while sum(workers.served) < enough:
        await anyio.sleep(0.05)


async def ended(workers: Cluster, session: str) -> str:
    """Say whether the session of a client that has left is gone."""
    if session == "-":
        return "no session"
    headers = {"accept": "application/json, text/event-stream", "mcp-session-id": session}
    async with httpx2.AsyncClient() as http:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answer = await http.post(f"{workers.url}/mcp", json=ping, headers=headers)
    return "gone" if answer.status_code == 404 else LEFT


async def until(driver: Driver, step: str, answer: Any, *argument: str) -> Any:
    """Repeat a step until it has this answer: a client whose stream has broken comes back in its own time."""
    while (given := await driver.do(step, *argument)) != answer:
        await anyio.sleep(0.05)
    return given


@pytest.fixture
async def seen(client: str, servers: Servers, tmp_path: Path) -> dict[str, Any]:
    if not (HERE / "node_modules").exists() or not INSPECTOR.exists():
        pytest.fail("clients are missing: run `npm ci` in tests/peers/mcp and tests/peers/inspector")
    if client not in _seen:
        with anyio.fail_after(PATIENCE):
            _seen[client] = await run(client, servers.of("redis").url, f"clients-{tmp_path.name}")
    return _seen[client]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_every_client_takes_every_step_or_the_table_says_that_it_cannot(
    client: str, step: str, seen: dict[str, Any]
) -> None:
    # M5, M6, M9, M14
    assert seen[step] == expected(client, step)
