"""A web application under attack: two processes on one store, and browsers with jars of their own.

async with web_target(place, tmp_path) as attacked:
    victim = attacked.browser()
    await victim.post("/login/ann")
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2

from attacks.world import PATIENCE, Target, as_headers
from e2e.cluster import cluster
from holdfast.core.sealing import new_key_text
from stores.stores import Place

SERVER: Final = Path(__file__).with_name("web_server.py")
LOGON: Final = "holdfast-logon"
NOBODY: Final[dict[str, Any]] = {"who": None, "data": {}}


class Browser:
    """Sends requests as a page of the site does, and keeps cookies as a browser does."""

    def __init__(self, target: "WebTarget", jar: dict[str, str] | None = None) -> None:
        self.target, self.jar = target, dict(jar or {})

    def copy(self) -> "Browser":
        """Return a thief's: the same cookies, from now on apart."""
        return Browser(self.target, self.jar)

    async def send(self, method: str, path: str, *, data: Any = None, **headers: str) -> httpx2.Response:
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())} if self.jar else {}
        said = {**cookie, "sec-fetch-site": "same-origin", **as_headers(headers)}
        told = {name: value for name, value in said.items() if value}
        answer = await self.target.http.request(method, self.target.workers.url + path, headers=told, data=data)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.jar[name] = rest.partition(";")[0]
        self.jar = {name: value for name, value in self.jar.items() if value}
        return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        return await self.send("POST", path, **headers)

    async def seen(self, path: str = "/") -> Any:
        return (await self.get(path)).json()


class WebTarget(Target):
    """What is attacked."""

    def browser(self, jar: dict[str, str] | None = None) -> Browser:
        return Browser(self, jar)


@asynccontextmanager
async def web_target(
    place: Place, folder: Path, *, settings: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[WebTarget]:
    """Run servers on a store, with these settings (of the environment) and options (of `SessionMiddleware`)."""
    key = new_key_text()
    base = {"STORE": place.url, "NAMESPACE": place.namespace, "KEYS": key, **(settings or {})}
    env = {**os.environ, **{f"HOLDFAST_{name}": value for name, value in base.items()}}

    def command(port: int) -> Sequence[str]:
        return [sys.executable, str(SERVER), str(port), str(folder), json.dumps(options)]

    with anyio.fail_after(4 * PATIENCE):
        no_jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # each browser has its own
        async with cluster(command, env=env) as workers, httpx2.AsyncClient(timeout=PATIENCE, cookies=no_jar) as http:
            yield WebTarget(workers, place, folder, http, key)
