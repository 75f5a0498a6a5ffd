"""SOAP services by spyne, as a process of their own: python soap_spyne.py, which prints its port

| path | service |
|---|---|
| `/soap11`, `/soap12` | takes orders, counts calls in a session, refuses; its WSDL is at `?wsdl` |
| `/rm` | takes notices, one way and each `MessageId` once |

Spyne reads and writes the envelopes; what stands before it, here, keeps sessions and misbehaves as `?mode=…` says:

| mode | what it does |
|---|---|
| `cut`, `cut_once` | has the call carried out, and cuts the connection: always, or the first time |
| `plain` | sets no cookie |
| `fault_200` | answers with the status 200 whatever has happened |

`POST /admin/{stats,reset,expire}` tells what has arrived, forgets it, drops the sessions.
"""

import base64
import gzip
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from spyne import Application, ComplexModel, Date, Fault, Integer, ServiceBase, Unicode, rpc
from spyne.model.complex import Array
from spyne.protocol.soap import Soap11, Soap12
from spyne.server.wsgi import WsgiApplication

Environ = dict[str, Any]
Start = Callable[..., Any]
NAMESPACE = "urn:shop:orders"


class World:
    """What has happened here."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.authentications = self.begun = self.wsdls = 0
        self.requests: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.notices: dict[str, dict[str, str]] = {}  # by their MessageId
        self.cut: set[str] = set()


world = World()
lock = threading.RLock()


class Item(ComplexModel):
    __namespace__ = NAMESPACE
    name = Unicode(min_occurs=1, nillable=False)
    count = Integer(min_occurs=1, nillable=False)


class Confirmation(ComplexModel):
    __namespace__ = NAMESPACE
    id = Unicode
    total = Integer
    call = Integer
    user = Unicode


class Orders(ServiceBase):
    """Calls that are answered."""

    @rpc(Unicode(min_occurs=1, nillable=False), Date, Array(Item), _returns=Confirmation)
    def Place(ctx: Any, id: str, due: Any, items: Any) -> Confirmation:  # noqa: A002
        session = ctx.transport.req_env["peer.session"]
        order = {"id": id, "due": str(due), "items": [[item.name, item.count] for item in items or []]}
        world.orders.append(order)
        total = sum(item.count for item in items or [])
        return Confirmation(id=id, total=total, call=session["calls"], user=session["user"])

    @rpc(_returns=Integer)
    def Count(ctx: Any) -> int:
        return int(ctx.transport.req_env["peer.session"]["calls"])

    @rpc(Unicode, _returns=Unicode)
    def Refuse(ctx: Any, why: str) -> str:
        raise Fault("Client.NoPlant", f"no such plant: {why}", detail={"plant": "0815"})


class Notices(ServiceBase):
    """Calls that are not."""

    @rpc(Unicode)
    def Notify(ctx: Any, text: str) -> None:
        query = ctx.transport.req_env["peer.query"]
        world.notices.setdefault(query.get("MessageId", ""), {"text": text, "queue": query.get("QueueId", "")})

    @rpc(Unicode, _returns=Unicode)
    def Ask(ctx: Any, text: str) -> str:
        return text


def service(kind: type, protocol: type, name: str) -> WsgiApplication:
    ways = {"in_protocol": protocol(validator="lxml"), "out_protocol": protocol()}
    return WsgiApplication(Application([kind], NAMESPACE, name=name, **ways))


services = {
    "/soap11": service(Orders, Soap11, "Orders11"),
    "/soap12": service(Orders, Soap12, "Orders12"),
    "/rm": service(Notices, Soap11, "Notices"),
}


def front(environ: Environ, start: Start) -> Iterable[bytes]:
    """Keep sessions, write down what arrives, and let spyne do the rest."""
    path, raw = environ["PATH_INFO"], environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path.startswith("/admin/"):
        return say(start, "200 OK", json.dumps(administer(path.removeprefix("/admin/"))).encode())
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if environ["REQUEST_METHOD"] == "GET":
        world.wsdls += 1
        return services[path](environ, start)  # type: ignore[no-any-return]
    coding, mode = environ.get("HTTP_CONTENT_ENCODING", ""), query.get("mode", "")
    body = gzip.decompress(raw) if coding == "gzip" else raw
    with lock:
        session, cookie = session_of(environ, plain=mode == "plain")
        world.requests.append(
            {
                "path": path,
                "query": query,
                "cookie": environ.get("HTTP_COOKIE"),
                "authorized": "HTTP_AUTHORIZATION" in environ,
                "action": environ.get("HTTP_SOAPACTION"),
                "type": environ["CONTENT_TYPE"],
                "coding": coding,
                "body": body.decode(),
            }
        )
        if session is None:
            return say(start, "401 Unauthorized", b"log on")
        session["calls"] += 1
        more: Environ = {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        more |= {"peer.session": session, "peer.query": query}
        answer, status, headers = carried_out(services[path], {**environ, **more})
    if path == "/rm" and b"NotifyResponse" in answer:
        answer, status = b"", "202 Accepted"
    if mode == "cut" or (mode == "cut_once" and not seen(query.get("MessageId", path))):
        environ["peer.socket"].shutdown(socket.SHUT_RDWR)
        return []
    return say(start, "200 OK" if mode == "fault_200" else status, answer, [*headers, *cookie])


def carried_out(application: Any, environ: Environ) -> tuple[bytes, str, list[tuple[str, str]]]:
    said: list[Any] = []
    answer = b"".join(application(environ, lambda status, headers, exc_info=None: said.extend((status, headers))))
    return answer, said[0], [(name, value) for name, value in said[1] if name.lower() != "content-length"]


def seen(key: str) -> bool:
    again = key in world.cut
    world.cut.add(key)
    return again


def session_of(environ: Environ, *, plain: bool) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """Return the session of a call, and the cookie of one that begins with it."""
    for pair in environ.get("HTTP_COOKIE", "").split("; "):
        name, _, value = pair.partition("=")
        if name == "JSESSIONID" and value in world.sessions:
            return world.sessions[value], []
    scheme, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    user, _, password = base64.b64decode(rest).decode().partition(":") if scheme == "Basic" else ("", "", "")
    if password != "secret":
        return None, []
    world.authentications += 1
    session = {"user": user, "calls": 0}
    if plain:
        return session, []
    value = secrets.token_hex(12)
    world.sessions[value], world.begun = session, world.begun + 1
    return session, [("Set-Cookie", f"JSESSIONID={value}; Path=/; HttpOnly")]


def administer(what: str) -> Any:
    with lock:
        if what == "reset":
            world.__init__()  # type: ignore[misc]
        if what == "expire":
            world.sessions.clear()
        return {
            "authentications": world.authentications,
            "sessions": world.begun,
            "requests": world.requests,
            "orders": world.orders,
            "notices": world.notices,
            "wsdls": world.wsdls,
        }


def say(start: Start, status: str, content: bytes, headers: Iterable[tuple[str, str]] = ()) -> Iterable[bytes]:
    start(status, [*headers, ("Content-Length", str(len(content)))])
    return [content]


class Handler(WSGIRequestHandler):
    """One connection, which the application can cut."""

    def get_environ(self) -> Environ:
        return {**super().get_environ(), "peer.socket": self.connection}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # with 5, the default, connections of parallel messages are reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(front)
    print(server.server_address[1], flush=True)
    server.serve_forever()
