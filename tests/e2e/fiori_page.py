"""A sales order service, and a page that talks to it as OpenUI5's model does: its batches are these, byte for byte."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import msgspec
import sqlalchemy as sa

from holdfast.odata import batch
from holdfast.odata.server import Computed, EntitySet, ETag, Key, Refused, action
from odata.server.world import Tab

ROOT = "sap-client=100&sap-language=EN"
TAX = Decimal("1.10")
ACCEPT = "application/json;odata.metadata=minimal;IEEE754Compatible=true"
CONTENT = "application/json;charset=UTF-8;IEEE754Compatible=true"
BOUNDARY = "batch_id-1795233810741-9"
CHANGE_SET = "changeset_id-1795233810741-10"


class Customer(msgspec.Struct):
    ID: Annotated[str, Key]
    Name: str = ""
    City: str = ""


class Item(msgspec.Struct):
    Pos: Annotated[int, Key]
    Product: str = ""
    Quantity: int = 1


class SalesOrder(msgspec.Struct):
    ID: Annotated[str, Key] = ""
    Note: str = ""
    Status: str = "N"
    BuyerID: str = ""
    NetAmount: Decimal = Decimal("0.00")
    GrossAmount: Annotated[Decimal, Computed] = Decimal("0.00")
    ChangedAt: Annotated[dt.datetime | None, Computed] = None
    Buyer: Customer | None = None
    Items: list[Item] = []
    Version: Annotated[int, ETag] = 1


CUSTOMERS = [
    Customer("C1", "Becker Berlin", "Berlin"),
    Customer("C2", "Panorama Studios", "Vancouver"),
    Customer("C3", "Talpa", "Amsterdam"),
]


def order(number: str, note: str, status: str, buyer: int, net: str, *items: Item) -> SalesOrder:
    return SalesOrder(
        number,
        note,
        status,
        f"C{buyer}",
        Decimal(net),
        Decimal(net) * TAX,
        dt.datetime(2026, 1, int(number), 12, tzinfo=dt.UTC),
        CUSTOMERS[buyer - 1],
        list(items),
    )


class Customers(EntitySet[Customer]):
    sticky = None

    def list(self, query: object) -> list[Customer]:
        return CUSTOMERS


class SalesOrders(EntitySet[SalesOrder]):
    searched = ("Note",)

    def __init__(self) -> None:
        self.rows = {
            one.ID: one
            for one in (
                order("1", "Green tea", "N", 1, "10.00", Item(10, "HT-1"), Item(20, "HT-2", 5)),
                order("2", "Black tea", "P", 2, "20.00"),
                order("3", "Coffee", "N", 3, "30.50", Item(10, "HT-1")),
            )
        }

    def list(self, query: object) -> Any:
        return self.rows.values()

    def patch(self, row: SalesOrder, changes: Mapping[str, Any]) -> SalesOrder:
        buyer = next((one for one in CUSTOMERS if row.BuyerID == one.ID), None)
        if row.BuyerID and buyer is None:
            raise Refused("there is no such customer", target="BuyerID")
        return msgspec.structs.replace(row, Buyer=buyer, GrossAmount=row.NetAmount * TAX)

    def save(self, row: SalesOrder, base: SalesOrder | None) -> SalesOrder:
        row.ID = row.ID or str(len(self.rows) + 1)
        row.Version = base.Version + 1 if base else 1
        self.rows[row.ID] = row
        return row

    @action
    def Confirm(self, row: SalesOrder) -> SalesOrder:
        if row.Status == "C":
            raise Refused("it is confirmed already", target="Status")
        self.rows[row.ID] = msgspec.structs.replace(row, Status="C", Version=row.Version + 1)
        return self.rows[row.ID]


TABLE = sa.Table(
    "SalesOrders",
    sa.MetaData(),
    sa.Column("ID", sa.String(10), primary_key=True),
    sa.Column("Note", sa.String(40), nullable=False, default=""),
    sa.Column("Status", sa.String(1), nullable=False, default="N"),
    sa.Column("BuyerID", sa.String(10), nullable=False, default=""),
    sa.Column("NetAmount", sa.Numeric(10, 2), nullable=False, default=0),
    sa.Column("ChangedAt", sa.DateTime(timezone=True)),
    sa.Column("Version", sa.Integer, nullable=False, default=1),
)


def stored() -> sa.Engine:
    """Return a database in memory with the same sales orders."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    TABLE.metadata.create_all(engine)
    rows = [{name: getattr(one, name) for name in TABLE.columns.keys()} for one in SalesOrders().rows.values()]  # noqa: SIM118
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), rows)
    return engine


class Page:
    """A page in a browser: what its model puts into one batch goes out together."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.tab = Tab(http, "/svc/")
        self.answer: httpx2.Response | None = None

    async def batch(self, *parts: str | list[str]) -> list[Any]:
        """Send a batch as OpenUI5 writes it, and return status and content of each answer."""
        text = "".join(f"--{BOUNDARY}\r\n{_grouped(one) if isinstance(one, list) else _alone(one)}" for one in parts)
        body = f"{text}--{BOUNDARY}--\r\nGroup ID: $auto".encode()
        self.answer = await self.tab.send(
            "POST",
            f"$batch?{ROOT}",
            body,
            **{
                "Content-Type": f"multipart/mixed; boundary={BOUNDARY}",
                "Accept": "multipart/mixed",
                "Accept-Language": "en",
                "MIME-Version": "1.0",
                "OData-Version": "4.0",
                "OData-MaxVersion": "4.0",
                "sap-cancel-on-close": "true",
                "X-Requested-With": "XMLHttpRequest",
            },
        )
        assert self.answer.status_code == 200, self.answer.text
        assert self.answer.headers["odata-version"] == "4.0"
        found = batch.read_answers(self.answer.headers["content-type"], self.answer.content)
        return [_told(one) for one in found]

    async def one(self, part: str) -> Any:
        [(status, told)] = await self.batch(part)
        assert status in (200, 201), told
        return told


def _alone(part: str, name: str = "") -> str:
    """Return a request as a part: `METHOD path?query`, and after a line break `Header: value` lines or a body."""
    line, *rest = part.split("\n")
    method, _, url = line.partition(" ")
    path, _, query = url.partition("?")
    headers = "".join(f"{one}\r\n" for one in rest if not one.startswith("{"))
    body = "".join(one for one in rest if one.startswith("{"))
    address = f"{path}?{ROOT}{'&' if query else ''}{quote(query.replace('& ', '%26 '), safe=SAFE)}"
    named = f"Content-ID:{name}\r\n" if name else ""
    return (
        f"Content-Type:application/http\r\nContent-Transfer-Encoding:binary\r\n{named}\r\n"
        f"{method} {address} HTTP/1.1\r\n"
        f"Accept:{ACCEPT}\r\nAccept-Language:en\r\nContent-Type:{CONTENT}\r\n{headers}\r\n{body}\r\n"
    )


SAFE = "$=&,;()/'*%"


def _grouped(parts: list[str]) -> str:
    inner = "".join(f"--{CHANGE_SET}\r\n{_alone(one, f'{at}.0')}" for at, one in enumerate(parts))
    return f"Content-Type: multipart/mixed;boundary={CHANGE_SET}\r\n\r\n{inner}--{CHANGE_SET}--\r\n"


def _told(one: batch.Answer | batch.ChangeSetAnswer) -> Any:
    if isinstance(one, batch.ChangeSetAnswer):
        assert [each.id for each in one.answers] == [f"{at}.0" for at in range(len(one.answers))]
        return [_told(each) for each in one.answers]
    kind = one.headers.get("content-type", "")
    if not kind.startswith("application/json"):
        return one.status, one.body.decode()
    return one.status, msgspec.json.decode(one.body)
