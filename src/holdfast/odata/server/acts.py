"""The acts of the choreography, and the changes between them, on entities in a session or outside of one (O2 to O5)."""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.odata.choreography import Act, Outcome, check
from holdfast.odata.errors import Conflict, NoSuchResource, OutsideSession, PreconditionFailed, WrongValue
from holdfast.odata.server.entities import (
    NEW_ETAG,
    Found,
    changed,
    check_match,
    etag_of,
    find,
    name_in,
    name_of,
    stored,
    taken_of,
)
from holdfast.odata.server.entity_set import EntitySet
from holdfast.odata.server.stay import Stay

NO_CHANGES: Mapping[str, Any] = {}


async def new(
    stay: Stay,
    handler: EntitySet[Any],
    changes: Mapping[str, Any] = NO_CHANGES,
    *,
    make: Callable[..., Any] | None = None,
    arguments: Mapping[str, Any] = NO_CHANGES,
) -> Found:
    """Begin a new entity, which is stored nowhere yet; a session starts if there is none."""
    async with stay.unit():
        row = await handler.call(make or handler.new, **arguments)
        if changes:
            row = handler.shape.value({**handler.shape.row(row), **changes})
        name = name_of(handler, handler.shape.key_of(row))
        if name in stay.buffer:
            raise Conflict(f"{name} is in this session already", hint="Save or discard it first.")
        return await _taken(stay, Found(handler, row, NEW_ETAG, name), Act.NEW)


async def edit(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...], if_match: str | None) -> Found:
    """Take an entity into the session; one starts if there is none. What is taken already stays as it was changed."""
    async with stay.unit():
        found = await find(stay, handler, key)
        check_match(found, if_match)
        if found.taken is not None:
            stay.went(Act.EDIT, Outcome.OK, found.name)
            return found
        return await _taken(stay, found, Act.EDIT)


async def save(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...], if_match: str | None) -> Found:
    """Store an entity of the session. The session ends with the last one."""
    async with stay.unit():
        check(stay.place, Act.SAVE, name_in(stay, handler, key))
        found = await find(stay, handler, key)
        check_match(found, if_match)
        await stay.join(handler)
        row = await handler.call(handler.save, found.row, await _base(found, key))
        stay.buffer.drop(found.name)
        stay.went(Act.SAVE, Outcome.OK, found.name)
        return Found(handler, row, etag_of(handler.shape, row), name_of(handler, handler.shape.key_of(row)))


async def discard(stay: Stay) -> None:
    """End the session, whatever a handler says; raise what it says."""
    check(stay.place, Act.DISCARD)
    failure = await stay.discard()
    if failure is not None:
        raise failure


async def patch(
    stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...], changes: Mapping[str, Any], if_match: str | None
) -> Found:
    """Change an entity: one that the session has taken, in the session; any other, where it is stored (O5)."""
    async with stay.unit():
        found = await _to_change(stay, handler, key, if_match)
        row = changed(found, _without_key(found, changes))
        row = await handler.call(handler.patch, row, changes) or row
        if found.taken is None:
            await stay.join(handler)
            return _stored(handler, await handler.call(handler.save, row, found.row))
        taken = taken_of(handler, row, found.etag, new=found.taken.new)
        stay.buffer.put(found.name, taken)
        return Found(handler, row, found.etag, found.name, taken)


async def create(stay: Stay, handler: EntitySet[Any], changes: Mapping[str, Any]) -> Found:
    """Create an entity: in a session as one that has to be saved, outside in the store."""
    if stay.inside and handler.sticky is not None:
        return await new(stay, handler, changes)
    _check_outside(stay, handler)
    async with stay.unit():
        row = await handler.call(handler.new)
        row = handler.shape.value({**handler.shape.row(row), **changes})
        if await stored(handler, handler.shape.key_of(row)) is not None:
            raise Conflict(f"{name_of(handler, handler.shape.key_of(row))} exists already")
        await stay.join(handler)
        return _stored(handler, await handler.call(handler.save, row, None))


def whole(handler: EntitySet[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that PUT means: what is not given gets its default (Part 1 §11.4.3).

    Raises:
        WrongValue: Something has no default and is not given.
    """
    shape = handler.shape
    kept = {*shape.key, *shape.navigation, *(name for name, one in shape.properties.items() if one.computed)}
    missing = next((one for one in shape.properties.values() if one.required and one.name not in {*given, *kept}), None)
    if missing is not None:
        raise WrongValue(f"{missing.name} has no default: it is to be given", target=missing.name)
    return {name: one.default for name, one in shape.properties.items() if name not in kept} | dict(given)


async def delete(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...], if_match: str | None) -> None:
    """Remove an entity. What the session holds of it is let go; a new one was nowhere else."""
    async with stay.unit():
        found = await find(stay, handler, key)
        if found.taken is None or not found.taken.new:
            _check_outside(stay, handler)
        check_match(found, if_match)
        await stay.join(handler)
        if found.taken is None or not found.taken.new:
            await handler.call(handler.delete, found.row)
        if found.taken is not None:
            await handler.call(handler.discard, found.row)
            stay.buffer.drop(found.name)


# -- inside


async def _taken(stay: Stay, found: Found, act: Act) -> Found:
    """Put an entity into the session, which is stored before a handler takes anything for it."""
    handler, is_new = found.handler, act is Act.NEW
    stay.buffer.put(found.name, taken_of(handler, found.row, found.etag, new=is_new))
    stay.went(act, Outcome.OK, found.name)
    row = found.row
    if handler.holds and not is_new:
        await stay.secure()
        try:
            row = await handler.call(handler.edit, row) or row
        except BaseException:
            stay.buffer.drop(found.name)  # it has taken nothing
            raise
    etag = found.etag if is_new else etag_of(handler.shape, row)
    taken = taken_of(handler, row, etag, new=is_new)
    stay.buffer.put(found.name, taken)
    return Found(handler, row, etag, found.name, taken)


async def _to_change(stay: Stay, handler: EntitySet[Any], key: tuple[Any, ...], if_match: str | None) -> Found:
    found = await find(stay, handler, key)
    if found.taken is None:
        _check_outside(stay, handler, found.name)
    check_match(found, if_match)
    return found


async def _base(found: Found, key: tuple[Any, ...]) -> Any:
    """Return what is stored of an entity that is about to be saved; it must be what the session began with."""
    taken = found.taken
    if taken is None or taken.new:
        wanted = found.handler.shape.key_of(found.row)
        if await stored(found.handler, wanted) is not None:
            raise Conflict(f"{name_of(found.handler, wanted)} exists already")
        return None
    base = await stored(found.handler, key)
    if base is None:
        raise NoSuchResource(f"{found.name} has been deleted meanwhile")
    if etag_of(found.handler.shape, base) != taken.etag:
        raise PreconditionFailed(f"{found.name} was changed by somebody else since it was taken for editing")
    return base


def _check_outside(stay: Stay, handler: EntitySet[Any], name: str = "") -> None:
    """Let pass changes of what is stored, if the entity set allows them without a session."""
    if handler.sticky is None or handler.outside == "allow":
        return
    if stay.inside:
        raise OutsideSession(
            f"{name or handler.name} is not edited in this session", hint="Call its edit action first."
        )
    raise OutsideSession(f"{handler.name} changes inside of a sticky session only")


def _without_key(found: Found, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the changes without those of the key: only a new entity has none yet (Part 1 §11.4.3)."""
    if found.taken is not None and found.taken.new:
        return changes
    return {name: value for name, value in changes.items() if name not in found.handler.shape.key}


def _stored(handler: EntitySet[Any], row: Any) -> Found:
    return Found(handler, row, etag_of(handler.shape, row), name_of(handler, handler.shape.key_of(row)))
