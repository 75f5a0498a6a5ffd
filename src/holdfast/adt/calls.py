"""The requests of ADT, one function each: values in, `Call` out (ADT §7, §10-§16)."""

import base64
from typing import Final

from holdfast.adt.door import STATEFUL, STATELESS
from holdfast.adt.types import ADT, MEDIA, ObjectType
from holdfast.adt.xml import add, build, serialise, set_all
from holdfast.backend.wire import Call

TEXT: Final = "text/plain; charset=utf-8"
ASX: Final = "application/vnd.sap.as+xml"
LOCK_ACCEPT: Final = (
    f"{ASX};charset=UTF-8;dataname=com.sap.adt.lock.result;q=0.8, "
    f"{ASX};charset=UTF-8;dataname=com.sap.adt.lock.result2;q=0.9"
)
INACTIVE_MEDIA: Final = f"{MEDIA}inactivectsobjects.v1+xml, application/xml;q=0.5"
MOST_HITS: Final = 500


def validate(kind: ObjectType, name: str, *, description: str, package: str) -> Call:
    """Ask whether an object of this name can be created."""
    query = {"objtype": kind.type, "objname": name, "description": description, "packagename": package}
    headers = {"accept": f"{kind.validation_media}, {ASX};q=0.9", **STATELESS}
    return Call(method="POST", path=kind.validation, query=query, headers=headers)


def create(
    kind: ObjectType, name: str, *, description: str, package: str, responsible: str, language: str, transport: str
) -> Call:
    """Create an object, inactive and empty but for what the server puts in. Without `responsible` it is for a cloud."""
    prefix = kind.root.partition(":")[0]
    root = build(kind.root, also={prefix: kind.namespace})
    values = {
        "adtcore:name": name,
        "adtcore:type": kind.type,
        "adtcore:description": description,
        "adtcore:language": language,
        "adtcore:masterLanguage": language,
    }
    cloud = {"adtcore:abapLanguageVersion": "cloudDevelopment"}
    set_all(root, values | ({"adtcore:responsible": responsible} if responsible else cloud))
    add(root, "adtcore:packageRef", {"adtcore:name": package})
    headers = {"accept": "*/*", "content-type": "application/*", **STATELESS}
    query = {"corrNr": transport} if transport else {}
    return Call(method="POST", path=kind.collection, query=query, headers=headers, body=serialise(root))


def read_source(kind: ObjectType, name: str, *, version: str, part: str, stateful: bool = False) -> Call:
    """Read one source of an object; `version` is `active`, `inactive`, or empty for the newest."""
    headers = {"accept": "text/plain", **(STATEFUL if stateful else STATELESS)}
    query = {"version": version} if version else {}
    return Call(method="GET", path=kind.source_path(name, part), query=query, headers=headers)


def read_properties(kind: ObjectType, name: str, *, version: str) -> Call:
    """Read an object's metadata."""
    weights = (f"{media};q={1 - place / 10:.1f}" for place, media in enumerate(kind.media))
    headers = {"accept": ", ".join((*weights, "application/*;q=0.1")), **STATELESS}
    return Call(method="GET", path=kind.path(name), query={"version": version} if version else {}, headers=headers)


def lock(kind: ObjectType, name: str) -> Call:
    """Lock an object for the context the request runs in."""
    headers = {"accept": LOCK_ACCEPT, **STATEFUL}
    return Call(method="POST", path=kind.path(name), query={"_action": "LOCK", "accessMode": "MODIFY"}, headers=headers)


def unlock(kind: ObjectType, name: str, handle: str) -> Call:
    """Release a lock. The handle is encoded once, whatever symbols it has (ADT §7.2)."""
    query = {"_action": "UNLOCK", "lockHandle": handle}
    return Call(method="POST", path=kind.path(name), query=query, headers={"accept": "*/*", **STATEFUL})


def write_source(kind: ObjectType, name: str, *, part: str, source: bytes, handle: str, transport: str) -> Call:
    """Write one source; it becomes the inactive version."""
    query = {"lockHandle": handle} | ({"corrNr": transport} if transport else {})
    headers = {"accept": "*/*", "content-type": TEXT, **STATEFUL}
    return Call(method="PUT", path=kind.source_path(name, part), query=query, headers=headers, body=source)


def check(kind: ObjectType, name: str, *, version: str, part: str, source: bytes | None) -> Call:
    """Check the stored source, or the text given as that part's source."""
    root = build("chkrun:checkObjectList", prefixes=("chkrun", "adtcore"))
    values = {"adtcore:uri": kind.path(name), "chkrun:version": version}
    checked = add(root, "chkrun:checkObject", values)
    if source is not None:
        artifacts = add(checked, "chkrun:artifacts")
        values = {"chkrun:contentType": TEXT, "chkrun:uri": kind.source_path(name, part)}
        add(add(artifacts, "chkrun:artifact", values), "chkrun:content", text=base64.b64encode(source).decode())
    headers = {
        "accept": f"{MEDIA}checkmessages+xml",
        "content-type": f"{MEDIA}checkobjects+xml",
        **STATELESS,
    }
    query = {"reporters": "abapCheckRun"}
    return Call(method="POST", path=f"{ADT}/checkruns", query=query, headers=headers, body=serialise(root))


def activate(kind: ObjectType, name: str) -> Call:
    """Activate an object with all its parts, and nothing else."""
    root = build("adtcore:objectReferences")
    add(root, "adtcore:objectReference", {"adtcore:uri": kind.path(name), "adtcore:name": name})
    headers = {"accept": "application/xml", "content-type": "application/xml", **STATELESS}
    query = {"method": "activate", "preauditRequested": "false"}
    return Call(method="POST", path=f"{ADT}/activation", query=query, headers=headers, body=serialise(root))


def inactive_objects() -> Call:
    """List what is inactive of this user's."""
    headers = {"accept": INACTIVE_MEDIA, **STATELESS}
    return Call(method="GET", path=f"{ADT}/activation/inactiveobjects", headers=headers)


def delete(kind: ObjectType, name: str, *, transport: str) -> Call:
    """Delete an object through the deletion service, which needs no lock handle (ADT §15)."""
    root = build("del:deletionRequest", prefixes=("del", "adtcore"))
    row = add(root, "del:object", {"adtcore:uri": kind.path(name)})
    add(row, "del:transportNumber", text=transport)
    headers = {
        "accept": f"{MEDIA}deletion.response.v1+xml",
        "content-type": f"{MEDIA}deletion.request.v1+xml",
        **STATELESS,
    }
    return Call(method="POST", path=f"{ADT}/deletion/delete", headers=headers, body=serialise(root))


def delete_locked(kind: ObjectType, name: str, *, handle: str, transport: str) -> Call:
    """Delete a locked object, as releases without the deletion service want it."""
    query = {"lockHandle": handle} | ({"corrNr": transport} if transport else {})
    return Call(method="DELETE", path=kind.path(name), query=query, headers={"accept": "*/*", **STATEFUL})


def search(query: str, *, object_type: str, package: str, most: int) -> Call:
    """Search objects by a name pattern."""
    values = {"operation": "quickSearch", "query": query, "maxResults": str(min(most, MOST_HITS))}
    more = {"objectType": object_type, "packageName": package}
    values |= {name: value for name, value in more.items() if value}
    path = f"{ADT}/repository/informationsystem/search"
    return Call(method="GET", path=path, query=values, headers={"accept": "application/*", **STATELESS})
