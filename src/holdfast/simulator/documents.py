"""Metadata documents of objects, as ADT §12 draws them, and the small `asx` envelope.

Prefixes are literal on purpose: real clients match them as text (ADT §0).
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from holdfast.simulator.answers import XML_DECLARATION, Answer, attributes
from holdfast.simulator.clock import iso
from holdfast.simulator.kinds import CLASS, INTERFACE, MEDIA_PREFIX, PACKAGE, PROGRAM
from holdfast.simulator.repository import Text, WorkbenchObject

ADTCORE: Final = 'xmlns:adtcore="http://www.sap.com/adt/core"'
ATOM: Final = 'xmlns:atom="http://www.w3.org/2005/Atom"'
ABAPSOURCE: Final = 'xmlns:abapsource="http://www.sap.com/adt/abapsource"'
LOCK_RESULT2: Final = "application/vnd.sap.as+xml; charset=UTF-8; dataname=com.sap.adt.lock.result2"
REL: Final = "http://www.sap.com/adt/relations"


def asx(data: str, dataname: str | None = None, *, root: str = "DATA") -> Answer:
    """Return an `asx:abap` answer with this content below DATA."""
    text = (
        f'{XML_DECLARATION}<asx:abap xmlns:asx="http://www.sap.com/abapxml" version="1.0"><asx:values>'
        f"<{root}>{data}</{root}></asx:values></asx:abap>"
    )
    media = "application/vnd.sap.as+xml; charset=utf-8"
    return Answer(body=text.encode(), media=f"{media}; dataname={dataname}" if dataname else media)


def elements(values: Mapping[str, str]) -> str:
    """Return one element per value, empty ones included."""
    return "".join(f"<{name}>{escape(value)}</{name}>" if value else f"<{name}/>" for name, value in values.items())


def reference(target: WorkbenchObject) -> str:
    """Return the `adtcore:objectReference` of search results and work lists."""
    found = attributes(
        {
            "adtcore:uri": target.uri,
            "adtcore:type": target.type,
            "adtcore:name": target.name,
            "adtcore:packageName": target.package or None,
            "adtcore:description": target.description,
        }
    )
    return f"<adtcore:objectReference{found}/>"


def metadata(target: WorkbenchObject, version: str, *, system_id: str, language_version: str = "") -> str:
    """Return the metadata document of an object, without the XML declaration."""
    kind = target.kind
    body = _links(target, version) + _package(target.package) + _syntax()
    extra: dict[str, str | None] = {}
    names = f"{ADTCORE} {ATOM} {ABAPSOURCE}"
    if kind is CLASS:
        names += ' xmlns:abapoo="http://www.sap.com/adt/oo"'
        extra = _class_flags(target, version)
        body += "".join(_class_include(target, part, version) for part in _CLASS_ORDER if part in target.parts)
    elif kind is INTERFACE:
        names += ' xmlns:abapoo="http://www.sap.com/adt/oo"'
        extra = {"abapoo:modeled": "false", "abapsource:sourceUri": "source/main"}
    elif kind is PROGRAM:
        extra = {"program:lockedByEditor": "false", "program:programType": "executableProgram"}
        extra["abapsource:sourceUri"] = "source/main"
    elif kind is PACKAGE:
        body = _package_content(target)
    extra["adtcore:abapLanguageVersion"] = language_version or None
    common = _common(target, version, system_id)
    return (
        f'<{kind.root} xmlns:{kind.prefix}="{kind.namespace}" {names}{attributes(extra | common)}>{body}</{kind.root}>'
    )


def version_of(target: WorkbenchObject, version: str) -> str:
    """Return `active` or `inactive`: the version a reader gets who asks for this one."""
    return "inactive" if version != "active" and target.inactive_parts else "active"


def _common(target: WorkbenchObject, version: str, system_id: str) -> dict[str, str | None]:
    change = target.last_change(version)
    changed_at = change.changed_at if change else target.created_at
    return {
        "adtcore:responsible": target.responsible,
        "adtcore:masterLanguage": target.language,
        "adtcore:masterSystem": system_id,
        "adtcore:name": target.name,
        "adtcore:type": target.type,
        "adtcore:changedAt": iso(changed_at),
        "adtcore:version": version_of(target, version),
        "adtcore:createdAt": iso(target.created_at),
        "adtcore:changedBy": change.changed_by if change else target.responsible,
        "adtcore:createdBy": target.responsible,
        "adtcore:description": target.description,
        "adtcore:descriptionTextLimit": str(target.kind.description_limit),
        "adtcore:language": target.language,
    }


_CLASS_ORDER: Final = ("definitions", "implementations", "macros", "testclasses", "main")
_CLASS_HEAD: Final = re.compile(r"^\s*CLASS\s+\S+\s+DEFINITION\b([^.]*)\.", re.IGNORECASE | re.MULTILINE)


def class_additions(source: str) -> frozenset[str]:
    """Return the words after CLASS … DEFINITION in upper case, such as FINAL and ABSTRACT."""
    head = _CLASS_HEAD.search(source)
    return frozenset(head[1].upper().split()) if head is not None else frozenset()


def _class_flags(target: WorkbenchObject, version: str) -> dict[str, str | None]:
    text = target.parts["main"].read(version)
    words = class_additions(text.source if text is not None else "")
    return {
        "class:final": "true" if "FINAL" in words else "false",
        "class:abstract": "true" if "ABSTRACT" in words else "false",
        "class:visibility": "public",
        "class:category": "generalObjectType",
        "class:sharedMemoryEnabled": "true" if "SHARED" in words else "false",
        "abapoo:modeled": "false",
        "abapsource:fixPointArithmetic": "true",
        "abapsource:activeUnicodeCheck": "true",
    }


def link(href: str, rel: str, **more: str | None) -> str:
    """Return one `atom:link`."""
    return f"<atom:link{attributes({'href': href, 'rel': rel} | more)}/>"


def _links(target: WorkbenchObject, version: str) -> str:
    links = link("objectstructure", f"{REL}/objectstructure", type="application/vnd.sap.adt.objectstructure.v2+xml")
    if target.kind is not CLASS:
        links += _source_links(target, "main", "source/main", version)
    links += link(f"{target.uri}/transports", f"{REL}/transport", type=LOCK_RESULT2, title="Related Transport Requests")
    gui = target.type.replace("/", "").lower()
    href = f"/sap/bc/adt/vit/wb/object_type/{gui}/object_name/{target.name.lower()}"
    return links + link(href, "self", type="application/vnd.sap.sapgui", title="Representation in SAP Gui")


def _source_links(target: WorkbenchObject, part: str, href: str, version: str) -> str:
    etag = target.etag(part, version)
    return (
        link(f"{href}/versions", f"{REL}/versions", title="Historic versions")
        + link(href, f"{REL}/source", type="text/plain", etag=etag)
        + link(href, f"{REL}/source", type="text/html", etag=etag)
    )


def _class_include(target: WorkbenchObject, part: str, version: str) -> str:
    text: Text | None = target.parts[part].read(version)
    if text is None:
        return ""
    href = "source/main" if part == "main" else f"includes/{part}"
    values = attributes(
        {
            "class:includeType": part,
            "abapsource:sourceUri": href,
            "adtcore:name": target.inner_name(part),
            "adtcore:type": "CLAS/I",
            "adtcore:changedAt": iso(text.changed_at),
            "adtcore:version": "active" if text is target.parts[part].active else "inactive",
            "adtcore:createdAt": iso(target.created_at),
            "adtcore:changedBy": text.changed_by,
            "adtcore:createdBy": target.responsible,
        }
    )
    return f"<class:include{values}>{_source_links(target, part, href, version)}</class:include>"


def _package(name: str) -> str:
    uri = f"/sap/bc/adt/packages/{name.lower().replace('$', '%24')}"
    values = {"adtcore:uri": uri, "adtcore:type": "DEVC/K", "adtcore:name": name}
    return f"<adtcore:packageRef{attributes(values)}/>" if name else ""


def _syntax() -> str:
    href = "/sap/bc/adt/abapsource/parsers/rnd/grammar"
    grammar = link(href, f"{REL}/abapsource/parser", type="text/plain", title="Standard ABAP", etag="7581")
    return (
        "<abapsource:syntaxConfiguration><abapsource:language><abapsource:version>X</abapsource:version>"
        f"<abapsource:description>Standard ABAP</abapsource:description>{grammar}"
        "</abapsource:language></abapsource:syntaxConfiguration>"
    )


def _package_content(target: WorkbenchObject) -> str:
    return (
        '<pak:attributes pak:packageType="development" pak:isPackageTypeEditable="false" pak:isEncapsulated="false"'
        ' pak:recordChanges="false"/><pak:superPackage/><pak:applicationComponent pak:name=""/>'
        '<pak:transport><pak:softwareComponent pak:name="LOCAL"/><pak:transportLayer pak:name=""/></pak:transport>'
        "<pak:useAccesses/><pak:packageInterfaces/><pak:subPackages/>"
    )


def media_type(target: WorkbenchObject, accept: str) -> str:
    """Return the newest media type of the object's metadata that the Accept header names, else the newest."""
    low = accept.lower()
    return next((media for media in target.kind.media if media in low), target.kind.media[0])


STRUCTURE_MEDIA: Final = f"{MEDIA_PREFIX}objectstructure.v2+xml"
