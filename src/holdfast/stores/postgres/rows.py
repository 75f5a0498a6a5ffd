"""A node as PostgreSQL keeps it: the columns, records out of rows, rows out of records.

A state that nobody knows is read as STRANDED: it lives for nobody, and is closed like what waits for that by hand.
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from msgspec.structs import astuple

from holdfast.core.model import Limit, Reason, Record, State

FIELDS: Final = Record.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)
STATES: Final = {state.value: state for state in State}
REASONS: Final = {reason.value: reason for reason in Reason}
BIGGEST: Final = 2**62


def record_of(row: asyncpg.Record) -> Record:
    """Return the record of a row that begins with `COLUMNS`; written out, since every request does this."""
    return Record(
        key=row[0],
        tree=row[1],
        parent=row[2],
        alias=row[3],
        mark=row[4],
        kind=row[5],
        owner=row[6],
        client=row[7],
        label=row[8],
        payload=row[9],
        state=STATES.get(row[10], State.STRANDED),
        reason=REASONS.get(row[11]),
        created_at=row[12],
        used_at=row[13],
        idle=row[14],
        sliding=row[15],
        slides_after=row[16],
        slid_at=row[17],
        ends_at=row[18],
        busy_until=row[19],
        holds=row[20],
        held=row[21],
        due_at=row[22],
        ended_at=row[23],
        attempts=row[24],
        version=row[25],
    )


def records_of(rows: Sequence[asyncpg.Record]) -> list[Record]:
    """Return the records of rows."""
    return [record_of(row) for row in rows]


def row_of(record: Record) -> tuple[Any, ...]:
    """Return a record as a value of the type `record`."""
    return astuple(record)


def cap_of(limit: Limit) -> tuple[Any, ...]:
    """Return a limit as a value of the type `cap`."""
    return limit.scope.value, max(min(limit.most, BIGGEST), -BIGGEST), limit.policy.value, list(limit.spare)
