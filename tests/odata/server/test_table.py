"""Tables of SQLAlchemy as entity sets, sync and async (O12)."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from holdfast.config import Settings
from holdfast.errors import ConfigurationError
from holdfast.odata.server import Service, asgi
from holdfast.odata.server.table import TableSet
from odata.server.test_batches import part, posted, together, told
from odata.server.world import BASE, Tab

metadata = sa.MetaData()
books = sa.Table(
    "books",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.String(40), nullable=False),
    sa.Column("price", sa.Numeric(10, 2)),
    sa.Column("due", sa.Date, nullable=False),
    sa.Column("stock", sa.BigInteger, nullable=False, default=3),
    sa.Column("version", sa.Integer, nullable=False, default=1),
)
notes = sa.Table("notes", metadata, sa.Column("code", sa.String(5), primary_key=True), sa.Column("text", sa.String))


@asynccontextmanager
async def library(path: Path, *, is_async: bool, **options: Any) -> AsyncIterator[tuple[Tab, sa.Engine]]:
    """Serve two tables on a file."""
    plain = sa.create_engine(f"sqlite:///{path / 'books.db'}")
    metadata.create_all(plain)
    with plain.begin() as connection:
        for number, title in ((1, "Faust"), (2, "Emma"), (3, "Ulysses 100%")):
            row = {"title": title, "price": Decimal(number), "due": dt.date(2026, 1, number)}
            connection.execute(books.insert().values(row))
        connection.execute(notes.insert().values(code="a", text="old"))
    engine = create_async_engine(f"sqlite+aiosqlite:///{path / 'books.db'}") if is_async else plain
    sets = TableSet(books, engine, name="Books", version="version", **options), TableSet(notes, engine, sticky=None)
    app = asgi(Service("Shop", *sets), settings=Settings(_env_file=None))
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 40_000))
    async with app.opened.running(), httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Tab(http), plain
    if is_async:
        await engine.dispose()
    plain.dispose()


def stored(engine: sa.Engine, number: int) -> Any:
    """Return a row as the database has it."""
    with engine.connect() as connection:
        return connection.execute(sa.select(books).where(books.c.id == number)).mappings().one_or_none()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Tab, sa.Engine]]:
    async with library(tmp_path, is_async=request.param) as opened:
        yield opened


async def test_a_row_is_edited_in_a_session_and_saved(shop: tuple[Tab, sa.Engine]) -> None:
    tab, engine = shop
    edited = await tab.send("POST", "Books(1)/Shop.Edit", {})
    assert (edited.status_code, edited.headers["etag"]) == (200, 'W/"1"')
    patched = await tab.send("PATCH", "Books(1)", {"title": "Faust II", "price": 9.5})
    assert patched.status_code == 200, patched.text
    assert stored(engine, 1)["title"] == "Faust"
    saved = await tab.send("POST", "Books(1)/Shop.Save", {})
    assert (saved.status_code, saved.headers["etag"], tab.id) == (200, 'W/"2"', None)
    assert (stored(engine, 1)["title"], stored(engine, 1)["price"]) == ("Faust II", Decimal("9.50"))


async def test_a_number_with_more_decimals_than_the_column_is_refused_and_not_rounded(
    shop: tuple[Tab, sa.Engine],
) -> None:
    tab, _ = shop
    metadata = (await tab.http.get("/$metadata")).text
    assert '<Property Name="price" Type="Edm.Decimal" Precision="10" Scale="2"/>' in metadata
    await tab.send("POST", "Books(1)/Shop.Edit", {})
    for wrong in ("9.505", "123456789.5"):
        refused = await tab.send("PATCH", "Books(1)", f'{{"price":{wrong}}}'.encode())
        assert (refused.status_code, refused.json()["error"]["target"]) == (400, "price")
    assert (await tab.send("PATCH", "Books(1)", b'{"price":9.5}')).json()["price"] == 9.5


async def test_a_new_row_gets_its_key_from_the_database(shop: tuple[Tab, sa.Engine]) -> None:
    tab, engine = shop
    made = await tab.send("POST", "Books/Shop.Create", {})
    assert (made.json()["id"], made.json()["stock"], made.json()["due"]) == (0, 3, None)
    refused = await tab.send("POST", "Books(0)/Shop.Save", {})
    assert (refused.status_code, refused.json()["error"]["target"]) == (400, "due")
    await tab.send("PATCH", "Books(0)", {"title": "Neu", "due": "2026-05-01"})
    saved = await tab.send("POST", "Books(0)/Shop.Save", {})
    assert (saved.json()["id"], tab.id) == (4, None)
    assert stored(engine, 4)["title"] == "Neu"


async def test_what_another_has_changed_meanwhile_is_refused(shop: tuple[Tab, sa.Engine]) -> None:
    tab, engine = shop
    await tab.send("POST", "Books(1)/Shop.Edit", {})
    with engine.begin() as connection:
        connection.execute(sa.update(books).where(books.c.id == 1).values(version=5))
    answer = await tab.send("POST", "Books(1)/Shop.Save", {})
    assert answer.status_code == 412
    assert answer.headers["sap-contextid"] == tab.id


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("$filter=price gt 1.5", [2, 3]),
        ("$filter=contains(title,'%25')", [3]),
        ("$filter=due eq 2026-01-02 or title eq 'Faust'&$orderby=title", [2, 1]),
        ("$orderby=price desc&$top=2", [3, 2]),
        ("$skip=1&$top=1", [2]),
        ("$search=emma OR 100%25", [2, 3]),
        ("$search=NOT Emma", [1, 3]),
    ],
)
async def test_the_database_filters_sorts_and_cuts(shop: tuple[Tab, sa.Engine], query: str, ids: list[int]) -> None:
    tab, _ = shop
    answer = await tab.send("GET", f"Books?{query}&$count=true")
    assert [row["id"] for row in answer.json()["value"]] == ids, answer.text


async def test_a_session_sees_its_own_rows_in_the_place_of_stored_ones(shop: tuple[Tab, sa.Engine]) -> None:
    tab, _ = shop
    await tab.send("POST", "Books(1)/Shop.Edit", {})
    await tab.send("PATCH", "Books(1)", {"price": 50})
    await tab.send("POST", "Books/Shop.Create", {})
    answer = (await tab.send("GET", "Books?$orderby=price desc&$top=2&$count=true")).json()
    assert ([row["id"] for row in answer["value"]], answer["@odata.count"]) == ([1, 3], 4)
    assert (await tab.send("GET", "Books/$count?$filter=price lt 3")).text == "1"
    rest = (await tab.send("GET", "Books?$orderby=price desc&$skip=2")).json()
    assert [row["id"] for row in rest["value"]] == [2, 0]


async def test_a_change_set_is_one_transaction_over_several_tables(shop: tuple[Tab, sa.Engine]) -> None:
    # O11
    tab, engine = shop
    await tab.send("POST", "Books(1)/Shop.Edit", {})
    await tab.send("PATCH", "Books(1)", {"title": "half"})
    failed = await posted(
        tab,
        together(
            part("POST", "Books(1)/Shop.Save", {}),
            part("PATCH", "notes('a')", {"text": "new"}),
            part("POST", "notes", {"code": "a"}),
        ),
    )
    assert told(failed)[0].status == 409
    assert failed.headers["sap-contextid"] == tab.id
    assert stored(engine, 1)["title"] == "Faust"
    assert (await tab.send("GET", "notes('a')")).json()["text"] == "old"
    whole = await posted(
        tab, together(part("POST", "Books(1)/Shop.Save", {}), part("PATCH", "notes('a')", {"text": "new"}))
    )
    assert [one.status for one in told(whole)[0]] == [200, 200]
    assert (stored(engine, 1)["title"], tab.id) == ("half", None)


async def test_a_rule_of_the_database_is_a_conflict(shop: tuple[Tab, sa.Engine]) -> None:
    tab, _ = shop
    assert (await tab.send("POST", "notes", {"code": "b", "text": "x"})).status_code == 201
    again = await tab.send("POST", "notes", {"code": "b"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert (await tab.send("DELETE", "notes('b')")).status_code == 204
    assert (await tab.send("GET", "notes('b')")).status_code == 404


async def test_pages_of_a_table_are_linked(tmp_path: Path) -> None:
    async with library(tmp_path, is_async=False, page_size=2) as (tab, _):
        first = (await tab.send("GET", "Books?$orderby=title")).json()
        assert [row["title"] for row in first["value"]] == ["Emma", "Faust"]
        second = (await tab.send("GET", first["@odata.nextLink"].removeprefix("/"))).json()
        assert [row["title"] for row in second["value"]] == ["Ulysses 100%"]
        assert "@odata.nextLink" not in second


def test_a_table_that_cannot_be_an_entity_set_is_refused() -> None:
    engine = sa.create_engine("sqlite://")
    bare = sa.Table("bare", sa.MetaData(), sa.Column("x", sa.Integer))
    with pytest.raises(ConfigurationError, match="primary key"):
        TableSet(bare, engine)
    with pytest.raises(ConfigurationError, match="no column v"):
        TableSet(notes, engine, version="v")
    engine.dispose()
