"""CSDL JSON out (CSDL JSON 4.01), with the aliases that the document declares."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from holdfast.odata.csdl import elements as e
from holdfast.odata.csdl.expressions import PATHS
from holdfast.odata.csdl.facets import facets
from holdfast.odata.csdl.model import Model
from holdfast.odata.csdl.names import namespace

_VOCABULARY: Final = re.compile(r"(https://(?:oasis-tcs|sap)\.github\.io/odata-vocabularies/vocabularies/.*\.)xml")
_PATHS: Final = frozenset({"$Path", "$LabeledElementReference", "$Function", "$Type"})
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def write_json(model: Model) -> bytes:
    """Return the document as bytes."""
    return _ENCODER.encode(to_json(model))


def to_json(model: Model) -> dict[str, Any]:
    """Return the document as Python has JSON; numbers with a fraction are Decimal."""
    return _Writer(model).document()


class _Writer:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._names = model.names()
        self._short = self._names.short
        self._uris = {i.namespace: reference.uri for reference in model.references for i in reference.includes}
        self._type_key = "@odata.type" if model.version <= "4.0" else "@type"

    def document(self) -> dict[str, Any]:
        model = self._model
        found: dict[str, Any] = {"$Version": model.version}
        if model.references:
            found["$Reference"] = {_for_json(each.uri): self._reference(each) for each in model.references}
        if model.container_name:
            found["$EntityContainer"] = model.container_name
        return found | {name: self._schema(schema) for name, schema in model.schemas.items()}

    def _reference(self, reference: e.Reference) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if reference.includes:
            found["$Include"] = [
                {"$Namespace": each.namespace}
                | ({"$Alias": each.alias} if each.alias else {})
                | self._beside(each.annotations)
                for each in reference.includes
            ]
        if reference.include_annotations:
            found["$IncludeAnnotations"] = [facets(each, self._names) for each in reference.include_annotations]
        return found | self._beside(reference.annotations)

    def _schema(self, schema: e.Schema) -> dict[str, Any]:
        found: dict[str, Any] = {"$Alias": schema.alias} if schema.alias else {}
        found |= self._beside(schema.annotations)
        for kind in schema.types.values():
            found[kind.name] = {"$Kind": type(kind).__name__} | self._type(kind)
        for name, overloads in schema.operations.items():
            found[name] = [self._operation(each) for each in overloads]
        for term in schema.terms.values():
            found[term.name] = {"$Kind": "Term"} | self._element(term)
        if schema.container:
            found[schema.container.name] = self._container(schema.container)
        if schema.targets:
            targets = schema.targets.items()
            found["$Annotations"] = {self._short(target): self._beside(each) for target, each in targets}
        return found

    def _element(self, element: e.Element) -> dict[str, Any]:
        found = facets(element, self._names)
        found.pop("$Name", None)
        return found | self._beside(element.annotations)

    def _type(self, kind: e.Type) -> dict[str, Any]:
        found = self._element(kind)
        if isinstance(kind, e.EntityType) and kind.key:
            found["$Key"] = [path if alias == path else {alias: path} for alias, path in kind.key.items()]
        if isinstance(kind, e.StructuredType):
            found |= {name: self._element(each) for name, each in kind.properties.items()}
            found |= {name: self._navigation(each) for name, each in kind.navigation.items()}
        elif isinstance(kind, e.EnumType):
            for name, member in kind.members.items():
                found |= {name: member.value} | self._beside(member.annotations, name)
        return found

    def _navigation(self, each: e.NavigationProperty) -> dict[str, Any]:
        found = {"$Kind": "NavigationProperty"} | self._element(each)
        if each.constraints:
            constraints: dict[str, Any] = {}
            found["$ReferentialConstraint"] = constraints
            for name, constraint in each.constraints.items():
                constraints |= {name: constraint.referenced} | self._beside(constraint.annotations, name)
        if each.on_delete:
            found |= {"$OnDelete": each.on_delete.action} | self._beside(each.on_delete.annotations, "$OnDelete")
        return found

    def _operation(self, each: e.Operation) -> dict[str, Any]:
        found = {"$Kind": type(each).__name__} | self._element(each)
        if each.parameters:
            found["$Parameter"] = [{"$Name": one.name} | self._element(one) for one in each.parameters]
        return found | ({"$ReturnType": self._element(each.returns)} if each.returns else {})

    def _container(self, container: e.EntityContainer) -> dict[str, Any]:
        found = {"$Kind": "EntityContainer"} | self._element(container)
        for name, entity_set in container.entity_sets.items():
            found[name] = {"$Collection": True} | self._resource(entity_set)
        found |= {name: self._resource(each) for name, each in container.singletons.items()}
        imports: Iterable[e.Element] = (*container.action_imports.values(), *container.function_imports.values())
        return found | {each.name: self._element(each) for each in imports}

    def _resource(self, each: e.Resource) -> dict[str, Any]:
        bindings = {self._short(path): self._short(target) for path, target in each.bindings.items()}
        return self._element(each) | ({"$NavigationPropertyBinding": bindings} if bindings else {})

    def _beside(self, annotations: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Return annotations as members beside what they annotate."""
        return {f"{name}@{self._short(key)}": self._value(each) for key, each in annotations.items()}

    def _value(self, value: Any, *, held: bool = True) -> Any:
        """Return an annotation's value; `held`: its type is known, as it is directly below a term or property."""
        match value:
            case e.Constant(kind="EnumMember") if not held:
                return {"$Cast": str(value), "$Type": self._short(value.enum)}
            case e.Constant():
                return self._short(str(value)) if value.kind in PATHS else str(value)
            case list():
                return [self._value(each, held=False) for each in value]
            case dict():
                return dict(self._entry(key, each) for key, each in value.items())
        return value

    def _entry(self, key: str, value: Any) -> tuple[str, Any]:
        if key == "@type":
            return self._type_key, f"{self._uris.get(namespace(value), '')}#{self._short(value)}"
        if key in _PATHS:
            return key, self._short(value)
        return self._short(key), self._value(value, held=not key.startswith("$"))


def _for_json(uri: str) -> str:
    """Return where a vocabulary is published as JSON, if it is one of those that are as both."""
    return _VOCABULARY.sub(r"\1json", uri)
