"""Scenario 2: a high load of single calls, one authentication."""

import logging

import anyio
from scenario import flow, processed

MESSAGES = 200


async def main() -> None:
    for setting in ("on_integration_flow", "on_exchange"):
        print(f"{setting}, {MESSAGES} messages, 16 at a time:")
        prices = await processed(flow("prices.yaml", setting), MESSAGES)
        print(f"  {prices.count({'item': 'bolt', 'price': 2})} prices")


logging.disable(logging.WARNING)
anyio.run(main)
