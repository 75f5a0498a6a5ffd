"""A simulated system with a clock of its own, and a caller that sends exactly what a test says."""

import base64
import re
import select
import subprocess
from collections.abc import Callable
from typing import Any

import anyio
import httpx2

from holdfast.simulator import Simulator, Switches, asgi

START = 1_800_000_000.0
GRAPH = "/sap/bc/adt/compatibility/graph"
SESSIONS = "/sap/bc/adt/core/http/sessions"
LOGOFF = "/sap/public/bc/icf/logoff"
GREETER = "/sap/bc/adt/oo/classes/zcl_hf_greeter"
DESK = "/sap/bc/adt/oo/classes/zcl_hf_order_desk"
PROGRAM = "/sap/bc/adt/programs/programs/z_hf_hello"
CLOCK = "/sap/bc/adt/oo/interfaces/zif_hf_clock"


class Hourglass:
    """The base clock of a simulated system; stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Gatekeeper:
    """Holds back slow requests: each `pause` of the system waits until the test lets it go."""

    def __init__(self) -> None:
        self.waiting = 0
        self._go = anyio.Event()

    async def __call__(self, _seconds: float) -> None:
        self.waiting += 1
        with anyio.fail_after(5):
            await self._go.wait()

    async def until(self, count: int) -> None:
        """Wait until this many requests are held."""
        with anyio.fail_after(5):
            while self.waiting < count:
                await anyio.lowlevel.checkpoint()

    def open(self) -> None:
        """Let everything go, now and later."""
        self._go.set()


class Caller:
    """A raw HTTP client. Cookies are kept by hand and sent only as told."""

    def __init__(self, http: httpx2.AsyncClient, user: str = "DEVELOPER", password: str = "Holdfast1") -> None:
        self._http = http
        self.credentials = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.cookies: dict[str, str] = {}
        self.token = ""

    @property
    def context(self) -> str | None:
        """The context id last told by the system, if it is not deleted."""
        value = self.cookies.get("sap-contextid")
        return None if value in (None, "0") else value

    async def log_on(self) -> "Caller":
        """Get the session cookie and the token."""
        answer = await self.call("GET", GRAPH, credentials=True, headers={"x-csrf-token": "fetch"})
        self.token = answer.headers["x-csrf-token"]
        return self

    async def call(
        self,
        method: str,
        path: str,
        mode: str | None = None,
        *,
        context: bool = True,
        credentials: bool = False,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        """Send one request: session cookie and token always, the context cookie unless `context=False`."""
        sent = {"x-csrf-token": self.token} | ({"x-sap-adt-sessiontype": mode} if mode is not None else {})
        sent |= {"authorization": self.credentials} if credentials else {}
        cookies = [f"{k}={v}" for k, v in self.cookies.items() if context or k != "sap-contextid"]
        sent |= {"cookie": "; ".join(cookies)} if cookies else {}
        answer = await self._http.request(method, path, headers=sent | (headers or {}), **more)
        self._http.cookies.clear()
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def lock(self, path: str = GREETER, mode: str | None = "stateful", **more: Any) -> str:
        """Lock and return the handle."""
        answer = await self.call("POST", f"{path}?_action=LOCK&accessMode=MODIFY", mode, **more)
        assert answer.status_code == 200, answer.text
        found = re.search("<LOCK_HANDLE>(.*?)</LOCK_HANDLE>", answer.text)
        assert found is not None
        return found[1]

    async def put(self, handle: str, text: str, path: str = GREETER, mode: str | None = "stateful", **more: Any) -> Any:
        """Write the main source."""
        return await self.call("PUT", f"{path}/source/main", mode, params={"lockHandle": handle}, content=text, **more)

    async def source(self, path: str = GREETER, version: str = "") -> str:
        """Read the main source in a context of its own."""
        answer = await self.call("GET", f"{path}/source/main?version={version}", context=False)
        assert answer.status_code == 200, answer.text
        return answer.text


class System:
    """A simulator, its clock, and what SM04, SM05 and SM12 show."""

    def __init__(self, profile: str, clock: Hourglass, switches: Switches, **more: Any) -> None:
        self.gatekeeper = Gatekeeper()
        self.sim = Simulator(profile, clock=clock, switches=switches, pause=self.gatekeeper, **more)
        self.clock = clock
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(asgi(self.sim)), base_url="http://sap.test")

    async def caller(self, user: str = "DEVELOPER") -> Caller:
        """Return a client that is logged on."""
        return await Caller(self.http, user).log_on()

    def stranger(self, user: str = "DEVELOPER", password: str = "Holdfast1") -> Caller:
        """Return a client that is not logged on."""
        return Caller(self.http, user, password)

    async def admin(self, method: str, path: str, **more: Any) -> Any:
        """Call the admin API and return its JSON."""
        answer = await self.http.request(method, f"/_sim{path}", **more)
        return answer.json()

    async def sm04(self) -> list[dict[str, Any]]:
        """Contexts."""
        return list(await self.admin("GET", "/sm04"))

    async def sm05(self) -> list[dict[str, Any]]:
        """Security sessions."""
        return list(await self.admin("GET", "/sm05"))

    async def sm12(self) -> list[dict[str, Any]]:
        """Locks."""
        return list(await self.admin("GET", "/sm12"))

    async def locked(self) -> list[str]:
        """Names of the locked objects."""
        return [row["object"] for row in await self.sm12()]

    def switch(self, **changes: Any) -> None:
        """Change switches while the system runs."""
        self.sim.switch(self.sim.switches.changed(changes))

    async def fault(self, effect: str, **rule: Any) -> None:
        """Put a fault in force."""
        answer = await self.http.post("/_sim/faults", json={"effect": effect, **rule})
        assert answer.status_code == 200, answer.text


Build = Callable[..., System]


def error_of(answer: httpx2.Response) -> tuple[int, str, str]:
    """Return status, exception type and T100 key of an ADT error."""
    kind = re.search('<type id="(.*?)"', answer.text)
    key = [re.search(f'"T100KEY-{part}">(.*?)<', answer.text) for part in ("ID", "NO")]
    t100 = "/".join(found[1] for found in key if found is not None)
    return answer.status_code, kind[1] if kind else "", t100


def listening_url(process: subprocess.Popen[str]) -> str:
    """Return the URL a simulator process prints once it listens; waits 20 s at most."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 20)
    line = process.stdout.readline() if ready else ""
    assert line.startswith("ABAP simulator listening on http://"), f"the simulator did not start: {line!r}"
    return line.split()[4]
