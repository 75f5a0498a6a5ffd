"""One request on its way through the system, and how it is read from ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from holdfast.simulator.answers import adt_error, parameter_missing

if TYPE_CHECKING:
    from holdfast.simulator.sessions import Context, SecuritySession
    from holdfast.simulator.system import Simulator

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Call:
    """One request. Header names are in lower case; `path` keeps an encoded slash as `%2f` (ADT §1)."""

    session: "SecuritySession"
    context: "Context"

    def __init__(self, system: "Simulator", scope: Scope, body: bytes, now: float) -> None:
        self.system = system
        self.method = str(scope["method"])
        self.path = readable_path(scope)
        self.query_string: str = scope.get("query_string", b"").decode("latin-1")
        self.query: dict[str, str] = dict(parse_qsl(self.query_string, keep_blank_values=True))
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.cookies = read_cookies(self.headers.get("cookie", ""))
        self.body = body
        self.now = now
        self.route = ""
        """The pattern of the resource that answered."""
        self.params: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.refuse_activation = False
        self.refuse_deletion = False

    @property
    def user(self) -> str:
        """The logged-on user."""
        return self.session.user

    @property
    def session_type(self) -> str:
        """What `X-sap-adt-sessiontype` says, in lower case; empty if absent."""
        return self.headers.get("x-sap-adt-sessiontype", "").strip().lower()

    @property
    def context_id(self) -> str | None:
        """The context id presented as header or cookie (ADT §1), None if there is none.

        An empty cookie suppresses one (ADT §3.1), `0` is how the server deletes it.
        """
        value = self.headers.get("sap-contextid") or self.cookies.get("sap-contextid", "")
        return None if value in ("", "0") else value

    @property
    def wants_token(self) -> bool:
        """True for `x-csrf-token: fetch` on a request that reads."""
        return self.headers.get("x-csrf-token", "").lower() == "fetch" and not self.changes

    @property
    def changes(self) -> bool:
        """True if the method needs a CSRF token (ADT §2.2)."""
        return self.method in ("POST", "PUT", "DELETE", "PATCH")

    def need(self, parameter: str) -> str:
        """Return a query parameter, or refuse with 400 as the framework does (ADT §8.2)."""
        value = self.query.get(parameter, "")
        if not value:
            raise parameter_missing(parameter)
        return value

    def accept(self, *media: str) -> None:
        """Refuse with 406 unless the Accept header allows one of these types (ADT §1)."""
        accepted = self.headers.get("accept", "*/*").lower()
        for entry in accepted.split(","):
            wanted = entry.partition(";")[0].strip()
            if wanted in ("", "*/*") or any(_matches(wanted, offered) for offered in media):
                return
        listed = " ".join(media)
        text = f"The message content is not acceptable. Accepted content types: {listed}"
        raise adt_error(406, "ExceptionResourceNotAcceptable", text, t100="SADT_RESOURCE/044", variables=[listed])

    def body_type(self, *media: str) -> None:
        """Refuse with 415 unless the body's type is one of these, `application/*` or generic XML (ADT §1)."""
        given = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        generic = ("", "application/*", "application/xml", "text/xml", "application/x-www-form-urlencoded")
        if given not in generic and given not in (entry.lower() for entry in media):
            raise adt_error(415, "ExceptionUnsupportedMediaType", f"Content type {given} is not supported")


def _matches(wanted: str, offered: str) -> bool:
    low = offered.lower()
    return wanted == low or (wanted.endswith("/*") and low.startswith(wanted[:-1]))


def readable_path(scope: Scope) -> str:
    """Return the decoded path in which an encoded slash stays encoded: it belongs to a name."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        return str(scope["path"])
    text = raw.decode("latin-1").partition("?")[0]
    return unquote(text.replace("%2f", "%252f").replace("%2F", "%252f"))


def read_cookies(header: str) -> dict[str, str]:
    """Return the cookies byte for byte. Of two with one name the first that says anything counts."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator and cookies.get(name, "0") in ("", "0"):
            cookies[name] = value
    return cookies


async def read_body(receive: Receive) -> bytes | None:
    """Read the request body to its end; None if the client went before it had sent all of it."""
    chunks = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)
