"""Flows with senders, served in memory; files are in a folder of the test."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from holdfast.config import Settings
from holdfast.core.ports import Store
from holdfast.engine import Engine, open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.serving.compose import Flows, open_flows
from holdfast.flows.serving.endpoint import FlowsEndpoint
from holdfast.identity.static import StaticToken
from holdfast.web.address import Proxies
from holdfast.web.bearer import Bearer
from holdfast.web.guard import Guard
from holdfast.web.rates import Rates

TOKEN = "a-long-token"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


class Served:
    """Flows that are served, and a client for their paths."""

    def __init__(self, flows: Flows, engine: Engine, most: int, **limits: float) -> None:
        self.flows, self.engine = flows, engine
        bearer = Bearer(StaticToken(TOKEN, principal="anna"))
        rates = Rates(engine.store.counters, Settings(**limits), clock=engine.manager.clock)  # type: ignore[arg-type]
        endpoint = FlowsEndpoint(flows.paths, bearer, guard=Guard(), proxies=Proxies(), rates=rates, max_body=most)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await endpoint(scope, receive, send, path=scope["path"])

        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1")

    async def post(self, path: str, content: Any = None, **headers: str) -> httpx2.Response:
        """POST as somebody who is known."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, content=content, headers={**AUTHORIZED, **named})


@asynccontextmanager
async def served(
    folder: Path, files: Mapping[str, str] | str, *, store: Store | str = "memory://", most: int = 1000, **more: Any
) -> AsyncIterator[Served]:
    """Serve flows of these texts; one alone is `flow.yaml`."""
    texts = {"flow.yaml": files} if isinstance(files, str) else files
    for name, text in texts.items():
        (folder / name).write_text(text)
    limits = {name: more.pop(name) for name in ("rate_limit_per_client", "rate_burst") if name in more}
    engine_options = {name: more.pop(name) for name in ("clock", "keys") if name in more}
    names = [str(folder / name) for name in texts]
    async with (
        open_engine(store, kinds=flow_kinds(), **engine_options) as engine,
        open_flows(names, engine.manager, **more) as flows,
    ):
        yield Served(flows, engine, most, **limits)
