"""A sticky OData service over a database file, as a process of its own: python odata_server.py PORT STORE DATABASE

Editing takes a lock in the database, in the name of the session, as a back end would.
"""

import sys
from typing import Any

import sqlalchemy as sa
import uvicorn

from holdfast.odata.server import Refused, Service, asgi, calling
from holdfast.odata.server.database import Database
from holdfast.odata.server.table import TableSet

metadata = sa.MetaData()
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("ID", sa.String(10), primary_key=True),
    sa.Column("Note", sa.String(40), nullable=False, default=""),
    sa.Column("Version", sa.Integer, nullable=False, default=1),
)
locks = sa.Table("locks", metadata, sa.Column("ID", sa.String, primary_key=True), sa.Column("Session", sa.String))


class Orders(TableSet):
    """Orders that nobody else can edit at the same time."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(orders, engine, name="Orders", version="Version")
        self._locks = Database.of(engine)

    async def edit(self, row: Any) -> None:
        """Take the lock."""
        mine = calling().session

        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            holder = connection.execute(sa.select(locks.c.Session).where(locks.c.ID == row.ID)).scalar()
            if holder not in (None, mine):
                raise Refused("somebody else edits it")
            if holder is None:
                connection.execute(locks.insert().values(ID=row.ID, Session=mine))

        await self._locks.run(work)

    async def save(self, row: Any, base: Any) -> Any:
        """Save, and give the lock back."""
        saved = await super().save(row, base)
        await self.discard(row)
        return saved

    async def discard(self, row: Any) -> None:
        """Give the lock back, if it is this session's."""
        mine = sa.delete(locks).where(locks.c.ID == row.ID, locks.c.Session == calling().session)
        await self._locks.run(lambda connection: connection.execute(mine))


if __name__ == "__main__":
    port, store, database = sys.argv[1:]
    app = asgi(Service("Demo", Orders(sa.create_engine(f"sqlite:///{database}"))), store=store, timeout=60)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
