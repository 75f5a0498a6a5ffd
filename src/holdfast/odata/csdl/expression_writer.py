"""Annotations and their values to CSDL XML: the way back of `expressions.py`."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lxml import etree

from holdfast.odata.csdl.elements import Annotations, Constant
from holdfast.odata.csdl.expressions import ANNOTATION, EDM, FACETS, LISTS, PATHS, PROPERTY_VALUE, SINGLES, Node
from holdfast.odata.csdl.names import Names
from holdfast.odata.csdl.refusals import BadMetadata


class ExpressionWriter:
    """Writes annotations into elements of XML, with the aliases of a document."""

    def __init__(self, names: Names) -> None:
        self._short = names.short

    def annotate(self, element: Node, annotations: Annotations) -> None:
        """Append annotations; one of an annotation, `Ns.Term@Ns.Other`, goes into that."""
        self._beside({f"@{key}": value for key, value in annotations.items()}, {"": element})

    def _beside(self, members: Mapping[str, Any], places: dict[str, Node]) -> None:
        """Append each member whose name has an @ to the element of what stands before its last @."""
        for key, value in members.items():
            before, at, term = key.rpartition("@")
            if at and key != "@type":
                if before not in places:
                    raise BadMetadata(f"an annotation of {before!r}, which is not there", target=key)
                name, _, qualifier = term.partition("#")
                said = {"Term": self._short(name)} | ({"Qualifier": qualifier} if qualifier else {})
                places[key] = etree.SubElement(places[before], ANNOTATION, said)
                self._hold(places[key], value)

    def _hold(self, element: Node, value: Any) -> None:
        """Put a value into an element that may have it as attribute."""
        kind, text = self._constant(value)
        if kind and kind != "LabeledElementReference":
            element.set(kind, text)
        else:
            self._append(element, value)

    def _constant(self, value: Any) -> tuple[str, str]:
        """Return the element and text that a value is written as; ("", "") if it is more than a text."""
        match value:
            case Constant():
                return value.kind, self._text(value)
            case {"$Path": str() as path}:
                return "Path", self._short(path)
            case {"$LabeledElementReference": str() as name}:
                return "LabeledElementReference", self._short(name)
            case {"$UrlRef": str() as url}:
                return "UrlRef", url
        return _plain(value)

    def _text(self, value: Constant) -> str:
        if value.kind == "EnumMember":
            enum = f"{self._short(value.enum)}/" if value.enum else ""
            return " ".join(enum + member for member in value.split(","))
        return self._short(str(value)) if value.kind in PATHS else str(value)

    def _append(self, parent: Node, value: Any) -> None:
        """Append a value as an element."""
        kind, text = self._constant(value)
        if kind == "UrlRef":
            etree.SubElement(etree.SubElement(parent, f"{EDM}UrlRef"), f"{EDM}String").text = text
        elif kind:
            etree.SubElement(parent, EDM + kind).text = text
        elif value is None:
            etree.SubElement(parent, f"{EDM}Null")
        elif isinstance(value, list):
            collection = etree.SubElement(parent, f"{EDM}Collection")
            for each in value:
                self._append(collection, each)
        else:
            self._object(parent, value)

    def _object(self, parent: Node, value: Mapping[str, Any]) -> None:
        kind = next((key[1:] for key in value if key[1:] in LISTS | SINGLES | {"Null"} and key[0] == "$"), "")
        if not kind:
            self._record(parent, value)
            return
        element = etree.SubElement(parent, EDM + kind, self._attributes(kind, value))
        operands = value[f"${kind}"]
        if kind in LISTS:
            for each in operands:
                self._append(element, each)
        elif kind != "Null":
            self._append(element, operands)
        self._beside(value, {"": element})

    def _attributes(self, kind: str, value: Mapping[str, Any]) -> dict[str, str]:
        if kind == "Apply":
            return {"Function": self._short(value["$Function"])}
        if kind == "LabeledElement":
            return {"Name": value["$Name"]}
        if kind not in {"Cast", "IsOf"}:
            return {}
        name = self._short(value.get("$Type", "Edm.String"))
        said = {facet: str(value[f"${facet}"]) for facet in FACETS if f"${facet}" in value}
        return {"Type": f"Collection({name})" if value.get("$Collection") else name} | said

    def _record(self, parent: Node, value: Mapping[str, Any]) -> None:
        kind = value.get("@type")
        record = etree.SubElement(parent, f"{EDM}Record", {"Type": self._short(kind)} if kind else {})
        places = {"": record}
        for name, each in value.items():
            if "@" not in name:
                places[name] = etree.SubElement(record, PROPERTY_VALUE, {"Property": name})
                self._hold(places[name], each)
        self._beside(value, places)


def _plain(value: Any) -> tuple[str, str]:
    match value:
        case bool():
            return "Bool", str(value).lower()
        case int():
            return "Int", str(value)
        case Decimal():
            return "Decimal", str(value)
        case float():
            return "Float", repr(value)
        case str():
            return "String", value
    return "", ""
