"""Entities as a request sees them: what is stored, and over it what its session holds (O5); their names and ETags."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import msgspec

from holdfast.odata import edm
from holdfast.odata.errors import NoSuchResource, PreconditionFailed
from holdfast.odata.server.buffer import Taken
from holdfast.odata.server.entity_set import EntitySet
from holdfast.odata.server.shapes import Shape
from holdfast.odata.server.stay import Stay

NEW_ETAG: Final = 'W/"0"'
ETAG_BYTES: Final = 9
REMEMBERED: Final = 10_000  # names of entities
IN_ETAGS: Final = ":+/=@!*"  # what need not be encoded there: no comma, which divides them
IN_KEYS: Final = "'(),!*@:$"  # what need not be encoded in a key, besides letters, digits and -._~


class Found(msgspec.Struct, frozen=True):
    """An entity: `name` is its address, `taken` what its session holds of it, if it does."""

    handler: EntitySet[Any]
    row: Any
    etag: str
    name: str
    taken: Taken | None = None


@lru_cache(REMEMBERED)
def name_of(handler: EntitySet[Any], key: tuple[Any, ...]) -> str:
    """Return the address of an entity: `Orders('1')`, `Items(Order='1',Pos=10)`."""
    slots = [(name, handler.shape.properties[name].slot) for name in handler.shape.key]
    if len(slots) == 1:
        return f"{handler.name}({_literal(slots[0][1].edm, key[0])})"
    parts = [f"{name}={_literal(slot.edm, value)}" for (name, slot), value in zip(slots, key, strict=True)]
    return f"{handler.name}({','.join(parts)})"


def name_in(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...]) -> str:
    """Return the name of an entity in a session: its address, or that of a new entity whose key has become this one."""
    name = name_of(handler, key)
    if not stay.inside or name in stay.buffer:
        return name
    for other, taken in stay.buffer.of(handler.name).items():
        if taken.new and handler.shape.key_of(handler.shape.value(taken.row, stored=True)) == key:
            return other
    return name


def etag_of(shape: Shape[Any], row: Any) -> str:
    """Return the ETag of a stored entity: its version, else a hash of all that it says.

    One whose version is not known, as it may be in a list, has none: the empty text.
    """
    if shape.version:
        version = getattr(row, shape.properties[shape.version].attribute)
        if version is None:
            return ""
        return f'W/"{version if isinstance(version, int) else quote(str(version), safe=IN_ETAGS)}"'
    return f'W/"{hashlib.blake2b(msgspec.json.encode(row), digest_size=ETAG_BYTES).hexdigest()}"'


async def find(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...]) -> Found:
    """Return the entity with a key; raise NoSuchResource if there is none."""
    name = name_in(stay, handler, key)
    if stay.inside and name in stay.buffer:
        taken = stay.buffer[name]
        return Found(handler, handler.shape.value(taken.row, stored=True), taken.etag, name, taken)
    row = await stored(handler, key)
    if row is None:
        raise NoSuchResource(f"there is no {name}", hint="It may have been deleted, or saved under another key.")
    return Found(handler, row, etag_of(handler.shape, row), name)


async def stored(handler: EntitySet[Any], key: tuple[Any, ...]) -> Any:
    """Return what is stored under a key; None for nothing."""
    return await handler.call(handler.read, key[0] if len(key) == 1 else key)


def check_match(found: Found, if_match: str | None) -> None:
    """Let pass who has read the entity as it is; who says nothing is let pass (RFC 9110 §13.1.1).

    Raises:
        PreconditionFailed: The ETags differ.
    """
    if if_match is not None and not matches(if_match, found.etag):
        raise PreconditionFailed(f"{found.name} is not as it was read")


def matches(field: str, etag: str) -> bool:
    """Say whether an ETag is among those of `If-Match` or `If-None-Match`; weak ones are compared as such."""
    told = [one.strip().removeprefix("W/") for one in field.split(",")]
    return "*" in told or (etag != "" and etag.removeprefix("W/") in told)


def held_rows(stay: Stay, handler: EntitySet[Any]) -> dict[str, Found]:
    """Return what the session holds of an entity set, by name."""
    return {
        name: Found(handler, handler.shape.value(taken.row, stored=True), taken.etag, name, taken)
        for name, taken in stay.buffer.of(handler.name).items()
    }


def taken_of(handler: EntitySet[Any], row: Any, etag: str, *, new: bool = False) -> Taken:
    """Return an entity as a session holds it."""
    return Taken(set=handler.name, row=msgspec.to_builtins(row), etag=etag, new=new)


def changed(found: Found, changes: Mapping[str, Any]) -> Any:
    """Return the entity with other values, within structures too; raise WrongValue if it cannot have them."""
    shape = found.handler.shape
    return shape.value(_merged(shape, shape.row(found.row), changes))


# -- inside


def _merged(shape: Shape[Any], row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with changes; of a structure that is changed in part the rest stays (Part 1 §11.4.3)."""
    merged = {**row, **changes}
    for name, value in changes.items():
        inner = shape.properties[name].slot.shape
        if inner is not None and isinstance(value, Mapping) and isinstance(row.get(name), Mapping):
            merged[name] = _merged(inner, row[name], value)
    return merged


def _literal(type_name: str, value: Any) -> str:
    return quote(edm.to_url(type_name, value), safe=IN_KEYS) if type_name else quote(edm.quoted(value), safe=IN_KEYS)
