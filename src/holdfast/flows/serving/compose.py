"""Flows of files, deployed on an engine with their senders: what `holdfast serve` runs.

async with open_engine(url, kinds=flow_kinds()) as engine, open_flows(["flows/*.yaml"], engine.manager) as flows:
    …
"""

import glob
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec

from holdfast.core.manager import Manager
from holdfast.errors import ConfigurationError
from holdfast.flows.adapters import ADAPTERS, Credentials, Means, no_credentials
from holdfast.flows.adapters import Make as MakeAdapter
from holdfast.flows.model import Definition, Flow, load_flow, steps_of
from holdfast.flows.parts import Call, Receiver
from holdfast.flows.runtime.deployed import DeployedFlow, deployed
from holdfast.flows.senders import SENDERS, Sender, SenderMeans
from holdfast.flows.senders.work import Work
from holdfast.flows.serving.paths import Paths
from holdfast.flows.sessions.scopes import Channel
from holdfast.flows.sessions.transport import ReusingTransport


class Flows:
    """The flows of a process, by their names."""

    def __init__(self, flows: Mapping[str, DeployedFlow], paths: Paths, work: Work) -> None:
        self.flows, self.paths = flows, paths
        self._work = work

    @property
    def busy(self) -> bool:
        """Whether messages of senders are under way."""
        return self._work.busy

    def stop(self) -> None:
        """Begin no message any more. What is under way goes on."""
        self._work.stop()

    def give_up(self) -> None:
        """Cancel what is under way."""
        self._work.give_up()


@asynccontextmanager
async def open_flows(
    files: Iterable[str],
    manager: Manager,
    *,
    credentials: Credentials = no_credentials,
    adapters: Mapping[type, MakeAdapter] = ADAPTERS,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    **more: Any,
) -> AsyncIterator[Flows]:
    """Deploy flows and run their senders until the block ends; what is under way then is cancelled.

    Args:
        files: Names of files, or patterns such as `flows/*.yaml`.
        manager: Of an engine that was opened with `flow_kinds()`.
        more: For `deployed`, such as `patience` and `tell`.
    Raises:
        ConfigurationError: What is wrong, with file and line.
    """
    definitions = [load_flow(file) for file in matching(files)]
    _refuse_twice(definitions)
    for definition in definitions:
        _refuse_unknown(definition, credentials)
    paths, work = Paths(), Work()
    serving = {settings: partial(_with_paths, make, paths) for settings, make in adapters.items()}
    async with AsyncExitStack() as stack:
        flows, senders = {}, []
        for definition in definitions:
            running = deployed(definition, manager, credentials=credentials, adapters=serving, **more)
            flow = flows[definition.flow.name] = await stack.enter_async_context(running)
            means = SenderMeans(
                flow=definition.flow.name,
                process=flow.process,
                accept=flow.accept,
                work=work,
                manager=manager,
                adapter=Means(credentials, Path(definition.source.file).parent, manager.clock, paths, manager),
                client=partial(_client, stack, flow),
                exchange=flow.deployment.exchange,
                sleep=sleep,
            )
            senders += _senders(definition, means)
        await stack.enter_async_context(work.running())
        for sender in senders:
            work.leave(sender.run)
        yield Flows(flows, paths, work)


def matching(files: Iterable[str]) -> list[str]:
    """Return the files that these names and patterns mean, in order, each once. Raises ConfigurationError."""
    found: dict[str, None] = {}
    for pattern in files:
        named = sorted(glob.glob(pattern, recursive=True))
        if not named:
            raise ConfigurationError(f"there is no file {pattern}", hint="See `files` of [flows] in the settings.")
        found.update(dict.fromkeys(named))
    return list(found)


def _refuse_twice(definitions: Iterable[Definition]) -> None:
    known: dict[str, str] = {}
    for definition in definitions:
        name, place = definition.flow.name, definition.source.place("flow")
        if name in known:
            raise ConfigurationError(f"{place}: the flow {name!r} is at {known[name]} already")
        known[name] = place


def _refuse_unknown(definition: Definition, credentials: Credentials) -> None:
    """Refuse a credential that nobody knows, as far as the flow's text names it."""
    for path, settings in _callers(definition.flow):
        for name in (settings.auth.basic, settings.auth.bearer):
            if name and "${" not in name:
                try:
                    credentials(name)
                except ConfigurationError as exc:
                    place = definition.source.place(f"{path}.auth")
                    raise ConfigurationError(f"{place}: {exc}", hint=exc.hint) from exc


def _callers(flow: Flow) -> Iterator[tuple[str, Receiver]]:
    """Return what calls, by path: the receivers, the steps where they differ, and a sender that reads."""
    yield from ((f"receivers.{name}", receiver) for name, receiver in flow.receivers.items())
    for path, step in steps_of(flow):
        if isinstance(call := step.options, Call) and "auth" in call.changes:
            yield f"{path}.{step.kind}", call.settings(flow.receivers[call.receiver])
    if isinstance(flow.sender, Receiver):
        yield "sender", flow.sender


def _with_paths(make: MakeAdapter, paths: Paths, name: str, options: Any, means: Means) -> Any:
    """Make an adapter that can answer at paths of the server."""
    return make(name, options, msgspec.structs.replace(means, paths=paths))


def _senders(definition: Definition, means: SenderMeans) -> list[Sender]:
    """Return the flow's sender, if it has one."""
    settings = definition.flow.sender
    try:
        return [] if settings is None else [SENDERS[type(settings)](settings, means)]
    except ConfigurationError as exc:
        raise ConfigurationError(f"{definition.source.place('sender')}: {exc}", hint=exc.hint) from exc


def _client(stack: AsyncExitStack, flow: DeployedFlow, channel: Channel) -> httpx2.AsyncClient:
    client = httpx2.AsyncClient(transport=ReusingTransport(flow.deployment, channel), timeout=None)
    stack.push_async_callback(client.aclose)
    return client
