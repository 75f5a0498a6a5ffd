"""A browser with Device Bound Session Credentials, as the draft describes it: a key, a jar, and cookies that end.

browser = BoundBrowser(exchange, clock)         # exchange(method, path, headers) sends one request
await browser.request("POST", "/login/ann")     # registers a key, as the answer offers
await browser.request("GET", "/")               # gets a fresh bound cookie before, if its own has ended
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2

from attacks.world import as_headers
from identity.device import SigningDevice

Exchange = Callable[[str, str, dict[str, str]], Awaitable[httpx2.Response]]
OFFER: Final = re.compile(r'\(ES256 RS256\);path="([^"]+)";challenge="([^"]+)"')
ASKED: Final = re.compile(r'"([^"]+)";id="([^"]+)"')
MOST_TRIES: Final = 3


class BoundBrowser:
    """Sends requests; fails if a bound cookie or a challenge comes a second time."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float], device: SigningDevice | None = None) -> None:
        self.exchange, self.clock, self.device = exchange, clock, device or SigningDevice()
        self.jar: dict[str, tuple[str, float]] = {}
        self.bound: dict[str, Any] | None = None  # what the server has told of the binding
        self.challenge = ""  # what the next proof has to hold, if that is known
        self.seen: set[str] = set()  # bound cookies and challenges
        self.refreshed: list[int] = []  # the statuses of the answers

    @property
    def bound_cookie(self) -> str:
        return str(self.bound["credentials"][0]["name"]) if self.bound else ""

    def cookies(self, *without: str) -> dict[str, str]:
        now = self.clock()
        return {name: value for name, (value, ends) in self.jar.items() if ends > now and name not in without}

    def thief(self, *without: str) -> "BoundBrowser":
        """Return the browser of somebody who has copied the cookies that are here now, but for some."""
        stolen = BoundBrowser(self.exchange, self.clock)
        stolen.jar = {name: (value, float("inf")) for name, value in self.cookies(*without).items()}
        return stolen

    async def send(self, method: str, path: str, **headers: str) -> httpx2.Response:
        """Send one request and take the cookies of its answer."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies().items())
        said = {"sec-fetch-site": "same-origin", **({"cookie": cookie} if cookie else {}), **as_headers(headers)}
        answer = await self.exchange(method, path, said)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value, *attributes = rest.split("; ")
            ages = [int(one.partition("=")[2]) for one in attributes if one.startswith("Max-Age=")]
            self.jar[name] = (value, self.clock() + ages[0] if ages else float("inf"))
        return answer

    async def request(self, method: str, path: str, **headers: str) -> httpx2.Response:
        """Do as a browser does: what is bound is proven before, what is offered is registered after."""
        if self.bound is not None and self.bound_cookie not in self.cookies():
            await self.refresh()
        answer = await self.send(method, path, **headers)
        offered = OFFER.fullmatch(answer.headers.get("secure-session-registration", ""))
        if offered is not None:
            await self.register(*offered.groups())
        return answer

    async def register(self, path: str, challenge: str) -> httpx2.Response:
        answer = await self.send("POST", path, secure_session_response=f'"{self.device.first(challenge)}"')
        if answer.status_code == 200:
            assert "secure-session-challenge" not in answer.headers
            self._take(answer)
        return answer

    async def refresh(self) -> httpx2.Response:
        """Get a fresh cookie; an answer of 400 to 499 ends the binding, but for 403, which asks for a proof."""
        assert self.bound is not None
        for _ in range(MOST_TRIES):
            answer = await self.send("POST", self.bound["refresh_url"], **self.proof())
            self.refreshed.append(answer.status_code)
            asked = ASKED.fullmatch(answer.headers.get("secure-session-challenge", ""))
            if asked is not None:
                assert asked[2] == self.bound["session_identifier"]
                self.challenge = asked[1]
            if answer.status_code != 403:
                break
        if answer.status_code == 200:
            self._take(answer)
            self._first_seen(self.challenge)
        elif 400 <= answer.status_code < 500 and answer.status_code != 429:
            self.bound, self.challenge = None, ""
        return answer

    def proof(self) -> dict[str, str]:
        """Return the headers of a refresh."""
        assert self.bound is not None
        proof = {"secure_session_response": f'"{self.device.proof(self.challenge)}"'} if self.challenge else {}
        return {"sec_secure_session_id": f'"{self.bound["session_identifier"]}"', **proof}

    def _take(self, answer: httpx2.Response) -> None:
        known, self.bound = self.bound, answer.json()
        assert self.bound is not None
        assert known is None or known["session_identifier"] == self.bound["session_identifier"]
        [line] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(self.bound_cookie + "=")]
        attributes = line.partition("; ")[2].split("; ")
        assert [one for one in attributes if not one.startswith("Max-Age=")] == self.bound["credentials"][0][
            "attributes"
        ].split("; "), "the browser would not find the cookie again"
        self._first_seen(self.cookies()[self.bound_cookie])

    def _first_seen(self, value: str) -> None:
        assert value not in self.seen, "it came a second time"
        self.seen.add(value)
