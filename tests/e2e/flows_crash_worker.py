"""A worker that processes messages of a flow, as a process of its own.

python flows_crash_worker.py STORE KEYS URL REUSE IDS

It processes the messages with these ids (a comma between them) in parallel; those with `again:` before it are sent
again. While `HELD` is in the environment, those whose id begins with it stop in the middle of their loop,
after the third block.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.adapters import Credential
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import DeployedFlow, Message, deployed

AGAIN = "again:"
FLOW = """flow: blocks
http_session_reuse: {reuse}
receivers:
  erp:
    adapter: http
    url: "{url}/blocks"
    auth: {{basic: anna}}
    stateful: {stateful}
    log_off: "{url}/logoff"
steps:
  - loop:
      while: properties.rounds < 5
      max: 20
      do:
        - call: erp
        - script: e2e.flows_crash_worker:collect
"""


async def collect(message: Message) -> Message:
    """Remember the block, and stop here if this message is one that does."""
    blocks = [*message.properties.get("blocks", []), json.loads(message.body)["block"]]
    if len(blocks) == 3 and message.id.startswith(os.environ.get("HELD", "-")):
        await anyio.sleep(600)
    return message.changed(properties={"blocks": blocks, "rounds": len(blocks)})


@asynccontextmanager
async def blocks(
    store: str, keys: str, url: str, reuse: str, clock: Callable[[], float] | None = None
) -> AsyncIterator[DeployedFlow]:
    """Run the flow on an engine of its own."""
    text = FLOW.format(url=url, reuse=reuse, stateful=str(reuse == "on_exchange").lower())
    more: dict[str, Any] = {"clock": clock} if clock else {}
    async with (
        open_engine(store, kinds=flow_kinds(), keys=keys, **more) as engine,
        deployed(
            read_flow(text, "blocks.yaml"), engine.manager, credentials=lambda name: Credential(name, "secret")
        ) as flow,
    ):
        yield flow


async def main(store: str, keys: str, url: str, reuse: str, ids: str) -> None:
    async with blocks(store, keys, url, reuse) as flow, anyio.create_task_group() as tasks:
        for name in ids.split(","):
            if name.startswith(AGAIN):
                tasks.start_soon(flow.resend, name.removeprefix(AGAIN))
            else:
                tasks.start_soon(flow.process, Message(id=name, body={"order": name}))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
