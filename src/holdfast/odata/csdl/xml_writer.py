"""CSDL XML out (CSDL XML 4.01), with the aliases that the document declares."""

from collections.abc import Iterable, Mapping
from typing import Any

from lxml import etree
from msgspec import UNSET

from holdfast.odata.csdl import elements as e
from holdfast.odata.csdl.expression_writer import ExpressionWriter
from holdfast.odata.csdl.expressions import EDM, Node
from holdfast.odata.csdl.facets import facets
from holdfast.odata.csdl.model import Model
from holdfast.odata.csdl.refusals import BadMetadata
from holdfast.odata.csdl.xml_reader import EDMX


def write_xml(model: Model) -> bytes:
    """Return the document as bytes, in UTF-8.

    XML cannot say of an Edm.DateTimeOffset that its `precision` is unknown (None): it will be read as 0.

    Raises:
        BadMetadata: A text has a character that XML has not, or an annotation's value makes no sense.
    """
    try:
        return etree.tostring(_Writer(model).document(), encoding="utf-8", xml_declaration=True)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadMetadata("the model has a text or a value of an annotation that cannot be written as XML") from None


def text_of(value: Any) -> str:
    """Return a facet's value as XML has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sub(parent: Node, tag: str, attributes: Mapping[str, Any]) -> Node:
    said = {name: text_of(value) for name, value in attributes.items() if value is not UNSET}
    return etree.SubElement(parent, EDM + tag, said)


class _Writer:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._names = model.names()
        self._short = self._names.short
        self._annotate = ExpressionWriter(self._names).annotate

    def document(self) -> Node:
        root = etree.Element(f"{EDMX}Edmx", {"Version": self._model.version}, nsmap={"edmx": EDMX[1:-1]})
        for reference in self._model.references:
            self._reference(root, reference)
        services = etree.SubElement(root, f"{EDMX}DataServices")
        for schema in self._model.schemas.values():
            self._schema(services, schema)
        return root

    def _reference(self, root: Node, reference: e.Reference) -> None:
        element = etree.SubElement(root, f"{EDMX}Reference", {"Uri": reference.uri})
        for include in reference.includes:
            alias = {"Alias": include.alias} if include.alias else {}
            said = {"Namespace": include.namespace} | alias
            self._annotate(etree.SubElement(element, f"{EDMX}Include", said), include.annotations)
        for each in reference.include_annotations:
            said = {name[1:]: text for name, text in facets(each, self._names).items()}
            etree.SubElement(element, f"{EDMX}IncludeAnnotations", said)
        self._annotate(element, reference.annotations)

    def _schema(self, services: Node, schema: e.Schema) -> None:
        said = {"Namespace": schema.namespace} | ({"Alias": schema.alias} if schema.alias else {})
        element = etree.SubElement(services, f"{EDM}Schema", said, nsmap={None: EDM[1:-1]})
        for kind in schema.types.values():
            self._type(element, kind)
        for overloads in schema.operations.values():
            for each in overloads:
                self._operation(element, each)
        for term in schema.terms.values():
            applies: dict[str, Any] = {"AppliesTo": " ".join(term.applies_to) or UNSET}
            self._annotate(_sub(element, "Term", self._typed(term) | applies), term.annotations)
        if schema.container:
            self._container(element, schema.container)
        for target, annotations in schema.targets.items():
            self._annotate(_sub(element, "Annotations", {"Target": self._short(target)}), annotations)
        self._annotate(element, schema.annotations)

    def _facets(self, element: e.Element) -> dict[str, Any]:
        """Return an element's facets by their names in XML, in XML's meaning of what is not there."""
        return {name[1:]: value for name, value in facets(element, self._names).items()}

    def _scaled(self, element: e.Typed | e.TypeDefinition, kind: str) -> dict[str, Any]:
        found = self._facets(element)
        if kind == "Edm.Decimal":
            found["Scale"] = "variable" if element.scale is None else element.scale or UNSET
        elif kind == "Edm.DateTimeOffset":
            found["Precision"] = element.precision or UNSET
        return found

    def _typed(self, each: e.Typed | e.NavigationProperty) -> dict[str, Any]:
        found = self._scaled(each, each.type) if isinstance(each, e.Typed) else self._facets(each)
        found.pop("Collection", None)
        name, kind = found.pop("Name", UNSET), self._short(each.type)
        typed = {"Name": name, "Type": f"Collection({kind})" if each.collection else kind}
        if not each.collection or isinstance(each, e.Typed):
            found["Nullable"] = UNSET if each.nullable and not each.collection else each.nullable
        return typed | {key: value for key, value in found.items() if key != "Type"}

    def _type(self, schema: Node, kind: e.Type) -> None:
        said = self._scaled(kind, kind.underlying_type) if isinstance(kind, e.TypeDefinition) else self._facets(kind)
        element = _sub(schema, type(kind).__name__, said)
        if isinstance(kind, e.EntityType) and kind.key:
            key = _sub(element, "Key", {})
            for alias, path in kind.key.items():
                _sub(key, "PropertyRef", {"Name": path, "Alias": UNSET if alias == path else alias})
        if isinstance(kind, e.StructuredType):
            for each in kind.properties.values():
                self._annotate(_sub(element, "Property", self._typed(each)), each.annotations)
            for one in kind.navigation.values():
                self._navigation(element, one)
        elif isinstance(kind, e.EnumType):
            for member in kind.members.values():
                self._annotate(_sub(element, "Member", self._facets(member)), member.annotations)
        self._annotate(element, kind.annotations)

    def _navigation(self, parent: Node, each: e.NavigationProperty) -> None:
        element = _sub(parent, "NavigationProperty", self._typed(each))
        for name, constraint in each.constraints.items():
            said = {"Property": name, "ReferencedProperty": constraint.referenced}
            self._annotate(_sub(element, "ReferentialConstraint", said), constraint.annotations)
        if each.on_delete:
            self._annotate(_sub(element, "OnDelete", {"Action": each.on_delete.action}), each.on_delete.annotations)
        self._annotate(element, each.annotations)

    def _operation(self, schema: Node, each: e.Operation) -> None:
        element = _sub(schema, type(each).__name__, self._facets(each))
        for parameter in each.parameters:
            self._annotate(_sub(element, "Parameter", self._typed(parameter)), parameter.annotations)
        if each.returns:
            self._annotate(_sub(element, "ReturnType", self._typed(each.returns)), each.returns.annotations)
        self._annotate(element, each.annotations)

    def _container(self, schema: Node, container: e.EntityContainer) -> None:
        element = _sub(schema, "EntityContainer", self._facets(container))
        for entity_set in container.entity_sets.values():
            said = self._facets(entity_set)
            said["EntityType"] = said.pop("Type")
            self._resource(_sub(element, "EntitySet", said), entity_set)
        for singleton in container.singletons.values():
            self._resource(_sub(element, "Singleton", self._facets(singleton)), singleton)
        imports: Iterable[e.Element] = (*container.action_imports.values(), *container.function_imports.values())
        for each in imports:
            self._annotate(_sub(element, type(each).__name__, self._facets(each)), each.annotations)
        self._annotate(element, container.annotations)

    def _resource(self, element: Node, each: e.Resource) -> None:
        for path, target in each.bindings.items():
            _sub(element, "NavigationPropertyBinding", {"Path": self._short(path), "Target": self._short(target)})
        self._annotate(element, each.annotations)
