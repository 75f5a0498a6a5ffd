"""Workers in this process that send by AS2 and take receipts at a real port, all with one store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn

from e2e.cluster import free_port
from e2e.flows_world import Receiver
from flows.adapters.as2.world import OURS, known
from holdfast.core.ports import Store
from holdfast.core.sealing import new_key_text
from holdfast.engine import Engine, open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.runtime import DeployedFlow, Message
from holdfast.flows.serving.compose import open_flows
from holdfast.flows.serving.endpoint import FlowsEndpoint
from holdfast.identity.static import StaticToken
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.guard import Guard

KEYS = new_key_text()


class Worker:
    """A flow that is served, and the URL at which it takes receipts."""

    def __init__(self, engine: Engine, flow: DeployedFlow, url: str) -> None:
        self.engine, self.flow, self.url = engine, flow, url

    async def send(self, text: str = "order", name: str = "") -> Message:
        result = await self.flow.process(Message(id=name, body=text))
        assert result is not None
        return result


@asynccontextmanager
async def worker(
    folder: Path,
    partner: Receiver,
    more: str = "",
    *,
    store: Store | str = "memory://",
    clock: Callable[[], float] | None = None,
    port: int = 0,
    name: str = "orders",
) -> AsyncIterator[Worker]:
    """Run a worker; `more` are settings of the partner beside those of a deferred receipt."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}/as2/receipts"
    head = f"url: '{partner.url}/as2', auth: {{basic: anna}}, {OURS}, receipt_url: '{url}'"
    text = f"flow: {name}\nreceivers:\n  partner: {{adapter: as2, {head}{more}}}\nsteps:\n- call: partner\n"
    file = folder / f"{name}.yaml"
    file.write_text(text)
    over = httpx2.AsyncHTTPTransport(verify=False)
    timed: dict[str, Any] = {"clock": clock} if clock else {}
    with anyio.fail_after(60):
        async with (
            open_engine(store, keys=KEYS, kinds=flow_kinds(), **timed) as engine,
            open_flows([str(file)], engine.manager, credentials=known, transport=over) as flows,
        ):
            bearer = Bearer(StaticToken("a-long-token", principal="anna"))
            endpoint = FlowsEndpoint(flows.paths, bearer, guard=Guard(), proxies=Proxies(), max_body=1000)
            async with _listening(endpoint, port):
                yield Worker(engine, flows.flows[name], url)


@asynccontextmanager
async def _listening(endpoint: FlowsEndpoint, port: int) -> AsyncIterator[None]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await endpoint(scope, receive, send, path=scope["path"])

    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve)
        while not server.started:
            await anyio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
