"""The syntax check of repository objects: which sources it sees and how its messages are addressed."""

from holdfast.simulator.abap.checker import Finding, check
from holdfast.simulator.abap.classes import outline_of
from holdfast.simulator.abap.lexer import read
from holdfast.simulator.call import Call
from holdfast.simulator.kinds import INTERFACE, PACKAGE
from holdfast.simulator.repository import WorkbenchObject, normalised


def findings(
    call: Call, target: WorkbenchObject, version: str = "inactive", unsaved: dict[str, str] | None = None
) -> list[Finding]:
    """Check the object's sources in this version, `unsaved` texts in place of stored ones."""
    if target.kind is PACKAGE:
        return []
    read_parts = ((name, part.read(version) or part.read("inactive")) for name, part in target.parts.items())
    sources = {name: text.source for name, text in read_parts if text is not None}
    sources |= {part: normalised(text) for part, text in (unsaved or {}).items()}

    def interface_methods(name: str) -> frozenset[str] | None:
        found = call.system.repository.get(INTERFACE, name)
        text = found.parts["main"].read("") if found is not None else None
        if text is None:
            return None
        definition = outline_of(read(text.source)[0]).interfaces.get(name)
        return frozenset(definition.to_implement()) if definition is not None else None

    return check(target.type, target.name, sources, interface_methods=interface_methods)


def position(target: WorkbenchObject, finding: Finding) -> str:
    """Return the address of a finding with its `#start` fragment (ADT §12)."""
    start = f"{finding.line},{finding.column}"
    return f"{target.source_uri(finding.part)}#start={start};end={finding.line},{finding.end_column}"
