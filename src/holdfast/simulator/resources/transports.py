"""Whether a change needs a transport request (ADT §20). All packages here are local, so none does."""

from holdfast.simulator.answers import Answer
from holdfast.simulator.call import Call
from holdfast.simulator.documents import asx, elements
from holdfast.simulator.router import Resource
from holdfast.simulator.xmlin import read_xml


def routes() -> list[tuple[str, Resource]]:
    """Return the transport resources."""
    return [("/cts/transportchecks", Resource(POST=check))]


def check(call: Call) -> Answer:
    """Say that the object is local and nothing is recorded."""
    root = read_xml(call.body)
    asked = {tag: root.findtext(f".//{tag}") or "" for tag in ("DEVCLASS", "OPERATION", "URI")}
    found = call.system.repository.at_uri(asked["URI"])
    name = found[0].name if found else asked["URI"].rpartition("/")[2].upper()
    kind = found[0].type.partition("/")[0] if found else ""
    package = found[0].package if found else asked["DEVCLASS"].upper()
    data = {
        "PGMID": "R3TR",
        "OBJECT": kind,
        "OBJECTNAME": name,
        "OPERATION": asked["OPERATION"],
        "DEVCLASS": package,
        "CTEXT": "",
        "KORRFLAG": "",
        "AS4USER": call.user,
        "PDEVCLASS": "",
        "DLVUNIT": "LOCAL",
        "NAMESPACE": "",
        "RESULT": "S",
        "RECORDING": "",
        "EXISTING_REQ_ONLY": "",
        "MESSAGES": "",
        "REQUESTS": "",
        "LOCKS": "",
        "TADIRDEVC": package,
        "URI": asked["URI"],
    }
    return asx(elements(data), "com.sap.adt.transport.service.checkData")
