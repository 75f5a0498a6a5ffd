"""Tables as entity sets: SQLAlchemy's, by any database that it knows, with nothing to write (O12).

    engine = create_engine("postgresql+psycopg://…")        # or an AsyncEngine
    app = asgi(Service("Demo", TableSet(orders, engine, version="version")), store="redis://…")

`orders` is a `Table` or a mapped class. Its columns are the properties, its primary key is the key; filters, searches,
orders and pages are the database's work. A change set, or a request, is one transaction.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from holdfast.errors import ConfigurationError
from holdfast.odata.errors import Conflict, PreconditionFailed, WrongValue
from holdfast.odata.query import Search
from holdfast.odata.query.sql import filtered, ordered_by
from holdfast.odata.server.database import Database
from holdfast.odata.server.entity_set import EntitySet, Outside, Page, Query, Sticky
from holdfast.odata.server.shapes import Digits, ETag, Int64, Key

STANDARD: Final = Sticky()
EMPTY: Final[dict[type, Any]] = {str: "", int: 0, float: 0.0, bool: False, bytes: b"", Decimal: Decimal(0)}


class TableSet(EntitySet[Any]):
    """An entity set over a table.

    Args:
        source: The `Table`, or a class that is mapped to one.
        engine: An `Engine`, whose calls run in threads, or an `AsyncEngine`. One for SQLite in memory needs a
            `StaticPool`: its threads would else see a database each.
        name: Of the entity set; the table's if left out.
        version: The integer column that each update counts up. With it, of two who change an entity at the same time
            the second is refused in any case; without it, ETags are hashes of the row.
        sticky: The names of the four actions; None for a set that is changed without sessions.
        outside: See `EntitySet`.
        searched: See `EntitySet`.
        page_size: See `EntitySet`.

    Raises:
        ConfigurationError: The table has no primary key, or a column of a type that OData cannot show.
    """

    def __init__(
        self,
        source: Any,
        engine: sa.Engine | AsyncEngine,
        *,
        name: str = "",
        version: str = "",
        sticky: Sticky | None = STANDARD,
        outside: Outside = "actions",
        searched: Sequence[str] = (),
        page_size: int | None = 1000,
    ) -> None:
        table = source if isinstance(source, sa.Table) else sa.inspect(source).local_table
        if not isinstance(table, sa.Table) or not table.primary_key.columns:
            raise ConfigurationError(f"{source} is no table with a primary key")
        if version and version not in table.columns:
            raise ConfigurationError(f"{table.name} has no column {version}")
        self._table, self._version, self._database = table, version, Database.of(engine)
        self._keys = list(table.primary_key.columns)
        entity = str(getattr(source, "__name__", str(table.name)))
        self.entity = msgspec.defstruct(entity, [_field(column, version) for column in table.columns], kw_only=True)
        self.name = name or str(table.name)
        self.sticky, self.outside = sticky, outside
        self.searched, self.page_size = tuple(searched), page_size

    async def list(self, query: Query) -> Page[Any]:
        """Return what the database finds."""
        chosen = self._chosen(sa.select(self._table), query)
        counting = sa.select(sa.func.count()).select_from(chosen.order_by(None).subquery())
        orders = [(one.expression, one.descending) for one in query.options.orderby]
        chosen = ordered_by(chosen, orders, self._table).order_by(*self._keys).offset(query.skip)
        if query.most is not None:
            chosen = chosen.limit(query.most)

        def work(connection: sa.Connection) -> Page[Any]:
            count = connection.execute(counting).scalar_one() if query.options.count else None
            rows = connection.execute(chosen).mappings() if query.most != 0 else ()
            return Page([self._entity(row) for row in rows], count)

        return await self._database.run(work)

    async def read(self, key: Any) -> Any:
        """Return the row with this key."""
        chosen = sa.select(self._table).where(self._is(key if isinstance(key, tuple) else (key,)))

        def work(connection: sa.Connection) -> Any:
            row = connection.execute(chosen).mappings().one_or_none()
            return None if row is None else self._entity(row)

        return await self._database.run(work)

    def new(self) -> Any:
        """Return a row of defaults; a key that the database makes is provisional until then."""
        return self.entity()

    async def save(self, row: Any, base: Any) -> Any:
        """Insert or update a row, and return it as the database has it now."""
        for column in self._table.columns:
            if not column.nullable and getattr(row, column.name) is None:
                raise WrongValue(f"{column.name} is missing", target=str(column.name))
        return await self._database.run(self._inserting(row) if base is None else self._updating(row, base))

    async def delete(self, row: Any) -> None:
        """Delete a row."""
        statement = sa.delete(self._table).where(self._is(self.shape.key_of(row)))
        await self._database.run(lambda connection: connection.execute(statement))

    def unit(self) -> AbstractAsyncContextManager[Any]:
        """Return a transaction; all tables of one engine are in the same."""
        return self._database.transaction()

    # -- inside

    def _inserting(self, row: Any) -> Callable[[sa.Connection], Any]:
        values = msgspec.structs.asdict(row)
        for column in self._keys:
            if _is_made_by_database(column) and not values[column.name]:
                del values[column.name]
        if self._version:
            values[self._version] = 1

        def work(connection: sa.Connection) -> Any:
            try:
                key = connection.execute(sa.insert(self._table).values(values)).inserted_primary_key
            except sa.exc.IntegrityError as exc:
                raise Conflict(f"the row contradicts a rule of {self._table.name}") from exc
            return self._read(connection, tuple(key or ()))

        return work

    def _updating(self, row: Any, base: Any) -> Callable[[sa.Connection], Any]:
        key = self.shape.key_of(base)
        values = {name: value for name, value in msgspec.structs.asdict(row).items() if name not in self.shape.key}
        statement = sa.update(self._table).where(self._is(key))
        if self._version:
            before = getattr(base, self._version)
            values[self._version] = before + 1
            statement = statement.where(self._table.columns[self._version] == before)

        def work(connection: sa.Connection) -> Any:
            try:
                changed = connection.execute(statement.values(values)).rowcount
            except sa.exc.IntegrityError as exc:
                raise Conflict(f"the row contradicts a rule of {self._table.name}") from exc
            if not changed:
                raise PreconditionFailed(f"the row of {self._table.name} was changed by somebody else")
            return self._read(connection, key)

        return work

    def _read(self, connection: sa.Connection, key: tuple[Any, ...]) -> Any:
        return self._entity(connection.execute(sa.select(self._table).where(self._is(key))).mappings().one())

    def _chosen(self, statement: sa.Select[Any], query: Query) -> Any:
        if query.options.filter is not None:
            statement = filtered(statement, query.options.filter, self._table)
        if query.options.search is not None:
            statement = statement.where(self._finds(query.options.search))
        if query.without:
            statement = statement.where(sa.not_(sa.or_(*(self._is(key) for key in query.without))))
        return statement

    def _finds(self, search: Search) -> sa.ColumnElement[bool]:
        if search.op == "term":
            texts = [column for column in self._table.columns if self._is_searched(column)]
            found = (column.icontains(search.text, autoescape=True) for column in texts)
            return sa.or_(sa.false(), *(sa.func.coalesce(one, sa.false()) for one in found))
        parts = [self._finds(one) for one in search.operands]
        return sa.not_(parts[0]) if search.op == "not" else (sa.and_ if search.op == "and" else sa.or_)(*parts)

    def _is_searched(self, column: sa.Column[Any]) -> bool:
        return column.name in self.searched if self.searched else isinstance(column.type, sa.String)

    def _is(self, key: tuple[Any, ...]) -> sa.ColumnElement[bool]:
        return sa.and_(*(column == value for column, value in zip(self._keys, key, strict=True)))

    def _entity(self, row: Any) -> Any:
        return self.entity(**row)


def _field(column: sa.Column[Any], version: str) -> tuple[str, Any, Any]:
    """Return the field of an entity that shows a column."""
    try:
        type_: Any = column.type.python_type
    except NotImplementedError as exc:
        raise ConfigurationError(f"column {column.name} has a type that OData cannot show") from exc
    marks: list[Any] = []
    if isinstance(column.type, sa.BigInteger):
        marks.append(Int64)
    if isinstance(column.type, sa.Numeric) and type_ is Decimal and column.type.precision:
        marks.append(Digits(column.type.precision, column.type.scale or 0))
    length = getattr(column.type, "length", None)
    if type_ is str and length:
        marks.append(msgspec.Meta(max_length=length))
    if column.primary_key:
        marks.append(Key)
    if column.name == version:
        marks.append(ETag)
    for mark in marks:
        type_ = Annotated[type_, mark]
    if column.primary_key:
        return str(column.name), type_, _initial(column)
    initial = None if column.nullable else _initial(column)
    return str(column.name), type_ if initial is not None else type_ | None, initial


def _initial(column: sa.Column[Any]) -> Any:
    """Return what a new row has in a column: its default if that is plain, else something empty.

    None where a type has nothing empty, such as dates: the property may be null then, until the row is saved.
    """
    if column.default is not None and column.default.is_scalar:
        return getattr(column.default, "arg", None)
    if column.type.python_type is UUID:
        return msgspec.field(default_factory=uuid4)
    return EMPTY.get(column.type.python_type)


def _is_made_by_database(column: sa.Column[Any]) -> bool:
    table = column.table
    return isinstance(table, sa.Table) and (table.autoincrement_column is column or column.server_default is not None)
