"""How a node is written down: a header of fixed size, then its texts without anything between, then its payload.

Scripts read and write the header's numbers (`lua/prelude.lua` has the same format) and carry the rest along. The key is
not part of a row. A root's `tree` is its key and takes no room. A clock that is not set is not a number (NaN). A state
that nobody knows is read as STRANDED: it lives for nobody, and is closed like what waits for that by hand. So is a row
that is cut short; what can be read of it is shown.
"""

import struct
from math import nan
from typing import Final

from holdfast.core.model import KEY_BYTES, Reason, Record, State
from holdfast.errors import BadInput

HEAD: Final = struct.Struct("<7B3HIIi10d")
NUMBER: Final = struct.Struct("<d")
TIMES: Final = struct.Struct("<ddd")
STATE_CODES: Final = {state: code for code, state in enumerate(State)}
REASON_CODES: Final = {reason: code for code, reason in enumerate((None, *Reason))}
CODES: Final = range(256)
DAMAGED: Final = bytes([STATE_CODES[State.STRANDED]])
STATES: Final = tuple(dict(enumerate(State)).get(code, State.STRANDED) for code in CODES)
REASONS: Final = tuple(dict(enumerate(Reason, 1)).get(code) for code in CODES)


def numbers(*values: float | None) -> bytes:
    """Return numbers as scripts read them; None is not a number."""
    return b"".join(NUMBER.pack(nan if value is None else value) for value in values)


def packed(record: Record) -> bytes:
    """Return the row of a record.

    Raises:
        BadInput: A key is not 16 bytes, an alias not 32, or a text too long to be one.
    """
    if record.parent is None:
        place = b"" if record.tree == record.key else record.tree
    else:
        place = record.tree + record.parent
    alias = record.alias or b""
    if len(record.key) != KEY_BYTES or len(record.tree) != KEY_BYTES or len(place) % KEY_BYTES or len(alias) % 32:
        raise BadInput("a key has 16 bytes, and an alias 32")
    texts = (place, alias, *(text.encode() for text in (record.mark, record.kind, record.owner, record.client)))
    label = record.label.encode()
    try:
        head = HEAD.pack(
            STATE_CODES[record.state],
            REASON_CODES[record.reason],
            record.holds,
            *map(len, texts),
            len(label),
            record.held,
            record.attempts,
            record.version,
            record.created_at,
            record.used_at,
            nan if record.idle is None else record.idle,
            nan if record.sliding is None else record.sliding,
            record.slides_after,
            record.slid_at,
            record.ends_at,
            record.busy_until,
            nan if record.due_at is None else record.due_at,
            nan if record.ended_at is None else record.ended_at,
        )
    except struct.error as exc:
        raise BadInput("a mark or a kind has at most 255 bytes, owner, client and label 65,535 each") from exc
    return b"".join((head, *texts, label, record.payload))


def record_of(key: bytes, row: bytes) -> Record:
    """Return the record that a row was made of; of one that somebody has damaged, what can be read."""
    try:
        return _record(key, row, "strict")
    except UnicodeDecodeError:
        return _record(key, row, "replace")
    except struct.error:
        return _record(key, DAMAGED + row[1:].ljust(HEAD.size - 1, b"\0"), "replace")


def _record(key: bytes, row: bytes, errors: str) -> Record:
    (
        state, reason, holds, places, aliases, marks, kinds, owners, clients, labels, held, attempts, version,
        created_at, used_at, idle, sliding, slides_after, slid_at, ends_at, busy_until, due_at, ended_at,
    ) = HEAD.unpack_from(row)  # fmt: skip
    alias = HEAD.size + places
    mark = alias + aliases
    kind = mark + marks
    owner = kind + kinds
    client = owner + owners
    label = client + clients
    payload = label + labels
    return Record(
        key=key,
        tree=row[HEAD.size : HEAD.size + KEY_BYTES] if places else key,
        parent=row[HEAD.size + KEY_BYTES : alias] if places else None,
        alias=row[alias:mark] if aliases else None,
        mark=row[mark:kind].decode("utf-8", errors),
        kind=row[kind:owner].decode("utf-8", errors),
        owner=row[owner:client].decode("utf-8", errors),
        client=row[client:label].decode("utf-8", errors),
        label=row[label:payload].decode("utf-8", errors),
        payload=row[payload:],
        state=STATES[state],
        reason=REASONS[reason],
        created_at=created_at,
        used_at=used_at,
        idle=idle if idle == idle else None,  # noqa: PLR0124 - NaN differs from itself
        sliding=sliding if sliding == sliding else None,  # noqa: PLR0124
        slides_after=slides_after,
        slid_at=slid_at,
        ends_at=ends_at,
        busy_until=busy_until,
        holds=holds != 0,
        held=held,
        due_at=due_at if due_at == due_at else None,  # noqa: PLR0124
        ended_at=ended_at if ended_at == ended_at else None,  # noqa: PLR0124
        attempts=attempts,
        version=version,
    )
