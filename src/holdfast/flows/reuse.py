"""Re-use of sessions for any httpx2 client, without a flow (F14).

reuse = SessionReuse("on_exchange", "sqlite:///sessions.db")
async with httpx2.AsyncClient(transport=reuse, auth=("user", "password")) as client: …
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx2

from holdfast.core.ports import Store
from holdfast.engine import Engine, open_engine
from holdfast.errors import ConfigurationError
from holdfast.flows.kinds import flow_kinds
from holdfast.flows.sessions.cookies import RFC6265BIS, CookiePolicy, DomainMapping
from holdfast.flows.sessions.deployment import Deployment
from holdfast.flows.sessions.scopes import Channel, Reuse
from holdfast.flows.sessions.transport import ReusingTransport


class SessionReuse(httpx2.AsyncBaseTransport):
    """A transport that keeps sessions: the client logs on once and then sends the cookie alone.

    `on_exchange`: a session lasts for a block `async with reuse.exchange()`; calls outside such blocks share one that
    lasts as long as the client is open. `on_integration_flow`: all clients with this store and `name` share it, and it
    outlives them. Engine and store are opened with the client, which has to be used in an `async with` block.

    Args:
        store: A store's URL or an open one; or an engine that was opened with `flow_kinds()`.
        name: Whose sessions these are.
        inner: The transport that really sends.
        channel: What is known of the receiver: that it is stateful, how to log off, …
        engine: More arguments for `open_engine`, such as `keys`.
    """

    def __init__(
        self,
        reuse: str | Reuse,
        store: str | Store | Engine = "memory://",
        *,
        name: str = "client",
        inner: httpx2.AsyncBaseTransport | None = None,
        channel: Channel | None = None,
        strict: bool = False,
        policy: CookiePolicy = RFC6265BIS,
        mappings: Iterable[DomainMapping] = (),
        **engine: Any,
    ) -> None:
        self._reuse, self._store, self._engine = Reuse.named(reuse), store, engine
        self._name, self._channel = name, channel or Channel(name=name)
        self._inner = inner or httpx2.AsyncHTTPTransport()
        self._rules: dict[str, Any] = {"strict": strict, "policy": policy, "mappings": tuple(mappings)}
        self._stack = AsyncExitStack()
        self._open: tuple[Deployment, ReusingTransport] | None = None

    @property
    def deployment(self) -> Deployment:
        """What keeps the sessions, while the client is open."""
        return self._opened[0]

    def exchange(self) -> AbstractAsyncContextManager[None]:
        """Return a block with sessions of its own, under `on_exchange`."""
        return self.deployment.exchange()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request in its session."""
        return await self._opened[1].handle_async_request(request)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._inner)
            engine = self._store
            if not isinstance(engine, Engine):
                kinds = flow_kinds(self._inner)
                engine = await stack.enter_async_context(open_engine(engine, kinds=kinds, **self._engine))
            deployment = Deployment(engine.manager, self._name, self._reuse, channels=[self._channel], **self._rules)
            await stack.enter_async_context(deployment.lasting_exchange())
            self._open = deployment, ReusingTransport(deployment, self._channel, self._inner)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._open = None
        await self._stack.__aexit__(exc_type, exc_value, traceback)

    @property
    def _opened(self) -> tuple[Deployment, ReusingTransport]:
        if self._open is None:
            raise ConfigurationError("the client is not open", hint="Use `async with httpx2.AsyncClient(…)`.")
        return self._open
