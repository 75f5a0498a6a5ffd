"""Filters and orders as SQL choose what they choose over plain rows (O11, O12)."""

import datetime as dt
import enum
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import anyio
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from holdfast.odata.errors import NotSupported
from holdfast.odata.query import BadQuery, chosen, ordered, parse_expression
from holdfast.odata.query.sql import filtered, ordered_by
from servers.postgres import PostgresServer, postgres_server

GUID = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Base(DeclarativeBase):
    pass


class Level(enum.Enum):
    Low = 1
    High = 2


class Customer(Base):
    __tablename__ = "customers"
    Guid: Mapped[UUID] = mapped_column(primary_key=True)
    Name: Mapped[str]
    Orders: Mapped[list["Order"]] = relationship(back_populates="Buyer")


class Order(Base):
    __tablename__ = "orders"
    ID: Mapped[str] = mapped_column(primary_key=True)
    Note: Mapped[str | None]
    Quantity: Mapped[int]
    Weight: Mapped[float | None]
    Done: Mapped[bool]
    Level: Mapped[Level]
    Day: Mapped[dt.date]
    At: Mapped[dt.datetime]
    Zoned: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True))
    Clock: Mapped[dt.time]
    Took: Mapped[dt.timedelta]
    Raw: Mapped[bytes]
    Text: Mapped[str]
    BuyerGuid: Mapped[UUID | None] = mapped_column(sa.ForeignKey("customers.Guid"))
    Buyer: Mapped[Customer | None] = relationship(back_populates="Orders")
    Items: Mapped[list["Item"]] = relationship(order_by="Item.No", back_populates="Of")


class Item(Base):
    __tablename__ = "items"
    OrderID: Mapped[str] = mapped_column(sa.ForeignKey("orders.ID"), primary_key=True)
    No: Mapped[int] = mapped_column(primary_key=True)
    Price: Mapped[float | None]
    Of: Mapped[Order] = relationship(back_populates="Items")


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


def order(name: str, note: str | None, quantity: int, **more: Any) -> Order:
    at = dt.datetime(2026, 11, quantity, 14, 30)  # noqa: DTZ001 - as SQLite gives it back
    plain: dict[str, Any] = {
        "Weight": None,
        "Done": False,
        "Level": Level.Low,
        "Day": dt.date(2026, 11, quantity),
        "At": at,
    }
    plain |= {"Zoned": at.replace(tzinfo=dt.UTC), "Clock": dt.time(quantity), "Took": dt.timedelta(hours=quantity)}
    return Order(ID=name, Note=note, Quantity=quantity, Raw=name.encode(), Text=str(GUID), **(plain | more))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        yield filled(connection)
    engine.dispose()


def filled(connection: sa.Connection) -> Session:
    """Return a session on tables with four orders in them."""
    Base.metadata.create_all(connection)
    opened = Session(connection)
    buyer = Customer(Guid=GUID, Name="O'Neil")
    opened.add_all(
        [
            order("1", "Milk 100%", 3, Weight=1.5, Done=True, Buyer=buyer, Items=[Item(No=1, Price=5)]),
            order("2", "milk_a", 7, Level=Level.High, Items=[Item(No=1, Price=None), Item(No=2, Price=20)]),
            order("3", None, 8, Weight=8.0),
            order("4", "", 12, Buyer=buyer),
        ]
    )
    opened.commit()
    return opened


BOTH = """
ID eq '1'
Note eq null
Note ne null
Note ne 'milk_a'
not (Note eq 'milk_a')
not (Note ne 'milk_a')
Note in ('milk_a','x')
not (Note in ('milk_a'))
Note gt 'a'
not (Note gt 'a')
Done
not Done
Done eq false
Done and Quantity lt 5 or Quantity gt 10
Quantity in (3,12)
Quantity add 1 eq 4
Quantity sub 1 mul 2 eq 4
Quantity div 2 eq 3
Quantity divby 2 eq 3.5
Quantity mod 4 eq 3
-Quantity lt -7
Quantity eq 7.0
Quantity gt 7.5
Weight eq 1.5
Weight mul 2 eq 3.0
Weight lt Quantity
not (Weight lt Quantity)
not (Quantity gt 1 and Quantity lt 10)
not (Quantity gt 1 and not (Quantity lt 10)) and not (Done or Note eq 'a')
not (not (Done or Quantity lt 5))
not endswith(Note,'a')
not (indexof(Note,'l') eq 2)
contains(Note,'milk')
contains(Note,'%')
contains(Note,'_')
not contains(Note,'milk')
startswith(Note,'Milk')
startswith(Note,'m')
endswith(Note,'%')
endswith(Note,'longer than any of the texts')
length(Note) gt 6
indexof(Note,'l') eq 2
substring(Note,1) eq 'ilk_a'
substring(Note,1,3) eq 'ilk'
tolower(Note) eq 'milk 100%'
toupper(Note) eq 'MILK_A'
concat(Note,'!') eq 'milk_a!'
trim(' 1 ') eq ID
year(At) eq 2026 and month(At) eq 11 and day(Day) eq 7 and hour(At) eq 14 and minute(At) eq 30
date(At) eq 2026-11-07
Day gt 2026-11-07
At gt 2026-11-07T14:30:00Z
At eq 2026-11-07T15:30:00+01:00
At gt 2026-11-08
At lt now()
Level eq 'High'
Level eq Shop.Level'High'
$it/ID eq '3'
Note eq Text
Weight eq Weight
(Note gt 'a') eq false
(contains(Text,'6') and Done) eq Done
true eq Done
null eq Note
null ne Note
Note gt null or Done
contains(Text,'6') eq not (Note gt 'a')
not not Done
5 lt Quantity
Zoned eq 2026-11-07T15:30:00+01:00
Zoned gt 2026-11-08
Clock gt 07:30
Took le duration'PT7H'
Raw eq binary'MQ=='
Text eq 6BA7B810-9DAD-11D1-80B4-00C04FD430C8 and ID eq '1'
""".strip().splitlines()
OVER_CLASS = """
Buyer/Name eq 'O''Neil'
Buyer/Name eq null
Buyer/Guid eq 6BA7B810-9DAD-11D1-80B4-00C04FD430C8
contains(Buyer/Name,'Neil') and Quantity gt 5
Items/any()
not Items/any()
Items/any(i:i/Price gt 10)
Items/all(i:i/Price gt 1)
Items/any(i:i/Price gt 1 and i/No eq 1)
Items/any(i:i/No eq 1 or i/No eq 2 or i/No eq 3)
not Items/any(i:i/Price gt 10)
Items/$count eq 2
Items/$count gt 0 and Done
""".strip().splitlines()


def by_sql(session: Session, text: str, source: Any = Order) -> list[str]:
    columns = source.c if isinstance(source, sa.Table) else source
    statement = filtered(sa.select(columns.ID), parse_expression(text), source, clock=lambda: 1_800_000_000.0)
    return sorted(session.execute(statement).scalars())


def by_rows(session: Session, text: str) -> list[str]:
    rows = session.execute(sa.select(Order)).scalars()
    return sorted(row.ID for row in chosen(parse_expression(text), rows, clock=lambda: 1_800_000_000.0))


@pytest.mark.parametrize("text", BOTH + OVER_CLASS)
def test_a_mapped_class_is_filtered_as_rows_are(session: Session, text: str) -> None:  # O12
    assert by_sql(session, text) == by_rows(session, text)


@pytest.mark.parametrize("text", BOTH)
def test_a_table_is_filtered_as_rows_are(session: Session, text: str) -> None:
    assert by_sql(session, text, Base.metadata.tables["orders"]) == by_rows(session, text)


@pytest.mark.servers
async def test_postgresql_filters_as_rows_are(postgres: PostgresServer) -> None:  # O12
    url = postgres.url.replace("postgresql:", "postgresql+asyncpg:").partition("?")[0]
    engine = create_async_engine(url)
    with anyio.fail_after(60):
        async with engine.connect() as connection:
            session = await connection.run_sync(filled)
            for text in BOTH + OVER_CLASS:
                expected = await connection.run_sync(lambda _, text=text: by_rows(session, text))
                assert await connection.run_sync(lambda _, text=text: by_sql(session, text)) == expected, text
        await engine.dispose()


def test_the_filters_here_tell_rows_apart(session: Session) -> None:
    some = [text for text in BOTH + OVER_CLASS if 0 < len(by_rows(session, text)) < 4]
    assert len(some) > len(BOTH + OVER_CLASS) * 0.8


@pytest.mark.parametrize("text", ["Note", "Note desc", "Done desc,Quantity", "Buyer/Name,ID desc", "Quantity mod 5,ID"])
def test_rows_are_ordered_in_the_database_as_here(session: Session, text: str) -> None:
    by = [(parse_expression(one.removesuffix(" desc")), one.endswith(" desc")) for one in text.split(",")]
    by.append((parse_expression("ID"), False))
    found = session.execute(ordered_by(sa.select(Order), by, Order)).scalars()
    assert [row.ID for row in found] == [row.ID for row in ordered(session.execute(sa.select(Order)).scalars(), by)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Nope eq 1", BadQuery),
        ("Quantity/$count eq 1", BadQuery),
        ("Quantity/any(q:q eq 1)", BadQuery),
        ("Buyer/Nope eq 1", BadQuery),
        ("Quantity/Nope eq 1", BadQuery),
        ("Quantity", BadQuery),
        ("null", BadQuery),
        ("Quantity and Done", BadQuery),
        ("not Quantity", BadQuery),
        ("Note gt 5", BadQuery),
        ("Note in (5)", BadQuery),
        ("Level eq 'Nope'", BadQuery),
        ("BuyerGuid eq 'x'", BadQuery),
        ("Day add duration'P1D' gt Day", NotSupported),
        ("Done gt not Done", BadQuery),
        ("Quantity gt " + "9" * 30, BadQuery),
        ("Items", BadQuery),
        ("Quantity eq 'x'", BadQuery),
        ("Done add Done eq 2", BadQuery),
        ("-Note eq 'x'", BadQuery),
        ("Note has 'x'", NotSupported),
        ("time(At) eq 10:00", NotSupported),
        ("totalseconds(At) eq 1", NotSupported),
        ("hassubset(Note,Note)", NotSupported),
        ("Items/any(i:$it/ID eq i/OrderID)", NotSupported),
        ("Items/any(i:i/Of/Quantity gt 5)", NotSupported),
    ],
)
def test_what_the_database_cannot_do_is_refused(session: Session, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        by_sql(session, text)


@pytest.mark.parametrize("text", ["Buyer/Name eq 'x'", "Items/any()", "Items/$count eq 1"])
def test_a_table_has_no_relations(session: Session, text: str) -> None:
    with pytest.raises(NotSupported):
        by_sql(session, text, Base.metadata.tables["orders"])


@pytest.mark.slow
def test_a_thousand_alternatives_are_one_clause(session: Session) -> None:
    assert by_sql(session, " or ".join(f"Quantity eq {number}" for number in range(4, 900))) == ["2", "3", "4"]
