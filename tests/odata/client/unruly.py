"""A sticky service over real HTTP that does as the vocabulary says until it is told to misbehave as real ones do.

It shares no code with the product. `Unruly.faults` says what goes wrong with which request; each fault happens once.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import uvicorn

METADATA = (Path(__file__).parent / "metadata.xml").read_bytes()
GONE = (400, {"sap-err-id": "ICMENOSESSION", "content-type": "text/html"}, b"<html>Session not found</html>")
ORDER = re.compile(r"Orders\('([^']*)'\)(?:/Demo\.(\w+))?")
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def session(self) -> str:
        return self.headers.get("sap-contextid", "")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """What happens to the next request whose line contains `on`.

    `before`: it is answered so and not executed. `after`: changes the answer of the executed one. `hold`: it is
    executed and its answer waits for the event. `cut`: it is executed and the connection broken.
    """

    on: str
    before: Answer | None = None
    after: Callable[[Answer], Answer] | None = None
    hold: anyio.Event | None = None
    cut: bool = False
    arrived: anyio.Event = field(default_factory=anyio.Event)


@dataclass
class Buffer:
    """A session: its entities as they will be, and which of them are unsaved."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


class Unruly:
    """The service, its sessions and everything it was asked."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {
            key: {"ID": key, "Note": f"note {key}", "Price": None, "Due": "2026-11-21", "v": 1} for key in "12"
        }
        self.sessions: dict[str, Buffer] = {}
        self.token, self.timeout = "T1", "600"
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.set_cookies: list[str] = []  # with the next answer

    def lines(self, *, without: str = "$metadata") -> list[str]:
        """Return what was asked, in order."""
        return [str(asked) for asked in self.asked if without not in asked.path]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        path = unquote(scope["raw_path"].decode()).removeprefix("/svc/")
        asked = Asked(scope["method"], path, headers, body)
        self.asked.append(asked)
        fault = next((fault for fault in self.faults if fault.on in str(asked)), None)
        if fault is not None:
            self.faults.remove(fault)
            fault.arrived.set()
        answer = fault.before if fault is not None and fault.before else self.answer(asked)
        if fault is not None and fault.after is not None:
            answer = fault.after(answer)
        if fault is not None and fault.hold is not None:
            await fault.hold.wait()
        await self.reply(asked, answer, send, cut=fault is not None and fault.cut)

    async def reply(self, asked: Asked, answer: Answer, send: Any, *, cut: bool) -> None:
        status, headers, body = answer
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        lines += [(b"set-cookie", cookie.encode()) for cookie in self.set_cookies]
        self.set_cookies = []
        size = len(body) + 1000 * cut if asked.method != "HEAD" else 0
        lines.append((b"content-length", str(size).encode()))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        if not cut:  # else fewer bytes than were promised: the connection breaks
            await send({"type": "http.response.body", "body": b"" if asked.method == "HEAD" else body})

    # -- as the vocabulary says

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "$metadata":
            return 200, {"content-type": "application/xml", "x-csrf-token": self.token}, METADATA
        if asked.session and asked.session not in self.sessions:
            return GONE
        if asked.method in ("POST", "PATCH", "DELETE") and asked.headers.get("x-csrf-token") != self.token:
            return self.dressed(asked.session, (403, {"x-csrf-token": "Required"}, b""))
        context_id, (status, headers, body) = self.act(asked)
        if asked.headers.get("x-csrf-token") == "Fetch":
            headers["x-csrf-token"] = self.token
        return self.dressed(context_id, (status, headers, body))

    def dressed(self, context_id: str, answer: Answer) -> Answer:
        if context_id not in self.sessions:
            return answer
        more = {"sap-contextid": context_id, "sap-http-session-timeout": self.timeout}
        return answer[0], answer[1] | more, answer[2]

    def act(self, asked: Asked) -> tuple[str, Answer]:
        buffer = self.sessions.get(asked.session)
        found = ORDER.fullmatch(asked.path)
        if asked.method == "HEAD" or asked.path == "":
            return asked.session, self.json({})
        if asked.path == "Orders" and asked.method == "GET":
            return asked.session, self.json({"value": [shown(row) for row in self.stored.values()]})
        if asked.path in ("Orders/Demo.Create", "Orders/Demo.CreateFrom"):
            note = json.loads(asked.body).get("Template", "")
            return self.open(asked.session, "", {"ID": "", "Note": note, "Price": None, "Due": None, "v": 0})
        if asked.path == "Discard":
            if buffer is None:
                return "", self.error(400, "NO_SESSION", "nothing to discard")
            del self.sessions[asked.session]
            return "", (204, {}, b"")
        if found is None:
            return asked.session, self.error(404, "NOT_FOUND", "no such resource")
        return self.entity(asked, buffer, found[1], found[2])

    def entity(self, asked: Asked, buffer: Buffer | None, key: str, action: str | None) -> tuple[str, Answer]:
        held = buffer.rows if buffer else {}
        row = held.get(key) or self.stored.get(key)
        if row is None:
            return asked.session, self.error(404, "NOT_FOUND", f"no order {key}")
        if asked.headers.get("if-match", f'W/"{row["v"]}"') != f'W/"{row["v"]}"':
            return asked.session, self.error(412, "STALE", "the order has changed")
        if asked.method == "GET":
            return asked.session, self.json(shown(row))
        if asked.method == "PATCH":
            row.update(json.loads(asked.body))
            return asked.session, self.json(shown(row))
        if action == "Edit":
            return self.open(asked.session, key, dict(row))
        if action == "Save" and key in held:
            return self.save(asked.session, held, key)
        if action == "Approve":
            return asked.session, (204, {}, b"")
        return asked.session, self.error(400, "WRONG", "not here")

    def open(self, context_id: str, key: str, row: dict[str, Any]) -> tuple[str, Answer]:
        context_id = context_id or f"SID:ANON:{uuid.uuid4().hex}"
        self.sessions.setdefault(context_id, Buffer()).rows[key] = row
        return context_id, self.json(shown(row))

    def save(self, context_id: str, held: dict[str, dict[str, Any]], key: str) -> tuple[str, Answer]:
        if held[key]["Note"] == "refuse":
            return context_id, self.error(422, "REFUSED", "no such note", target="Note")
        row = held.pop(key)
        row["ID"], row["v"] = row["ID"] or "9", row["v"] + 1
        self.stored[row["ID"]] = row
        if not held:
            del self.sessions[context_id]
        return context_id, self.json(shown(row))

    def json(self, value: Any, status: int = 200) -> Answer:
        return status, {"content-type": "application/json", "odata-version": "4.0"}, json.dumps(value).encode()

    def error(self, status: int, code: str, message: str, target: str = "") -> Answer:
        details = [{"code": "D", "message": "more", "target": target}] if target else []
        return self.json(
            {"error": {"code": code, "message": message, "target": target, "details": details}}, status=status
        )


def shown(row: dict[str, Any]) -> dict[str, Any]:
    return {"@odata.etag": f'W/"{row["v"]}"'} | {name: value for name, value in row.items() if name != "v"}


def bare(answer: Answer) -> Answer:
    """The same answer without anything about the session."""
    return answer[0], {name: value for name, value in answer[1].items() if not name.startswith("sap-")}, answer[2]


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port of this machine and give its origin."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    started = anyio.Event()
    startup = server.startup

    async def announced(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announced  # type: ignore[method-assign]
    async with anyio.create_task_group() as group:
        group.start_soon(server._serve)
        with anyio.fail_after(10):
            await started.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
