"""Check runs and name validation (ADT §10, §13)."""

import base64
import binascii

from lxml import etree

from holdfast.simulator.abap.checker import Finding
from holdfast.simulator.answers import Answer, adt_error, attributes, invalid_data, xml
from holdfast.simulator.call import Call
from holdfast.simulator.documents import ATOM, asx, elements
from holdfast.simulator.kinds import CLASS, INTERFACE, KINDS, PACKAGE, PROGRAM, Kind
from holdfast.simulator.naming import name_problem, package_problem, taken
from holdfast.simulator.profiles import Profile
from holdfast.simulator.repository import WorkbenchObject
from holdfast.simulator.resources.syntax import findings, position
from holdfast.simulator.router import Resource
from holdfast.simulator.xmlin import attribute, name, read_xml

CHECK_NS = 'xmlns:chkrun="http://www.sap.com/adt/checkrun"'
CHECK_MESSAGES = "application/vnd.sap.adt.checkmessages+xml"
REPORTER = "abapCheckRun"


def routes(profile: Profile) -> list[tuple[str, Resource]]:
    """Return the check and validation resources."""
    found = [
        ("/checkruns", Resource(POST=run_checks)),
        ("/checkruns/reporters", Resource(GET=reporters)),
        ("/oo/validation/objectname", Resource(POST=validate_class_or_interface)),
        ("/packages/validation", Resource(POST=lambda call: _validate(call, PACKAGE))),
    ]
    if profile.programs:
        found.append(("/programs/validation", Resource(POST=lambda call: _validate(call, PROGRAM))))
    return found


def run_checks(call: Call) -> Answer:
    """Check stored or unsaved sources and report what was found."""
    call.accept(CHECK_MESSAGES, "application/xml")
    call.body_type("application/vnd.sap.adt.checkobjects+xml")
    wanted = call.query.get("reporters", REPORTER).split(",")
    reports = ""
    if REPORTER in wanted:
        reports = "".join(_report(call, found) for found in read_xml(call.body).iter(name("chkrun", "checkObject")))
    return xml(f"<chkrun:checkRunReports {CHECK_NS}>{reports}</chkrun:checkRunReports>", CHECK_MESSAGES)


def _report(call: Call, requested: etree._Element) -> str:
    uri = attribute(requested, "adtcore", "uri")
    found = call.system.repository.at_uri(uri)
    messages, status = "", f"Object {uri.rpartition('/')[2]} has been checked"
    if found is None:
        status = f"Object {uri} does not exist"
    else:
        unsaved = _artifacts(call, requested, found)
        version = attribute(requested, "chkrun", "version") or "active"
        messages = "".join(_message(found[0], entry) for entry in findings(call, found[0], version, unsaved))
    word = "checkMessages" if call.system.profile.legacy_check_messages else "checkMessageList"
    values = {
        "chkrun:reporter": REPORTER,
        "chkrun:triggeringUri": uri,
        "chkrun:status": "processed" if found else "notProcessed",
        "chkrun:statusText": status,
    }
    listed = f"<chkrun:{word}>{messages}</chkrun:{word}>" if messages else f"<chkrun:{word}/>"
    return f"<chkrun:checkReport{attributes(values)}>{listed}</chkrun:checkReport>"


def _artifacts(call: Call, requested: etree._Element, checked: tuple[WorkbenchObject, str]) -> dict[str, str]:
    """Return the unsaved texts sent along, by part. Clients put the source's address here or there (ADT §13)."""
    unsaved: dict[str, str] = {}
    for artifact in requested.iter(name("chkrun", "artifact")):
        content = artifact.findtext(name("chkrun", "content")) or ""
        at = call.system.repository.at_uri(attribute(artifact, "chkrun", "uri"))
        part = at[1] if at is not None and at[1] != "main" else checked[1]
        try:
            unsaved[part] = base64.b64decode(content, validate=False).decode()
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise invalid_data("The content of an artifact is not base64 of UTF-8", "chkrun:content") from exc
    return unsaved


def _message(target: WorkbenchObject, finding: Finding) -> str:
    values = {
        "chkrun:uri": position(target, finding),
        "chkrun:type": finding.severity,
        "chkrun:shortText": finding.text,
        "chkrun:category": "S",
        "chkrun:code": "MESSAGE(GXX)",
    }
    return f"<chkrun:checkMessage{attributes(values)}/>"


def reporters(call: Call) -> Answer:
    """Which checks there are."""
    call.accept("application/vnd.sap.adt.reporters+xml", "application/xml")
    types = "".join(f"<chkrun:supportedType>{kind[:4]}*</chkrun:supportedType>" for kind in KINDS)
    one = f'<chkrun:reporter chkrun:name="{REPORTER}">{types}</chkrun:reporter>'
    return xml(f"<chkrun:checkReporters {CHECK_NS} {ATOM}>{one}</chkrun:checkReporters>")


def validate_class_or_interface(call: Call) -> Answer:
    """Say whether a class or interface of this name can be created."""
    return _validate(call, INTERFACE if call.query.get("objtype", "").startswith("INTF") else CLASS)


def _validate(call: Call, kind: Kind) -> Answer:
    call.accept("application/vnd.sap.as+xml", "application/xml")
    wanted = call.need("objname").upper()
    repository = call.system.repository
    impossible = name_problem(kind, wanted)
    if impossible and call.system.switches.invalid_name_status == 400:
        raise adt_error(400, "ExceptionInvalidData", impossible)
    package = call.query.get("packagename", "").upper()
    problem = impossible or taken(repository, kind, wanted) or (package and package_problem(repository, package))
    if problem:
        return asx(elements({"SEVERITY": "ERROR", "SHORT_TEXT": problem, "LONG_TEXT": ""}))
    if kind in (CLASS, INTERFACE):
        return asx(elements({"CHECK_RESULT": "X"}), "com.sap.adt.oo.clifname.check")
    return asx(elements({"SEVERITY": "OK", "SHORT_TEXT": "", "LONG_TEXT": ""}))
