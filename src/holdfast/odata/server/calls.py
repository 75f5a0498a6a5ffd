"""Actions and functions: the four of the choreography, and those that a handler or the service adds (O2, O3, O11)."""

from typing import Any

import msgspec

from holdfast.odata.errors import MethodNotAllowed, NoSuchResource, NotSupported, WrongValue
from holdfast.odata.query import Call, Key, Path, Root
from holdfast.odata.server import acts
from holdfast.odata.server.body import as_argument, is_ieee754, read_object, read_parameters
from holdfast.odata.server.entities import Found, check_match, etag_of, find, taken_of
from holdfast.odata.server.entity_set import EntitySet, call
from holdfast.odata.server.listing import Record
from holdfast.odata.server.operations import Operation
from holdfast.odata.server.request import Request
from holdfast.odata.server.service import Service
from holdfast.odata.server.shapes import Shape, Slot
from holdfast.odata.server.stay import Stay


class Result(msgspec.Struct, frozen=True):
    """What an operation has returned."""

    slot: Slot | None
    value: Any


async def run(service: Service, stay: Stay, path: Path, request: Request) -> Found | Result | None:
    """Call the operation at the end of a path."""
    first, last = path.segments[0], path.segments[-1]
    if not isinstance(last, Call):
        raise NoSuchResource("there is no operation")
    if isinstance(first, Call):
        if len(path.segments) > 1:
            raise NotSupported("nothing can be called on the result of an operation")
        return await _imported(service, stay, first, request)
    if not isinstance(first, Root) or len(path.segments) > 3:
        raise NotSupported("operations can be called on entity sets and their entities only")
    handler = service.sets[first.resource.name]
    key = path.segments[1] if len(path.segments) == 3 else None
    name = last.name.rpartition(".")[2]
    if not isinstance(key, Key):
        return await _on_set(stay, handler, name, last, request)
    values = tuple(key.values[each] for each in handler.shape.key)
    return await _on_entity(stay, handler, name, last, values, request)


def recorded(shape: Shape[Any], row: Any) -> Record:
    """Return an entity that a handler has returned, with its ETag."""
    return Record(row, etag_of(shape, row))


# -- inside


async def _imported(service: Service, stay: Stay, called: Call, request: Request) -> Result | None:
    if called.name in service.discards:
        _no_parameters(request, called.name)
        await acts.discard(stay)
        return None
    operation = service.imports[called.name]
    return Result(operation.returns, await call(operation.call, **_arguments(operation, called, request)))


async def _on_set(
    stay: Stay, handler: EntitySet[Any], name: str, called: Call, request: Request
) -> Found | Result | None:
    operation = handler.operations.get(name)
    if handler.sticky is not None and name == handler.sticky.new:
        _no_parameters(request, name)
        return await acts.new(stay, handler)
    if operation is None:
        raise NoSuchResource(f"{handler.name} has no operation {name}")
    arguments = _arguments(operation, called, request)
    if operation.new:
        return await acts.new(stay, handler, make=operation.call, arguments=arguments)
    async with stay.unit():
        if operation.action:
            await stay.join(handler)
        return Result(operation.returns, await handler.call(operation.call, **arguments))


async def _on_entity(
    stay: Stay, handler: EntitySet[Any], name: str, called: Call, key: tuple[Any, ...], request: Request
) -> Found | Result | None:
    if_match, sticky = request.headers.get("if-match"), handler.sticky
    if sticky is not None and name in (sticky.edit, sticky.save):
        _no_parameters(request, name)
        act = acts.edit if name == sticky.edit else acts.save
        return await act(stay, handler, key, if_match)
    operation = handler.operations.get(name)
    if operation is None:
        raise NoSuchResource(f"{handler.name} has no operation {name}")
    arguments = _arguments(operation, called, request)
    async with stay.unit():
        found = await find(stay, handler, key)
        if operation.action:
            check_match(found, if_match)
            await stay.join(handler)
        value = await handler.call(operation.call, found.row, **arguments)
        if operation.action and found.taken is not None and type(value) is handler.shape.cls:
            return _kept(stay, found, value)
        return Result(operation.returns, value)


def _kept(stay: Stay, found: Found, row: Any) -> Found:
    """Let an entity of the session be what an action has returned of it."""
    if found.taken is None:
        raise MethodNotAllowed(f"{found.name} is not edited in this session")
    taken = taken_of(found.handler, row, found.etag, new=found.taken.new)
    stay.buffer.put(found.name, taken)
    return Found(found.handler, row, found.etag, found.name, taken)


def _arguments(operation: Operation, called: Call, request: Request) -> dict[str, Any]:
    """Return the arguments: of an action from the body, of a function from the path."""
    if operation.action:
        given = read_object(request.body, request.content_type)
        return read_parameters(operation, given, ieee754=is_ieee754(request.content_type))
    return {name: as_argument(operation.parameters[name].slot, value) for name, value in called.arguments.items()}


def _no_parameters(request: Request, name: str) -> None:
    given = read_object(request.body, request.content_type)
    unknown = next((each for each in given if "@" not in each), None)
    if unknown is not None:
        raise WrongValue(f"{name} has no parameter {unknown[:60]!r}", target=unknown[:60])
