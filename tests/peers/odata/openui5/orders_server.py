"""A service of orders on our server, and the page: `orders_server.py PORT STORE ORDERS_FILE`.

The service is there three times, with timeouts of 62, 30 and 900 s.
"""

import sqlite3
import sys
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from holdfast.odata.server import EntitySet, Key, Refused, Service, asgi
from holdfast.web.http1 import BoundedHttp

HERE = Path(__file__).parent
TIMEOUTS = {"/svc": 62.0, "/short": 30.0, "/long": 900.0}


class Order(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Note: str = ""
    Amount: int = 0


class Orders(EntitySet[Order]):
    def __init__(self, file: str) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)

    def list(self, query: object) -> list[Order]:
        return [Order(*row) for row in self._db.execute("SELECT ID, Note, Amount FROM orders ORDER BY ID")]

    def save(self, row: Order, base: Order | None) -> Order:
        if row.Note == "BAD":
            raise Refused("Note: BAD is not allowed", target="Note")
        saved = msgspec.structs.replace(row, ID=row.ID or uuid4().hex[:8])
        self._db.execute(
            "INSERT OR REPLACE INTO orders (ID, Note, Amount) VALUES (?, ?, ?)", msgspec.structs.astuple(saved)
        )
        return saved


def make(store: str, file: str) -> Starlette:
    services = {
        path: asgi(Service("Demo", Orders(file)), store=store, timeout=timeout) for path, timeout in TIMEOUTS.items()
    }
    return Starlette(
        routes=[
            Mount("/page", StaticFiles(directory=HERE)),
            *(Mount(path, app) for path, app in services.items()),
        ]
    )


if __name__ == "__main__":
    port, store, file = sys.argv[1:]
    uvicorn.run(
        make(store, file), host="127.0.0.1", port=int(port), log_level="warning", http=BoundedHttp, proxy_headers=False
    )
