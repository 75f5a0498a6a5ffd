"""Orders of a file as a sticky service, with locks beside them: orders_server.py PORT STORE FILE TIMEOUT."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.odata.server import EntitySet, Key, Refused, Service, asgi, calling
from holdfast.web.http1 import BoundedHttp

TABLES = """
create table if not exists orders (id text primary key, note text not null);
create table if not exists locks (id text primary key, session text not null);
insert or ignore into orders values ('1', 'note 1'), ('2', 'note 2');
"""


class Order(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Note: str = ""


class Orders(EntitySet[Order]):
    """The rows of the file. Editing one locks it for its session."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with closing(self._open()) as rows:
            rows.executescript(TABLES)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, isolation_level=None, timeout=10)

    def _do(self, statement: str, *values: Any) -> list[Any]:
        with closing(self._open()) as rows:
            return list(rows.execute(statement, values))

    def list(self, query: object) -> list[Order]:
        return [Order(*row) for row in self._do("select id, note from orders order by id")]

    def edit(self, row: Order) -> None:
        self._do("insert or ignore into locks values (?, ?)", row.ID, calling().session)
        if self._do("select session from locks where id = ?", row.ID) != [(calling().session,)]:
            raise Refused("somebody else edits it", target="ID")

    def save(self, row: Order, base: Order | None) -> Order:
        self._do("insert or replace into orders values (?, ?)", row.ID, row.Note)
        self.discard(row)
        return row

    def discard(self, row: Order) -> None:
        self._do("delete from locks where id = ? and session = ?", row.ID, calling().session)


if __name__ == "__main__":
    port, store, file, timeout = sys.argv[1:]
    service = Service("Demo", Orders(Path(file)))
    app = asgi(
        service,
        store=store,
        settings=Settings(_env_file=None, cleanup_interval=1.0),
        timeout=float(timeout),
        path="/svc",
    )
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", http=BoundedHttp, proxy_headers=False)
