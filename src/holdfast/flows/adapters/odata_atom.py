"""OData V2 in Atom: entries and feeds as the values that the JSON of the same service would hold.

| in a property | value |
|---|---|
| m:null | None |
| Edm.Boolean | bool |
| Edm.Byte, SByte, Int16, Int32 | int |
| Edm.Single, Double | float |
| any other type, or none | text, such as `2026-11-21T00:00:00` and `1.50` |
| elements in it | mapping: a complex type |

Entities that were expanded are mappings and lists of them; `__metadata` has `uri`, `type` and `etag`. Written are the
same forms, without types: the service has them in its metadata. Source: OData V2 "Atom Format"; RFC 4287.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from lxml import etree

from holdfast.errors import BadInput
from holdfast.flows.adapters.envelope import Element, parsed
from holdfast.flows.adapters.odata_payloads import Page
from holdfast.flows.expressions import as_text

ATOM: Final = "http://www.w3.org/2005/Atom"
DATA: Final = "http://schemas.microsoft.com/ado/2007/08/dataservices"
META: Final = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
SCHEME: Final = "http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"
RELATED: Final = "http://schemas.microsoft.com/ado/2007/08/dataservices/related/"
NAMES: Final = {"a": ATOM, "d": DATA, "m": META}
BASE: Final = "{http://www.w3.org/XML/1998/namespace}base"
WRITTEN: Final = {None: ATOM, "d": DATA, "m": META}
PROPERTY: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "Edm.Boolean": lambda text: text.strip() in ("true", "1"),
    **dict.fromkeys(("Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32"), int),
    **dict.fromkeys(("Edm.Single", "Edm.Double"), float),
}


class Atom:
    """The Atom of V2."""

    accepts: str = "application/atom+xml, application/xml"  # results of functions and errors are plain XML
    content_type: str = "application/atom+xml; type=entry"

    def write(self, body: Any) -> bytes:
        """Return an entry for a mapping. Raises BadInput: it is none, or holds what XML cannot say."""
        if not isinstance(body, Mapping):
            raise BadInput(f"a body of type {type(body).__name__} cannot be sent as an Atom entry")
        try:
            entry = etree.Element(f"{{{ATOM}}}entry", nsmap=WRITTEN)
            _fill(entry, body)
            return etree.tostring(entry, encoding="utf-8", xml_declaration=True)
        except (ValueError, TypeError, RecursionError) as exc:
            raise BadInput(f"the body cannot be said in XML ({type(exc).__name__})") from exc

    def read(self, content: bytes) -> Page:
        """Return what a feed, an entry or the result of a function says."""
        root = parsed(content)
        if root.tag == f"{{{ATOM}}}feed":
            count = root.findtext("m:count", "", NAMES).strip()
            number = int(count) if count.isascii() and count.isdigit() else None
            return Page(_feed(root), _more(root), number, base=root.get(BASE, ""))
        if root.tag == f"{{{ATOM}}}entry":
            return Page(_entry(root), etag=root.get(f"{{{META}}}etag", ""))
        if etree.QName(root).namespace == DATA:
            items = root.findall("d:element", NAMES)
            return Page([_value(item) for item in items] if items else _value(root))
        raise ValueError("it is no OData V2")


# -- reading


def _feed(feed: Element) -> list[dict[str, Any]]:
    return [_entry(entry) for entry in feed.iterfind("a:entry", NAMES)]


def _more(feed: Element) -> str:
    return next((link.get("href", "") for link in feed.iterfind("a:link[@rel='next']", NAMES)), "")


def _entry(entry: Element) -> dict[str, Any]:
    """Return an entity; a media resource has its properties beside its content, not in it."""
    metadata = {
        "uri": entry.findtext("a:id", "", NAMES),
        "type": next((each.get("term", "") for each in entry.iterfind("a:category", NAMES)), ""),
        "etag": entry.get(f"{{{META}}}etag", ""),
    }
    properties = entry.find("a:content/m:properties", NAMES)
    properties = entry.find("m:properties", NAMES) if properties is None else properties
    found = {"__metadata": {name: value for name, value in metadata.items() if value}}
    found.update({} if properties is None else _properties(properties))
    for link in entry.iterfind("a:link", NAMES):
        inline = link.find("m:inline", NAMES)
        if inline is not None:
            found[link.get("title") or link.get("rel", "").removeprefix(RELATED)] = _inline(inline)
    return found


def _inline(inline: Element) -> Any:
    if (feed := inline.find("a:feed", NAMES)) is not None:
        return {"results": _feed(feed)} | ({"__next": more} if (more := _more(feed)) else {})
    entry = inline.find("a:entry", NAMES)
    return None if entry is None else _entry(entry)


def _properties(parent: Element) -> dict[str, Any]:
    return {etree.QName(each).localname: _value(each) for each in parent.iterfind("d:*", NAMES)}


def _value(element: Element) -> Any:
    if element.get(f"{{{META}}}null") == "true":
        return None
    kind = element.get(f"{{{META}}}type", "")
    if len(element) or (kind and not kind.startswith("Edm.")):
        return _properties(element)
    return READ.get(kind, str)(element.text or "")


# -- writing


def _fill(entry: Element, body: Mapping[str, Any]) -> None:
    """Write an entity into its entry: its type, what belongs to it, and its properties."""
    metadata = body.get("__metadata")
    if isinstance(metadata, Mapping) and metadata.get("type"):
        etree.SubElement(entry, f"{{{ATOM}}}category", term=str(metadata["type"]), scheme=SCHEME)
    given = {name: value for name, value in body.items() if name != "__metadata"}
    for name, value in given.items():
        if (rows := _rows(value)) is not None:
            _link(entry, name, rows)
    content = etree.SubElement(entry, f"{{{ATOM}}}content", type="application/xml")
    plain = {name: value for name, value in given.items() if _rows(value) is None and not _deferred(value)}
    _write(etree.SubElement(content, f"{{{META}}}properties"), plain)


def _link(entry: Element, name: str, rows: list[Any]) -> None:
    """Write entities that are to be made together with this one."""
    link = etree.SubElement(entry, f"{{{ATOM}}}link", rel=RELATED + _name(name), title=name)
    link.set("type", "application/atom+xml;type=feed")
    feed = etree.SubElement(etree.SubElement(link, f"{{{META}}}inline"), f"{{{ATOM}}}feed")
    for row in rows:
        _fill(etree.SubElement(feed, f"{{{ATOM}}}entry"), row)


def _write(parent: Element, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        element = etree.SubElement(parent, f"{{{DATA}}}{_name(name)}")
        if value is None:
            element.set(f"{{{META}}}null", "true")
        elif isinstance(value, Mapping):
            _write(element, value)
        else:
            element.text = as_text(value)


def _rows(value: Any) -> list[Any] | None:
    """Return the entities of a value that is a collection, in the form of V2's JSON too."""
    value = value.get("results") if isinstance(value, Mapping) else value
    return value if isinstance(value, list) else None


def _deferred(value: Any) -> bool:
    return isinstance(value, Mapping) and "__deferred" in value


def _name(name: str) -> str:
    if not PROPERTY.fullmatch(name):
        raise BadInput(f"{name[:40]!r} is no name of a property")
    return name
