"""A whole document, and the questions one asks of it. Names that go in and come out have their namespace in full."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Protocol, TypeVar

from msgspec import Struct, field, structs

from holdfast.odata.csdl.elements import (
    Action,
    Annotations,
    EntityContainer,
    EntityType,
    Function,
    NavigationProperty,
    Property,
    Reference,
    Schema,
    StructuredType,
    Type,
)
from holdfast.odata.csdl.names import Names, namespace, simple


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def by_name(*elements: T) -> dict[str, T]:
    """Return elements as the dict by name that the values of `elements.py` want."""
    return {element.name: element for element in elements}


class Model(Struct, frozen=True, kw_only=True, dict=True):
    """The metadata document of a service; `container_name` is qualified, "" if the document has no container.

    What is found out once is kept: no part of a model may be changed after it was asked.
    """

    schemas: dict[str, Schema] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    container_name: str = ""
    version: str = "4.0"

    def names(self) -> Names:
        """Return what resolves the aliases of this document."""
        includes = [(each.namespace, each.alias) for reference in self.references for each in reference.includes]
        return Names([*includes, *((schema.namespace, schema.alias) for schema in self.schemas.values())])

    def type(self, name: str) -> Type | None:
        """Return a type that is defined in this document."""
        schema = self.schemas.get(namespace(name))
        return schema.types.get(simple(name)) if schema else None

    def structured(self, name: str) -> StructuredType | None:
        """Return an entity type or complex type."""
        found = self.type(name)
        return found if isinstance(found, StructuredType) else None

    def entity_type(self, name: str) -> EntityType | None:
        """Return an entity type."""
        found = self.type(name)
        return found if isinstance(found, EntityType) else None

    def line(self, name: str) -> Iterator[tuple[str, StructuredType]]:
        """Yield a structured type and its base types with their names, from itself up; ends where names repeat."""
        seen: set[str] = set()
        while name not in seen and (found := self.structured(name)) is not None:
            seen.add(name)
            yield name, found
            name = found.base_type

    def is_a(self, name: str, base: str) -> bool:
        """Say whether a type is another one or derived from it."""
        return name == base or any(each == base for each, _ in self.line(name))

    def properties(self, name: str) -> dict[str, Property]:
        """Return a type's structural properties by name, those of its base types first."""
        line = [found for _, found in self.line(name)]
        return {key: each for found in reversed(line) for key, each in found.properties.items()}

    def navigation(self, name: str) -> dict[str, NavigationProperty]:
        """Return a type's navigation properties by name, those of its base types first."""
        line = [found for _, found in self.line(name)]
        return {key: each for found in reversed(line) for key, each in found.navigation.items()}

    def key(self, name: str) -> dict[str, str]:
        """Return an entity type's key, which a base type may have: alias to path of each key property, in order."""
        keys = (found.key for _, found in self.line(name) if isinstance(found, EntityType) and found.key)
        return next(keys, {})

    def operations(self, name: str) -> tuple[Action | Function, ...]:
        """Return all overloads of an action or function."""
        schema = self.schemas.get(namespace(name))
        return schema.operations.get(simple(name), ()) if schema else ()

    def bound(self, name: str, to: str, *, collection: bool = False) -> tuple[Action | Function, ...]:
        """Return the overloads of an operation that can be called on a type, or on a collection of it.

        Those bound to the type itself come before those of its base types. Of an action there is one at most.
        """
        line = [each for each, _ in self.line(to)] or [to]
        return tuple(found for each in line for found in self._overloads.get((name, each, collection), ()))

    @cached_property
    def _overloads(self) -> dict[tuple[str, str, bool], list[Action | Function]]:
        """The bound operations by qualified name, type of their binding parameter, and whether it is a collection."""
        found: dict[tuple[str, str, bool], list[Action | Function]] = {}
        for schema in self.schemas.values():
            for name, overloads in schema.operations.items():
                for each in overloads:
                    if binding := each.binding:
                        key = (f"{schema.namespace}.{name}", binding.type, binding.collection)
                        found.setdefault(key, []).append(each)
        return found

    def bound_names(self, to: str, *, collection: bool = False) -> list[str]:
        """Return the qualified names of all operations that can be called on a type, or on a collection of it."""
        every = (f"{schema.namespace}.{name}" for schema in self.schemas.values() for name in schema.operations)
        return [name for name in every if self.bound(name, to, collection=collection)]

    @cached_property
    def container(self) -> EntityContainer | None:
        """The service's container with all that it extends in this document; None if there is none."""
        line = [found for _, found in self._containers()]
        return _merged(line) if line else None

    def _containers(self) -> Iterator[tuple[str, EntityContainer]]:
        """Yield the container and those that it extends with their names; ends where names repeat."""
        name = self.container_name
        seen: set[str] = set()
        while name not in seen and (schema := self.schemas.get(namespace(name))) is not None:
            found = schema.container
            if found is None or found.name != simple(name):
                return
            seen.add(name)
            yield name, found
            name = found.extends

    def annotations(self, target: str, inline: Annotations | None = None) -> Annotations:
        """Return all annotations of a target: the inline ones, which the caller has, and over them the external ones.

        `target` is such as `Demo.Order/Note` or `Demo.Container/Orders`.
        """
        found = dict(inline or {})
        for schema in self.schemas.values():
            found.update(schema.targets.get(target, {}))
        return found

    def set_annotations(self, entity_set: str) -> Annotations:
        """Return all annotations of an entity set of the container; what is said nearer to the container counts."""
        found: Annotations = {}
        for name, container in reversed(list(self._containers())):
            inline = container.entity_sets.get(entity_set)
            found |= self.annotations(f"{name}/{entity_set}", inline.annotations if inline else {})
        return found


def _merged(line: Iterable[EntityContainer]) -> EntityContainer:
    """Return the first container of a line with the members of those that it extends."""
    first, *others = line
    for other in others:
        first = structs.replace(
            first,
            entity_sets=other.entity_sets | first.entity_sets,
            singletons=other.singletons | first.singletons,
            action_imports=other.action_imports | first.action_imports,
            function_imports=other.function_imports | first.function_imports,
        )
    return first
