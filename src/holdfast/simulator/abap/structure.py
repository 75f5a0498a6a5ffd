"""The outline document of a class, interface or program (ADT §12: objectstructure)."""

from holdfast.simulator.abap.classes import Component, Definition, Implementation, outline_of
from holdfast.simulator.abap.lexer import Token, read
from holdfast.simulator.answers import attributes
from holdfast.simulator.documents import ADTCORE, ATOM, REL, link
from holdfast.simulator.repository import WorkbenchObject

ELEMENT = "abapsource:objectStructureElement"
TYPES = {
    ("CLAS/OC", "method"): "CLAS/OM",
    ("CLAS/OC", "attribute"): "CLAS/OA",
    ("CLAS/OC", "constant"): "CLAS/OA",
    ("CLAS/OC", "type"): "CLAS/OT",
    ("CLAS/OC", "event"): "CLAS/OE",
    ("INTF/OI", "method"): "INTF/IO",
    ("INTF/OI", "attribute"): "INTF/IA",
    ("INTF/OI", "constant"): "INTF/IA",
    ("INTF/OI", "type"): "INTF/IT",
    ("INTF/OI", "event"): "INTF/IE",
}


def structure_document(target: WorkbenchObject, version: str) -> str:
    """Return the outline of the object's main source, without the XML declaration."""
    text = target.parts["main"].read(version) if "main" in target.parts else None
    outline = outline_of(read(text.source if text else "")[0])
    names = outline.interfaces if target.type == "INTF/OI" else outline.definitions
    definition = names.get(target.name)
    implementation = outline.implementations.get(target.name)
    inner = ""
    if definition is not None:
        block = _span(target, definition.token.line, definition.token.column, definition.end, 0)
        inner += link(block, f"{REL}/source/definitionBlock")
        inner += "".join(_component(target, found, implementation) for found in definition.components)
    values = {"adtcore:name": target.name, "adtcore:type": target.type, "visibility": "public"}
    space = f'xmlns:abapsource="http://www.sap.com/adt/abapsource" {ADTCORE} {ATOM}'
    base = f'xml:base="{target.uri}"'
    return f"<{ELEMENT} {space} {base}{attributes(values | _flags(definition))}>{inner}</{ELEMENT}>"


def _flags(definition: Definition | None) -> dict[str, str | None]:
    if definition is None:
        return {}
    return {"abstract": "true" if definition.abstract else None, "final": "true" if definition.final else None}


def _component(target: WorkbenchObject, found: Component, built: Implementation | None) -> str:
    values: dict[str, str | None] = {
        "adtcore:name": found.name,
        "adtcore:type": TYPES.get((target.type, found.kind), target.type),
        "visibility": found.visibility,
        "level": "static" if found.static else "instance",
        "constant": "true" if found.kind == "constant" else None,
        "constructor": "true" if found.name in ("CONSTRUCTOR", "CLASS_CONSTRUCTOR") else None,
        "redefinition": "true" if found.redefinition else None,
        "testmethod": "true" if found.testing else None,
    }
    links = link(_token(target, found.token), f"{REL}/source/definitionIdentifier", type="text/plain")
    token = built.methods.get(found.name) if built is not None else None
    if built is not None and token is not None:
        links += link(_token(target, token), f"{REL}/source/implementationIdentifier", type="text/plain")
        block = _span(target, token.line, 0, built.ends.get(found.name, token.line), 0)
        links += link(block, f"{REL}/source/implementationBlock", type="text/plain")
    return f"<{ELEMENT}{attributes(values)}>{links}</{ELEMENT}>"


def _token(target: WorkbenchObject, token: Token) -> str:
    return _span(target, token.line, token.column, token.line, token.end)


def _span(target: WorkbenchObject, line: int, column: int, end_line: int, end_column: int) -> str:
    return f"{target.source_uri('main')}#start={line},{column};end={end_line},{end_column}"
