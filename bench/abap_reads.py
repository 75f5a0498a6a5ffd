"""Reads between LOCK and PUT: 50 agents keep a lock each while they read for ten minutes of the system's time.

    python bench/abap_reads.py                        # SQLite; --store redis://… or another URL of a store

Every agent creates and locks a class of its own over JSON-RPC, then reads classes, its own and those of others, while
the system's clock goes on by ten seconds a turn: 60 turns. Then it updates under the lock handle it was given, unlocks
and activates. Prints how many handles were lost: updates that were refused, or whose source is not what the system has
afterwards. A run counts only if nothing is left locked at the end.
"""

import argparse
import asyncio
import json
import random
import tempfile
from contextlib import ExitStack
from urllib.parse import urlsplit

import uvloop
from _abap import SOURCE, Agent, by_socket, holdfast, left_behind, make, one_client, simulator
from mcp_echo import Connection

from holdfast.simulator import ADMIN_PATH

TURNS, TURN_S, READS = 60, 10.0, 2


async def locked(agent: Agent, number: int) -> str:
    """Open a session, create a class and lock it; return the lock handle."""
    await agent.open()
    await make(agent, _name(number))
    return str((await agent.step("Lock", _name(number)))["lock_handle"])


async def read(agent: Agent, names: list[str]) -> None:
    """Read some classes, one after the other."""
    for name in names:
        await agent.step("Read", name)


async def written(agent: Agent, number: int, handle: str) -> bool:
    """Write under the lock and activate; say whether the system has the source then."""
    source = SOURCE.format(name=_name(number).lower(), number=number)
    try:
        await agent.step("Update", _name(number), lock_handle=handle, source_code=source)
        await agent.step("Unlock", _name(number), lock_handle=handle)
        await agent.step("Activate", _name(number))
    except RuntimeError as error:
        print(error)
        return False
    return str((await agent.step("Read", _name(number)))["source_code"]).strip() == source.strip()


async def run(system: str, port: int, count: int) -> dict[str, int]:
    """Let all agents lock, read and write; return what became of it."""
    loop, draw = asyncio.get_running_loop(), random.Random(0)
    made = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]
    agents = [Agent(by_socket(connection, port), "modern") for connection in made]
    handles = await asyncio.gather(*(locked(agent, number) for number, agent in enumerate(agents)))
    async with one_client() as client:
        for _ in range(TURNS):
            names = [[_name(draw.randrange(count)) for _ in range(READS)] for _ in agents]
            await asyncio.gather(*(read(agent, some) for agent, some in zip(agents, names, strict=True)))
            await client.post(f"{system}{ADMIN_PATH}/clock/advance", json={"seconds": TURN_S})
        kept = await asyncio.gather(*(written(agent, n, handles[n]) for n, agent in enumerate(agents)))
        for agent in agents:
            await agent.close()
        if left := await left_behind(client, system):
            raise RuntimeError(f"{left} locks and contexts left")
    return {"agents": count, "reads": count * TURNS * READS, "lost handles": kept.count(False)}


def _name(number: int) -> str:
    return f"ZCL_READER_{number}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--store", default="")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        system = stack.enter_context(simulator())
        server = stack.enter_context(holdfast(system.url, given.store or f"sqlite:///{folder}/store.db"))
        found = uvloop.run(run(system.url, urlsplit(server.url).port or 0, given.agents))
    print(json.dumps({**found, "simulated_s": TURNS * TURN_S, "reach": "0 lost"}))


if __name__ == "__main__":
    main()
