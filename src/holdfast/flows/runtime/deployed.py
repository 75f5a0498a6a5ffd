"""A flow that is ready for messages: its receivers have clients, its sessions are kept by an engine.

async with open_engine(url, kinds=flow_kinds()) as engine, deployed(load_flow("orders.yaml"), engine.manager) as flow:
    answer = await flow.process(Message(body=…))
"""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx2

from holdfast.core.manager import Manager
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.flows.adapters import ADAPTERS, Adapter, Credentials, Make, Means, no_credentials
from holdfast.flows.checking import findings
from holdfast.flows.deployment import Deployment
from holdfast.flows.message import Message
from holdfast.flows.model.check import check, check_functions, steps_of
from holdfast.flows.model.flow import Flow
from holdfast.flows.model.read import Definition
from holdfast.flows.parts import Call
from holdfast.flows.runtime.receivers import Patience
from holdfast.flows.runtime.steps import Parts, Processing, Tell
from holdfast.flows.transport import ReusingTransport, open_network

CALLS: Final = ("call", "send")


class DeployedFlow:
    """A flow that processes messages, any number at a time."""

    def __init__(self, flow: Flow, parts: Parts) -> None:
        self.flow, self.deployment = flow, parts.deployment
        self._parts = parts

    async def process(self, message: Message) -> Message | None:
        """Return what the flow makes of a message, or None if it was filtered out. One without an id gets one.

        Raises:
            StepFailed: With the place in the flow, and the cause.
            SessionEnded: The exchange was ended from outside.
        """
        message = message if message.id else message.named(uuid.uuid4().hex)
        async with self.deployment.exchange():
            return await Processing(self._parts, message.id).run(self.flow.steps, "steps", message)


def ignore(event: Any) -> None:
    """Listen to nothing."""


@asynccontextmanager
async def deployed(
    definition: Definition | Flow,
    manager: Manager,
    *,
    credentials: Credentials = no_credentials,
    adapters: Mapping[type, Make] = ADAPTERS,
    transport: httpx2.AsyncBaseTransport | None = None,
    patience: Patience = Patience(),  # noqa: B008 - an immutable value
    tell: Tell = ignore,
    **rules: Any,
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow for as long as the block lasts; sessions of `on_integration_flow` outlive it.

    Args:
        manager: Of an engine that was opened with `flow_kinds()`.
        credentials: What the names in the flow's `auth` stand for.
        adapters: For each type of receiver, what makes its adapter.
        transport: What really sends, for all receivers; closed with the block.
        tell: Given `StepEnded` and `Counted`, at once; it must not wait.
        rules: More for `Deployment`: `tracer`; `policy` and `mappings` instead of the flow's.
    Raises:
        ConfigurationError: The flow cannot be run, or `strict` refuses it.
    """
    found = definition if isinstance(definition, Definition) else Definition(check(definition))
    flow = check_functions(found.flow, found.source)

    means = Means(credentials, Path(found.source.file).parent, manager.clock, manager=manager)

    async def adapter(call: Call, path: str) -> Adapter:
        """Return what makes a call; what is wrong with its settings is told with its line."""
        settings = call.settings(flow.receivers[call.receiver])
        try:
            made = adapters[type(settings)](call.receiver, settings, means)
            await made.prepare()
        except ConfigurationError as exc:
            raise ConfigurationError(f"{found.source.place(path)}: {exc}", hint=exc.hint) from exc
        return made

    channels = {name: (await adapter(Call(name), f"receivers.{name}")).channel for name in flow.receivers}
    rules = {**flow.cookie_rules, **rules}
    deployment = Deployment(manager, flow.name, flow.http_session_reuse, strict=flow.strict, **rules)
    calls = {f"{path}.{step.kind}": step.options for path, step in steps_of(flow) if step.kind in CALLS}
    called = {path: await adapter(call, path) for path, call in calls.items()}
    with suppress(StoreUnavailable):  # else the first call takes notice
        await deployment.deploy()
    for finding in findings(found, adapters):
        await deployment.report(finding)
    async with AsyncExitStack() as stack:
        over = transport or open_network()
        sessions = {}
        for name, channel in channels.items():
            client = httpx2.AsyncClient(transport=ReusingTransport(deployment, channel, over), timeout=None)
            sessions[name] = await stack.enter_async_context(client)
        parts = Parts(deployment, found.source, called, sessions, patience, tell)
        yield DeployedFlow(flow, parts)
