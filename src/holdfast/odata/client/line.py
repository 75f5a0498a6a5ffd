"""The requests of one client to one service: its cookies, its CSRF token, its origin. It knows no session.

Token and cookies of an answer are taken in together and go out together: the token of one logon with the cookies of
another is refused. Cookies count whatever the answer's status. The session id travels as a header and never as a
cookie, which every tab of a browser would share.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

from holdfast.backend.jar import Jar
from holdfast.backend.signs import CONTEXT_COOKIE, Sign, offered_token, sign_of
from holdfast.backend.wire import Call, Reply, Wire
from holdfast.errors import BadInput, ConfigurationError
from holdfast.odata.choreography import Outcome
from holdfast.odata.client.schedule import readable_timeout
from holdfast.odata.client.standing import Seen
from holdfast.odata.client.together import last_of, together

Auth = tuple[str, str] | str | Callable[[], str] | None

CONTEXT: Final = "sap-contextid"
TOKEN: Final = "x-csrf-token"  # noqa: S105 - a header's name
DATA: Final = {
    "odata-version": "4.0",
    "odata-maxversion": "4.0",
    "accept": "application/json;odata.metadata=minimal",
    "sap-contextid-accept": "header",
}
JSON: Final = "application/json;charset=UTF-8"
UNENCODED: Final = "%/()',$:=@&+;!*-._~"
ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Line:
    """Sends one client's requests over a wire whose base URL is the service's root."""

    def __init__(self, wire: Wire, clock: Callable[[], float], *, auth: Auth, query: Mapping[str, str]) -> None:
        parts = urlsplit(wire.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError("a service root is an http or https URL without a query", hint="Use `query=`.")
        if "@" in parts.netloc:  # addresses are shown in messages
            raise ConfigurationError("the URL of the service has a user in it", hint="Use `auth=`.")
        self._wire, self._clock, self._auth, self._query = wire, clock, auth, dict(query)
        self._jar, self._token, self._asked = Jar(), "", False

    def call(self, method: str, path: str, *, headers: Mapping[str, str] = {}, body: Any = None) -> Call:
        """Return a request of OData. `path` is relative to the root, with or without query options.

        A link that the service gave is fine too, as long as it leads to this service: a session id crosses no origin.
        """
        place, _, options = self.relative(path).partition("?")
        own = urlencode(self._query, quote_via=quote)
        options = "&".join(part for part in (quote(options, safe=UNENCODED + "?"), own) if part)
        more = {"content-type": JSON} if body is not None else {}
        return Call(
            method=method,
            path="/" + quote(place, safe=UNENCODED) + (f"?{options}" if options else ""),
            headers={**DATA, **more, **headers},
            body=b"" if body is None else ENCODER.encode(body),
        )

    def batch(self, calls: Sequence[Call], context_id: str) -> Call:
        """Return changes in a session as one request, whose answer will be that to the last of them."""
        return together(self.call("POST", "$batch"), calls, context_id)

    def relative(self, path: str) -> str:
        """Return a path or link as a path below the root. Raises BadInput if it leads away from the service."""
        if CONTROL.search(path):
            raise BadInput("a path has no control characters")
        root = self._wire.base_url + "/"
        if not (path.startswith("/") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path)):
            return path
        whole = urljoin(root, path)
        if not whole.startswith(root):
            raise BadInput(f"{path!r} leads away from the service", hint="Name what is below the service's root.")
        return whole.removeprefix(root)

    async def send(self, call: Call, context_id: str, *, shield: bool = True) -> Reply:
        """Send a request, in a session if there is an id, and return its answer, whatever its status.

        A refused token is fetched again in the same session; the request, which was not executed, is sent once more.

        Raises:
            BackendUnavailable: The service cannot be reached; nothing was sent.
            AnswerLost: There is no answer: it may have been executed.
        """
        if call.changes and not self._token and not self._asked:
            refused = await self._fetch_token(context_id, shield)
            if refused is not None:
                return refused
        reply = await self._exchange(call, context_id, shield)
        if sign_of(reply) is Sign.TOKEN_REFUSED:
            refused = await self._fetch_token(context_id, shield)
            if refused is not None:
                return refused
            reply = await self._exchange(call, context_id, shield)
        return last_of(reply)

    async def touch(self, context_id: str, *, terminate: bool = False, shield: bool = True) -> Reply:
        """Send the HEAD request to the root that keeps a session alive, asks for it, or ends it."""
        more = {"sap-terminate": "session"} if terminate else {}
        return await self._exchange(self.call("HEAD", "", headers=more), context_id, shield)

    def dump(self) -> tuple[list[Any], str]:
        """Return cookies and token, which are secrets, as plain values."""
        return self._jar.dump(), self._token

    def load(self, jar: list[Any], token: str) -> None:
        """Go on with cookies and token that belong together."""
        self._jar, self._token = Jar.load(jar), token

    async def _fetch_token(self, context_id: str, shield: bool) -> Reply | None:
        """Ask for a token. Return the answer if it says that the session is gone: what needed the token is not sent."""
        self._token, self._asked = "", True
        reply = await self._exchange(self.call("HEAD", ""), context_id, shield)
        return reply if says_gone(reply) else None

    async def _exchange(self, call: Call, context_id: str, shield: bool) -> Reply:
        headers = self._credentials()
        if cookies := self._jar.header(self._wire.url(call), now=self._clock()):
            headers["cookie"] = cookies
        if context_id:
            headers[CONTEXT] = context_id
        if self._token or not call.changes:
            headers[TOKEN] = self._token or "Fetch"
        reply = await self._wire.send(call, headers, shield=shield)
        self._absorb(call, reply)
        return reply

    def _absorb(self, call: Call, reply: Reply) -> None:
        self._jar.absorb(self._wire.url(call), reply.cookies, now=self._clock())
        self._jar.drop(CONTEXT_COOKIE)
        self._token = offered_token(reply) or self._token

    def _credentials(self) -> dict[str, str]:
        auth = self._auth() if callable(self._auth) else self._auth
        if isinstance(auth, tuple):
            return {"authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()}
        if isinstance(auth, str):
            return {"authorization": auth if callable(self._auth) else f"Bearer {auth}"}
        return {}


def seen_in(reply: Reply) -> Seen:
    """Return what an answer says about its session. A page for a browser is no answer of a service."""
    fine = 200 <= reply.status < 300 and sign_of(reply) is not Sign.LOGGED_OUT
    return Seen(
        outcome=Outcome.OK if fine else Outcome.FAILED,
        context_id=reply.headers.get(CONTEXT, ""),
        timeout=readable_timeout(reply.headers.get("sap-http-session-timeout", "")),
        gone=says_gone(reply),
    )


def says_gone(reply: Reply) -> bool:
    """Say whether the server does not know the session any more, whatever status it says so with."""
    return sign_of(reply) is Sign.CONTEXT_GONE or reply.headers.get("sap-err-id", "").upper() == "ICMENOSESSION"
