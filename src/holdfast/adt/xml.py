"""XML of ADT, in and out. Read by namespace URI, never by prefix; written with the prefixes servers expect (ADT §0)."""

from collections.abc import Iterator, Mapping
from typing import Final

from lxml import etree

from holdfast._xml import closed_parser
from holdfast.errors import BackendError

NAMESPACES: Final = {
    "adtcore": "http://www.sap.com/adt/core",
    "asx": "http://www.sap.com/abapxml",
    "exc": "http://www.sap.com/abapxml/types/communicationframework",
    "http": "http://www.sap.com/adt/http",
    "chkrun": "http://www.sap.com/adt/checkrun",
    "chkl": "http://www.sap.com/abapxml/checklist",
    "ioc": "http://www.sap.com/abapxml/inactiveCtsObjects",
    "del": "http://www.sap.com/adt/deletion",
}
DECLARATION: Final = b'<?xml version="1.0" encoding="UTF-8"?>'
Element = etree._Element


def parse(body: bytes, what: str) -> Element:
    """Return the root of a document. No entity is resolved and nothing is loaded from elsewhere.

    Raises:
        BackendError: It is not XML; the message says what was asked for, nothing of the text.
    """
    try:
        root = etree.fromstring(body.strip(), closed_parser())
    except etree.XMLSyntaxError as exc:
        raise BackendError(f"the back end's answer to {what} is not XML") from exc
    if root is None:
        raise BackendError(f"the back end's answer to {what} is empty")
    return root


def tag(prefixed: str) -> str:
    """Return `{uri}name` for `prefix:name`; a name without prefix stays as it is."""
    prefix, colon, name = prefixed.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{name}" if colon else prefixed


def attribute(element: Element, name: str) -> str:
    """Return an attribute by local name, whatever its namespace; empty if it is absent."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return ""


def attributes(element: Element) -> dict[str, str]:
    """Return all attributes by local name."""
    return {str(key).rpartition("}")[2]: str(value) for key, value in element.attrib.items()}


def local(element: Element) -> str:
    """Return an element's local name; empty for a comment."""
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


def each(root: Element, name: str) -> Iterator[Element]:
    """Yield the elements of this local name, wherever they are."""
    return (element for element in root.iter() if local(element) == name)


def first_text(root: Element, name: str) -> str:
    """Return the text of the first element of this local name, stripped; empty if there is none."""
    return next(("".join(element.itertext()).strip() for element in each(root, name)), "")


def build(root: str, *, also: Mapping[str, str] | None = None, prefixes: tuple[str, ...] = ("adtcore",)) -> Element:
    """Return a new root element; `also` adds namespaces that are not in the table."""
    spaces = {prefix: NAMESPACES[prefix] for prefix in prefixes} | dict(also or {})
    prefix, _, name = root.partition(":")
    return etree.Element(f"{{{spaces[prefix]}}}{name}", nsmap=spaces)


def add(parent: Element, name: str, values: Mapping[str, str] | None = None, text: str | None = None) -> Element:
    """Append an element with prefixed attributes and return it."""
    child = etree.SubElement(parent, tag(name))
    set_all(child, values or {})
    child.text = text
    return child


def set_all(element: Element, values: Mapping[str, str]) -> None:
    """Set prefixed attributes."""
    for name, value in values.items():
        element.set(tag(name), value)


def serialise(root: Element) -> bytes:
    """Return the document with its declaration."""
    return DECLARATION + etree.tostring(root)
