"""A deployed flow, as far as its sessions are concerned: its setting, its messages, and what it has to tell.

deployment = Deployment(engine.manager, "orders", "on_exchange")
erp = httpx2.AsyncClient(transport=ReusingTransport(deployment, Channel(name="erp")), auth=("erp", "secret"))
async with deployment.exchange():
    await erp.get(…)
"""

import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import Busy, ConfigurationError, SessionEnded, StoreUnavailable
from holdfast.flows.sessions import scopes
from holdfast.flows.sessions.cookies import RFC6265BIS, CookiePolicy, DomainMapping
from holdfast.flows.sessions.kept import Content, Sessions
from holdfast.flows.sessions.nodes import YEAR_S, ExchangeNode, FlowNode, Node
from holdfast.flows.sessions.scopes import Channel, Finding, Reuse, Scope
from holdfast.flows.sessions.tokens import OneCall
from holdfast.flows.sessions.trace import Tracer

log = logging.getLogger("holdfast.flows")


class Exchange:
    """One message being processed, and the nodes of its branches."""

    def __init__(self, root: Scope, node: ExchangeNode) -> None:
        self.root, self.node = root, node
        self.branches: dict[str, ExchangeNode] = {}


Where = tuple[Exchange, Scope]
_WHERE: Final[ContextVar[Mapping["Deployment", Where]]] = ContextVar("where", default=MappingProxyType({}))


class Deployment:
    """A flow with its setting (F1, F4).

    Args:
        manager: Of an engine that was opened with `flow_kinds()`.
        name: The flow's; under `on_integration_flow` all deployments of a name share their sessions.
        channels: Those known beforehand; what they say about the setting is told at once.
        strict: What would only be told as a warning is refused: a second user, state that messages would share.
        policy: Where cookies go; `JAVA` as in SAP Cloud Integration.
        mappings: Of virtual hosts and domains (F9).
        tracer: Given every call's cookies, hashed. By default they go to the log at DEBUG.
    """

    def __init__(
        self,
        manager: Manager,
        name: str,
        reuse: str | Reuse | None = None,
        *,
        channels: Iterable[Channel] = (),
        strict: bool = False,
        policy: CookiePolicy = RFC6265BIS,
        mappings: Iterable[DomainMapping] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self.manager, self.name, self.reuse = manager, name, Reuse.named(reuse)
        self.strict, self.tracer = strict, tracer
        self.findings: list[Finding] = []
        self.salt = secrets.token_bytes(16)
        self._rules: dict[str, Any] = {"policy": policy, "mappings": tuple(mappings)}
        self._flow = FlowNode(manager, name, self._rules)
        self._told: set[tuple[str, ...]] = set()
        self.default: Where | None = None  # where a call belongs that no exchange was begun for
        for finding in scopes.of_channels(self.reuse, channels):
            self._judge(finding)
            self._tell(finding)

    # -- messages

    @asynccontextmanager
    async def exchange(self, logon: Session | None = None) -> AsyncIterator[None]:
        """Process one message in this block: under `on_exchange` its sessions are gone at the end.

        With a `logon` it hangs below that, and ends with it. Raises SessionEnded if it was ended from outside.
        """
        if self.reuse is not Reuse.EXCHANGE:
            yield
            return
        async with self._exchange(logon) as exchange:
            with self._at(exchange, exchange.root):
                yield

    @asynccontextmanager
    async def lasting_exchange(self) -> AsyncIterator[None]:
        """Give calls that no exchange was begun for one of their own, for as long as this block lasts."""
        if self.reuse is not Reuse.EXCHANGE:
            yield
            return
        async with self._exchange() as exchange:
            self.default = exchange, exchange.root
            try:
                yield
            finally:
                self.default = None

    @asynccontextmanager
    async def _exchange(self, logon: Session | None = None) -> AsyncIterator[Exchange]:
        exchange = Exchange(Scope("message"), ExchangeNode(self.manager, self.name, self._rules, logon=logon))
        await exchange.node.write()
        session = exchange.node.session
        assert session is not None  # noqa: S101 - just written
        try:
            async with self.manager.running(session):
                yield exchange
        finally:
            await exchange.node.end()

    @asynccontextmanager
    async def split(self, count: int) -> AsyncIterator[list[AbstractAsyncContextManager[None]]]:
        """Give parallel branches, each to be entered in its own task: `async with branch: …` (F8).

        They share the sessions that are there now. A session born in a branch is the branch's and ends with the split.
        """
        where = self._where()
        if where is None:
            yield [_nowhere() for _ in range(count)]
            return
        exchange, scope = where
        here = self._node_of(exchange, scope)
        parts = scopes.split(scope, count, here.sessions.receivers(), f"{len(exchange.branches)}")
        for part in parts:
            exchange.branches[part.name] = ExchangeNode(self.manager, self.name, self._rules, exchange.node)
        try:
            yield [self._branch(exchange, part) for part in parts]
        finally:
            born = Counter(r for part in parts for r in exchange.branches[part.name].sessions.receivers())
            for receiver, sessions in born.items():
                if sessions > 1:
                    await self.report(scopes.separate_branches(receiver, sessions))
            for part in parts:
                await exchange.branches[part.name].end()

    def node(self, receiver: str) -> Node:
        """Return where the session of a call to this receiver is, or will be, from where the call is made."""
        if self.reuse is Reuse.FLOW:
            return self._flow
        where = self._where()
        if where is None:
            raise ConfigurationError("a call on_exchange is outside any exchange", hint="Use `async with exchange():`.")
        exchange, scope = where
        return self._node_of(exchange, scopes.home(scope, receiver))

    def alone(self) -> Node:
        """Return where the session of a call is that consists of several requests and shares it with no other call."""
        return OneCall(Sessions(Content(salt=self.salt), **self._rules))

    async def deploy(self) -> None:
        """Take notice of undeployments from now on; else the first call does. One that was undeployed begins anew."""
        if self.reuse is Reuse.FLOW:
            await self._flow.deploy()

    async def undeploy(self) -> bool:
        """End the flow's sessions: whoever keeps them logs off (F13). False if there were none.

        No deployment of that name, at whatever worker, opens others unless it is deployed after this: its calls raise
        SessionEnded.
        """
        return await self._flow.end()

    # -- telling

    async def report(self, finding: Finding) -> None:
        """Tell a finding once per deployment; raise ConfigurationError for some of them if `strict`."""
        self._judge(finding)
        key = (finding.code, *finding.about)
        if key in self._told:
            return
        self._told.add(key)
        if self.reuse is not Reuse.FLOW or await self._is_first(key):
            self._tell(finding)

    async def _is_first(self, key: tuple[str, ...]) -> bool:
        """Say whether no other worker has told it; without a store it is told rather twice than never."""
        try:
            deployed = (await self._flow.session()).record.hex
            name = f"flow:{deployed}:{':'.join(key)}"
            return await self.manager.store.counters.once(name, now=self.manager.clock(), ttl=YEAR_S)
        except (Busy, SessionEnded, StoreUnavailable):
            return True

    def _judge(self, finding: Finding) -> None:
        if self.strict and finding.serious:
            raise ConfigurationError(f"flow {self.name}: {finding.placed}", hint=finding.remedy)

    def _tell(self, finding: Finding) -> None:
        self.findings.append(finding)
        log.warning("flow %s: %s. %s", self.name, finding.placed, finding.remedy)

    # -- where a call is made

    def _where(self) -> Where | None:
        return _WHERE.get().get(self, self.default)

    def _node_of(self, exchange: Exchange, scope: Scope) -> ExchangeNode:
        return exchange.branches.get(scope.name, exchange.node)

    @contextmanager
    def _at(self, exchange: Exchange, scope: Scope) -> Iterator[None]:
        token = _WHERE.set({**_WHERE.get(), self: (exchange, scope)})
        try:
            yield
        finally:
            _WHERE.reset(token)

    @asynccontextmanager
    async def _branch(self, exchange: Exchange, scope: Scope) -> AsyncIterator[None]:
        with self._at(exchange, scope):
            yield


@asynccontextmanager
async def _nowhere() -> AsyncIterator[None]:
    yield
