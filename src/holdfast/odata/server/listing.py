"""Lists of entities: filtered, searched, sorted and cut, with what the session holds over what is stored (O5)."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from holdfast.odata.errors import BadRequest
from holdfast.odata.query import Options, compiled, ordered
from holdfast.odata.server.entities import etag_of, held_rows
from holdfast.odata.server.entity_set import EntitySet, Page, Query
from holdfast.odata.server.shapes import Shape
from holdfast.odata.server.stay import Stay

LARGEST_PAGE: Final = 5000
ROW: Final = "@row"


class Record(msgspec.Struct, frozen=True):
    """An entity with its ETag; one that hangs within another has none."""

    row: Any
    etag: str = ""


class Listed(msgspec.Struct, frozen=True):
    """One page. `following` is how many entities come before the next one; None if there is none."""

    records: list[Record]
    count: int | None = None
    following: int | None = None


async def listed(stay: Stay, handler: EntitySet[Any], options: Options, *, page: int | None = None) -> Listed:
    """Return a page of an entity set; `page` is how many the client wants at most at a time."""
    begin = options.skip + skipped(options.skiptoken)
    size = min((one for one in (options.top, page, handler.page_size, LARGEST_PAGE) if one is not None), default=0)
    wanted = Query(options=options, skip=begin, most=size + 1)
    records, count = await _found(stay, handler, wanted)
    more = len(records) > size and (options.top is None or size < options.top)
    return Listed(records[:size], count if options.count else None, begin - options.skip + size if more else None)


async def counted(stay: Stay, handler: EntitySet[Any], options: Options) -> int:
    """Return how many entities there are that filter and search choose."""
    asked = msgspec.structs.replace(options, count=True, orderby=())
    records, count = await _found(stay, handler, Query(options=asked, most=0))
    return len(records) if count is None else count


def chosen(shape: Shape[Any], records: Iterable[Record], query: Query, texts: tuple[str, ...] = ()) -> list[Record]:
    """Return those of some records that a query chooses, in its order; not cut yet."""
    options = query.options
    if options.filter is None and options.search is None and not options.orderby:
        return list(records)
    rows = [{**shape.row(record.row), ROW: record} for record in records]
    if options.filter is not None:
        value = compiled(options.filter)
        rows = [row for row in rows if value(row) is True]
    if options.search is not None:
        search, of = options.search, _texts(shape, texts)
        rows = [row for row in rows if search.finds(of(row))]
    if options.orderby:
        rows = ordered(rows, [(one.expression, one.descending) for one in options.orderby])
    return [row[ROW] for row in rows]


def skipped(token: str | None) -> int:
    """Return how many entities a `$skiptoken` leaves behind; raise BadRequest if it is none of ours."""
    if token is None:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 12):
        raise BadRequest("$skiptoken is none of this service's", target="$skiptoken")
    return int(token)


# -- inside


async def _found(stay: Stay, handler: EntitySet[Any], query: Query) -> tuple[list[Record], int | None]:
    """Return one more than are wanted, so that it is known whether there are more, and the count.

    What the session holds stands where what is stored of it would; in a handler's page, which is a part of the list,
    where `$orderby` or else the key puts it.
    """
    shape, mine = handler.shape, _mine(stay, handler)
    most = None if query.most is None else query.skip + query.most
    asked = Query(options=query.options, without=frozenset(mine), most=most) if mine else query
    answer = await handler.call(handler.list, asked)
    if not isinstance(answer, Page):
        found = chosen(shape, _over(shape, answer, mine), query, handler.searched)
        return _with_etags(shape, _cut(found, query)), len(found)
    records, count = [Record(row) for row in answer.rows], answer.count
    if mine:
        held = chosen(shape, mine.values(), query, handler.searched)
        count = None if count is None else count + len(held)
        unsorted = msgspec.structs.replace(query.options, filter=None, search=None)
        by_key = sorted([*records, *held], key=lambda one: shape.key_of(one.row))
        records = _cut(chosen(shape, by_key, Query(options=unsorted)), query)
    return _with_etags(shape, records), count


def _mine(stay: Stay, handler: EntitySet[Any]) -> dict[tuple[Any, ...], Record]:
    """Return what the session holds of a set, by the key of what is stored of it."""
    if not stay.inside:
        return {}
    shape, held = handler.shape, held_rows(stay, handler).values()
    keys = [shape.key_of(shape.value(stay.buffer[one.name].row, stored=True)) for one in held]
    return {key: Record(one.row, one.etag) for key, one in zip(keys, held, strict=True)}


def _over(shape: Shape[Any], rows: Iterable[Any], mine: dict[tuple[Any, ...], Record]) -> list[Record]:
    if not mine:
        return [Record(row) for row in rows]
    return list({**{shape.key_of(row): Record(row) for row in rows}, **mine}.values())


def _with_etags(shape: Shape[Any], records: Iterable[Record]) -> list[Record]:
    return [one if one.etag else Record(one.row, etag_of(shape, one.row)) for one in records]


def _cut(records: list[Record], query: Query) -> list[Record]:
    return records[query.skip : None if query.most is None else query.skip + query.most]


def _texts(shape: Shape[Any], names: tuple[str, ...]) -> Callable[[dict[str, Any]], Iterable[str]]:
    looked = names or tuple(name for name in shape.plain if shape.properties[name].slot.edm == "Edm.String")
    return lambda row: [str(row[name]) for name in looked if row.get(name) is not None]
