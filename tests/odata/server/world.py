"""A small service in one process, and a client that does as OpenUI5's does: one id, one token."""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import httpx2
import msgspec

from holdfast.config import Settings
from holdfast.odata.server import (
    Computed,
    EntitySet,
    ETag,
    Int64,
    Key,
    ODataApp,
    Query,
    Refused,
    Service,
    action,
    asgi,
    calling,
    function,
    new_action,
)
from holdfast.testing import RecordingSink

BASE = "http://127.0.0.1:8000"


class State(Enum):
    OPEN = "Open"
    DONE = "Done"


class Address(msgspec.Struct):
    City: str = ""
    Zip: str | None = None


class Item(msgspec.Struct):
    Pos: Annotated[int, Key]
    Text: str = ""


class Order(msgspec.Struct):
    ID: Annotated[str, Key, msgspec.Meta(max_length=10)] = ""
    Note: Annotated[str, msgspec.Meta(max_length=40)] = ""
    Amount: int = 0
    Price: Decimal | None = None
    Big: Annotated[int | None, Int64] = None
    Due: dt.date | None = None
    Status: State = State.OPEN
    Ship: Address | None = None
    Tags: list[str] = []
    Items: list[Item] = []
    Version: Annotated[int, ETag] = 1
    By: Annotated[str, Computed] = ""


class Orders(EntitySet[Order]):
    """Orders in a dictionary, with locks as a back end would have them."""

    def __init__(self) -> None:
        self.table = {
            number: Order(ID=number, Note=note, Amount=amount, Price=Decimal("1.50"), Big=2**53 + 1)
            for number, note, amount in (("1", "first", 10), ("2", "second", 20), ("3", "third", 30))
        }
        self.locks: dict[str, str] = {}
        self.log: list[str] = []
        self.fails: set[str] = set()

    def list(self, query: Query) -> Any:
        return self.table.values()

    def read(self, key: Any) -> Order | None:
        return self.table.get(key)

    def edit(self, row: Order) -> None:
        if self.locks.setdefault(row.ID, calling().session) != calling().session:
            raise Refused("somebody else edits it", target="ID")
        self.log.append(f"lock {row.ID}")

    def patch(self, row: Order, changes: Mapping[str, Any]) -> None:
        if row.Amount < 0:
            raise Refused("the amount is negative", target="Amount")

    def save(self, row: Order, base: Order | None) -> Order:
        if row.Note == "refuse" or "save" in self.fails:
            raise Refused("it cannot be saved like that", target="Note")
        if not row.ID:
            row = msgspec.structs.replace(row, ID=str(len(self.table) + 1))
        self.table[row.ID] = msgspec.structs.replace(row, Version=base.Version + 1 if base else 1)
        self._unlock(row)
        return self.table[row.ID]

    def discard(self, row: Order) -> None:
        self.log.append(f"discard {row.ID}")
        if "discard" in self.fails:
            raise Refused("the back end does not let go")
        self._unlock(row)

    def delete(self, row: Order) -> None:
        del self.table[row.ID]

    def _unlock(self, row: Order) -> None:
        if self.locks.get(row.ID) == calling().session:
            del self.locks[row.ID]

    @action
    def Raise(self, row: Order, by: int, reason: str = "") -> Order:
        raised = msgspec.structs.replace(row, Amount=row.Amount + by)
        if not calling().session:
            self.table[row.ID] = raised
        return raised

    @function(collection=True)
    def Largest(self, count: int) -> Sequence[Order]:
        return sorted(self.table.values(), key=lambda row: -row.Amount)[:count]

    @function
    def Double(self, row: Order) -> int:
        return 2 * row.Amount

    @new_action
    def CreateFrom(self, template: str) -> Order:
        return msgspec.structs.replace(self.table[template], ID="", Version=0)


class Free(msgspec.Struct):
    ID: Annotated[int, Key]
    Text: str = ""


class Frees(EntitySet[Free]):
    """What is changed without sessions."""

    sticky = None

    def __init__(self) -> None:
        self.table: dict[int, Free] = {}

    def new(self) -> Free:
        return Free(ID=0)

    def list(self, query: Query) -> Any:
        return self.table.values()

    def save(self, row: Free, base: Free | None) -> Free:
        self.table[row.ID] = row
        return row

    def delete(self, row: Free) -> None:
        del self.table[row.ID]


@action
def Ping(text: str) -> str:
    """An unbound action."""
    return f"pong {text}"


@function
def Sum(a: int, b: int) -> int:
    """An unbound function."""
    return a + b


class Tab:
    """A browser tab: its id, its token, and the cookies that it shares with other tabs."""

    def __init__(self, http: httpx2.AsyncClient, root: str = "/") -> None:
        self.http, self.root = http, root
        self.id: str | None = None
        self.token = ""

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send a request and keep what its answer says of the session."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.id:
            sent.setdefault("SAP-ContextId", self.id)
        if method not in ("GET", "HEAD"):
            sent.setdefault("X-CSRF-Token", self.token or await self.fetch())
        carried = self.id
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        answer = await self.http.request(method, self.root + path, content=content, headers=sent)
        if "sap-contextid" in answer.headers:
            self.id = answer.headers["sap-contextid"]
        elif carried:
            self.id = None
        return answer

    async def fetch(self) -> str:
        """Fetch a token, as OpenUI5 does."""
        answer = await self.http.head(self.root, headers={"X-CSRF-Token": "Fetch"})
        self.token = answer.headers["x-csrf-token"]
        return self.token


class World:
    """The service, what it is made of, and tabs."""

    def __init__(
        self, app: ODataApp, orders: Orders, frees: Frees, sink: RecordingSink, http: httpx2.AsyncClient
    ) -> None:
        self.app, self.orders, self.frees, self.sink, self.http = app, orders, frees, sink, http

    def tab(self) -> Tab:
        """Return another tab of the same browser."""
        return Tab(self.http)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[World]:
    """Serve the orders, in memory."""
    orders, frees, sink = options.pop("orders", None) or Orders(), Frees(), RecordingSink()
    app = asgi(
        Service("Demo", orders, frees, operations=[Ping, Sum]),
        settings=options.pop("settings", None) or Settings(_env_file=None),
        sink=sink,
        **options,
    )
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 40_000))
    async with app.opened.running(), httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield World(app, orders, frees, sink, http)
