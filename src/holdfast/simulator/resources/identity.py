"""Who and where: session resource, system information, discovery (ADT §2.3, §2.4, §2.5)."""

import json
from typing import Final

from holdfast.simulator.answers import LONG_AGO, Answer, attributes, no_resource, xml
from holdfast.simulator.call import Call
from holdfast.simulator.documents import ATOM, link
from holdfast.simulator.kinds import KINDS, MEDIA_PREFIX, PACKAGE, PROGRAM, Kind
from holdfast.simulator.profiles import Profile
from holdfast.simulator.resources.activation import INACTIVE_MEDIA
from holdfast.simulator.resources.checks import CHECK_MESSAGES
from holdfast.simulator.router import Resource

CATEGORIES: Final = "http://www.sap.com/adt/categories/core/http"
SESSION_MEDIA: Final = tuple(f"application/vnd.sap.adt.core.http.session.v{n}+xml" for n in (3, 2, 1))
DISCOVERY_MEDIA: Final = "application/atomsvc+xml"


def routes(profile: Profile) -> list[tuple[str, Resource]]:
    """Return the identity resources this release has."""
    found = [
        ("/core/discovery", Resource(GET=core_discovery)),
        ("/discovery", Resource(GET=discovery)),
        ("/core/http/systeminformation", Resource(GET=system_information)),
    ]
    if profile.compatibility_graph:
        found.append(("/compatibility/graph", Resource(GET=graph)))
    if profile.session_resource:
        found.append(("/core/http/sessions", Resource(GET=session)))
        found.append(("/core/http/sessions/{id}", Resource(DELETE=end_session)))
    return found


def session(call: Call) -> Answer:
    """The security session, and the only place where the idle time is told."""
    call.accept(*SESSION_MEDIA, "application/xml")
    switches = call.system.switches
    idle = switches.context_timeout_s if switches.announced_timeout_s is None else switches.announced_timeout_s
    own = f"/sap/bc/adt/core/http/sessions/{call.session.resource_id}"
    links = (
        link(own, f"{CATEGORIES}/sessions/securitysession", title="Security Session")
        + link("/sap/public/bc/icf/logoff", f"{CATEGORIES}/sessions/logoff", title="Logoff")
        + link(
            "/sap/bc/adt/core/http/systeminformation",
            f"{CATEGORIES}/system/systeminformation",
            title="System Information",
            type=f"{MEDIA_PREFIX}core.http.systeminformation.v1+json",
        )
    )
    properties = f'<http:property name="inactivityTimeout">{int(idle)}</http:property>'
    text = (
        f'<http:session xmlns:http="http://www.sap.com/adt/http" {ATOM}>{links}'
        f"<http:properties>{properties}</http:properties></http:session>"
    )
    wanted = call.headers.get("accept", "")
    return xml(text, next((media for media in SESSION_MEDIA if media in wanted), SESSION_MEDIA[0]))


def end_session(call: Call) -> Answer:
    """End the security session with everything in it."""
    if call.params["id"] != call.session.resource_id:
        raise no_resource()
    call.system.sessions.end_session(call.session, call.now)
    call.set_cookies.append(f"{call.system.session_cookie}=deleted; expires={LONG_AGO}; path=/")
    return Answer()


def system_information(call: Call) -> Answer:
    """System, client and user as JSON."""
    values = {
        "systemID": call.system.system_id,
        "userName": call.user,
        "userFullName": call.user.title(),
        "client": call.system.client,
        "language": call.session.language,
    }
    media = f"{MEDIA_PREFIX}core.http.systeminformation.v1+json"
    return Answer(body=json.dumps(values).encode(), media=media)


def graph(call: Call) -> Answer:
    """The compatibility graph: which discovery leads where. Clients log on here."""
    core = '<{} uri="/sap/bc/adt/core/discovery" namespace="http://www.sap.com/adt/compatibility" name="core"/>'
    rest = '<{} uri="/sap/bc/adt/discovery" namespace="http://www.sap.com/adt/compatibility" name="adt"/>'
    nodes = core.format("node") + rest.format("node")
    edge = f"<edge>{core.format('sourceNode')}{rest.format('targetNode')}</edge>"
    call.accept("application/xml", "application/vnd.sap.adt.compatibility.graph+xml")
    return xml(
        '<compatibility:graph xmlns:compatibility="http://www.sap.com/adt/compatibility">'
        f"<nodes>{nodes}</nodes><edges>{edge}</edges></compatibility:graph>"
    )


def core_discovery(call: Call) -> Answer:
    """The small discovery document every client can read before it knows the release."""
    call.accept(DISCOVERY_MEDIA)
    entries = [
        ("Discovery", "discovery", "/sap/bc/adt/discovery"),
        ("System Information", "systeminformation", "/sap/bc/adt/core/http/systeminformation"),
    ]
    if call.system.profile.session_resource:
        entries.append(("Sessions", "sessions", "/sap/bc/adt/core/http/sessions"))
    spaces = "".join(_workspace(title, _collection(title, href, term, ())) for title, term, href in entries)
    return _service(spaces)


def discovery(call: Call) -> Answer:
    """All collections with the media types they accept."""
    call.accept(DISCOVERY_MEDIA)
    kinds = [kind for kind in KINDS.values() if call.system.profile.programs or kind is not PROGRAM]
    objects = "".join(_kind(kind) for kind in kinds)
    checks = _collection("Reporters", "/sap/bc/adt/checkruns/reporters", "reporters", ())
    checks += _collection("Check Runs", "/sap/bc/adt/checkruns", "checkruns", (CHECK_MESSAGES,))
    work = _collection("Activation", "/sap/bc/adt/activation", "activation", ("application/xml",))
    work += _collection("Inactive Objects", "/sap/bc/adt/activation/inactiveobjects", "inactive", (INACTIVE_MEDIA,))
    if call.system.profile.deletion_service:
        for word in ("check", "delete"):
            media = f"{MEDIA_PREFIX}deletion.{'check.' if word == 'check' else ''}request.v1+xml"
            work += _collection(f"Deletion {word}", f"/sap/bc/adt/deletion/{word}", word, (media,))
    search = _collection("Search", "/sap/bc/adt/repository/informationsystem/search", "search", ())
    spaces = _workspace("Development Objects", objects) + _workspace("Checks", checks)
    return _service(spaces + _workspace("Activation and Deletion", work) + _workspace("Repository", search))


def _kind(kind: Kind) -> str:
    base = f"{kind.collection}/{{object_name}}"
    rel = "http://www.sap.com/adt/relations"
    parameters = "{?corrNr,lockHandle,version,accessMode,_action}"
    templates = f'<adtcomp:templateLink rel="{rel}/object" template="{base}{parameters}"/>'
    if kind is not PACKAGE:
        source = f"{base}/source/main{{?corrNr,lockHandle,version}}"
        templates += f'<adtcomp:templateLink rel="{rel}/source" template="{source}"/>'
    listed = f"<adtcomp:templateLinks>{templates}</adtcomp:templateLinks>"
    return _collection(kind.title, kind.collection, kind.type.partition("/")[0].lower(), kind.media, listed)


def _collection(title: str, href: str, term: str, accept: tuple[str, ...], more: str = "") -> str:
    accepted = "".join(f"<app:accept>{media}</app:accept>" for media in accept)
    category = f"<atom:category{attributes({'term': term, 'scheme': 'http://www.sap.com/adt/categories'})}/>"
    return f'<app:collection href="{href}"><atom:title>{title}</atom:title>{accepted}{category}{more}</app:collection>'


def _workspace(title: str, content: str) -> str:
    return f"<app:workspace><atom:title>{title}</atom:title>{content}</app:workspace>"


def _service(content: str) -> Answer:
    spaces = f'xmlns:app="http://www.w3.org/2007/app" {ATOM} xmlns:adtcomp="http://www.sap.com/adt/compatibility"'
    return xml(f"<app:service {spaces}>{content}</app:service>", DISCOVERY_MEDIA)
