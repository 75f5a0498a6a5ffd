"""The deletion service of newer releases: no lock handle needed, refusals inside 200 (ADT §15)."""

from typing import Final
from xml.sax.saxutils import escape

from lxml import etree

from holdfast.simulator.answers import Answer, attributes, xml
from holdfast.simulator.call import Call
from holdfast.simulator.documents import ADTCORE
from holdfast.simulator.kinds import PACKAGE
from holdfast.simulator.repository import WorkbenchObject
from holdfast.simulator.router import Resource
from holdfast.simulator.xmlin import attribute, name, read_xml

NS: Final = f'xmlns:del="http://www.sap.com/adt/deletion" {ADTCORE}'
PREFIX: Final = "application/vnd.sap.adt.deletion"


def routes() -> list[tuple[str, Resource]]:
    """Return the deletion resources."""
    return [("/deletion/check", Resource(POST=check)), ("/deletion/delete", Resource(POST=delete))]


def check(call: Call) -> Answer:
    """Say for each object whether it can be deleted."""
    call.body_type(f"{PREFIX}.check.request.v1+xml")
    rows = ""
    for uri, target in _requested(call):
        problem = _problem(call, uri, target)
        rows += _row(uri, target, "isDeletable", problem, {"del:externalStrongReferences": "0"})
    return xml(f"<del:checkResponse {NS}>{rows}</del:checkResponse>", f"{PREFIX}.check.response.v1+xml")


def delete(call: Call) -> Answer:
    """Delete the objects that can be, and say for each."""
    call.body_type(f"{PREFIX}.request.v1+xml")
    rows = ""
    for uri, target in _requested(call):
        problem = _problem(call, uri, target)
        if call.refuse_deletion:
            problem = "Object cannot be deleted"
        if problem is None and target is not None:
            _remove(call, target)
        rows += _row(uri, target, "isDeleted", problem, {})
    return xml(f"<del:deletionResult {NS}>{rows}</del:deletionResult>", f"{PREFIX}.response.v1+xml")


def _remove(call: Call, target: WorkbenchObject) -> None:
    call.system.repository.delete(target)
    held = call.system.locks.get(target.key, call.now)
    if held is not None:
        call.system.locks.remove(held)


def _requested(call: Call) -> list[tuple[str, WorkbenchObject | None]]:
    found = []
    for element in read_xml(call.body).iter(name("del", "object")):
        uri = _uri(element)
        at = call.system.repository.at_uri(uri)
        found.append((uri, at[0] if at is not None else None))
    return found


def _uri(element: etree._Element) -> str:
    return attribute(element, "adtcore", "uri")


def _problem(call: Call, uri: str, target: WorkbenchObject | None) -> str | None:
    if target is None:
        return f"Object {uri.rpartition('/')[2]} does not exist"
    if target.kind is PACKAGE:
        inside = sum(1 for other in call.system.repository if other.package == target.name)
        return f"Package contains {inside} objects" if inside else None
    held = call.system.locks.get(target.key, call.now)
    if held is not None and held.owner != call.context.key:
        return f"User {held.user} is currently editing {target.name}"
    return None


def _row(uri: str, target: WorkbenchObject | None, word: str, problem: str | None, more: dict[str, str | None]) -> str:
    values: dict[str, str | None] = {f"del:{word}": "false" if problem else "true", "adtcore:uri": uri}
    if target is not None:
        values |= {"adtcore:type": target.type, "adtcore:name": target.name, "adtcore:packageName": target.package}
    text = f"<del:text>{escape(problem)}</del:text>" if problem else ""
    message = f'<del:message del:priority="1" del:type="E">{text}</del:message>' if problem else ""
    return f"<del:object{attributes(values | more)}>{message}</del:object>"
