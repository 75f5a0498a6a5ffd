"""What lies below an entity: its properties, and the entities that it contains or leads to; read and changed."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.odata import edm
from holdfast.odata.errors import BadRequest, Conflict, MethodNotAllowed, NoSuchResource, NotSupported
from holdfast.odata.query import Key, Member, Navigation, Options, Segment, Special
from holdfast.odata.server.body import read_entity, read_value
from holdfast.odata.server.entities import Found
from holdfast.odata.server.entity_set import Query
from holdfast.odata.server.listing import Record, chosen
from holdfast.odata.server.payload import related_of
from holdfast.odata.server.service import Service
from holdfast.odata.server.shapes import Shape, Slot


class There(msgspec.Struct, kw_only=True):
    """What a path below an entity leads to. `shape` is set for entities; `raw` is the text of `$value` and `$count`."""

    value: Any
    slot: Slot
    shape: Shape[Any] | None = None
    collection: bool = False
    way: str = ""
    raw: str = ""
    count: int = 0


class Change(msgspec.Struct, kw_only=True):
    """A change below an entity, as a change of the entity; `made` is the entity within it that was made or changed."""

    changes: dict[str, Any]
    made: Any = None
    shape: Shape[Any] | None = None
    way: str = ""
    status: int = 200


async def walked(service: Service, found: Found, segments: Sequence[Segment], options: Options) -> There:
    """Return what a path leads to; raise NoSuchResource if there is nothing."""
    handler, shape, value = found.handler, found.handler.shape, found.row
    there = There(value=value, slot=Slot(shape=shape), shape=shape)
    names: list[str] = []
    for segment in segments:
        if isinstance(segment, Member | Navigation):
            names.append(segment.property.name)
            there = await _step(service, there, segment.property.name, handler if len(names) == 1 else None)
        elif isinstance(segment, Key):
            there = _picked(there, segment)
        elif isinstance(segment, Special):
            there.raw = _text_of(there, segment.name, options)
    there.way = "/".join(names)
    if there.shape is not None and there.collection and not there.raw:
        rows = chosen(there.shape, [Record(one) for one in there.value], Query(options=options))
        there.count = len(rows)
        end = None if options.top is None else options.skip + options.top
        there.value = [one.row for one in rows[options.skip : end]]
    return there


def change(
    found: Found, segments: Sequence[Segment], method: str, given: Mapping[str, Any], *, ieee754: bool
) -> Change:
    """Return what a request that changes a property or a contained entity means for the entity.

    Raises:
        MethodNotAllowed, NotSupported: It can be changed in no such way.
        WrongValue: The value is none of the property's.
    """
    first, *rest = segments
    shape = found.handler.shape
    if isinstance(first, Member) and not rest:
        return _of_property(shape, first.property.name, method, given, ieee754=ieee754)
    if isinstance(first, Navigation) and (not rest or (len(rest) == 1 and isinstance(rest[0], Key))):
        name = first.property.name
        slot = shape.properties[name].slot
        if slot.shape is not None and slot.collection:
            key = rest[0].values if rest and isinstance(rest[0], Key) else None
            rows = shape.row(found.row)[name]
            return _of_contained(name, slot.shape, rows, key, method, read_entity(slot.shape, given, ieee754=ieee754))
    raise NotSupported("changes that deep below an entity are not supported", hint="Change the entity itself.")


# -- inside


async def _step(service: Service, there: There, name: str, handler: Any) -> There:
    shape = there.slot.shape
    if shape is None or there.value is None:
        raise NoSuchResource(f"there is no {name} here")
    one = shape.properties[name]
    if not one.slot.is_entity:
        return There(value=getattr(there.value, one.attribute), slot=one.slot, collection=one.slot.collection)
    holder = handler or service.set_of(shape)
    value = await related_of(holder, shape, there.value, name)
    return There(value=value, slot=one.slot, shape=one.slot.shape, collection=one.slot.collection)


def _picked(there: There, key: Key) -> There:
    shape = there.shape
    if shape is None:
        raise NoSuchResource("there is nothing with a key here")
    wanted = tuple(key.values[name] for name in shape.key)
    row = next((one for one in there.value if shape.key_of(one) == wanted), None)
    if row is None:
        raise NoSuchResource(f"there is no {shape.name} with this key")
    return There(value=row, slot=msgspec.structs.replace(there.slot, collection=False), shape=shape)


def _text_of(there: There, name: str, options: Options) -> str:
    if name == "$count":
        if there.shape is None:
            return str(len(there.value))
        return str(len(chosen(there.shape, [Record(one) for one in there.value], Query(options=options))))
    if there.value is None:
        raise NoSuchResource("the property is null, so it has no $value")
    return str(there.value.value) if there.slot.enum else edm.to_text(there.slot.edm, there.value)


def _of_property(shape: Shape[Any], name: str, method: str, given: Mapping[str, Any], *, ieee754: bool) -> Change:
    one = shape.properties[name]
    if method == "DELETE":
        return Change(changes={name: read_value(one.slot, None, ieee754=ieee754, path=name)})
    if method != "PUT":
        raise MethodNotAllowed(f"{method} is not for properties", hint="Use PUT, or PATCH of the entity.")
    if one.slot.shape is not None and not one.slot.collection:
        return Change(changes={name: read_value(one.slot, dict(given), ieee754=ieee754, path=name)})
    if "value" not in given:
        raise BadRequest("the body has no value", target="value")
    return Change(changes={name: read_value(one.slot, given["value"], ieee754=ieee754, path=name)})


def _of_contained(
    name: str,
    shape: Shape[Any],
    rows: list[dict[str, Any]],
    key: Mapping[str, Any] | None,
    method: str,
    given: dict[str, Any],
) -> Change:
    if key is None:
        if method != "POST":
            raise MethodNotAllowed(f"{method} is not for collections")
        made = shape.value(given)
        if any(shape.key_of(shape.value(row)) == shape.key_of(made) for row in rows):
            raise Conflict(f"{name} has an entity with this key already")
        return Change(changes={name: [*rows, shape.row(made)]}, made=made, shape=shape, way=name, status=201)
    at = next((number for number, row in enumerate(rows) if all(row[each] == key[each] for each in shape.key)), None)
    if at is None:
        raise NoSuchResource(f"{name} has no entity with this key")
    if method == "DELETE":
        return Change(changes={name: rows[:at] + rows[at + 1 :]})
    if method != "PATCH":
        raise MethodNotAllowed(f"{method} is not for entities within others", hint="Use PATCH.")
    made = shape.value({**rows[at], **given, **key})
    return Change(changes={name: [*rows[:at], shape.row(made), *rows[at + 1 :]]}, made=made, shape=shape, way=name)
