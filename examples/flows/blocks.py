"""Scenario 1: messages in parallel each read all orders, block by block."""

import logging

import anyio
from scenario import flow, processed


async def main() -> None:
    print("on_exchange, 3 messages in parallel:")
    for orders in await processed(flow("blocks.yaml"), 3):
        print(f"  a message has read {orders}")
    print("the same with none: every call begins anew")
    for error in await processed(flow("blocks.yaml", "none"), 1):
        print(f"  {type(error).__name__}: {error}")
    print("the same with on_integration_flow: the messages read from one session")
    together = await processed(flow("blocks.yaml", "on_integration_flow"), 3)
    print(f"  together they have read {sorted(order for orders in together for order in orders)}")


logging.disable(logging.WARNING)  # what is warned of is printed above
anyio.run(main)
