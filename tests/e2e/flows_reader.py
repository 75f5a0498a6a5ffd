"""A worker whose messages read from a receiver with state, as a process of its own.

    python -m e2e.flows_reader STORE KEYS URL REUSE NAME MESSAGES

Each message makes five calls in a loop, and names itself in each. The worker prints `ready`, waits for a line,
processes all messages at the same time, and prints what they saw: for each call the names that the receiver knew in
its session.
"""

import json
import sys
from typing import Any

import anyio
from anyio.to_thread import run_sync

from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, deployed

CALLS = 5
FLOW = """
flow: reader
http_session_reuse: {reuse}
receivers:
  erp: {{adapter: http, url: "{url}/whole/${{properties.name}}", auth: {{basic: reader}}, stateful: true}}
steps:
  - loop:
      while: len(properties.saw) < {calls}
      max: {calls}
      do:
        - call: erp
        - script: e2e.flows_reader:note
"""


def note(message: Message) -> Message:
    """Remember what a call saw."""
    return message.changed(
        properties={"saw": [*message.properties["saw"], json.loads(message.body)["seen"]]}, body=None
    )


async def read(reader: DeployedFlow, name: str, saw: dict[str, Any]) -> None:
    done = await reader.process(Message(properties={"name": name, "saw": []}))
    assert done is not None
    saw[name] = [[path.rpartition("/")[2] for path in seen] for seen in done.properties["saw"]]


async def main(store: str, keys: str, url: str, reuse: str, worker: str, messages: str) -> None:
    definition = read_flow(FLOW.format(reuse=reuse, url=url, calls=CALLS), "reader.yaml")
    saw: dict[str, Any] = {}
    async with (
        open_engine(store, kinds=flow_kinds(), keys=keys) as engine,
        deployed(definition, engine.manager, credentials=lambda name: Credential("anna", "secret")) as reader,
    ):
        print("ready", flush=True)
        await run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as tasks:
            for number in range(int(messages)):
                tasks.start_soon(read, reader, f"{worker}-{number}", saw)
        told = [finding.code for finding in reader.deployment.findings]
        print(json.dumps({"saw": saw, "told": told}), flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
