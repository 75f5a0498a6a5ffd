"""Annotations and their values, from CSDL XML (CSDL XML 4.01 §14) to the shape that `elements.py` describes."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from lxml import etree

from holdfast.odata.csdl.elements import Annotations, Constant
from holdfast.odata.csdl.names import Names
from holdfast.odata.csdl.refusals import BadMetadata

Node = etree._Element
EDM: Final = "{http://docs.oasis-open.org/odata/ns/edm}"
ANNOTATION: Final = EDM + "Annotation"
PROPERTY_VALUE: Final = EDM + "PropertyValue"
FACETS: Final = ("MaxLength", "Precision", "Scale", "SRID")
PLAIN: Final = frozenset({"Binary", "Date", "DateTimeOffset", "Duration", "Guid", "TimeOfDay"})
PATHS: Final = frozenset({"AnnotationPath", "ModelElementPath", "NavigationPropertyPath", "PropertyPath"})
LISTS: Final = frozenset(
    {"Add", "And", "Apply", "Div", "DivBy", "Eq", "Ge", "Gt", "Has", "If", "In", "Le", "Lt", "Mod", "Mul", "Ne", "Or"}
    | {"Sub"}
)
SINGLES: Final = frozenset({"Cast", "IsOf", "LabeledElement", "Neg", "Not", "UrlRef"})
_OTHERS: Final = frozenset(
    {"Bool", "Collection", "Decimal", "EnumMember", "Float", "Int", "LabeledElementReference", "Null", "Path", "Record"}
    | {"String"}
)
_EXPRESSIONS: Final = frozenset(EDM + kind for kind in PLAIN | PATHS | LISTS | SINGLES | _OTHERS)
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number(text: str) -> Any:
    """Return what a text stands for: an int, else a Decimal, else, as for INF, the text."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdigit() else Decimal(text)


class Expressions:
    """Reads annotations from elements of XML, with all names in full."""

    def __init__(self, names: Names) -> None:
        self._full = names.full
        self._constants: Mapping[str, Callable[[str], Any]] = {
            "Bool": lambda text: text.strip() == "true",
            "Decimal": number,
            "EnumMember": self._enum,
            "Float": number,
            "Int": number,
            "LabeledElementReference": lambda text: {"$LabeledElementReference": self._full(text)},
            "Path": lambda text: {"$Path": self._full(text)},
            "String": str,
            "UrlRef": lambda text: {"$UrlRef": text},
        }

    def annotations(self, element: Node, qualifier: str = "") -> Annotations:
        """Return the annotations that stand in an element; `qualifier` is of those that have none themselves."""
        found: Annotations = {}
        if len(element):
            self._gather(element, found, "", qualifier)
        return found

    def _gather(self, element: Node, into: dict[str, Any], prefix: str, qualifier: str = "") -> None:
        for child in element:
            if child.tag == ANNOTATION:
                term = child.get("Term")
                if not term:
                    raise BadMetadata("an annotation has no term", target=prefix)
                own = child.get("Qualifier", qualifier)
                key = prefix + self._full(term) + (f"#{own}" if own else "")
                into[key] = self._held(child, default=True)
                if len(child):
                    self._gather(child, into, f"{key}@")

    def _held(self, element: Node, default: Any = None) -> Any:
        """Return the value that an annotation, property value or labeled element has as attribute or as child."""
        for kind, text in element.items():
            if kind in PLAIN or kind in PATHS or kind in self._constants:
                return self._constant(kind, text)
        values = self._values(element)
        return values[0] if values else default

    def _values(self, element: Node) -> list[Any]:
        return [self.value(child) for child in element if child.tag in _EXPRESSIONS]

    def value(self, element: Node) -> Any:
        """Return what an element that is an expression stands for."""
        kind = str(element.tag).removeprefix(EDM)
        match kind:
            case "Record":
                return self._record(element)
            case "Collection":
                return self._values(element)
            case "Null":
                return {"$Null": None} | self._beside(element) if len(element) else None
            case "UrlRef" if not len(element):
                return {"$UrlRef": element.text or ""}
        if kind in LISTS or kind in SINGLES:
            return self._computed(element, kind)
        return self._constant(kind, element.text or "")

    def _constant(self, kind: str, text: str) -> Any:
        if (read := self._constants.get(kind)) is not None:
            return read(text)
        if kind in PLAIN:
            return Constant(text, kind)
        return Constant(self._full(text), kind)

    def _enum(self, text: str) -> Constant:
        members = [part.rpartition("/") for part in text.split()]
        enum = self._full(members[0][0]) if members else ""
        return Constant(",".join(member for _, _, member in members), "EnumMember", enum)

    def _record(self, element: Node) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if kind := element.get("Type"):
            found["@type"] = self._full(kind)
        for child in element:
            if child.tag == PROPERTY_VALUE:
                name = child.get("Property", "")
                found[name] = self._held(child, default=True)
                if len(child):
                    self._gather(child, found, f"{name}@")
        return found | self._beside(element)

    def _computed(self, element: Node, kind: str) -> dict[str, Any]:
        """Return an operator, function or conversion with its operands, and what else stands in it."""
        operands: Any = self._values(element) if kind in LISTS else self._held(element)
        found = {f"${kind}": operands}
        if kind == "Apply":
            found["$Function"] = self._full(element.get("Function", ""))
        elif kind == "LabeledElement":
            found["$Name"] = element.get("Name", "")
        elif kind in {"Cast", "IsOf"}:
            found |= self._type(element)
        return found | self._beside(element)

    def _type(self, element: Node) -> dict[str, Any]:
        name = element.get("Type", "")
        one = name.removeprefix("Collection(").removesuffix(")")
        found: dict[str, Any] = {} if one == name else {"$Collection": True}
        if one != "Edm.String":
            found["$Type"] = self._full(one)
        return found | {f"${facet}": number(text) for facet in FACETS if (text := element.get(facet)) is not None}

    def _beside(self, element: Node) -> dict[str, Any]:
        return {f"@{key}": each for key, each in self.annotations(element).items()}
