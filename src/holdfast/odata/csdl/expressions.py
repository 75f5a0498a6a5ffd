"""Annotations and their values, from CSDL XML (CSDL XML 4.01 §14) to the shape that `elements.py` describes."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
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
MOST_DIGITS: Final = 1000
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def number(text: str) -> Any:
    """Return what a text stands for: an int, else a Decimal, else, as for INF or endless digits, the text."""
    text = text.strip()
    if len(text) > MOST_DIGITS or not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdigit() else Decimal(text)


class Expressions:
    """Reads annotations from elements of XML, with all names in full."""

    def __init__(self, names: Names) -> None:
        self._full = names.full
        self._constants: dict[str, Callable[[str], Any]] = {
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
        self._constants |= {kind: partial(Constant, kind=kind) for kind in PLAIN}
        self._constants |= {kind: partial(self._path, kind) for kind in PATHS}
        self._elements: dict[str, Callable[[Node], Any]] = {
            EDM + kind: partial(self._text, read) for kind, read in self._constants.items()
        }
        self._elements |= {EDM + kind: partial(self._computed, kind) for kind in LISTS | SINGLES}
        self._elements |= {
            f"{EDM}Collection": self._values,
            f"{EDM}Null": self._null,
            f"{EDM}Record": self._record,
        }

    def annotations(self, element: Node, qualifier: str = "") -> Annotations:
        """Return the annotations that stand in an element; `qualifier` is of those that have none themselves."""
        found: Annotations = {}
        for child in element:
            if child.tag == ANNOTATION:
                self._annotation(child, found, "", qualifier)
        return found

    def _annotation(self, element: Node, into: dict[str, Any], prefix: str, qualifier: str = "") -> None:
        """Put an annotation, and those that it has itself, into what is read."""
        said = dict(element.items())
        term = said.pop("Term", "")
        if not term or "@" in term:
            raise BadMetadata(f"an annotation has {term!r} for a term", target=prefix)
        own = said.pop("Qualifier", qualifier)
        key = prefix + self._full(term) + (f"#{own}" if own else "")
        into[key] = self._held(element, said, default=True)
        if len(element):
            self._within(element, into, f"{key}@")

    def _within(self, element: Node, into: dict[str, Any], prefix: str) -> None:
        for child in element:
            if child.tag == ANNOTATION:
                self._annotation(child, into, prefix)

    def _held(self, element: Node, said: Mapping[str, str], default: Any = None) -> Any:
        """Return the value that an annotation, property value or labeled element has as attribute or as child."""
        for kind, text in said.items():
            if (read := self._constants.get(kind)) is not None:
                return read(text)
        return next(iter(self._values(element)), default) if len(element) else default

    def _values(self, element: Node) -> list[Any]:
        return [read(child) for child in element if (read := self._elements.get(str(child.tag))) is not None]

    def _text(self, read: Callable[[str], Any], element: Node) -> Any:
        return read(element.text or "")

    def _null(self, element: Node) -> Any:
        return {"$Null": None} | self._beside(element) if len(element) else None

    def _path(self, kind: str, text: str) -> Constant:
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
                said = dict(child.items())
                name = said.pop("Property", "")
                found[name] = self._held(child, said, default=True)
                if len(child):
                    self._within(child, found, f"{name}@")
            elif child.tag == ANNOTATION:
                self._annotation(child, found, "@")
        return found

    def _computed(self, kind: str, element: Node) -> dict[str, Any]:
        """Return an operator, function or conversion with its operands, and what else stands in it."""
        if kind == "UrlRef" and not len(element):
            return {"$UrlRef": element.text or ""}
        operands: Any = self._values(element) if kind in LISTS else self._held(element, dict(element.items()))
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
