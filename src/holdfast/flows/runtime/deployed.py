"""A flow that is ready for messages: its receivers have clients, its sessions are kept by an engine.

async with open_engine(url, kinds=flow_kinds()) as engine, deployed(load_flow("orders.yaml"), engine.manager) as flow:
    answer = await flow.process(Message(body=…))
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2

from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import ConfigurationError, StoreUnavailable
from holdfast.flows.adapters import ADAPTERS, Adapter, Credentials, Make, Means, no_credentials
from holdfast.flows.checking import findings
from holdfast.flows.message import Message
from holdfast.flows.model.check import check, check_functions, steps_of
from holdfast.flows.model.flow import Flow
from holdfast.flows.model.read import Definition
from holdfast.flows.monitoring.entries import INFO
from holdfast.flows.monitoring.journal import Journal, open_journal
from holdfast.flows.monitoring.levels import Levels
from holdfast.flows.monitoring.messagelog import MessageLog
from holdfast.flows.monitoring.pages import Retention
from holdfast.flows.monitoring.recording import Recording
from holdfast.flows.parts import Call
from holdfast.flows.runtime.receivers import Patience
from holdfast.flows.runtime.steps import Parts, Processing, Tell
from holdfast.flows.sessions.deployment import Deployment
from holdfast.flows.sessions.trace import recorded
from holdfast.flows.sessions.transport import ReusingTransport, open_network

CALLS: Final = ("call", "send")


class DeployedFlow:
    """A flow that processes messages, any number at a time. `log` is what became of them."""

    def __init__(self, flow: Flow, parts: Parts, journal: Journal) -> None:
        self.flow, self.deployment, self.log = flow, parts.deployment, journal.messages
        self._parts, self._journal, self._levels = parts, journal, Levels(parts.deployment.manager)

    async def process(self, message: Message, logon: Session | None = None) -> Message | None:
        """Return what the flow makes of a message, or None if it was filtered out. One without an id gets one.

        Under `on_exchange` a message of somebody's `logon` ends with that: its sessions are logged off.

        Raises:
            StepFailed: With the place in the flow, and the cause.
            SessionEnded: The exchange was ended from outside.
        """
        known = bool(message.id)
        message = message if known else message.named(uuid.uuid4().hex)
        return await self._run(message, self._journal.begin(message, await self._level(), known=known), logon)

    async def accept(self, message: Message, logon: Session | None = None) -> Callable[[], Awaitable[Message | None]]:
        """Return what processes a message, once it is stored that it has begun: from then on it is not lost.

        If this worker is killed, or never calls that, the message is in the log as failed. Raises StoreUnavailable.
        """
        message = message if message.id else message.named(uuid.uuid4().hex)
        recording = self._journal.begin(message, await self._level(), secured=True)
        try:
            await recording.secure()
        except BaseException:
            self._journal.withdraw(recording)
            raise
        return partial(self._run, message, recording, logon)

    async def resend(self, message: str) -> Message | None:
        """Process a message anew that has failed, as it came in, under its old id; see `process` and `MessageLog.get`.

        Receivers are told the same ids of deliveries as before, so one that looks at them takes nothing twice.

        Raises:
            NotFound: The log has no such message.
            BadInput: It has not failed, or is not kept.
            Busy: It is being sent again already.
        """
        entry = await self.log.get(message, self.flow.name)
        again = entry.message()
        recording = self._journal.begin(again, await self._level(), secured=True)
        try:
            await recording.secure()  # before it is claimed: so a claim never outlives its worker
            await self.log.claim(entry, recording.begun.last)
        except BaseException:
            self._journal.withdraw(recording)
            raise
        return await self._run(again, recording)

    async def _run(self, message: Message, recording: Recording, logon: Session | None = None) -> Message | None:
        try:
            with recorded(recording.traced if recording.debug else None):
                async with self.deployment.exchange(logon):
                    result = await Processing(self._parts, recording).run(self.flow.steps, "steps", message)
        except BaseException as exc:
            await self._journal.end(recording, "failed", exc)
            raise
        await self._journal.end(recording, "filtered" if result is None else "done")
        return result

    async def _level(self) -> str:
        return INFO if self.flow.log == "none" else await self._levels.of(self.flow.name)


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
    retention: Retention = Retention(),  # noqa: B008 - an immutable value
    **rules: Any,
) -> AsyncIterator[DeployedFlow]:
    """Deploy a flow for as long as the block lasts; sessions of `on_integration_flow` outlive it.

    Args:
        manager: Of an engine that was opened with `flow_kinds()`.
        credentials: What the names in the flow's `auth` stand for.
        adapters: For each type of receiver, what makes its adapter.
        transport: What really sends, for all receivers; closed with the block.
        tell: Given `StepEnded` and `Counted`, at once; it must not wait.
        retention: How much of what became of messages is kept, and for how long.
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
        messages = MessageLog(manager, retention)
        journal = await stack.enter_async_context(open_journal(messages, flow.name, found.source.file, flow.log))
        yield DeployedFlow(flow, parts, journal)
