"""Single logout: requests and responses, in both directions and over every binding (Profiles §4.4, Core §3.7).

A request ends somebody's work, so it must be signed however it comes, be sent to us, and be minutes old at most (R42).
"""

from typing import Final

import msgspec
from lxml import etree

from holdfast.identity.saml.bindings import REQUEST, RESPONSE, Received
from holdfast.identity.saml.names import (
    NSMAP,
    PARTIAL_LOGOUT,
    RESPONDER,
    SUCCESS,
    saml,
    samlp,
)
from holdfast.identity.saml.parties import IdentityProvider, NameId, ServiceProvider
from holdfast.identity.saml.refusals import (
    SamlMalformed,
    SamlOutOfTime,
    SamlUnsolicited,
    SamlWrongDestination,
    SamlWrongIssuer,
)
from holdfast.identity.saml.responses import SKEW_S, demand_recent, name_id_of
from holdfast.identity.saml.xml import (
    Element,
    children,
    demand_version,
    id_of,
    only,
    optional_instant,
    text_of,
    written,
)

REQUEST_AGE_S: Final = 300.0
MOST_SESSIONS: Final = 100


class LogoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to end somebody's sessions.

    Args:
        sessions: Which of them (`SessionIndex`); all, if none is named.
        valid_until: Until when it could come again and be believed (Unix seconds).
    """

    id: str
    issuer: str
    name_id: NameId
    sessions: tuple[str, ...]
    valid_until: float


def logout_request(
    sp: ServiceProvider, destination: str, request_id: str, name_id: NameId, *, session: str = "", now: float
) -> Element:
    """Return a request to end a session at the identity provider, and everywhere it leads to."""
    request = _message("LogoutRequest", sp, destination, request_id, now)
    request.set("NotOnOrAfter", written(now + REQUEST_AGE_S))
    name = etree.SubElement(request, saml("NameID"))
    name.text = name_id.value
    named = (("Format", name_id.format), ("NameQualifier", name_id.name_qualifier))
    for attribute, value in (*named, ("SPNameQualifier", name_id.sp_name_qualifier)):
        if value:
            name.set(attribute, value)
    if session:
        etree.SubElement(request, samlp("SessionIndex")).text = session
    return request


def logout_response(
    sp: ServiceProvider, destination: str, response_id: str, request_id: str, *, complete: bool, now: float
) -> Element:
    """Return the answer to a request: success only if nothing is left of what was to end (R44)."""
    response = _message("LogoutResponse", sp, destination, response_id, now)
    response.set("InResponseTo", request_id)
    status = etree.SubElement(response, samlp("Status"))
    code = etree.SubElement(status, samlp("StatusCode"))
    code.set("Value", SUCCESS if complete else RESPONDER)
    if not complete:
        etree.SubElement(code, samlp("StatusCode")).set("Value", PARTIAL_LOGOUT)
    return response


def read_logout_request(
    received: Received, idp: IdentityProvider, destination: str, *, now: float, skew: float = SKEW_S
) -> LogoutRequest:
    """Return what a request asks for.

    Args:
        destination: Our address for the binding that it came by.

    Raises:
        SamlRefused: It is not to be believed.
    """
    if received.kind not in ("", REQUEST) or received.root.tag != samlp("LogoutRequest"):
        raise SamlMalformed("this is no request for a logout")
    request = received.trusted(idp.certificates)
    _check(request, idp, destination, now=now, skew=skew)
    ends = optional_instant(request, "NotOnOrAfter")
    if ends is not None and ends <= now - skew:
        raise SamlOutOfTime("the request was valid once")
    sessions = children(request, samlp("SessionIndex"))
    if len(sessions) > MOST_SESSIONS:
        raise SamlMalformed(f"the request names {len(sessions)} sessions; at most {MOST_SESSIONS} are taken")
    return LogoutRequest(
        id=id_of(request),
        issuer=idp.entity_id,
        name_id=name_id_of(request),
        sessions=tuple(text_of(one) for one in sessions),
        valid_until=now + REQUEST_AGE_S + 2 * skew,
    )


def read_logout_response(
    received: Received,
    idp: IdentityProvider,
    destination: str | None,
    request_id: str,
    *,
    now: float,
    skew: float = SKEW_S,
) -> bool:
    """Say whether the identity provider, and all whom it told, have ended what we asked to end.

    Args:
        destination: Our address; None for an answer on the connection that we opened ourselves.

    Raises:
        SamlRefused: It is not to be believed, or answers something else.
    """
    if received.kind not in ("", RESPONSE) or received.root.tag != samlp("LogoutResponse"):
        raise SamlMalformed("this is no answer to a request for a logout")
    response = received.trusted(idp.certificates)
    _check(response, idp, destination, now=now, skew=skew)
    if response.get("InResponseTo") != request_id:
        raise SamlUnsolicited("the answer is one to another request")
    codes = [code.get("Value") for code in only(response, samlp("Status")).iter(samlp("StatusCode"))]
    return codes[:1] == [SUCCESS] and PARTIAL_LOGOUT not in codes


def _message(name: str, sp: ServiceProvider, destination: str, message_id: str, now: float) -> Element:
    message = etree.Element(samlp(name), nsmap=NSMAP)
    message.set("ID", message_id)
    message.set("Version", "2.0")
    message.set("IssueInstant", written(now))
    message.set("Destination", destination)
    etree.SubElement(message, saml("Issuer")).text = sp.entity_id
    return message


def _check(message: Element, idp: IdentityProvider, destination: str | None, *, now: float, skew: float) -> None:
    demand_version(message)
    if text_of(only(message, saml("Issuer"))) != idp.entity_id:
        raise SamlWrongIssuer("the message comes from another identity provider")
    said = message.get("Destination")
    if destination is not None and said != destination:
        raise SamlWrongDestination("the message was sent to another address")
    demand_recent(message, now=now, skew=skew, age=REQUEST_AGE_S)
