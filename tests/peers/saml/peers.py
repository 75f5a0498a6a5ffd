"""What the tests against real identity providers share: keys, sites of two processes each, and a person who clicks.

The two sites are reached by two names of this machine, so that a browser keeps their cookies apart.
"""

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import anyio
import httpx2
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import html

from e2e.cluster import Cluster, cluster, free_port
from holdfast.core.sealing import new_key_text
from identity.saml.idp import certificate_of, key_of
from peers.administrator import ADMIN_TOKEN
from servers.orphans import go_with_parent

HERE = Path(__file__).parent
PATIENCE = 150.0
START_S = 60.0
REFRESH = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')


def write_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a party's key and certificate; return where."""
    key, certificate = folder / f"{name}.pem", folder / f"{name}.crt"
    key.write_bytes(key_of(name).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    certificate.write_bytes(certificate_of(name).public_bytes(Encoding.PEM))
    return key, certificate


def der_of(name: str) -> str:
    """Return a party's certificate as metadata have it."""
    return b64encode(certificate_of(name).public_bytes(Encoding.DER)).decode()


@asynccontextmanager
async def running(command: Sequence[str], url: str, env: Mapping[str, str], log: Path) -> AsyncIterator[None]:
    """Run a server until the block ends, with all the processes it starts."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, **env},
            preexec_fn=go_with_parent,  # noqa: PLW1509 - no threads are left behind it
            cwd=log.parent,
        )
    try:
        async with httpx2.AsyncClient(timeout=5.0) as client:
            with anyio.fail_after(START_S):
                while True:
                    try:
                        await client.get(url)
                        break
                    except httpx2.TransportError:
                        assert process.poll() is None, log.read_text()
                        await anyio.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, 9)  # a session of its own: nobody else is in it
        process.wait()


@dataclass
class Sites:
    """Sites by their address."""

    urls: list[str]
    folder: Path
    clusters: list[Cluster] = field(default_factory=list)
    envs: list[dict[str, str]] = field(default_factory=list)

    def pids(self) -> set[int]:
        return {one.pid(number) for one in self.clusters for number in range(len(one.ports))}


@asynccontextmanager
async def sites(folder: Path, urls: Sequence[str], *, count: int = 2, **saml: str) -> AsyncIterator[Sites]:
    """Run sites of `count` processes each, on a store each, behind a proxy that picks a process for every request.

    `saml` are settings of `[saml]`, the same for each.
    """
    made = Sites(list(urls), folder)
    async with AsyncExitStack() as stack:
        for number, url in enumerate(urls):
            key, certificate = write_key(folder, f"sp{number}")
            env = {
                **os.environ,
                **{f"HOLDFAST_SAML__{name.upper()}": value for name, value in saml.items()},
                "HOLDFAST_SAML__URL": url + "/saml",
                "HOLDFAST_SAML__KEY": str(key),
                "HOLDFAST_SAML__CERTIFICATE": str(certificate),
                "HOLDFAST_SAML__ROLES_IN": "groups",
                "HOLDFAST_KEYS": new_key_text(),
                "HOLDFAST_ADMIN_TOKEN": ADMIN_TOKEN,
                "HOLDFAST_STORE": f"sqlite:///{folder}/site{number}.db",
            }
            made.envs.append(env)
            workers = cluster(
                lambda port: [sys.executable, str(HERE / "site.py"), str(port)],
                count=count,
                env=env,
                port=int(url.rpartition(":")[2]),
            )
            made.clusters.append(await stack.enter_async_context(workers))
        yield made


def addresses(count: int) -> list[str]:
    """Return free addresses of this machine, the first two by two names."""
    names = ["localhost", "127.0.0.1"]
    return [f"http://{names[number % 2]}:{free_port()}" for number in range(count)]


def origin_of(url: str) -> str:
    """Return the origin of a page."""
    return "/".join(url.split("/")[:3])


class Person:
    """Somebody with a browser: follows redirects and refreshes, and sends the forms that send themselves."""

    def __init__(self, client: httpx2.AsyncClient, name: str = "ann", password: str = "pw") -> None:
        self.client, self.name, self.password = client, name, password
        self.way: list[str] = []

    async def go(self, url: str, method: str = "GET", data: Mapping[str, str] | None = None) -> httpx2.Response:
        """Go to an address, and wherever it leads."""
        at = ""
        for _ in range(30):
            origin = {"origin": origin_of(at or url)} if method == "POST" else {}
            answer = await self.client.request(method, url, data=data, headers=origin)
            self.way.append(f"{method} {str(answer.url).partition('?')[0]} {answer.status_code}")
            at = url = str(answer.url)
            refresh = REFRESH.search(answer.text)
            if answer.has_redirect_location:
                method, data, url = "GET", None, urljoin(url, answer.headers["location"])
            elif refresh is not None:
                method, data, url = "GET", None, unescape(refresh.group(1))
            elif (form := self._form(answer)) is not None:
                method, url, data = "POST", urljoin(url, form[0]), form[1]
            else:
                return answer
        raise AssertionError(f"no end of it: {self.way}")

    def _form(self, answer: httpx2.Response) -> tuple[str, dict[str, str]] | None:
        if "html" not in answer.headers.get("content-type", "") or "<form" not in answer.text:
            return None
        for form in html.fromstring(answer.content).forms:
            fields = {name: value or "" for name, value in form.form_values()}
            if {"SAMLRequest", "SAMLResponse"} & fields.keys():
                return form.get("action") or "", fields
            if "password" in form.fields:
                assert "POST" not in self.way[-1], f"the password was refused: {self.way}"
                return form.get("action") or "", {**fields, "username": self.name, "password": self.password}
        return None

    async def seen(self, url: str) -> Any:
        """Look at an application."""
        return (await self.client.get(url + "/app/")).json()


@asynccontextmanager
async def person(name: str = "ann") -> AsyncIterator[Person]:
    """Open a browser."""
    async with httpx2.AsyncClient(timeout=30.0, follow_redirects=False) as client:
        yield Person(client, name)
