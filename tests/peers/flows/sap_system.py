"""An SAP system as flows see it, as a process of its own: python sap_system.py, which prints its port

It has the services of `sap_idocs` and `sap_xi`, sessions behind them, and nothing of holdfast: it reads what arrives
with the standard library. `?mode=…` in a service's URL says how it misbehaves:

| mode | what it does |
|---|---|
| `cut` | has the message processed, and cuts the connection: the first time that it comes |
| `half` | cuts it in the middle of the answer, the first time |
| `hang` | has it processed, and does not answer |
| `html`, `broken`, `doctype`, `long`, `empty` | answers with a page, half an envelope, a DTD, a megabyte, nothing |
| `unavailable`, `busy` | 503 and 429, unread, the first time |
| `plain` | sets no cookie |

`POST /admin/{stats,reset,expire,release}` tells what has arrived, forgets it, drops the sessions, lets go what hangs.
"""

import base64
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import sap_idocs
import sap_xi

COOKIE = "SAP_SESSIONID_ERP_100"
HANG_S = 30.0
XML = "text/xml; charset=utf-8"
SPOILT = {
    "html": (200, "text/html", b"<!doctype html><title>Logon</title>"),
    "broken": (200, XML, b"<soap:Envelope xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'><soap:Body>"),
    "doctype": (200, XML, b"<!DOCTYPE x [<!ENTITY y 'z'>]><x>&y;</x>"),
    "long": (200, XML, b"<x>" + b"y" * 1_000_000 + b"</x>"),
    "empty": (202, XML, b""),
}


class Received(NamedTuple):
    """What a service is given."""

    query: dict[str, str]
    headers: Any
    body: bytes
    mode: str
    again: bool  # the same bytes but for times have been here before


class System:
    """What has happened here."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.authentications = self.begun = 0
        self.requests: list[dict[str, Any]] = []
        self.seen: set[str] = set()
        self.released = threading.Event()
        self.services: dict[str, Any] = {
            "/sap/bc/srt/idoc": sap_idocs.Service(),
            "/sap/xi/engine": sap_xi.Service(),
        }


system = System()
lock = threading.RLock()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        url, body = urlsplit(self.path), self.rfile.read(int(self.headers["content-length"]))
        if url.path.startswith("/admin/"):
            self.answer(200, "application/json", json.dumps(administer(url.path.removeprefix("/admin/"))).encode())
            return
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        with lock:
            user, cookie = self.logged_on(query.get("mode") == "plain")
            system.requests.append({"path": self.path, "user": user, "cookie": self.headers["cookie"]})
            if not user:
                self.answer(401, "text/html", b"log on", {"WWW-Authenticate": 'Basic realm="SAP"'})
                return
            service, mode = system.services[url.path], query.get("mode", "")
            key = service.key(self.headers, body)
            again, _ = key in system.seen, system.seen.add(key)
            if mode in ("unavailable", "busy") and not again:
                self.answer(503 if mode == "unavailable" else 429, "text/html", b"later", {"Retry-After": "1"})
                return
            status, kind, content = service.take(Received(query, self.headers, body, mode, again))
        self.finish_as(mode, SPOILT.get(mode, (status, kind, content)), cookie, again=again)

    def finish_as(self, mode: str, said: tuple[int, str, bytes], cookie: dict[str, str], *, again: bool) -> None:
        status, kind, content = said
        if mode == "hang":
            system.released.wait(HANG_S)
        if mode == "cut" and not again:
            self.close_connection = True
            return
        if mode == "half" and not again:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.answer(status, kind, content, cookie)

    def logged_on(self, plain: bool) -> tuple[str, dict[str, str]]:
        """Return who asks, and the cookie for a session that begins with this."""
        for pair in (self.headers["cookie"] or "").split("; "):
            name, _, value = pair.partition("=")
            if name == COOKIE and value in system.sessions:
                return system.sessions[value], {}
        scheme, _, rest = (self.headers["authorization"] or "").partition(" ")
        user, _, password = base64.b64decode(rest).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if password != "secret":
            return "", {}
        system.authentications += 1
        if plain:
            return user, {}
        value = secrets.token_hex(8)
        system.sessions[value], system.begun = user, system.begun + 1
        return user, {"Set-Cookie": f"{COOKIE}={value}; Path=/; HttpOnly"}

    def answer(self, status: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def administer(what: str) -> Any:
    with lock:
        if what == "reset":
            system.released.set()
            system.__init__()  # type: ignore[misc]
        if what == "expire":
            system.sessions.clear()
        if what == "release":
            system.released.set()
        return {
            "authentications": system.authentications,
            "sessions": system.begun,
            "requests": system.requests,
            "idocs": system.services["/sap/bc/srt/idoc"].idocs,
            "messages": system.services["/sap/xi/engine"].messages,
        }


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Serve at a free port, which is printed."""
    ThreadingHTTPServer.request_queue_size = 128  # with 5, its default, connections of parallel messages are reset
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(Handler)
