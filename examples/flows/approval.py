"""Scenario 3: two users at one host, each call checked under its own."""

import logging

import anyio
from scenario import flow, processed


async def main() -> None:
    for setting in ("none", "on_exchange"):
        print(f"{setting}:")
        for result in await processed(flow("approval.yaml", setting), 1):
            print(f"  {result}")


logging.disable(logging.WARNING)
anyio.run(main)
