"""From entity sets and operations to the model of a service, and to the documents that a client asks for (O1, O11)."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from holdfast.odata import csdl, vocabulary
from holdfast.odata.server.operations import Operation
from holdfast.odata.server.shapes import Property, Shape, Slot, enums_in

if TYPE_CHECKING:
    from holdfast.odata.server.entity_set import EntitySet

CONTAINER: Final = "Container"
IT: Final = "it"  # the name of binding parameters
COMPUTED: Final = "Org.OData.Core.V1.Computed"
OPTIONAL: Final = "Org.OData.Core.V1.OptionalParameter"


class Described:
    """The model of a service as the documents that clients ask for; each is written once."""

    def __init__(self, model: csdl.Model) -> None:
        self.model = model

    @cached_property
    def xml(self) -> bytes:
        """`$metadata` as CSDL XML."""
        return csdl.write_xml(self.model)

    @cached_property
    def json(self) -> bytes:
        """`$metadata` as CSDL JSON."""
        return csdl.write_json(self.model)

    def service_document(self, root: str) -> dict[str, Any]:
        """Return the service document; `root` is put before `$metadata`."""
        container = self.model.container
        sets = container.entity_sets if container else {}
        imports = container.function_imports if container else {}
        shown = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
        functions = [
            {"name": name, "kind": "FunctionImport", "url": name}
            for name, one in imports.items()
            if one.include_in_service_document
        ]
        return {"@odata.context": f"{root}$metadata", "value": shown + functions}


def describe(
    namespace: str,
    sets: Mapping[str, "EntitySet[Any]"],
    imports: Mapping[str, Operation],
    shapes: Mapping[str, Shape[Any]],
) -> Described:
    """Return the model of a service.

    Raises:
        WrongReference: What the choreography's annotation says is not so (O20).
    """
    maker = _Maker(namespace, sets, shapes)
    operations: dict[str, list[csdl.Action | csdl.Function]] = {}
    for made in [*maker.bound(), *(maker.operation(one) for one in imports.values()), *maker.discards()]:
        operations.setdefault(made.name, []).append(made)
    schema = csdl.Schema(
        namespace=namespace,
        types=csdl.by_name(*maker.types()),
        operations={name: tuple(overloads) for name, overloads in operations.items()},
        container=maker.container(imports),
    )
    model = csdl.Model(schemas={namespace: schema}, container_name=f"{namespace}.{CONTAINER}")
    for name, one in sets.items():
        if one.sticky is not None:
            more = tuple(f"{namespace}.{each.name}" for each in one.operations.values() if each.new)
            model = vocabulary.annotate(
                model,
                name,
                new=f"{namespace}.{one.sticky.new}",
                edit=f"{namespace}.{one.sticky.edit}",
                save=f"{namespace}.{one.sticky.save}",
                discard=one.sticky.discard,
                additional_new=more,
            )
    return Described(model)


class _Maker:
    """Makes the parts of one model."""

    def __init__(self, namespace: str, sets: Mapping[str, "EntitySet[Any]"], shapes: Mapping[str, Shape[Any]]) -> None:
        self._namespace, self._sets, self._shapes = namespace, sets, shapes

    def types(self) -> Iterable[csdl.Type]:
        for shape in self._shapes.values():
            yield self._structure(shape)
        for enum in enums_in(self._shapes):
            members = [csdl.Member(name=str(each.value), value=number) for number, each in enumerate(enum)]
            yield csdl.EnumType(name=enum.__name__, members=csdl.by_name(*members))

    def container(self, imports: Mapping[str, Operation]) -> csdl.EntityContainer:
        actions = [csdl.ActionImport(name=one.name, action=one.action) for one in self._action_imports(imports)]
        functions = [
            csdl.FunctionImport(
                name=one.name,
                function=f"{self._namespace}.{one.name}",
                entity_set=self._set_of(one.returns),
                include_in_service_document=not one.parameters,
            )
            for one in imports.values()
            if not one.action
        ]
        return csdl.EntityContainer(
            name=CONTAINER,
            entity_sets=csdl.by_name(*map(self._entity_set, self._sets.values())),
            action_imports=csdl.by_name(*actions),
            function_imports=csdl.by_name(*functions),
        )

    def bound(self) -> Iterable[csdl.Action | csdl.Function]:
        for one in self._sets.values():
            if one.sticky is not None:
                yield self._choreography(one.sticky.new, one.shape, collection=True)
                yield self._choreography(one.sticky.edit, one.shape)
                yield self._choreography(one.sticky.save, one.shape)
            yield from (self.operation(each, one.shape) for each in one.operations.values())

    def discards(self) -> Iterable[csdl.Action]:
        names = {one.sticky.discard for one in self._sets.values() if one.sticky}
        return [csdl.Action(name=name) for name in sorted(names)]

    def operation(self, one: Operation, shape: Shape[Any] | None = None) -> csdl.Action | csdl.Function:
        """Return an operation that is bound to a type, or to nothing."""
        binding = [self._binding(shape, collection=one.binding == "collection")] if shape is not None else []
        given = [
            csdl.Parameter(name=name, annotations={OPTIONAL: {}} if each.optional else {}, **self._typed(each.slot))
            for name, each in one.parameters.items()
        ]
        returned = csdl.ReturnType(**self._typed(one.returns)) if one.returns is not None else None
        path = IT if shape is not None and one.returns is not None and one.returns.shape is shape else ""
        make = csdl.Action if one.action else csdl.Function
        return make(
            name=one.name,
            is_bound=shape is not None,
            entity_set_path=path,
            parameters=(*binding, *given),
            returns=returned,
        )

    def _action_imports(self, imports: Mapping[str, Operation]) -> Iterable[csdl.ActionImport]:
        for one in self.discards():
            yield csdl.ActionImport(name=one.name, action=f"{self._namespace}.{one.name}")
        for each in imports.values():
            if each.action:
                yield csdl.ActionImport(
                    name=each.name, action=f"{self._namespace}.{each.name}", entity_set=self._set_of(each.returns)
                )

    def _choreography(self, name: str, shape: Shape[Any], *, collection: bool = False) -> csdl.Action:
        return csdl.Action(
            name=name,
            is_bound=True,
            entity_set_path=IT,
            parameters=(self._binding(shape, collection=collection),),
            returns=csdl.ReturnType(type=self._named(shape)),
        )

    def _binding(self, shape: Shape[Any], *, collection: bool) -> csdl.Parameter:
        return csdl.Parameter(name=IT, type=self._named(shape), collection=collection)

    def _structure(self, shape: Shape[Any]) -> csdl.EntityType | csdl.ComplexType:
        properties = [self._property(shape.properties[name]) for name in shape.plain]
        navigation = [
            csdl.NavigationProperty(
                name=name,
                type=self._type(shape.properties[name].slot),
                collection=shape.properties[name].slot.collection,
                nullable=shape.properties[name].slot.nullable,
                contains_target=not self._set_of(shape.properties[name].slot),
            )
            for name in shape.navigation
        ]
        parts = {"properties": csdl.by_name(*properties), "navigation": csdl.by_name(*navigation)}
        if shape.key:
            return csdl.EntityType(name=shape.name, key={name: name for name in shape.key}, **parts)  # type: ignore[arg-type]
        return csdl.ComplexType(name=shape.name, **parts)  # type: ignore[arg-type]

    def _property(self, one: Property) -> csdl.Property:
        return csdl.Property(
            name=one.name, annotations={COMPUTED: True} if one.computed else {}, **self._typed(one.slot)
        )

    def _entity_set(self, one: "EntitySet[Any]") -> csdl.EntitySet:
        led = {name: self._set_of(one.shape.properties[name].slot) for name in one.shape.navigation}
        return csdl.EntitySet(
            name=one.name, type=self._named(one.shape), bindings={name: to for name, to in led.items() if to}
        )

    def _set_of(self, slot: Slot | None) -> str:
        shape = slot.shape if slot is not None else None
        found = [one.name for one in self._sets.values() if one.shape is shape]
        return found[0] if len(found) == 1 else ""

    def _typed(self, slot: Slot) -> dict[str, Any]:
        return {
            "type": self._type(slot),
            "collection": slot.collection,
            "nullable": slot.nullable,
            "max_length": slot.max_length,
            "precision": slot.precision,
            "scale": slot.scale,
        }

    def _type(self, slot: Slot) -> str:
        if slot.shape is not None:
            return self._named(slot.shape)
        return slot.edm or f"{self._namespace}.{slot.enum.__name__ if slot.enum else ''}"

    def _named(self, shape: Shape[Any]) -> str:
        return f"{self._namespace}.{shape.name}"
