"""SFAPI of a company with users, by spyne, as a process of its own: python sfapi_spyne.py, which prints its port

Spyne reads and writes the envelopes; the service keeps sessions, and knows the SFQL
`SELECT … FROM User [WHERE field op 'value' [AND …]]`. What stands before it misbehaves as `?mode=…` says:

| mode | what it does |
|---|---|
| `plain` | sets no cookie: nobody knows a session afterwards |
| `cut`, `busy` | cuts the connection after a query or change; answers it with 503 |
| `hang` | answers an operation after 3 s |
| `html`, `empty`, `other`, `long` | answers it with a page, nothing, another operation's result, far too much |
| `busy_login`, `no_id` | answers the logon with 503; with no session |
| `forget` | knows no session, however often one logs on |
| `drop` | drops the session before every second page of a query |

`POST /admin/{stats,reset,advance,set}` tells what has arrived, forgets it, moves the clock on, and gives the company
other users: when each was changed, by their ids.
"""

import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from soap_spyne import Environ, Handler, Server, Start, carried_out, say
from spyne import Application, Boolean, ComplexModel, Fault, Integer, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

NAMESPACE = "urn:sfobject.sfapi.successfactors.com"
IDLE_S = 600.0
USERS = 450
HANG_S = 3.0
CONDITION = re.compile(r"(\w+) *(<=|>=|=|<|>) *'([^']*)'")


class World:
    """What the company has, and what has happened."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.sessions: dict[str, dict[str, Any]] = {}
        self.authentications = self.begun = self.ended = 0
        self.requests: list[dict[str, Any]] = []
        self.users = {f"u{n:04}": user(f"u{n:04}", "2026-01-01T00:00:00Z") for n in range(USERS)}
        self.queries: dict[str, tuple[list[dict[str, str]], int]] = {}
        self.pages = 0

    def now(self) -> float:
        return time.monotonic() + self.offset


def user(name: str, modified: str) -> dict[str, str]:
    return {"id": name, "firstName": f"Ann<{name}>", "lastName": f"Name{name[-1]}", "lastModified": modified}


world = World()
lock = threading.RLock()


class Model(ComplexModel):
    __abstract__ = True
    __namespace__ = NAMESPACE


class Credential(Model):
    __namespace__ = NAMESPACE
    companyId = Unicode(min_occurs=1)
    username = Unicode(min_occurs=1)
    password = Unicode(min_occurs=1)


class LoginResult(Model):
    __namespace__ = NAMESPACE
    sessionId = Unicode
    msUntilPwdExpiration = Integer


class Parameter(Model):
    __namespace__ = NAMESPACE
    name = Unicode
    value = Unicode


class SFObject(Model):
    __namespace__ = NAMESPACE
    id = Unicode
    type = Unicode
    firstName = Unicode
    lastName = Unicode
    lastModified = Unicode


class QueryResult(Model):
    __namespace__ = NAMESPACE
    sfobject = SFObject.customize(max_occurs="unbounded")
    numResults = Integer
    hasMore = Boolean
    querySessionId = Unicode


class EditResult(Model):
    __namespace__ = NAMESPACE
    id = Unicode
    errorStatus = Unicode
    editStatus = Unicode
    message = Unicode
    index = Integer


class ChangeResult(Model):
    __namespace__ = NAMESPACE
    jobStatus = Unicode
    message = Unicode
    objectEditResult = EditResult.customize(max_occurs="unbounded")


PARAMETERS = Parameter.customize(max_occurs="unbounded")
OBJECTS = SFObject.customize(max_occurs="unbounded")


def refusal(code: str, text: str) -> Fault:
    return Fault("Server", text, detail={"SFWebServiceFault": {"errorCode": code, "errorMessage": text}})


def page(name: str, most: int) -> QueryResult:
    rows, at = world.queries.pop(name)
    world.pages += 1
    shown, left = rows[at : at + most], len(rows) > at + most
    more = secrets.token_hex(8) if left else ""
    if left:
        world.queries[more] = rows, at + most
    objects = [SFObject(**row, type="User") for row in shown]
    return QueryResult(sfobject=objects, numResults=len(objects), hasMore=left, querySessionId=more)


def selected(text: str) -> list[dict[str, str]]:
    if " FROM User" not in text:
        raise refusal("INVALID_SFQL", "what is this?")
    judge = {
        "=": str.__eq__,
        "<": str.__lt__,
        ">": str.__gt__,
        "<=": str.__le__,
        ">=": str.__ge__,
    }
    wanted = CONDITION.findall(text.partition(" WHERE ")[2])
    return [row for row in world.users.values() if all(judge[op](row[name], value) for name, op, value in wanted)]


class Sfapi(ServiceBase):
    """The operations; a session is known by the cookie, but for `login`."""

    @rpc(Credential, _returns=LoginResult, _out_variable_name="result")
    def login(ctx: Any, credential: Any) -> LoginResult:
        world.authentications += 1
        if (credential.companyId, credential.password) != ("ACME", "secret"):
            raise refusal("INVALID_CREDENTIAL", "unknown company, user or password")
        if "no_id" in ctx.transport.req_env["peer.mode"]:
            return LoginResult(sessionId="", msUntilPwdExpiration=0)
        value = secrets.token_hex(12)
        world.sessions[value], world.begun = {"user": credential.username, "used": world.now()}, world.begun + 1
        ctx.transport.req_env["peer.session"].append(value)
        return LoginResult(sessionId=value, msUntilPwdExpiration=1)

    @rpc(_returns=Boolean, _out_variable_name="result")
    def logout(ctx: Any) -> bool:
        del world.sessions[known(ctx)]
        world.ended += 1
        return True

    @rpc(Unicode(min_occurs=1), PARAMETERS, _returns=QueryResult, _out_variable_name="result")
    def query(ctx: Any, queryString: str, param: Any) -> QueryResult:
        known(ctx)
        given = {each.name: each.value for each in param or []}
        name = secrets.token_hex(8)
        world.queries[name] = selected(queryString), int(given.get("startRow", "0"))
        world.requests[-1]["query"], world.requests[-1]["param"] = queryString, given
        return page(name, int(given["maxRows"]))

    @rpc(Unicode(min_occurs=1), _returns=QueryResult, _out_variable_name="result")
    def queryMore(ctx: Any, querySessionId: str) -> QueryResult:
        if "drop" in ctx.transport.req_env["peer.mode"] and world.pages % 2:
            world.sessions.clear()
            world.pages += 1
        known(ctx)
        return page(querySessionId, 200)

    @rpc(Unicode, OBJECTS, PARAMETERS, _returns=ChangeResult, _out_variable_name="result")
    def insert(ctx: Any, type: str, sfobject: Any, processingParam: Any) -> ChangeResult:  # noqa: A002
        return changed(ctx, "INSERTED", sfobject, lambda name: name not in world.users)

    @rpc(Unicode, OBJECTS, PARAMETERS, _returns=ChangeResult, _out_variable_name="result")
    def update(ctx: Any, type: str, sfobject: Any, processingParam: Any) -> ChangeResult:  # noqa: A002
        return changed(ctx, "UPDATED", sfobject, lambda name: name in world.users)

    @rpc(Unicode, OBJECTS, PARAMETERS, _returns=ChangeResult, _out_variable_name="result")
    def upsert(ctx: Any, type: str, sfobject: Any, processingParam: Any) -> ChangeResult:  # noqa: A002
        return changed(ctx, "UPSERTED", sfobject, lambda name: True)

    @rpc(Unicode, OBJECTS, PARAMETERS, _returns=ChangeResult, _out_variable_name="result")
    def delete(ctx: Any, type: str, sfobject: Any, processingParam: Any) -> ChangeResult:  # noqa: A002
        return changed(ctx, "DELETED", sfobject, lambda name: name in world.users)


def known(ctx: Any) -> str:
    """Return the session of a call."""
    if "forget" in ctx.transport.req_env["peer.mode"]:
        world.sessions.clear()
    for pair in ctx.transport.req_env.get("HTTP_COOKIE", "").split("; "):
        name, _, value = pair.partition("=")
        found = world.sessions.get(value) if name == "JSESSIONID" else None
        if found is not None and world.now() - found["used"] <= IDLE_S:
            found["used"] = world.now()
            world.requests[-1]["user"] = found["user"]
            return value
    raise refusal("INVALID_SESSION", "there is no such session")


def changed(ctx: Any, what: str, objects: Any, may: Any) -> ChangeResult:
    known(ctx)
    results = []
    for index, each in enumerate(objects or []):
        if not may(each.id):
            results.append(EditResult(id=each.id, errorStatus="REFUSED", message=f"not {what}: {each.id}", index=index))
            continue
        if what == "DELETED":
            del world.users[each.id]
        else:
            old = world.users.get(each.id, user(each.id, "2026-01-02T00:00:00Z"))
            given = {"firstName": each.firstName, "lastName": each.lastName}
            world.users[each.id] = {**old, **{name: value for name, value in given.items() if value is not None}}
        results.append(EditResult(id=each.id, editStatus=what, index=index))
    failed = any(each.errorStatus for each in results)
    return ChangeResult(jobStatus="ERROR" if failed else "OK", message="", objectEditResult=results)


service = WsgiApplication(
    Application([Sfapi], NAMESPACE, name="SFAPI", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
)


def front(environ: Environ, start: Start) -> Iterable[bytes]:
    """Write down what arrives, and misbehave."""
    path, raw = environ["PATH_INFO"], environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path.startswith("/admin/"):
        return say(
            start, "200 OK", json.dumps(administer(path.removeprefix("/admin/"), json.loads(raw or b"null"))).encode()
        )
    mode = parse_qs(environ["QUERY_STRING"]).get("mode", [""])[0]
    operation = (re.findall(rb"Body><(?:\w+:)?(\w+)", raw) or [b""])[0].decode()
    session: list[str] = []
    with lock:
        world.requests.append(
            {"operation": operation, "cookie": environ.get("HTTP_COOKIE"), "user": "", "body": raw.decode()}
        )
        if mode == f"busy_{operation}":
            return say(start, "503 Service Unavailable", b"")
        more: Environ = {"wsgi.input": BytesIO(raw), "CONTENT_LENGTH": str(len(raw))}
        more |= {"peer.session": session, "peer.mode": mode}
        content, status, headers = carried_out(service, {**environ, **more})
    cookie = [("Set-Cookie", f"JSESSIONID={session[0]}; Path=/; HttpOnly")] if session and mode != "plain" else []
    if operation in ("login", "logout"):
        return say(start, status, content, [*headers, *cookie])
    if mode == "hang":
        time.sleep(HANG_S)
    if mode == "cut":
        environ["peer.socket"].shutdown(socket.SHUT_RDWR)
        return []
    other = content.replace(b"Response", b"Answer")
    bad = {"html": b"<html><br></html>", "empty": b"", "other": other, "long": b" " * 99999}
    if mode == "busy":
        return say(start, "503 Service Unavailable", b"")
    return say(start, status, bad.get(mode, content), headers)


def administer(what: str, value: Any) -> Any:
    with lock:
        if what == "reset":
            world.__init__()  # type: ignore[misc]
        if what == "advance":
            world.offset += value
        if what == "set":
            world.users = {name: user(name, modified) for name, modified in value.items()}
        return {
            "authentications": world.authentications,
            "sessions": world.begun,
            "ended": world.ended,
            "requests": world.requests,
            "users": world.users,
            "operations": [request["operation"] for request in world.requests],
        }


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(front)
    print(server.server_address[1], flush=True)
    server.serve_forever()
