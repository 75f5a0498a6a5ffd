"""Activation and the list of inactive objects (ADT §14). Refusals are answers with status 200."""

from typing import Final
from xml.sax.saxutils import escape

from holdfast.simulator.abap.checker import Finding
from holdfast.simulator.abap.lexer import read
from holdfast.simulator.answers import Answer, adt_error, attributes, xml
from holdfast.simulator.call import Call
from holdfast.simulator.documents import ADTCORE, reference
from holdfast.simulator.repository import WorkbenchObject
from holdfast.simulator.resources.locks import currently_editing
from holdfast.simulator.resources.syntax import findings, position
from holdfast.simulator.router import Resource
from holdfast.simulator.xmlin import attribute, name, read_xml

INACTIVE_MEDIA: Final = "application/vnd.sap.adt.inactivectsobjects.v1+xml"
INACTIVE_NS: Final = 'xmlns:ioc="http://www.sap.com/abapxml/inactiveCtsObjects"'
PART_TYPES: Final = {
    "definitions": "CLAS/OCN/definitions",
    "implementations": "CLAS/OCN/implementations",
    "macros": "CLAS/OCN/macros",
    "testclasses": "CLAS/OCN/testclasses",
}


def routes() -> list[tuple[str, Resource]]:
    """Return the activation resources."""
    return [
        ("/activation", Resource(POST=activate)),
        ("/activation/inactiveobjects", Resource(GET=inactive_objects)),
    ]


def activate(call: Call) -> Answer:
    """Activate all objects of the body, or none and say why."""
    call.body_type("application/vnd.sap.adt.activation+xml")
    if call.query.get("method", "activate") != "activate":
        raise adt_error(400, "ExceptionInvalidData", f"Unknown method {call.query['method']}")
    targets, messages = _requested(call)
    if not messages:
        others = _left_behind(call, targets) if call.query.get("preauditRequested") == "true" else []
        if others:
            return _inactive_document(call, [*targets, *others])
        messages = _locked(call, targets) or _syntax(call, targets)
    if call.refuse_activation:
        messages = [_message("", "E", "Activation was cancelled", 1, "")]
    activated = not messages and any(target.inactive_parts for target in targets)
    if activated:
        call.system.repository.activate(targets, user=call.user, now=call.now)
        if call.system.switches.empty_activation_answer:
            return Answer()
    return _result(messages, activated=activated)


def _requested(call: Call) -> tuple[list[WorkbenchObject], list[str]]:
    targets: dict[str, WorkbenchObject] = {}
    messages = []
    for element in read_xml(call.body).iter(name("adtcore", "objectReference")):
        uri = attribute(element, "adtcore", "uri")
        found = call.system.repository.at_uri(uri)
        if found is None:
            wanted = attribute(element, "adtcore", "name") or uri
            messages.append(_message(wanted, "E", f"Object {wanted} does not exist", 1, uri))
        else:
            targets[found[0].uri] = found[0]
    return list(targets.values()), messages


def _left_behind(call: Call, targets: list[WorkbenchObject]) -> list[WorkbenchObject]:
    """Return inactive objects of the user that the sources to activate name, but the request does not."""
    candidates = {
        target.name: target
        for target in call.system.repository
        if target.inactive_parts and target not in targets and _changed_by(target, call.user)
    }
    if not candidates:
        return []
    used: set[str] = set()
    for target in targets:
        for part in target.parts.values():
            text = part.read("inactive")
            statements = read(text.source)[0] if text is not None else []
            used |= {piece for s in statements for word in s.words for piece in _names(word)}
    return [target for found, target in candidates.items() if found in used]


def _names(word: str) -> list[str]:
    return word.replace("=>", " ").replace("->", " ").replace("~", " ").split()


def _changed_by(target: WorkbenchObject, user: str) -> bool:
    change = target.last_change()
    return change is not None and change.changed_by == user


def _locked(call: Call, targets: list[WorkbenchObject]) -> list[str]:
    """Return messages for objects that another context is editing."""
    messages = []
    for target in targets:
        held = call.system.locks.get(target.key, call.now)
        if held is None or held.owner == call.context.key:
            continue
        if call.system.switches.locked_activation == "403":
            raise currently_editing(held, target.name)
        text = f"User {held.user} is currently editing {target.name}"
        messages.append(_message(_described(target), "E", text, 1, target.uri))
    return messages


def _syntax(call: Call, targets: list[WorkbenchObject]) -> list[str]:
    messages = []
    for target in targets:
        if target.inactive_parts:
            errors = [found for found in findings(call, target) if found.severity == "E"]
            messages += [_finding(target, found) for found in errors]
    return messages


def _finding(target: WorkbenchObject, found: Finding) -> str:
    return _message(_described(target), "E", found.text, found.line, position(target, found))


def _described(target: WorkbenchObject) -> str:
    return f"{target.kind.lock_word.capitalize().replace('Include', 'Program')} {target.name}"


def _message(described: str, severity: str, text: str, line: int, href: str) -> str:
    values = {"objDescr": described, "type": severity, "line": str(line), "href": href, "forceSupported": "true"}
    return f"<msg{attributes(values)}><shortText><txt>{escape(text)}</txt></shortText></msg>"


def _result(messages: list[str], *, activated: bool) -> Answer:
    done = "true" if activated else "false"
    properties = f'<chkl:properties checkExecuted="true" activationExecuted="{done}" generationExecuted="{done}"/>'
    space = 'xmlns:chkl="http://www.sap.com/abapxml/checklist"'
    return xml(f"<chkl:messages {space}>{properties}{''.join(messages)}</chkl:messages>")


def inactive_objects(call: Call) -> Answer:
    """Inactive objects of the caller, or of the user asked for."""
    call.accept(INACTIVE_MEDIA, "application/xml")
    user = call.query.get("USERNAME", call.user).upper()
    found = [target for target in call.system.repository if target.inactive_parts and _changed_by(target, user)]
    if call.system.profile.flat_inactive_objects:
        listed = "".join(reference(target) for target in found)
        return xml(f"<adtcore:objectReferences {ADTCORE}>{listed}</adtcore:objectReferences>")
    return _inactive_document(call, found)


def _inactive_document(call: Call, targets: list[WorkbenchObject]) -> Answer:
    entries = "".join(_entries(target, call.user) for target in targets)
    text = f"<ioc:inactiveObjects {INACTIVE_NS} {ADTCORE}>{entries}</ioc:inactiveObjects>"
    return xml(text, INACTIVE_MEDIA)


def _entries(target: WorkbenchObject, user: str) -> str:
    rows = [(target.uri, target.type, target.name, "")]
    parts = [part for part in target.inactive_parts if part in PART_TYPES]
    rows += [(target.source_uri(part), PART_TYPES[part], target.name, target.uri) for part in parts]
    return "".join(_entry(row, target, user) for row in rows)


def _entry(row: tuple[str, str, str, str], target: WorkbenchObject, user: str) -> str:
    uri, kind, called, parent = row
    change = target.last_change()
    values = {
        "adtcore:uri": uri,
        "adtcore:type": kind,
        "adtcore:name": called,
        "adtcore:parentUri": parent or None,
        "adtcore:description": target.description,
    }
    by = attributes({"ioc:user": change.changed_by if change else user, "ioc:deleted": "false"})
    return f"<ioc:entry><ioc:object{by}><ioc:ref{attributes(values)}/></ioc:object></ioc:entry>"
