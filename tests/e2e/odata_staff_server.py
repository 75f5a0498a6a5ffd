"""Orders in a file for people with tokens, which are their names: odata_staff_server.py PORT STORE FILE

Editing locks a row for its session. A change to the note `wait` is not over before the file `FILE.go` is there.
"""

import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import uvicorn

from holdfast.config import Settings
from holdfast.identity.facts import Identity, InvalidToken
from holdfast.odata.server import EntitySet, Key, Refused, Service, action, asgi, calling

TABLES = """
create table if not exists orders (id text primary key, row blob not null);
create table if not exists locks (id text primary key, session text not null);
"""
PATIENCE_S = 30.0


class Item(msgspec.Struct):
    Pos: Annotated[int, Key]
    Text: str = ""


class Order(msgspec.Struct):
    ID: Annotated[str, Key, msgspec.Meta(max_length=40)] = ""
    Note: Annotated[str, msgspec.Meta(max_length=40)] = ""
    Amount: int = 0
    Price: Decimal | None = None
    Items: list[Item] = []
    Log: list[str] = []  # every note that it has had in this edit


class Orders(EntitySet[Order]):
    """The rows of the file."""

    def __init__(self, file: Path) -> None:
        self._file, self._go = file, file.with_suffix(".go")
        with closing(self._open()) as rows:
            rows.executescript(TABLES)
        for number in ("1", "2", "3"):
            self._put("insert or ignore", Order(ID=number, Note=f"note {number}"))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, isolation_level=None, timeout=10)

    def _do(self, statement: str, *values: Any) -> list[Any]:
        with closing(self._open()) as rows:
            return list(rows.execute(statement, values))

    def _put(self, how: str, row: Order) -> None:
        self._do(f"{how} into orders values (?, ?)", row.ID, msgspec.json.encode(row))

    def list(self, query: object) -> list[Order]:
        return [msgspec.json.decode(row, type=Order) for (row,) in self._do("select row from orders order by id")]

    def edit(self, row: Order) -> None:
        self._do("insert or ignore into locks values (?, ?)", row.ID, calling().session)
        if self._do("select session from locks where id = ?", row.ID) != [(calling().session,)]:
            raise Refused("somebody else edits it", target="ID")

    async def patch(self, row: Order, changes: Mapping[str, Any]) -> Order:
        if row.Amount < 0:
            raise Refused("the amount is negative", target="Amount")
        if row.Note == "wait":
            self._go.with_suffix(".entered").touch()
            with anyio.fail_after(PATIENCE_S):
                while not self._go.exists():
                    await anyio.sleep(0.02)
        return msgspec.structs.replace(row, Log=[*row.Log, row.Note]) if "Note" in changes else row

    def save(self, row: Order, base: Order | None) -> Order:
        if row.Note == "refuse":
            raise Refused("it cannot be saved like that", target="Note")
        self._put("insert or replace", row)
        self.discard(row)
        return row

    def discard(self, row: Order) -> None:
        self._do("delete from locks where id = ? and session = ?", row.ID, calling().session)

    @action
    def Raise(self, row: Order, by: int) -> Order:
        return msgspec.structs.replace(row, Amount=row.Amount + by)


class Staff:
    """Everybody whose token is a name in small letters."""

    async def verify(self, token: str) -> Identity:
        if not token.isalpha():
            raise InvalidToken("nobody of that name works here")
        return Identity(issuer="https://id.example", subject=token)


if __name__ == "__main__":
    port, store, file = sys.argv[1:]
    app = asgi(
        Service("Demo", Orders(Path(file))),
        store=store,
        settings=Settings(_env_file=None, cleanup_interval=1.0),
        verifier=Staff(),
        timeout=300,
        path="/svc",
        max_parts=50,
    )
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", proxy_headers=False)
