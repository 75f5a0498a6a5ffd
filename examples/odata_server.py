"""An OData service of one table, whose rows change inside of sticky sessions that survive this process.

    pip install holdfast[sqlalchemy]
    python examples/odata_server.py 8000 sqlite:///sessions.db orders.db

Then, in another terminal: python examples/odata_client.py http://127.0.0.1:8000 "orders('1')" note=changed
"""

import sys

import sqlalchemy as sa
import uvicorn

from holdfast.odata.server import Service, asgi
from holdfast.odata.server.table import TableSet

port, store, database = (*sys.argv[1:], "8000", "memory://", "orders.db")[:3]
orders = sa.Table(
    "orders",
    sa.MetaData(),
    sa.Column("id", sa.String(10), primary_key=True),
    sa.Column("note", sa.String(40), nullable=False, default=""),
    sa.Column("amount", sa.Integer, nullable=False, default=0),
    sa.Column("version", sa.Integer, nullable=False, default=1),
)
engine = sa.create_engine(f"sqlite:///{database}")
orders.metadata.create_all(engine)
with engine.begin() as connection:
    if not connection.execute(sa.select(orders)).first():
        connection.execute(orders.insert(), [{"id": "1", "note": "tea"}, {"id": "2", "note": "coffee"}])

app = asgi(Service("Demo", TableSet(orders, engine, version="version")), store=store)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
