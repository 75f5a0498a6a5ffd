"""A receiver with sessions, as a process of its own: python flows_receiver.py PORT

It counts authentications and sessions and writes down every request. Its clock can be moved on, so that sessions idle
out without waiting.

| path | what it does |
|---|---|
| `/whole/…`, `/app/…` | answers in a session whose cookie is for the whole server, or for `/app` |
| `/blocks` | stateful: the next block of 5 in this session, the first in a new one |
| `/plain` | never sets a cookie |
| `/token`, `/change` | HEAD or GET for a CSRF token, POST with it; 403 without |
| `/mapped` | its cookie has the Domain of the query |
| `/fault` | 500, with a cookie for a new session |
| `/out`, `/expired`, `/zero` | deletes the session's cookie: Max-Age=0, past Expires, `sap-contextid=0` |
| `/several`, `/bytes`, `/case` | two cookies; a value with odd bytes; odd letter case of the header's name |
| `/slow` | refuses a second request of the session while one runs |
| `/silent` | anybody is welcome: a session without logon |
| `/logoff` | ends the session |
"""

import asyncio
import base64
import json
import secrets
import sys
import time
from typing import Any

import uvicorn

IDLE_S = 600.0
BLOCKS = 5
PASSWORD = "secret"
Answer = tuple[int, list[Any], Any]  # status, headers, body


class World:
    """What the receiver knows."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.sessions: dict[str, dict[str, Any]] = {}
        self.authentications = self.begun = self.ended = 0
        self.requests: list[dict[str, Any]] = []

    def now(self) -> float:
        return time.monotonic() + self.offset

    def session(self, cookies: list[str]) -> tuple[str, dict[str, Any]] | None:
        """Return the living session that one of these values names."""
        for value in cookies:
            found = self.sessions.get(value)
            if found is not None and self.now() - found["used"] <= IDLE_S:
                found["used"] = self.now()
                return value, found
        return None

    def begin(self, user: str) -> tuple[str, dict[str, Any]]:
        self.begun += 1
        value = secrets.token_hex(12)
        self.sessions[value] = {"user": user, "used": self.now(), "block": 0, "token": "", "busy": False, "seen": []}
        return value, self.sessions[value]


world = World()


def values_of(cookie: str) -> list[str]:
    return [part.partition("=")[2] for part in cookie.split("; ") if part]


def user_of(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme != "Basic":
        return ""
    user, _, password = base64.b64decode(rest).decode().partition(":")
    return user if password == PASSWORD else ""


def cookie_line(path: str, query: str, value: str) -> bytes:
    where = {"/app": "; Path=/app", "/mapped": f"; Path=/; Domain={query}"}
    part = "/" + path.split("/")[1]
    name = "APPSESSION" if part == "/app" else "JSESSIONID"
    return f"{name}={value}{where.get(part, '; Path=/')}; HttpOnly".encode()


async def answer(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
    """Return status, headers and body."""
    if path.startswith("/admin/"):
        return 200, [], administer(path, body)
    cookie, authorization = headers.get("cookie", ""), headers.get("authorization", "")
    user = user_of(authorization)
    world.requests.append({"method": method, "path": path, "cookie": headers.get("cookie"), "user": user})
    found = world.session(values_of(cookie))
    more: list[Any] = []
    if found is None:
        if authorization:
            world.authentications += 1
        if not user and path != "/silent":
            return 401, [(b"www-authenticate", b'Basic realm="test"')], "log on"
        if path == "/plain":
            return 200, [], {"user": user}
        value, session = world.begin(user)
        more = [(b"set-cookie", cookie_line(path, query, value))]
    else:
        value, session = found
    session["seen"].append(path)
    return await page(path, method, value, session, headers, more)


async def page(  # noqa: C901
    path: str, method: str, value: str, session: dict[str, Any], headers: dict[str, str], more: list[Any]
) -> Answer:
    told = {"user": session["user"], "session": list(world.sessions).index(value), "seen": session["seen"]}
    if path == "/blocks":
        session["block"] += 1
        return 200, more, {**told, "block": session["block"], "more": session["block"] < BLOCKS}
    if path == "/token":
        session["token"] = secrets.token_hex(8)
        return 200, [*more, (b"x-csrf-token", session["token"].encode())], told
    if path == "/change":
        fine = bool(session["token"]) and headers.get("x-csrf-token") == session["token"]
        return (200, more, told) if fine else (403, [*more, (b"x-csrf-token", b"Required")], told)
    if path == "/fault":
        return 500, more, told
    if path == "/out":
        return 200, [(b"set-cookie", b"JSESSIONID=gone; Path=/; Max-Age=0")], told
    if path == "/expired":
        return 200, [(b"set-cookie", b"JSESSIONID=gone; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT")], told
    if path == "/context":
        return 200, [*more, (b"set-cookie", b"sap-contextid=SID%3aANON; Path=/")], told
    if path == "/zero":
        return 200, [*more, (b"set-cookie", b"sap-contextid=0; Path=/")], told
    if path == "/several":
        return 200, [*more, (b"set-cookie", b"one=1; Path=/"), (b"set-cookie", b"two=2; Path=/")], told
    if path == "/bytes":
        return 200, [*more, (b"set-cookie", b'odd="a%20b+c=/\xe4"; Path=/')], told
    if path == "/case":
        return 200, [*more, (b"sEt-CoOkIe", b"cased=1; Path=/")], told
    if path == "/logoff":
        del world.sessions[value]
        world.ended += 1
        return 200, [(b"set-cookie", b"JSESSIONID=; Path=/; Max-Age=0")], None
    if path == "/slow":
        if session["busy"]:
            return 409, more, "this session is busy"
        session["busy"] = True
        await asyncio.sleep(0.2)
        session["busy"] = False
    return 200, more, told


def administer(path: str, body: bytes) -> Any:
    if path == "/admin/reset":
        world.__init__()  # type: ignore[misc]
    if path == "/admin/advance":
        world.offset += json.loads(body)
    return {
        "authentications": world.authentications,
        "sessions": world.begun,
        "ended": world.ended,
        "requests": world.requests,
        "values": list(world.sessions),
    }


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    status, fields, result = await answer(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send(
        {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else json.dumps(result).encode()}
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
