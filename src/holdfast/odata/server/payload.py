"""Entities and values as JSON: what was selected and expanded, in the form that was asked for (JSON Format §4)."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from holdfast.odata import edm
from holdfast.odata.query import Expand, Options, Select
from holdfast.odata.server.entities import name_of
from holdfast.odata.server.entity_set import EntitySet, Query
from holdfast.odata.server.listing import Record, chosen
from holdfast.odata.server.request import Form
from holdfast.odata.server.service import Service
from holdfast.odata.server.shapes import Shape, Slot

Convert = Callable[[Any], Any]
AS_THEY_ARE: Final = frozenset(("Edm.String", "Edm.Boolean", "Edm.Int16", "Edm.Int32"))


class Writer:
    """Writes what is answered to one request. `root` is the path of the service root, with a slash at its end."""

    def __init__(self, service: Service, form: Form, root: str) -> None:
        self._service, self._form, self._root = service, form, root
        self._told = form.metadata != "none"

    def context(self, what: str, options: Options | None = None, *, entity: bool = False) -> dict[str, Any]:
        """Return the context of a payload: what it is, as an address within `$metadata`."""
        if not self._told:
            return {}
        shown = _shown(options) if options is not None else ""
        return {"@odata.context": f"{self._root}$metadata#{what}{shown}{'/$entity' if entity else ''}"}

    async def entity(
        self, shape: Shape[Any], record: Record, options: Options, handler: EntitySet[Any] | None = None
    ) -> dict[str, Any]:
        """Return an entity with what is selected and expanded of it."""
        found: dict[str, Any] = {}
        if self._told and record.etag:
            found["@odata.etag"] = record.etag
        if self._form.metadata == "full":
            found["@odata.type"] = f"#{self._service.name}.{shape.name}"
            if handler is not None:
                found["@odata.id"] = f"{self._root}{name_of(handler, shape.key_of(record.row))}"
        found |= self.plain(shape, record.row, options.select)
        for one in options.expand:
            for name in shape.navigation if one.path == ("*",) else one.path:
                await self._expand(found, shape, record, name, one, handler)
        return found

    def plain(self, shape: Shape[Any], row: Any, select: Iterable[Select] = ()) -> dict[str, Any]:
        """Return the structural properties that are selected."""
        columns = _columns(shape, self._form.ieee754)
        wanted = _wanted(select)
        if wanted is None:
            return {
                name: value if convert is None or value is None else convert(value)
                for name, attribute, convert in columns
                for value in (getattr(row, attribute),)
            }
        found = {}
        for name, attribute, convert in columns:
            if name in wanted:
                value, below = getattr(row, attribute), wanted[name]
                inner = shape.properties[name].slot
                if below and inner.shape is not None and not inner.collection and value is not None:
                    found[name] = self.plain(inner.shape, value, below)
                else:
                    found[name] = value if convert is None or value is None else convert(value)
        return found

    def value(self, slot: Slot, value: Any) -> Any:
        """Return any value but an entity as JSON has it."""
        convert = _converter(slot, self._form.ieee754)
        return value if convert is None or value is None else convert(value)

    async def entities(
        self, shape: Shape[Any], records: Iterable[Record], options: Options, handler: EntitySet[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return several entities."""
        return [await self.entity(shape, record, options, handler) for record in records]

    async def _expand(
        self,
        found: dict[str, Any],
        shape: Shape[Any],
        record: Record,
        name: str,
        wanted: Expand,
        handler: EntitySet[Any] | None,
    ) -> None:
        """Put what a navigation property leads to into the payload."""
        one = shape.properties[name]
        related = await related_of(handler, shape, record.row, name)
        inner = one.slot.shape
        if inner is None:
            return
        target = self._service.set_of(inner)
        if not one.slot.collection:
            found[name] = None if related is None else await self.entity(inner, Record(related), wanted.options, target)
            return
        rows = chosen(inner, [Record(each) for each in related or ()], Query(options=wanted.options))
        if wanted.options.count or wanted.what == "count":
            found[f"{name}@odata.count"] = len(rows)
        if wanted.what != "count":
            cut = rows[wanted.options.skip :][: wanted.options.top]
            found[name] = await self.entities(inner, cut, wanted.options, target)


async def related_of(handler: EntitySet[Any] | None, shape: Shape[Any], row: Any, name: str) -> Any:
    """Return what a navigation property of an entity leads to."""
    if handler is not None and handler.shape is shape:
        return await handler.call(handler.related, row, name)
    return getattr(row, shape.properties[name].attribute)


@cache
def _columns(shape: Shape[Any], ieee754: bool) -> tuple[tuple[str, str, Convert | None], ...]:
    """Return the structural properties of a shape: name, attribute, and how its values become JSON's."""
    return tuple(
        (name, shape.properties[name].attribute, _converter(shape.properties[name].slot, ieee754))
        for name in shape.plain
    )


def _converter(slot: Slot, ieee754: bool) -> Convert | None:
    """Return what makes a value one that msgspec writes as OData wants it; None if it does so anyway."""
    if slot.collection:
        inner = _converter(msgspec.structs.replace(slot, collection=False), ieee754)
        return None if inner is None else lambda values: [None if one is None else inner(one) for one in values]
    if slot.shape is not None:
        shape = slot.shape
        return lambda value: {
            name: each if convert is None or each is None else convert(each)
            for name, attribute, convert in _columns(shape, ieee754)
            for each in (getattr(value, attribute),)
        }
    if slot.enum is not None or slot.edm in AS_THEY_ARE:
        return None
    return lambda value: edm.to_json(slot.edm, value, ieee754=ieee754)


def _wanted(select: Iterable[Select]) -> Mapping[str, list[Select]] | None:
    """Return what is selected by the first name of its path, with the rest of it; None for everything."""
    wanted: dict[str, list[Select]] = {}
    for one in select:
        if one.path == ("*",):
            return None
        rest = wanted.setdefault(one.path[0], [])
        if len(one.path) > 1:
            rest.append(Select(one.path[1:]))
    return wanted or None


def _shown(options: Options) -> str:
    """Return what is selected and expanded, as the context has it (Part 1 §10.7)."""
    names = ["/".join(one.path) for one in options.select]
    names += [f"{'/'.join(one.path)}({_shown(one.options).strip('()')})" for one in options.expand]
    return f"({','.join(names)})" if names else ""
