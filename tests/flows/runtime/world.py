"""Flows that run in memory, with receivers that are functions of the test."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.adapters.http import Http, HttpAdapter
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import DeployedFlow, Message, deployed

Answer = Callable[[str, Message], Awaitable[Any]]
RECEIVERS = "".join(f"  {name}: {{adapter: http, url: 'http://{name}'}}\n" for name in ("erp", "crm"))


class Spoken(HttpAdapter):
    """An adapter whose receiver is a function of the test, given the receiver's name and the message."""

    answer: Answer

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        return message.changed(body=await self.answer(self.channel.name, message))


async def echo(name: str, message: Message) -> Any:
    return message.body


@asynccontextmanager
async def flow(steps: str, answer: Answer = echo, *, reuse: str = "none", **more: Any) -> AsyncIterator[DeployedFlow]:
    """Run a flow of these steps, the first of which is in line 7 of `orders.yaml`."""
    text = f"flow: orders\nhttp_session_reuse: {reuse}\nreceivers:\n{RECEIVERS}steps:\n{steps}"
    adapter = type("Adapter", (Spoken,), {"answer": staticmethod(answer)})
    definition = read_flow(text, "orders.yaml")
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(definition, engine.manager, adapters={Http: adapter}, **more) as running,
    ):
        yield running


async def processed(steps: str, message: Message, answer: Answer = echo, **more: Any) -> Message | None:
    """Run one message through a flow, and return it without its id."""
    async with flow(steps, answer, **more) as running:
        result = await running.process(message)
        return None if result is None else result.named("")
