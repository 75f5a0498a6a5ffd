"""CSDL JSON in (CSDL JSON 4.01). Size and depth are bounded.

Of an annotation's text JSON does not say whether it is a path, a date or a member of an enumeration: the type of its
term does. Such texts stay as they are, aliases in them included (`Model.names` resolves them).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from holdfast.odata.csdl import elements as e
from holdfast.odata.csdl.facets import NAMES
from holdfast.odata.csdl.model import Model
from holdfast.odata.csdl.names import Names
from holdfast.odata.csdl.refusals import BadMetadata, MetadataTooLarge
from holdfast.odata.csdl.xml_reader import MOST_BYTES, MOST_DEPTH, container_name, make

_DECODER: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_NAMED: Final = frozenset({"$Path", "$LabeledElementReference", "$Function", "$Type"})
Object = Mapping[str, Any]


def read_json(data: bytes, *, limit: int = MOST_BYTES) -> Model:
    """Return the model of a CSDL JSON document.

    Raises:
        BadMetadata: It is no CSDL JSON of OData 4.
        MetadataTooLarge: It has more bytes than `limit`, or is nested more than 64 deep.
    """
    if len(data) > limit:
        raise MetadataTooLarge(f"the document has {len(data)} bytes; the limit is {limit}")
    try:
        document = _DECODER.decode(data)
    except RecursionError:
        raise MetadataTooLarge(f"the document is nested more than {MOST_DEPTH} deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadMetadata("the document is no JSON object") from None
    version = document.get("$Version")
    if not isinstance(version, str) or not version.startswith("4."):
        raise BadMetadata(f"the document is of OData {version or 'without version'}, not 4", target="$Version")
    try:
        return _read(document, version)
    except (AttributeError, TypeError):
        raise BadMetadata("a member of the document is of another kind than the one that belongs there") from None


def _read(document: Object, version: str) -> Model:
    references = document.get("$Reference", {})
    schemas = {name: each for name, each in document.items() if not name.startswith("$")}
    includes = [each for reference in references.values() for each in reference.get("$Include", ())]
    declared = [(_text(each, "$Namespace"), _text(each, "$Alias")) for each in includes]
    reader = _Reader(Names([*declared, *((name, _text(each, "$Alias")) for name, each in schemas.items())]))
    read = {name: reader.schema(name, each) for name, each in schemas.items()}
    return Model(
        schemas=read,
        references=tuple(reader.reference(uri, each) for uri, each in references.items()),
        container_name=_text(document, "$EntityContainer") or container_name(read.values()),
        version=version,
    )


class _Reader:
    """Reads the members of a document whose aliases are known."""

    def __init__(self, names: Names) -> None:
        self._full = names.full

    def reference(self, uri: str, found: Object) -> e.Reference:
        return e.Reference(
            uri=uri,
            includes=tuple(
                e.Include(_text(each, "$Namespace"), _text(each, "$Alias"), self._annotations(each))
                for each in found.get("$Include", ())
            ),
            include_annotations=tuple(
                e.IncludeAnnotations(
                    term_namespace=_text(each, "$TermNamespace"),
                    target_namespace=_text(each, "$TargetNamespace"),
                    qualifier=_text(each, "$Qualifier"),
                )
                for each in found.get("$IncludeAnnotations", ())
            ),
            annotations=self._annotations(found),
        )

    def schema(self, namespace: str, found: Object) -> e.Schema:
        members = _children(found)
        kinds = {name: each.get("$Kind") for name, each in members.items() if isinstance(each, dict)}
        types = {name: self._type(name, members[name]) for name, kind in kinds.items() if kind in _TYPES}
        containers = [name for name, kind in kinds.items() if kind == "EntityContainer"]
        if len(containers) > 1:
            raise BadMetadata(f"{namespace} has more than one container", target=namespace)
        return e.Schema(
            namespace=namespace,
            alias=_text(found, "$Alias"),
            types=types,
            operations={
                name: tuple(self._operation(name, one) for one in each)
                for name, each in members.items()
                if isinstance(each, list)
            },
            terms={
                name: make(e.Term, self._facets(name, members[name])) for name, kind in kinds.items() if kind == "Term"
            },
            container=self._container(containers[0], members[containers[0]], namespace) if containers else None,
            targets={
                self._full(target): self._annotations(each) for target, each in found.get("$Annotations", {}).items()
            },
            annotations=self._annotations(found),
        )

    def _facets(self, name: str, found: Object) -> dict[str, Any]:
        facets = {key: each for key, each in found.items() if key.startswith("$") and "@" not in key}
        for key in NAMES & facets.keys():
            facets[key] = self._full(facets[key])
        return facets | {"$Name": name, "annotations": self._annotations(found)}

    def _type(self, name: str, found: Object) -> e.Type:
        facets, kind = self._facets(name, found), found["$Kind"]
        if kind == "TypeDefinition":
            return make(e.TypeDefinition, facets)
        if kind == "EnumType":
            return make(e.EnumType, facets | {"members": self._members(found)})
        facets |= {"properties": {}, "navigation": {}}
        for each, member in _children(found).items():
            if member.get("$Kind") == "NavigationProperty":
                facets["navigation"][each] = self._navigation(each, member)
            else:
                facets["properties"][each] = make(e.Property, self._facets(each, member))
        if kind == "ComplexType":
            return make(e.ComplexType, facets)
        return make(e.EntityType, facets | {"key": _key(found.get("$Key", ()))})

    def _members(self, found: Object) -> dict[str, e.Member]:
        return {
            name: make(e.Member, {"$Name": name, "$Value": value, "annotations": self._annotations(found, name)})
            for name, value in _children(found).items()
        }

    def _navigation(self, name: str, found: Object) -> e.NavigationProperty:
        facets, constraints = self._facets(name, found), found.get("$ReferentialConstraint", {})
        if facets.pop("$OnDelete", None):
            facets["on_delete"] = e.OnDelete(_text(found, "$OnDelete"), self._annotations(found, "$OnDelete"))
        facets["constraints"] = {
            each: e.Constraint(_text(constraints, each), self._annotations(constraints, each))
            for each in _children(constraints)
        }
        return make(e.NavigationProperty, facets)

    def _operation(self, name: str, found: Object) -> e.Action | e.Function:
        facets = self._facets(name, found)
        parameters = found.get("$Parameter", ())
        facets["parameters"] = [make(e.Parameter, self._facets(one.get("$Name", ""), one)) for one in parameters]
        if "$ReturnType" in found:
            facets["returns"] = make(e.ReturnType, self._facets("", found["$ReturnType"]))
        return make(e.Action, facets) if found.get("$Kind") == "Action" else make(e.Function, facets)

    def _container(self, name: str, found: Object, namespace: str) -> e.EntityContainer:
        facets: dict[str, Any] = self._facets(name, found)
        for each, member in _children(found).items():
            place, kind = _place(member)
            facets.setdefault(place, {})[each] = make(kind, self._resource(each, member, f"{namespace}.{name}/"))
        return make(e.EntityContainer, facets)

    def _resource(self, name: str, found: Object, own: str) -> dict[str, Any]:
        facets = self._facets(name, found)
        if "$EntitySet" in facets:
            facets["$EntitySet"] = facets["$EntitySet"].removeprefix(own)
        bindings = found.get("$NavigationPropertyBinding", {}).items()
        return facets | {
            "bindings": {self._full(path): self._full(target).removeprefix(own) for path, target in bindings}
        }

    def _annotations(self, found: Object, name: str = "") -> e.Annotations:
        """Return the annotations of an object, or of the member of it that has a name."""
        prefix = f"{name}@"
        keys = (key for key in found if key.startswith(prefix) and key not in _CONTROL)
        return {self._full(key[len(prefix) :]): self._value(found[key], depth=4) for key in keys}

    def _value(self, value: Any, *, depth: int, held: bool = True) -> Any:
        if depth > MOST_DEPTH:
            raise MetadataTooLarge(f"the document is nested more than {MOST_DEPTH} deep")
        match value:
            case {"$Cast": str() as members, "$Type": str() as enum} if not held and not enum.startswith("Edm."):
                return e.Constant(members, "EnumMember", self._full(enum))
            case list():
                return [self._value(each, depth=depth + 1, held=False) for each in value]
            case dict():
                return dict(self._entry(key, each, depth + 1) for key, each in value.items())
        return value

    def _entry(self, key: str, value: Any, depth: int) -> tuple[str, Any]:
        if key in _CONTROL:
            return "@type", self._full(value.rpartition("#")[2])
        if key in _NAMED:
            return key, self._full(value)
        return self._full(key), self._value(value, depth=depth, held=not key.startswith("$"))


_CONTROL: Final = frozenset({"@type", "@odata.type"})
_TYPES: Final = frozenset({"EntityType", "ComplexType", "EnumType", "TypeDefinition"})


def _text(found: Object, name: str) -> str:
    text = found.get(name, "")
    if not isinstance(text, str):
        raise TypeError(name)
    return text


def _children(found: Object) -> dict[str, Any]:
    return {key: each for key, each in found.items() if not key.startswith("$") and "@" not in key}


def _key(found: list[Any]) -> dict[str, str]:
    key: dict[str, str] = {}
    for each in found:
        key |= each if isinstance(each, dict) else {each: each}
    return key


def _place(member: Object) -> tuple[str, type[e.Element]]:
    """Return where in the container a member belongs, and as what."""
    if "$Action" in member:
        return "action_imports", e.ActionImport
    if "$Function" in member:
        return "function_imports", e.FunctionImport
    if member.get("$Collection"):
        return "entity_sets", e.EntitySet
    return "singletons", e.Singleton
