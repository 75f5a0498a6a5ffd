"""A service: its entity sets and its operations, and the model that `$metadata` shows of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from holdfast.errors import ConfigurationError
from holdfast.odata.csdl import Model
from holdfast.odata.server.entity_set import EntitySet
from holdfast.odata.server.metadata import Described, describe
from holdfast.odata.server.operations import Operation, operation
from holdfast.odata.server.shapes import Shape, shapes_in


class Service:
    """An OData V4 service.

    Args:
        namespace: Of its types and operations, such as `Demo`; with it sessions of several services are told apart.
        sets: Its entity sets.
        operations: Functions that are marked with `action` or `function`, callable at its root.

    Raises:
        ConfigurationError: Two things have one name, or something cannot be shown in OData.
    """

    def __init__(self, namespace: str, *sets: EntitySet[Any], operations: Sequence[Callable[..., Any]] = ()) -> None:
        self.name = namespace
        self.sets = {one.name: one for one in sets}
        self.imports: dict[str, Operation] = {one.name: one for one in map(operation, operations)}
        if len(self.sets) != len(sets) or len(self.imports) != len(operations):
            raise ConfigurationError(f"two entity sets or two operations of {namespace} have the same name")
        discards = {one.sticky.discard for one in sets if one.sticky}
        taken = (discards & self.imports.keys()) | (self.sets.keys() & (discards | self.imports.keys()))
        if taken:
            raise ConfigurationError(f"{sorted(taken)[0]} is the name of two things of {namespace}")
        self.discards = frozenset(discards)
        self.actions = frozenset(self._actions())
        self.shapes: dict[str, Shape[Any]] = {}
        for one in sets:
            shapes_in(one.shape, self.shapes)
        for slot in self._slots():
            if slot.shape is not None:
                shapes_in(slot.shape, self.shapes)

    @cached_property
    def described(self) -> Described:
        """The model, and the documents that are made of it."""
        return describe(self.name, self.sets, self.imports, self.shapes)

    @property
    def model(self) -> Model:
        """What `$metadata` shows."""
        return self.described.model

    def set_of(self, shape: Shape[Any]) -> EntitySet[Any] | None:
        """Return the entity set whose entities have this type; None if there are none, or several."""
        found = [one for one in self.sets.values() if one.shape is shape]
        return found[0] if len(found) == 1 else None

    def _actions(self) -> Iterator[str]:
        """Yield what actions are called in paths: bound ones with the namespace, others by their import."""
        yield from self.discards
        yield from (one.name for one in self.imports.values() if one.action)
        for each in self.sets.values():
            yield from (f"{self.name}.{one.name}" for one in each.operations.values() if one.action)
            if each.sticky is not None:
                yield from (f"{self.name}.{name}" for name in (each.sticky.new, each.sticky.edit, each.sticky.save))

    def _slots(self) -> Iterator[Any]:
        bound = [operation for one in self.sets.values() for operation in one.operations.values()]
        for one in [*bound, *self.imports.values()]:
            yield from (parameter.slot for parameter in one.parameters.values())
            if one.returns is not None:
                yield one.returns
