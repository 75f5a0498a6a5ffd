"""The data of an OData V2 service, and how it says them in JSON and in Atom. Nothing of holdfast is in here."""

import datetime as dt
import json
import re
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from typing import Any
from urllib.parse import quote

ATOM = "http://www.w3.org/2005/Atom"
D = "http://schemas.microsoft.com/ado/2007/08/dataservices"
M = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
RELATED = "http://schemas.microsoft.com/ado/2007/08/dataservices/related/"
for _prefix, _uri in (("", ATOM), ("d", D), ("m", M)):
    ElementTree.register_namespace(_prefix, _uri)

Row = dict[str, Any]
TYPES = {
    "Orders": {
        "ID": "Edm.String",
        "Note": "Edm.String",
        "Price": "Edm.Decimal",
        "Count": "Edm.Int32",
        "Big": "Edm.Int64",
        "Done": "Edm.Boolean",
        "Weight": "Edm.Double",
        "Due": "Edm.DateTime",
    },
    "Items": {"OrderID": "Edm.String", "Pos": "Edm.Int32", "Name": "Edm.String"},
}
KEYS = {"Orders": ("ID",), "Items": ("OrderID", "Pos")}
LINKS = {"Orders": {"Items": ("Items", "OrderID", "ID")}, "Items": {}}  # target set, its property, ours
METADATA = (
    f"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" xmlns:m="{M}">
<edmx:DataServices m:DataServiceVersion="2.0">
<Schema Namespace="SHOP" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
"""
    + "".join(
        f'<EntityType Name="{name[:-1]}"><Key>{"".join(f"<PropertyRef Name={key!r}/>" for key in KEYS[name])}</Key>'
        + "".join(
            f'<Property Name="{each}" Type="{kind}" Nullable="{str(each not in KEYS[name]).lower()}"/>'
            for each, kind in properties.items()
        )
        + (
            '<NavigationProperty Name="Items" Relationship="SHOP.Has" FromRole="Order" ToRole="Item"/>'
            if name == "Orders"
            else ""
        )
        + "</EntityType>"
        for name, properties in TYPES.items()
    )
    + """<Association Name="Has"><End Type="SHOP.Order" Role="Order" Multiplicity="1"/>
<End Type="SHOP.Item" Role="Item" Multiplicity="*"/></Association>
<EntityContainer Name="SHOP_Entities" m:IsDefaultEntityContainer="true">
<EntitySet Name="Orders" EntityType="SHOP.Order"/><EntitySet Name="Items" EntityType="SHOP.Item"/>
<AssociationSet Name="HasSet" Association="SHOP.Has"><End EntitySet="Orders" Role="Order"/>
<End EntitySet="Items" Role="Item"/></AssociationSet>
<FunctionImport Name="CountAbove" ReturnType="Edm.Int32" m:HttpMethod="GET">
<Parameter Name="count" Type="Edm.Int32"/><Parameter Name="note" Type="Edm.String"/></FunctionImport>
<FunctionImport Name="Finish" ReturnType="SHOP.Order" EntitySet="Orders" m:HttpMethod="POST">
<Parameter Name="ID" Type="Edm.String"/></FunctionImport>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>
"""
)


class Refusal(Exception):
    """An error of the service."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def fresh() -> dict[str, list[Row]]:
    """Return the rows that a service begins with."""
    due = dt.datetime.fromisoformat("2026-11-21T12:30")
    names = ["bolt", "O'Neil & Söhne", "nail", "nut", "100% / a+b?"]
    orders = [
        {"ID": str(n), "Note": note, "Price": Decimal(f"{n}.50"), "Count": n, "Big": 2**40 + n, "Done": n % 2 == 0}
        | {"Weight": n / 4, "Due": due if n < 3 else None, "@": 1}
        for n, note in enumerate(names, start=1)
    ]
    items = [{"OrderID": "1", "Pos": pos, "Name": f"part {pos}", "@": 1} for pos in (10, 20)]
    return {"Orders": orders, "Items": items}


def literal(text: str) -> Any:
    """Return the value of a literal of V2."""
    if text.startswith("'"):
        if not re.fullmatch(r"'(?:[^']|'')*'", text, re.DOTALL):
            raise Refusal(400, "SY/530", f"{text} is no literal")
        return text[1:-1].replace("''", "'")
    plain = {"true": True, "false": False, "null": None}
    if text in plain:
        return plain[text]
    try:
        return Decimal(re.sub("[LMDF]$", "", text.upper()))
    except ArithmeticError:
        raise Refusal(400, "SY/530", f"{text} is no literal") from None


def key_of(name: str, text: str) -> Row:
    """Return the key in the parentheses behind a set."""
    parts = re.findall(r"(?:(\w+)=)?('(?:[^']|'')*'|[^,']+)", text)
    if not parts or ",".join((f"{n}=" if n else "") + v for n, v in parts) != text:
        raise Refusal(400, "SY/530", f"({text}) is no key")
    return {given or KEYS[name][0]: literal(value) for given, value in parts}


def holds(row: Row, condition: str) -> bool:
    """Say whether a row passes a $filter of comparisons that are joined by `and`."""
    how = {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "gt": lambda a, b: a > b, "lt": lambda a, b: a < b}
    pattern = r"\s*(\w+) (eq|ne|gt|lt) ('(?:[^']|'')*'|[^\s']+)\s*(and|$)"
    at = 0
    while at < len(condition):
        found = re.compile(pattern).match(condition, at)
        if found is None or found[1] not in row:
            raise Refusal(400, "/IWBEP/CM_MGW_RT/021", f"{condition} is no filter")
        if not how[found[2]](row[found[1]], literal(found[3])):
            return False
        at = found.end()
    return True


# -- JSON


def as_json(value: Any) -> Any:
    match value:
        case dt.datetime():
            return f"/Date({int(value.replace(tzinfo=dt.UTC).timestamp()) * 1000})/"
        case Decimal():
            return str(value)
        case int() if not isinstance(value, bool) and abs(value) > 2**31:
            return str(value)
    return value


def from_json(name: str, values: Row) -> Row:
    """Return what was sent, by the types of the set."""
    return {each: _typed(TYPES[name][each], value) for each, value in values.items() if each in TYPES[name]}


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        match kind:
            case "Edm.DateTime" if str(value).startswith("/Date("):
                return dt.datetime.fromtimestamp(int(str(value)[6:-2]) / 1000, dt.UTC).replace(tzinfo=None)
            case "Edm.DateTime":
                return dt.datetime.fromisoformat(value)
            case "Edm.Decimal":
                return Decimal(str(value))
            case "Edm.Int32" | "Edm.Int64":
                return int(value)
            case "Edm.Boolean":
                return value if isinstance(value, bool) else {"true": True, "false": False}[value]
            case "Edm.Double":
                return float(value)
    except (ValueError, ArithmeticError, KeyError):
        raise Refusal(400, "/IWBEP/CM_MGW_RT/022", f"Property value {value!r} is no {kind}") from None
    return str(value)


def uri(base: str, name: str, row: Row) -> str:
    keys = KEYS[name]
    said = {key: f"'{quote(row[key])}'" if isinstance(row[key], str) else str(row[key]) for key in keys}
    inner = said[keys[0]] if len(keys) == 1 else ",".join(f"{key}={value}" for key, value in said.items())
    return f"{base}{name}({inner})"


def etag(row: Row) -> str:
    return f'W/"{row["@"]}"'


def json_entry(base: str, name: str, row: Row, select: list[str], expand: dict[str, list[Row]]) -> Row:
    metadata = {"uri": uri(base, name, row), "type": f"SHOP.{name[:-1]}", "etag": etag(row)}
    said = {each: as_json(row.get(each)) for each in TYPES[name] if not select or each in select}
    links: Row = {link: {"__deferred": {"uri": f"{metadata['uri']}/{link}"}} for link in LINKS[name]}
    for link, rows in expand.items():
        target = LINKS[name][link][0]
        links[link] = {"results": [json_entry(base, target, each, [], {}) for each in rows]}
    return {"__metadata": metadata, **said, **links}


# -- Atom


def atom_entry(base: str, name: str, row: Row, select: list[str], expand: dict[str, list[Row]]) -> ElementTree.Element:
    entry = ElementTree.Element(f"{{{ATOM}}}entry", {f"{{{M}}}etag": etag(row)})
    ElementTree.SubElement(entry, f"{{{ATOM}}}id").text = uri(base, name, row)
    ElementTree.SubElement(entry, f"{{{ATOM}}}category", term=f"SHOP.{name[:-1]}", scheme="x")
    for link in LINKS[name]:
        made = ElementTree.SubElement(entry, f"{{{ATOM}}}link", rel=RELATED + link, title=link, href="…")
        if link in expand:
            inline = ElementTree.SubElement(made, f"{{{M}}}inline")
            inline.append(atom_feed(base, LINKS[name][link][0], expand[link]))
    content = ElementTree.SubElement(entry, f"{{{ATOM}}}content", type="application/xml")
    properties = ElementTree.SubElement(content, f"{{{M}}}properties")
    for each, kind in TYPES[name].items():
        if not select or each in select:
            atom_property(properties, each, kind, row.get(each))
    return entry


def atom_property(parent: ElementTree.Element, name: str, kind: str, value: Any) -> None:
    element = ElementTree.SubElement(parent, f"{{{D}}}{name}")
    if kind != "Edm.String":
        element.set(f"{{{M}}}type", kind)
    if value is None:
        element.set(f"{{{M}}}null", "true")
    else:
        element.text = value.isoformat() if isinstance(value, dt.datetime) else str(as_json(value))
        element.text = element.text.lower() if isinstance(value, bool) else element.text


def atom_feed(base: str, name: str, rows: list[Row], **more: Any) -> ElementTree.Element:
    feed = ElementTree.Element(f"{{{ATOM}}}feed")
    if more.get("count") is not None:
        ElementTree.SubElement(feed, f"{{{M}}}count").text = str(more["count"])
    for row in rows:
        expand = {link: children[id(row)] for link, children in more.get("expand", {}).items()}
        feed.append(atom_entry(base, name, row, more.get("select", []), expand))
    if more.get("next"):
        ElementTree.SubElement(feed, f"{{{ATOM}}}link", rel="next", href=more["next"])
    return feed


def from_atom(name: str, content: bytes) -> tuple[Row, dict[str, list[Row]]]:
    """Return the entity in an entry, and those that are to be made with it."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as exc:
        raise Refusal(400, "/IWBEP/CM_MGW_RT/023", f"no entry: {exc}") from None
    found = root.find(f"{{{ATOM}}}content/{{{M}}}properties")
    if root.tag != f"{{{ATOM}}}entry" or found is None:
        raise Refusal(400, "/IWBEP/CM_MGW_RT/023", "no entry")
    values = {each.tag.partition("}")[2]: None if each.get(f"{{{M}}}null") else each.text or "" for each in found}
    deep = {}
    for link in root.iterfind(f"{{{ATOM}}}link"):
        entries = link.findall(f"{{{M}}}inline/{{{ATOM}}}feed/{{{ATOM}}}entry")
        target = link.get("rel", "").removeprefix(RELATED)
        deep[target] = [from_atom(target, ElementTree.tostring(entry))[0] for entry in entries]
    return from_json(name, values), deep


def from_body(name: str, kind: str, content: bytes) -> tuple[Row, dict[str, list[Row]]]:
    """Return the entity that was sent, and those that are to be made with it."""
    if "atom" in kind:
        return from_atom(name, content)
    try:
        values = json.loads(content)
    except ValueError as exc:
        raise Refusal(400, "/IWBEP/CM_MGW_RT/023", f"no JSON: {exc}") from None
    deep = {}
    for link in LINKS[name]:
        given = values.get(link)
        rows = given.get("results") if isinstance(given, dict) else given
        if isinstance(given, dict) and "__deferred" in given:
            raise Refusal(400, "/IWBEP/CM_MGW_RT/024", f"{link} is a link that was sent back")
        deep[link] = [from_json(LINKS[name][link][0], row) for row in rows or []]
    return from_json(name, values), deep
