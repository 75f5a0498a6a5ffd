"""Search, package contents, object types (ADT §16)."""

import re
from collections import Counter
from typing import Final

from holdfast.simulator.answers import Answer, adt_error, xml
from holdfast.simulator.call import Call
from holdfast.simulator.documents import ADTCORE, asx, elements, reference
from holdfast.simulator.kinds import KINDS, PACKAGE
from holdfast.simulator.repository import WorkbenchObject
from holdfast.simulator.router import Resource

TREE_DATANAME: Final = "com.sap.adt.RepositoryObjectTreeContent"
NAMED_ITEMS: Final = "application/vnd.sap.adt.nameditems.v1+xml"


def routes() -> list[tuple[str, Resource]]:
    """Return the resources of the information system."""
    return [
        ("/repository/informationsystem/search", Resource(GET=search)),
        ("/repository/informationsystem/objecttypes", Resource(GET=object_types)),
        ("/repository/nodestructure", Resource(POST=node_structure)),
    ]


def search(call: Call) -> Answer:
    """Objects by name pattern; `*` and `?` are wild, and a pattern without them is a beginning."""
    if call.query.get("operation", "quickSearch") != "quickSearch":
        raise adt_error(400, "ExceptionInvalidData", f"Unknown operation {call.query['operation']}")
    query = call.need("query").upper()
    pattern = _pattern(query if re.search("[*?]", query) else query + "*")
    wanted = call.query.get("objectType", "").upper()
    package = call.query.get("packageName", "").upper()
    limit = int(call.query["maxResults"]) if call.query.get("maxResults", "").isdecimal() else 100
    found = [
        target
        for target in sorted(call.system.repository, key=lambda target: (target.name, target.type))
        if pattern.fullmatch(target.name)
        and (not wanted or wanted in (target.type, target.type.partition("/")[0]))
        and (not package or target.package == package)
        and (call.system.profile.programs or target.type != "PROG/P")
    ]
    listed = "".join(reference(target) for target in found[:limit])
    return xml(f"<adtcore:objectReferences {ADTCORE}>{listed}</adtcore:objectReferences>")


def _pattern(query: str) -> re.Pattern[str]:
    return re.compile(re.escape(query).replace(r"\*", ".*").replace(r"\?", "."), re.IGNORECASE)


def object_types(call: Call) -> Answer:
    """The object types there are, as named items."""
    call.accept(NAMED_ITEMS, "application/xml")
    pattern = _pattern(call.query.get("name", "*").upper() or "*")
    items = "".join(
        f"<nameditem:namedItem><nameditem:name>{kind.type}</nameditem:name>"
        f"<nameditem:description>{kind.title}</nameditem:description>"
        f"<nameditem:data>type:{kind.type};usedBy:quick_search,virtual_folders</nameditem:data></nameditem:namedItem>"
        for kind in KINDS.values()
        if pattern.fullmatch(kind.type)
    )
    space = 'xmlns:nameditem="http://www.sap.com/adt/nameditem"'
    total = f"<nameditem:totalItemCount>{items.count('<nameditem:namedItem>')}</nameditem:totalItemCount>"
    return xml(f"<nameditem:namedItemList {space}>{total}{items}</nameditem:namedItemList>", NAMED_ITEMS)


def node_structure(call: Call) -> Answer:
    """What a package holds, grouped by type."""
    parent = call.query.get("parent_name", "").upper()
    below: list[WorkbenchObject] = []
    if call.query.get("parent_type", "DEVC/K") == "DEVC/K":
        below = [target for target in call.system.repository if target.package == parent and target.name != parent]
        if not parent:
            below = [target for target in call.system.repository if target.kind is PACKAGE]
    below.sort(key=lambda target: (target.type, target.name))
    nodes = "".join(_node(target, parent) for target in below)
    counts = Counter(target.type for target in below)
    types = "".join(_type_row(number, kind) for number, kind in enumerate(counts, 1))
    category = elements({"CATEGORY": "source_library", "CATEGORY_LABEL": "Source Code Library"})
    data = (
        f"<TREE_CONTENT>{nodes}</TREE_CONTENT>"
        f"<CATEGORIES><SEU_ADT_OBJECT_CATEGORY_INFO>{category}</SEU_ADT_OBJECT_CATEGORY_INFO></CATEGORIES>"
        f"<OBJECT_TYPES>{types}</OBJECT_TYPES>"
    )
    return asx(data, TREE_DATANAME)


def _node(target: WorkbenchObject, parent: str) -> str:
    row = elements(
        {
            "OBJECT_TYPE": target.type,
            "OBJECT_NAME": target.name,
            "TECH_NAME": target.name,
            "OBJECT_URI": target.uri,
            "OBJECT_VIT_URI": f"/sap/bc/adt/vit/wb/object_type/{target.type[:4].lower()}/object_name/{target.name}",
            "EXPANDABLE": "X",
            "VISIBILITY": "",
            "NODE_ID": "",
            "PARENT_NAME": parent,
            "DESCRIPTION": target.description,
            "DESCRIPTION_TYPE": "",
        }
    )
    return f"<SEU_ADT_REPOSITORY_OBJ_NODE>{row}</SEU_ADT_REPOSITORY_OBJ_NODE>"


def _type_row(number: int, kind: str) -> str:
    row = elements(
        {
            "OBJECT_TYPE": kind,
            "CATEGORY_TAG": "source_library",
            "OBJECT_TYPE_LABEL": KINDS[kind].title,
            "NODE_ID": f"{number:06}",
        }
    )
    return f"<SEU_ADT_OBJECT_TYPE_INFO>{row}</SEU_ADT_OBJECT_TYPE_INFO>"
