"""What ADT answers, as values: one reader per document (ADT §7, §10, §12-§16). Bytes in, values out."""

from collections.abc import Sequence
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from holdfast.adt.xml import Element, attribute, attributes, each, first_text, local, parse
from holdfast.errors import BackendError

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[dict[str, Severity]] = {"E": "error", "A": "error", "X": "error", "ERROR": "error"}
WARNINGS: Final = ("W", "WARNING")


class Message(TypedDict):
    """A finding about an object."""

    severity: Severity
    text: str
    uri: NotRequired[str]
    line: NotRequired[int]
    column: NotRequired[int]


class ObjectReference(TypedDict):
    """An object as lists name it."""

    type: str
    name: str
    uri: str
    package: NotRequired[str]
    description: NotRequired[str]


class LockResult(msgspec.Struct, frozen=True):
    """What LOCK answers. `handle` is a secret; `transport` is the request already holding the object, else empty."""

    handle: str
    transport: str = ""
    local: bool = True


def message(severity: str, text: str, uri: str = "", line: str = "") -> Message:
    """Return a message; the position is read from the fragment of `uri` (`#start=line,column`) or from `line`."""
    level: Severity = "warning" if severity.upper() in WARNINGS else SEVERITIES.get(severity.upper(), "info")
    found: Message = {"severity": level, "text": text.strip()}
    address, _, fragment = uri.partition("#")
    start = fragment.partition("start=")[2].partition(";")[0]
    at_line, _, column = start.partition(",")
    if address:
        found["uri"] = address
    if (at_line or line).isdigit():
        found["line"] = int(at_line or line)
    if column.isdigit():
        found["column"] = int(column)
    return found


def has_errors(messages: Sequence[Message]) -> bool:
    """Say whether one of the findings is an error."""
    return any(found["severity"] == "error" for found in messages)


def read_lock(body: bytes) -> LockResult:
    """Read the answer to LOCK (ADT §7.1)."""
    root = parse(body, "LOCK")
    handle = first_text(root, "LOCK_HANDLE")
    if not handle:
        raise BackendError("the back end's answer to LOCK has no lock handle")
    return LockResult(handle, first_text(root, "CORRNR"), first_text(root, "IS_LOCAL") == "X")


def read_validation(body: bytes) -> list[Message]:
    """Read the answer to a validation: no message means that the name can be used (ADT §10)."""
    root = parse(body, "the validation")
    severity = first_text(root, "SEVERITY")
    if first_text(root, "CHECK_RESULT") == "X" or severity in ("", "OK"):
        return []
    return [message(severity, first_text(root, "SHORT_TEXT") or first_text(root, "LONG_TEXT"))]


def read_check(body: bytes) -> list[Message]:
    """Read the reports of a check run, of new and of old releases (ADT §13)."""
    root = parse(body, "the check")
    not_done = [report for report in each(root, "checkReport") if attribute(report, "status") not in ("processed", "")]
    found = [_check_message(element) for element in each(root, "checkMessage")]
    return found + [message("E", attribute(report, "statusText")) for report in not_done]


class ActivationResult(msgspec.Struct, frozen=True):
    """What activation did. `others` are objects that would have to be activated too."""

    executed: bool
    messages: list[Message]
    others: list[ObjectReference] = []


def read_activation(body: bytes) -> ActivationResult:
    """Read the answer to an activation, which is a 200 also when it refuses (ADT §14)."""
    if not body.strip():
        return ActivationResult(True, [])
    root = parse(body, "the activation")
    if local(root) == "inactiveObjects":
        others = _references(root)
        text = "further objects are inactive and have to be activated too: " + ", ".join(o["name"] for o in others)
        return ActivationResult(False, [message("E", text)], others)
    messages = [_activation_message(element) for element in each(root, "msg")]
    executed = next((attribute(e, "activationExecuted") for e in each(root, "properties")), "true") == "true"
    return ActivationResult(executed and not has_errors(messages), messages)


def read_deletion(body: bytes) -> tuple[bool, list[Message]]:
    """Read the answer of the deletion service; refusals come inside 200 (ADT §15)."""
    root = parse(body, "the deletion")
    rows = list(each(root, "object"))
    texts = [message("E", first_text(row, "text")) for row in rows if attribute(row, "isDeleted") != "true"]
    return bool(rows) and not texts, texts


def read_references(body: bytes, what: str) -> list[ObjectReference]:
    """Read search results or inactive objects, in the nested and in the flat form (ADT §14, §16)."""
    return _references(parse(body, what)) if body.strip() else []


def read_properties(body: bytes) -> dict[str, str]:
    """Read the properties of an object from its metadata, by local name, with `package` beside them (ADT §12)."""
    root = parse(body, "the properties")
    package = next((attribute(element, "name") for element in each(root, "packageRef")), "")
    return attributes(root) | ({"package": package} if package else {})


def _check_message(element: Element) -> Message:
    return message(attribute(element, "type"), attribute(element, "shortText"), attribute(element, "uri"))


def _activation_message(element: Element) -> Message:
    text = first_text(element, "txt") or first_text(element, "shortText") or attribute(element, "objDescr")
    return message(attribute(element, "type"), text, attribute(element, "href"), attribute(element, "line"))


def _references(root: Element) -> list[ObjectReference]:
    found = [e for e in root.iter() if local(e) in ("objectReference", "ref") and attribute(e, "name")]
    objects = {(attribute(e, "type"), attribute(e, "name")): _reference(e) for e in found if not _is_transport(e)}
    return list(objects.values())


def _is_transport(element: Element) -> bool:
    above = element.getparent()
    return above is not None and local(above) == "transport"


def _reference(element: Element) -> ObjectReference:
    values = attributes(element)
    found: ObjectReference = {"type": values.get("type", ""), "name": values["name"], "uri": values.get("uri", "")}
    if values.get("packageName"):
        found["package"] = values["packageName"]
    if values.get("description"):
        found["description"] = values["description"]
    return found
