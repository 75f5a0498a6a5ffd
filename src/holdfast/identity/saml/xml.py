"""XML in and out: one strict way to read a document, so that no two readers can understand it differently.

Neither DTD nor entities, no comments, no processing instructions, no CDATA; UTF-8 only; bounds on size, depth, parts
and namespaces; every ID there once. Honest messages have none of what is refused; metadata may have comments.
"""

import calendar
import re
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from holdfast._xml import closed_parser
from holdfast.identity.saml.refusals import SamlBadAssertion, SamlMalformed, SamlTooLarge

Element = etree._Element
MESSAGE_BYTES: Final = 256 * 1024
MOST_ELEMENTS: Final = 4_000
MOST_DEPTH: Final = 64
MOST_NAMESPACES: Final = 32  # in scope at one element: canonicalization takes time by their number
NAME_CHARACTERS: Final = 1024
IDS: Final = ("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id")
_DECLARATION: Final = re.compile(rb"<\?xml\s[^>]*?\?>")
_ENCODING: Final = re.compile(rb"""encoding\s*=\s*["']([^"']*)["']""")
_INSTANT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,255}", re.ASCII)


def parser(*, comments: bool = False) -> etree.XMLParser:
    """Return a parser that neither resolves anything nor reaches out; with `comments`, it passes over them."""
    return closed_parser(encoding="utf-8", comments=not comments, strip_cdata=False)


def parse(
    data: bytes, *, limit: int = MESSAGE_BYTES, most_elements: int = MOST_ELEMENTS, comments: bool = False
) -> Element:
    """Return the root of a document; with `comments`, such are passed over instead of refused.

    Raises:
        SamlMalformed: It is none that is read here.
        SamlTooLarge: It is beyond a bound.
    """
    if len(data) > limit:
        raise SamlTooLarge(f"the message has {len(data)} bytes; the limit is {limit}")
    text = _without_declaration(data.removeprefix(b"\xef\xbb\xbf"))
    marked = text.replace(b"<!--", b"") if comments else text
    if b"\0" in text or b"<!" in marked or b"<?" in text:
        raise SamlMalformed("the message has a DTD, a comment, CDATA or a processing instruction")
    if text.count(b"<") > 2 * most_elements:  # which no such number of elements can have
        raise SamlTooLarge(f"the message has more than {most_elements} elements")
    try:
        text.decode("utf-8")
        root = etree.fromstring(text, parser(comments=comments))
    except (UnicodeDecodeError, etree.XMLSyntaxError, ValueError):
        raise SamlMalformed("the message is not well-formed XML in UTF-8") from None
    _check(root, most_elements, namespaces=text.count(b"xmlns"))
    return root


def _without_declaration(data: bytes) -> bytes:
    found = _DECLARATION.match(data)
    if found is None:
        return data
    encoding = _ENCODING.search(found.group())
    if encoding is not None and encoding.group(1).lower() not in (b"utf-8", b"us-ascii"):
        raise SamlMalformed("the message is not in UTF-8")
    return data[found.end() :]


def _check(root: Element, most_elements: int, *, namespaces: int) -> None:
    """Refuse what is too deep, too much, or names two elements alike; so many namespaces are declared at most."""
    seen: set[str] = set()
    depth: dict[Element, int] = {}
    for count, element in enumerate(root.iter()):
        parent = element.getparent()
        depth[element] = 0 if parent is None else depth[parent] + 1
        scattered = namespaces > MOST_NAMESPACES and len(element.nsmap) > MOST_NAMESPACES
        if count >= most_elements or depth[element] > MOST_DEPTH or scattered:
            raise SamlTooLarge("the message has too many elements or namespaces, or is nested too deeply")
        ids = {value for name in IDS if (value := element.get(name)) is not None}
        if not seen.isdisjoint(ids):
            raise SamlMalformed("two elements of the message have one ID")
        seen |= ids


def children(element: Element, tag: str) -> list[Element]:
    """Return the children with a tag."""
    return [child for child in element if child.tag == tag]


def only(element: Element, tag: str) -> Element:
    """Return the one child with a tag; raise SamlMalformed if there is none, or are several."""
    found = children(element, tag)
    if len(found) != 1:
        raise SamlMalformed(f"{len(found)} elements {etree.QName(tag).localname} where one belongs")
    return found[0]


def optional(element: Element, tag: str) -> Element | None:
    """Return the child with a tag, None if it is not there; raise SamlMalformed if there are several."""
    return only(element, tag) if children(element, tag) else None


def text_of(element: Element, *, limit: int = NAME_CHARACTERS) -> str:
    """Return all the text of an element that holds nothing else, without space around it."""
    if len(element):
        raise SamlMalformed(f"{etree.QName(element).localname} holds more than text")
    text = (element.text or "").strip()
    if len(text) > limit:
        raise SamlTooLarge(f"{etree.QName(element).localname} has {len(text)} characters; the limit is {limit}")
    return text


def id_of(element: Element) -> str:
    """Return an element's ID; raise SamlMalformed if it has none that is a name (XML's NCName, ASCII)."""
    value = element.get("ID", "")
    if not _ID.fullmatch(value):
        raise SamlMalformed("an ID is missing or no name")
    return value


def instant(text: str | None) -> float:
    """Return an instant in Unix seconds; raise SamlMalformed for what is none in UTC (Core §1.3.3)."""
    found = _INSTANT.fullmatch(text or "")
    if found is None:
        raise SamlMalformed("an instant is missing or not in UTC")
    try:
        moment = datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise SamlMalformed("an instant is none") from None
    return float(calendar.timegm(moment.timetuple()))


def optional_instant(element: Element, name: str) -> float | None:
    """Return the instant in an attribute; None if it is not there."""
    value = element.get(name)
    return None if value is None else instant(value)


def written(at: float) -> str:
    """Return an instant as XML has it."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def demand_version(element: Element) -> None:
    """Refuse what is not of SAML 2.0."""
    if element.get("Version") != "2.0":
        raise SamlBadAssertion("the message or assertion is not of SAML 2.0")


def to_bytes(element: Element) -> bytes:
    """Return an element as a document."""
    return etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
