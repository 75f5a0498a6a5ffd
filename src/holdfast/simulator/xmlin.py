"""Reading request bodies: XML without entities, network or trust."""

from typing import Final

from lxml import etree

from holdfast.simulator.answers import invalid_data

NS: Final = {
    "adtcore": "http://www.sap.com/adt/core",
    "chkrun": "http://www.sap.com/adt/checkrun",
    "class": "http://www.sap.com/adt/oo/classes",
    "del": "http://www.sap.com/adt/deletion",
}


def read_xml(body: bytes) -> etree._Element:
    """Return the root of a request body, or refuse with 400. White space before the declaration is dropped (ADT §1)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body.lstrip(), parser)
    except etree.XMLSyntaxError as exc:
        raise invalid_data(f"The request body is not well-formed: {exc.msg}") from exc
    if root.getroottree().docinfo.doctype:
        raise invalid_data("A document type definition is not allowed")
    return root


def name(prefix: str, local: str) -> str:
    """Return the expanded name of an element or attribute."""
    return f"{{{NS[prefix]}}}{local}"


def attribute(element: etree._Element, prefix: str, local: str) -> str:
    """Return an attribute's value, or an empty text."""
    return element.get(name(prefix, local)) or ""
