"""The path of a request against the model: which set, key, property, operation it names.

A path is divided at its slashes before it is percent-decoded, so it is to be handed over raw. Not here, and said so:
type casts, `$filter` and `$each` in a path, `$query`, `$entity`, `$crossjoin` (501), keys as segments (404).
Source: OData Part 2 §4.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.odata.csdl import (
    Action,
    EntitySet,
    Function,
    Model,
    NavigationProperty,
    Operation,
    Property,
    Singleton,
)
from holdfast.odata.errors import NoSuchResource, NotSupported
from holdfast.odata.query.keys import arguments_of, key_of
from holdfast.odata.query.text import BadQuery, bracketed, decoded

LONGEST_PATH: Final = 40  # segments
_NOT_HERE: Final = frozenset(("$filter", "$each", "$query", "$entity", "$all", "$crossjoin", "$root"))
_NO_ALIASES: Final[Mapping[str, str]] = {}


class Root(msgspec.Struct, frozen=True, tag=True):
    """An entity set or a singleton: where most paths begin."""

    resource: EntitySet | Singleton


class Key(msgspec.Struct, frozen=True, tag=True):
    """One entity of the collection before it: key properties by name, as `edm` holds their values."""

    values: dict[str, Any]


class Member(msgspec.Struct, frozen=True, tag=True):
    """A structural property."""

    property: Property


class Navigation(msgspec.Struct, frozen=True, tag=True):
    """A navigation property."""

    property: NavigationProperty


class Call(msgspec.Struct, frozen=True, tag=True):
    """An action or function: bound to what is before it, or by its import, whose name it then has."""

    name: str
    operation: Action | Function
    arguments: dict[str, Any]
    imported: bool = False


class Special(msgspec.Struct, frozen=True, tag=True):
    """`$metadata`, `$batch`, `$count`, `$value`, `$ref`: always the last."""

    name: str


Segment = Root | Key | Member | Navigation | Call | Special


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """A path resolved. Without segments it is the service document.

    `type` is the qualified name of what it gives, "" for none; behind `$count`, `$value` and `$ref` that of what they
    are asked of, whose names query options may use. `entity_set` is the set that its entities are in, "" if none is
    known.
    """

    segments: tuple[Segment, ...] = ()
    type: str = ""
    collection: bool = False
    entity_set: str = ""
    within: str = ""  # the way from an entity of that set, for navigation bindings below complex properties

    @property
    def last(self) -> Segment | None:
        """The last segment."""
        return self.segments[-1] if self.segments else None


def parse_path(model: Model, path: str, aliases: Mapping[str, str] = _NO_ALIASES) -> Path:
    """Return a raw path, relative to the service root, resolved.

    Args:
        model: The service's model.
        path: Percent-encoded, such as `Orders('1')/Items`; a slash at its begin or end does not count.
        aliases: Parameter aliases of the query, `@name` to decoded text (`options.aliases_of`).
    Raises:
        NoSuchResource: a segment names nothing.
        BadQuery: a segment is malformed; a key or argument that is no value of its type: `EdmError`.
        NotSupported: OData has it, this has not; the message names it.
    """
    texts = [decoded(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    if len(texts) > LONGEST_PATH:
        raise BadQuery(f"the path has more than {LONGEST_PATH} segments")
    resolver = _Resolver(model, aliases)
    place = Path()
    for text in texts:
        place = resolver.step(place, text)
    return place


class _Resolver:
    def __init__(self, model: Model, aliases: Mapping[str, str]) -> None:
        self._model, self._aliases = model, aliases
        self._container = model.container

    def step(self, place: Path, text: str) -> Path:
        name, inside = bracketed(text)
        if isinstance(place.last, Special):
            raise NoSuchResource(f"nothing can follow {place.last.name}")
        is_stream = name == "$value" and self._model.entity_type(place.type) is not None and not place.collection
        if name in _NOT_HERE or is_stream:
            raise NotSupported(f"{name} there is not supported")
        if name.startswith("$"):
            return self._special(place, text)
        if not place.segments:
            return self._first(name, inside)
        if isinstance(place.last, Call):
            self._must_compose(place.last)
        if "." in name:
            return self._qualified(place, name, inside)
        return self._member(place, name, inside)

    def _special(self, place: Path, name: str) -> Path:
        if name in ("$metadata", "$batch") and not place.segments:
            return Path(segments=(Special(name),))
        fits = {
            "$count": place.collection,
            "$value": not place.collection and bool(place.type) and self._model.structured(place.type) is None,
            "$ref": self._model.entity_type(place.type) is not None,
        }
        if not place.segments or name not in fits:
            raise NoSuchResource(f"there is no {name} here")
        if not fits[name]:
            raise BadQuery(f"{name} cannot be asked of what is before it")
        return _extended(place, Special(name))

    def _first(self, name: str, inside: str | None) -> Path:
        container = self._container
        if container is None:
            raise NoSuchResource(f"the service has no {name}")
        found = container.entity_sets.get(name) or container.singletons.get(name)
        if found is not None:
            return self._keyed(_root(found), inside)
        if name in container.function_imports:
            function = container.function_imports[name]
            return self._call(Path(entity_set=function.entity_set), name, function.function, inside)
        if name in container.action_imports:
            action = container.action_imports[name]
            return self._call(Path(entity_set=action.entity_set), name, action.action, inside)
        raise NoSuchResource(f"the service has no {name}")

    def _keyed(self, place: Path, inside: str | None) -> Path:
        if inside is None:
            return place
        if not place.collection:
            raise BadQuery("a key stands behind what is no collection")
        values = key_of(self._model, place.type, inside, self._aliases)
        return _extended(place, Key(values), type=place.type)

    def _call(self, place: Path, name: str, operation: str, inside: str | None) -> Path:
        """Call an operation by its import."""
        overloads = tuple(one for one in self._model.operations(operation) if not one.is_bound)
        return self._called(place, name, overloads, inside, imported=True)

    def _called(
        self, place: Path, name: str, overloads: tuple[Action | Function, ...], inside: str | None, *, imported: bool
    ) -> Path:
        chosen, arguments = arguments_of(self._model, name, overloads, inside, self._aliases)
        call = Call(name, chosen, arguments, imported)
        entity_set = place.entity_set if imported else self._returned_set(place, chosen)
        returns = chosen.returns
        return _extended(
            place,
            call,
            type=returns.type if returns else "",
            collection=returns is not None and returns.collection,
            entity_set=entity_set,
        )

    def _returned_set(self, place: Path, operation: Operation) -> str:
        _, *way = operation.entity_set_path.split("/")
        found = place.entity_set if operation.entity_set_path else ""
        for name in way:
            found = self._bound_set(found, name)
        return found

    def _bound_set(self, entity_set: str, way: str) -> str:
        container = self._container
        if container is None:
            return ""
        resource = container.entity_sets.get(entity_set) or container.singletons.get(entity_set)
        return resource.bindings.get(way, "").rpartition("/")[2] if resource else ""

    def _must_compose(self, call: Call) -> None:
        if not isinstance(call.operation, Function):
            raise NoSuchResource(f"nothing can follow the action {call.name}")
        if not call.operation.is_composable:
            raise BadQuery(f"nothing can follow {call.name}, which is not composable")

    def _qualified(self, place: Path, name: str, inside: str | None) -> Path:
        full = self._model.names().full(name)
        overloads = self._model.bound(full, place.type, collection=place.collection)
        if overloads:
            return self._called(place, full, overloads, inside, imported=False)
        if self._model.type(full) is not None:
            raise NotSupported(f"the type cast {name} is not supported")
        raise NoSuchResource(f"there is no operation {name} here")

    def _member(self, place: Path, name: str, inside: str | None) -> Path:
        if place.collection or self._model.structured(place.type) is None:
            raise NoSuchResource(f"{name} names nothing here")
        way = f"{place.within}/{name}" if place.within else name
        if navigation := self._model.navigation(place.type).get(name):
            target = self._bound_set(place.entity_set, way)
            changes = {"type": navigation.type, "collection": navigation.collection, "entity_set": target}
            return self._keyed(_extended(place, Navigation(navigation), **changes), inside)
        found = self._model.properties(place.type).get(name)
        if found is None or inside is not None:
            raise NoSuchResource(f"{place.type} has no property {name}")
        changes = {"type": found.type, "collection": found.collection, "within": way}
        return _extended(place, Member(found), **{"entity_set": place.entity_set, **changes})


def _root(found: EntitySet | Singleton) -> Path:
    return Path(
        segments=(Root(found),), type=found.type, collection=isinstance(found, EntitySet), entity_set=found.name
    )


def _extended(place: Path, segment: Segment, **changes: Any) -> Path:
    """Return a path one segment longer; what is not changed is as for one thing, of the type there was."""
    defaults: dict[str, Any] = {"type": place.type, "collection": False, "entity_set": place.entity_set, "within": ""}
    return Path(segments=(*place.segments, segment), **(defaults | changes))
