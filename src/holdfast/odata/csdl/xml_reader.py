"""CSDL XML in. Of what the standard does not know, foreign elements and attributes are passed over.

Neither DTD nor entities are read, nothing is fetched, and size and depth are bounded. Where XML and JSON have other
defaults, the values have JSON's: a `Scale` that is not there is 0, a `Nullable` that is not there is true.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from lxml import etree

from holdfast._xml import closed_parser
from holdfast.odata.csdl import elements as e
from holdfast.odata.csdl.expressions import EDM, Expressions, Node, number
from holdfast.odata.csdl.facets import NAMES
from holdfast.odata.csdl.model import Model
from holdfast.odata.csdl.names import Names
from holdfast.odata.csdl.refusals import BadMetadata, MetadataTooLarge

EDMX: Final = "{http://docs.oasis-open.org/odata/ns/edmx}"
MOST_BYTES: Final = 32 * 1024 * 1024
MOST_ELEMENTS: Final = 500_000
MOST_DEPTH: Final = 64
_TOO_DEEP: Final = etree.XPath(f"boolean({'*/' * MOST_DEPTH}*)")
_PROPERTY: Final = f"{EDM}Property"
T = TypeVar("T", bound=e.Element)


def read_xml(data: bytes, *, limit: int = MOST_BYTES) -> Model:
    """Return the model of a `$metadata` document.

    Raises:
        BadMetadata: It is no CSDL XML of OData 4, has a DTD, or says one thing twice.
        MetadataTooLarge: It has more bytes than `limit`, more than 500,000 elements, or is nested more than 64 deep.
    """
    root = _parsed(data, limit)
    version = root.get("Version", "")
    if not version.startswith("4."):
        raise BadMetadata(f"the document is of OData {version or 'without version'}, not 4", target="Edmx")
    references = [child for child in root if child.tag == f"{EDMX}Reference"]
    schemas = list(root.iterfind(f"{EDMX}DataServices/{EDM}Schema"))
    declared = [*(i for r in references for i in r if i.tag == f"{EDMX}Include"), *schemas]
    names = Names((each.get("Namespace", ""), each.get("Alias", "")) for each in declared)
    return _Reader(names).model(version, references, schemas)


def _parsed(data: bytes, limit: int) -> Node:
    if len(data) > limit:
        raise MetadataTooLarge(f"the document has {len(data)} bytes; the limit is {limit}")
    if data.count(b"<") > 2 * MOST_ELEMENTS:  # which no such number of elements can have
        raise MetadataTooLarge(f"the document has more than {MOST_ELEMENTS} elements")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadMetadata("the document has a DTD")
    try:
        root = etree.fromstring(data, closed_parser(encoding="utf-8", comments=False, instructions=False))
    except (etree.XMLSyntaxError, ValueError):
        raise BadMetadata("the document is not well-formed XML in UTF-8") from None
    if root.tag != f"{EDMX}Edmx":
        raise BadMetadata("the document's root is not the Edmx of OData 4", target=etree.QName(root).localname)
    if _TOO_DEEP(root):
        raise MetadataTooLarge(f"the document is nested more than {MOST_DEPTH} deep")
    return root


def make(kind: type[T], facets: Mapping[str, Any]) -> T:
    """Return an element from its facets by their names in CSDL JSON, whose texts become numbers where they must."""
    try:
        return msgspec.convert(facets, kind, strict=False)
    except msgspec.ValidationError as error:
        name = str(facets.get("$Name", ""))
        raise BadMetadata(f"{kind.__name__} {name!r}: {error}".replace("$.$", ""), target=name) from None


def unique(found: Iterable[T], where: str) -> dict[str, T]:
    """Return elements by name; raise BadMetadata if two have one."""
    named: dict[str, T] = {}
    for each in found:
        if each.name in named:
            raise BadMetadata(f"{where} has {each.name} twice", target=f"{where}/{each.name}")
        named[each.name] = each
    return named


def default_value(text: str, kind: str) -> Any:
    """Return a default value as CSDL JSON has it."""
    if text in {"null", "true", "false"}:
        return {"null": None, "true": True, "false": False}[text]
    return text if kind == "Edm.String" else number(text)


def _children(element: Node, *kinds: str) -> list[Node]:
    if not len(element):
        return []
    tags = {EDM + kind for kind in kinds}
    return [child for child in element if child.tag in tags]


class _Reader:
    """Reads the elements of a document whose aliases are known."""

    def __init__(self, names: Names) -> None:
        self._full = names.full
        self._expressions = Expressions(names)
        self._annotations = self._expressions.annotations

    def model(self, version: str, references: list[Node], schemas: list[Node]) -> Model:
        read: dict[str, e.Schema] = {}
        for element in schemas:
            schema = self._schema(element)
            if schema.namespace in read:
                raise BadMetadata(f"two schemas are {schema.namespace}", target=schema.namespace)
            read[schema.namespace] = schema
        return Model(
            schemas=read,
            references=self._references(references),
            container_name=container_name(read.values()),
            version=version,
        )

    def _references(self, elements: list[Node]) -> tuple[e.Reference, ...]:
        """Return the references by URI, as CSDL JSON has them: those to one document become one."""
        found: dict[str, e.Reference] = {}
        for element in elements:
            uri = element.get("Uri", "")
            known = found.get(uri, e.Reference(uri=uri))
            found[uri] = e.Reference(
                uri=uri,
                includes=(*known.includes, *self._includes(element)),
                include_annotations=(*known.include_annotations, *_include_annotations(element)),
                annotations=known.annotations | self._annotations(element),
            )
        return tuple(found.values())

    def _includes(self, element: Node) -> Iterable[e.Include]:
        for child in element.iterchildren(f"{EDMX}Include"):
            yield e.Include(child.get("Namespace", ""), child.get("Alias", ""), self._annotations(child))

    def _schema(self, element: Node) -> e.Schema:
        namespace = element.get("Namespace", "")
        if not namespace:
            raise BadMetadata("a schema has no namespace", target="Schema")
        operations: dict[str, tuple[e.Action | e.Function, ...]] = {}
        for child in _children(element, "Action", "Function"):
            operation = self._operation(child)
            operations[operation.name] = (*operations.get(operation.name, ()), operation)
        containers = _children(element, "EntityContainer")
        if len(containers) > 1:
            raise BadMetadata(f"{namespace} has more than one container", target=namespace)
        return e.Schema(
            namespace=namespace,
            alias=element.get("Alias", ""),
            types=unique(self._types(element), namespace),
            operations=operations,
            terms=unique((self._term(child) for child in _children(element, "Term")), namespace),
            container=self._container(containers[0], namespace) if containers else None,
            targets=self._targets(element),
            annotations=self._annotations(element),
        )

    def _targets(self, element: Node) -> dict[str, e.Annotations]:
        targets: dict[str, e.Annotations] = {}
        for child in _children(element, "Annotations"):
            target = self._full(child.get("Target", ""))
            targets.setdefault(target, {}).update(self._annotations(child, child.get("Qualifier", "")))
        return targets

    def _types(self, element: Node) -> Iterable[e.Type]:
        for child in element:
            match str(child.tag).removeprefix(EDM):
                case "EntityType":
                    yield make(e.EntityType, self._structured(child) | {"key": _key(child)})
                case "ComplexType":
                    yield make(e.ComplexType, self._structured(child))
                case "EnumType":
                    yield make(e.EnumType, self._facets(child) | {"members": self._members(child)})
                case "TypeDefinition":
                    yield make(e.TypeDefinition, self._facets(child))

    def _facets(self, element: Node) -> dict[str, Any]:
        """Return the attributes by their names in CSDL JSON, with JSON's meaning of what is not there."""
        found: dict[str, Any] = {}
        for name, text in element.items():
            member = f"${name}"
            found[member] = self._full(text) if member in NAMES else text
        kind = found.get("$Type") or found.get("$UnderlyingType")
        if found.get("$MaxLength") == "max":
            del found["$MaxLength"]
        if "$SRID" in found:
            found["$SRID"] = number(found["$SRID"])
        if kind == "Edm.Decimal" and found.setdefault("$Scale", 0) == "variable":
            del found["$Scale"]
        elif kind == "Edm.DateTimeOffset":
            found.setdefault("$Precision", 0)
        if len(element):
            found["annotations"] = self._annotations(element)
        return found

    def _typed(self, element: Node) -> dict[str, Any]:
        found = self._facets(element)
        kind = found.get("$Type", "Edm.String")
        if kind.startswith("Collection("):
            found["$Type"] = kind = kind[len("Collection(") : -1]
            found["$Collection"] = True
        elif "$Nullable" not in found:
            found["$Nullable"] = True
        if "$DefaultValue" in found:
            found["$DefaultValue"] = default_value(found["$DefaultValue"], kind)
        return found

    def _structured(self, element: Node) -> dict[str, Any]:
        found = self._facets(element)
        name, members = found.get("$Name", ""), _children(element, "Property", "NavigationProperty")
        properties = (make(e.Property, self._typed(child)) for child in members if child.tag == _PROPERTY)
        navigation = (self._navigation(child) for child in members if child.tag != _PROPERTY)
        return found | {"properties": unique(properties, name), "navigation": unique(navigation, name)}

    def _navigation(self, element: Node) -> e.NavigationProperty:
        found = self._typed(element)
        if found.get("$Collection"):
            found["$Nullable"] = False
        for child in _children(element, "OnDelete"):
            found["on_delete"] = e.OnDelete(child.get("Action", ""), self._annotations(child))
        found["constraints"] = {
            child.get("Property", ""): e.Constraint(child.get("ReferencedProperty", ""), self._annotations(child))
            for child in _children(element, "ReferentialConstraint")
        }
        return make(e.NavigationProperty, found)

    def _members(self, element: Node) -> dict[str, e.Member]:
        counted = enumerate(_children(element, "Member"))
        members = (make(e.Member, {"$Value": count} | self._facets(child)) for count, child in counted)
        return unique(members, element.get("Name", ""))

    def _term(self, element: Node) -> e.Term:
        found = self._typed(element)
        found["$AppliesTo"] = found.get("$AppliesTo", "").split()
        return make(e.Term, found)

    def _operation(self, element: Node) -> e.Action | e.Function:
        found = self._facets(element)
        found["parameters"] = [make(e.Parameter, self._typed(child)) for child in _children(element, "Parameter")]
        for child in _children(element, "ReturnType"):
            found["returns"] = make(e.ReturnType, self._typed(child))
        return make(e.Action, found) if element.tag == f"{EDM}Action" else make(e.Function, found)

    def _container(self, element: Node, namespace: str) -> e.EntityContainer:
        found = self._facets(element)
        own = f"{namespace}.{element.get('Name', '')}/"
        for member, kind, tag in (
            ("entity_sets", e.EntitySet, "EntitySet"),
            ("singletons", e.Singleton, "Singleton"),
            ("action_imports", e.ActionImport, "ActionImport"),
            ("function_imports", e.FunctionImport, "FunctionImport"),
        ):
            members = (make(kind, self._resource(child, own)) for child in _children(element, tag))
            found[member] = unique(members, found.get("$Name", ""))
        return make(e.EntityContainer, found)

    def _resource(self, element: Node, own: str) -> dict[str, Any]:
        """Return what a member of the container says; the container's own name before a target is left out."""
        found = self._facets(element)
        if kind := found.get("$EntityType"):
            found["$Type"] = self._full(kind)
        if "$EntitySet" in found:
            found["$EntitySet"] = found["$EntitySet"].removeprefix(own)
        found["bindings"] = {
            self._full(child.get("Path", "")): self._full(child.get("Target", "")).removeprefix(own)
            for child in _children(element, "NavigationPropertyBinding")
        }
        return found


def _include_annotations(element: Node) -> Iterable[e.IncludeAnnotations]:
    for child in element.iterchildren(f"{EDMX}IncludeAnnotations"):
        yield e.IncludeAnnotations(
            term_namespace=child.get("TermNamespace", ""),
            target_namespace=child.get("TargetNamespace", ""),
            qualifier=child.get("Qualifier", ""),
        )


def _key(element: Node) -> dict[str, str]:
    refs = [ref for key in _children(element, "Key") for ref in _children(key, "PropertyRef")]
    return {ref.get("Alias", ref.get("Name", "")): ref.get("Name", "") for ref in refs}


def container_name(schemas: Iterable[e.Schema]) -> str:
    """Return the qualified name of the service's container: the last that no other extends, "" if there is none."""
    held = [(f"{schema.namespace}.{schema.container.name}", schema.container) for schema in schemas if schema.container]
    extended = {container.extends for _, container in held}
    return next((name for name, _ in reversed(held) if name not in extended), "")
