"""Our own OData V4 server with parts in it, as a process of its own: python odata_v4_service.py, which prints its port

Changes need a CSRF token, which comes with a cookie; pages have two entities. `POST /admin/{stats,reset}` tells what
has arrived, or forgets it; `/mode/{name}` in a path misbehaves.
"""

import json
import socket
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import uvicorn

from holdfast.odata.server import EntitySet, ETag, Key, Query, Refused, Service, action, asgi, function

NESTED = b'{"@odata.context": "../$metadata#Parts", "value": [], "@odata.nextLink": "../../svc/Parts?$top=1"}'
SPOILT = {
    "broken": (200, b"application/json", b'{"value": ['),
    "html": (200, b"text/html", b"<!doctype html><title>Logon</title>"),
    "circle": (200, b"application/json", b'{"value": [], "@odata.nextLink": "?again"}'),
    "nested": (200, b"application/json", NESTED),
    "far": (200, b"application/json", b'{"value": [{"ID": "1"}], "@odata.nextLink": "https://evil.example/Parts"}'),
    "fault": (500, b"application/json", b'{"error": {"code": "E/1", "message": "it broke"}}'),
}


class Part(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Name: str = ""
    Price: Decimal | None = None
    Count: int = 0
    Version: Annotated[int, ETag] = 1


class Parts(EntitySet[Part]):
    """Parts in a dictionary, which are changed without sessions."""

    sticky = None
    page_size = 2

    def __init__(self) -> None:
        self.table: dict[str, Part] = {}
        self.reset()

    def reset(self) -> None:
        names = ("bolt", "O'Neil & Söhne", "nail", "nut", "100% / a+b?")
        rows = [Part(str(n), name, Decimal(f"{n}.50"), n) for n, name in enumerate(names, start=1)]
        self.table = {row.ID: row for row in rows}

    def list(self, query: Query) -> Any:
        return self.table.values()

    def save(self, row: Part, base: Part | None) -> Part:
        if row.Count < 0:
            raise Refused("the count is negative", target="Count")
        self.table[row.ID] = msgspec.structs.replace(row, Version=base.Version + 1 if base else 1)
        return self.table[row.ID]

    def delete(self, row: Part) -> None:
        del self.table[row.ID]

    @action
    def Raise(self, row: Part, by: int) -> Part:
        self.table[row.ID] = msgspec.structs.replace(row, Count=row.Count + by)
        return self.table[row.ID]

    @function(collection=True)
    def Above(self, count: int, name: str) -> Sequence[Part]:
        return [row for row in self.table.values() if row.Count > count and row.Name != name]


@function
def Sum(a: int, b: int) -> int:
    """An unbound function."""
    return a + b


class World:
    """Writes down what arrives, and hands it to the server."""

    def __init__(self) -> None:
        self.parts = Parts()
        self.app = asgi(Service("Demo", self.parts, operations=[Sum]), store="memory://", path="/svc")
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/svc"):
            if scope["type"] == "http":
                headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
                about = {"method": scope["method"], "path": scope["path"], "query": scope["query_string"].decode()}
                names = ("cookie", "if-match", "prefer", "odata-version")
                self.requests.append(about | {name: headers.get(name) for name in names})
            await self.app(scope, receive, send)
            return
        status, kind, content = SPOILT.get(scope["path"].split("/")[2], (200, b"application/json", self.told(scope)))
        head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]}
        await send(head)
        await send({"type": "http.response.body", "body": content})

    def told(self, scope: Any) -> bytes:
        if scope["path"] == "/admin/reset":
            self.parts.reset()
            self.requests = []
        return json.dumps(
            {"requests": self.requests, "rows": {row.ID: msgspec.to_builtins(row) for row in self.parts.table.values()}}
        ).encode()


if __name__ == "__main__":
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(World(), log_level="warning")).run(sockets=[listening])
