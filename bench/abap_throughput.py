"""How many workflows a second 16 agents get through: memory store, simulator without delays, two cores.

    python bench/abap_throughput.py
    python bench/abap_throughput.py --profile holdfast     # or simulator: where that process spends its time

Every agent locks, updates, unlocks and activates a class of its own, again and again, each step when the one before is
answered, in two arrangements of processes:

    mcp        core 0: `holdfast serve`          core 1: the simulator; the agents, over raw sockets in JSON-RPC
    handlers   core 0: the agents, calling the ABAP service in their own process          core 1: the simulator

Prints a line per arrangement, the medians of its rounds; processor time says what a busy machine hides. A run counts
only if the system has stored every write and keeps neither lock nor context at the end.
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvloop
from _abap import (
    Agent,
    Client,
    Server,
    by_socket,
    connection,
    count,
    edit,
    holdfast,
    left_behind,
    make,
    one_client,
    simulator,
)
from mcp_echo import Connection

from holdfast.adt.desk import Caller
from holdfast.adt.embedded import open_embedded
from holdfast.adt.service import Abap
from holdfast.config import Settings, SystemSettings
from holdfast.mcp import calm_garbage_collector

REACH = 100
CORES = (0, 1)


class Round(NamedTuple):
    """One round: workflows a second, and the processor time of one workflow at Holdfast and at the simulator."""

    per_s: float
    holdfast_cpu_ms: float
    simulator_cpu_ms: float


class InProcess:
    """An agent that calls the ABAP service itself."""

    def __init__(self, abap: Abap, number: int) -> None:
        self._abap, self._caller, self._session = abap, Caller(owner=f"agent-{number}"), ""

    async def open(self) -> None:
        self._session = (await self._abap.get_session(self._caller))["session_id"]

    async def step(self, verb: str, name: str, **given: str) -> Mapping[str, Any]:
        method = getattr(self._abap, verb.lower())
        answer: Mapping[str, Any] = await method(self._caller, "CLAS", name, session_id=self._session, **given)
        if not answer["success"]:
            raise RuntimeError(f"{verb} failed: {answer}")
        return answer

    async def close(self) -> None:
        await self._abap.close_session(self._caller, self._session)


async def over_mcp(system: Server, server: Server, given: argparse.Namespace) -> list[Round]:
    """Measure with agents that speak MCP over a connection each."""
    port = urlsplit(server.url).port or 0
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(given.agents)]
    agents = [Agent(by_socket(connection, port), given.era) for connection in made]
    return await measure(agents, server.cpu_s, system, given)


async def in_process(system: Server, given: argparse.Namespace) -> list[Round]:
    """Measure with agents in the process of the service."""
    where = SystemSettings(**{name.lower(): value for name, value in connection(system.url).items()})
    settings = Settings(store="memory://", systems={"default": where}, default_system="default")
    async with open_embedded(settings) as (_, abap):
        calm_garbage_collector()
        agents = [InProcess(abap, number) for number in range(given.agents)]
        return await measure(agents, time.process_time, system, given)


async def measure(
    agents: Sequence[Any], cpu_s: Callable[[], float], system: Server, given: argparse.Namespace
) -> list[Round]:
    """Let all agents work for some rounds, and make sure that the system has seen every write and keeps no lock."""
    for number, agent in enumerate(agents):
        await agent.open()
        await make(agent, f"ZCL_AGENT_{number}")
    rounds, done = [], 0
    for _ in range(given.rounds):
        began, ours, theirs = time.perf_counter(), cpu_s(), system.cpu_s()
        until = began + given.seconds
        ended = sum(await asyncio.gather(*(work(agent, n, until, done) for n, agent in enumerate(agents))))
        took = time.perf_counter() - began
        rounds.append(Round(ended / took, 1000 * (cpu_s() - ours) / ended, 1000 * (system.cpu_s() - theirs) / ended))
        done += ended
    for agent in agents:
        await agent.close()
    async with one_client() as client:
        written = sum((await count(client, system.url))["puts_by_hash"].values())
        left = await left_behind(client, system.url)
        if (written, left) != (done, 0):
            raise RuntimeError(f"{done} workflows, {written} sources written, {left} locks and contexts left")
    return rounds


async def work(agent: Client, number: int, until: float, first: int) -> int:
    """Edit one class again and again; return how often."""
    times = 0
    while time.perf_counter() < until:
        await edit(agent, f"ZCL_AGENT_{number}", first + times)
        times += 1
    return times


ARRANGEMENTS = {
    "mcp": "core 0: holdfast serve; core 1: simulator, and the agents over raw sockets",
    "handlers": "core 0: service and agents in one process; core 1: simulator",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(ARRANGEMENTS), default="")
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--era", choices=["modern", "legacy"], default="modern")
    parser.add_argument("--profile", choices=["holdfast", "simulator"], help="run this process under cProfile")
    given = parser.parse_args()
    for name, where in ARRANGEMENTS.items():
        if given.only in ("", name):
            middle = Round(*(statistics.median(column) for column in zip(*run(name, given), strict=True)))
            figures = {column: round(value, 1) for column, value in middle._asdict().items()}
            row = {"figure": f"workflows, {given.agents} agents, {name}", **figures}
            print(json.dumps(row | {"reach": f">= {REACH} per s", "where": where}), flush=True)


def run(name: str, given: argparse.Namespace) -> list[Round]:
    """Start the processes of an arrangement and return its rounds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        profiles = {who: folder / who if given.profile == who else None for who in ("holdfast", "simulator")}
        stack.callback(show, profiles[given.profile] if given.profile else None)
        system = stack.enter_context(simulator(core=CORES[1], profile=profiles["simulator"]))
        if name == "mcp":
            server = stack.enter_context(holdfast(system.url, "memory://", CORES[0], profiles["holdfast"]))
            os.sched_setaffinity(0, {CORES[1]})
            return uvloop.run(over_mcp(system, server, given))
        os.sched_setaffinity(0, {CORES[0]})
        with profiled(profiles["holdfast"]):
            return uvloop.run(in_process(system, given))


@contextmanager
def profiled(path: Path | None) -> Any:
    """Profile this process."""
    if path is None:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    profile.dump_stats(path)


def show(path: Path | None) -> None:
    """Print the dearest functions."""
    if path is not None and path.exists():
        pstats.Stats(str(path), stream=sys.stderr).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
