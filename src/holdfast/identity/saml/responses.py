"""A logon at the identity provider: the request for it, and what its response says (Profiles §4.1, Core §2 and §3.4).

The response is judged as a whole: one assertion in the whole document, signed where it must be, sent to us, for us,
now, as the answer to our request, about somebody with one name. What is returned was all signed.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from lxml import etree

from holdfast.identity.saml.bindings import RESPONSE, Received
from holdfast.identity.saml.encryption import decrypted
from holdfast.identity.saml.names import BEARER, KNOWN_STATUSES, NSMAP, POST, STATUS, SUCCESS, ds, saml, samlp
from holdfast.identity.saml.parties import IdentityProvider, NameId, ServiceProvider, Signed
from holdfast.identity.saml.refusals import (
    SamlBadAssertion,
    SamlEncrypted,
    SamlMalformed,
    SamlOutOfTime,
    SamlStaleLogon,
    SamlStatus,
    SamlUnsigned,
    SamlUnsolicited,
    SamlWrongAudience,
    SamlWrongDestination,
    SamlWrongIssuer,
    SamlWrongRecipient,
)
from holdfast.identity.saml.signatures import verified
from holdfast.identity.saml.xml import (
    Element,
    children,
    demand_version,
    id_of,
    instant,
    only,
    optional,
    optional_instant,
    text_of,
    written,
)

SKEW_S: Final = 60.0
RESPONSE_AGE_S: Final = 300.0
ATTRIBUTE_CHARACTERS: Final = 16 * 1024
CONDITIONS: Final = frozenset({saml("AudienceRestriction"), saml("OneTimeUse"), saml("ProxyRestriction")})


class Asserted(msgspec.Struct, frozen=True, kw_only=True):
    """What an identity provider asserts of somebody.

    Args:
        id: The assertion's own; it may be used once until `valid_until`.
        issued_at: When it was written.
        at: When they proved there who they are.
        ends_at: When their logon has to end at the latest (`SessionNotOnOrAfter`); None if that is not said.
        session: What the identity provider calls its session (`SessionIndex`).
        context: How they proved it (`AuthnContextClassRef`).
        attributes: What else is said of them, by name.
    """

    issuer: str
    id: str
    name_id: NameId
    issued_at: float
    at: float
    valid_until: float
    ends_at: float | None = None
    session: str = ""
    context: str = ""
    attributes: dict[str, tuple[str, ...]] = {}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a logon that waits for its response.

    Args:
        id: The request's; empty: nothing was asked, the identity provider has begun by itself (Profiles §4.1.5).
        at: When it was made (Unix seconds).
        force: Whether a fresh logon was demanded.
    """

    id: str
    at: float
    force: bool = False


def authn_request(sp: ServiceProvider, destination: str, asked: Asked, *, name_format: str = "") -> Element:
    """Return the request that a browser carries to the identity provider."""
    request = etree.Element(samlp("AuthnRequest"), nsmap=NSMAP)
    request.set("ID", asked.id)
    request.set("Version", "2.0")
    request.set("IssueInstant", written(asked.at))
    request.set("Destination", destination)
    request.set("AssertionConsumerServiceURL", sp.acs)
    request.set("ProtocolBinding", POST)
    if asked.force:
        request.set("ForceAuthn", "true")
    etree.SubElement(request, saml("Issuer")).text = sp.entity_id
    policy = etree.SubElement(request, samlp("NameIDPolicy"))
    policy.set("AllowCreate", "true")
    if name_format:
        policy.set("Format", name_format)
    return request


def read_response(
    received: Received,
    idp: IdentityProvider,
    sp: ServiceProvider,
    asked: Asked,
    *,
    now: float,
    signed: Signed = "either",
    skew: float = SKEW_S,
) -> Asserted:
    """Return what the response to a request asserts.

    Args:
        signed: What has to be: the assertion, the response around it, both, or either.
        skew: Seconds that the two clocks may differ.

    Raises:
        SamlRefused: It is not to be believed; see `refusals` for the kinds.
    """
    response = received.root
    if received.kind != RESPONSE or received.in_query or response.tag != samlp("Response"):
        raise SamlMalformed("this is no response by POST")
    demand_version(response)
    demand_success(response)
    _check_envelope(response, idp, sp, asked, now=now, skew=skew)
    assertion = _trusted_assertion(response, idp, sp, signed)
    return _Reader(idp, sp, asked, now, skew).read(assertion)


def demand_success(response: Element) -> None:
    """Raise SamlStatus for a response that says something else than success; known statuses are named."""
    status = only(response, samlp("Status"))
    codes = [code.get("Value", "") for code in status.iter(samlp("StatusCode"))]
    if not codes or codes[0] != SUCCESS:
        known = [code.removeprefix(STATUS) for code in codes if code.removeprefix(STATUS) in KNOWN_STATUSES]
        raise SamlStatus(f"the identity provider answers {', '.join(known) or 'with a status that is not known'}")


def _check_envelope(
    response: Element, idp: IdentityProvider, sp: ServiceProvider, asked: Asked, *, now: float, skew: float
) -> None:
    """Check what stands around the assertion; where it is not signed, this can only refuse more."""
    if response.get("Destination") != sp.acs:
        raise SamlWrongDestination("the response was sent to another address")
    issuer = optional(response, saml("Issuer"))
    if issuer is not None and text_of(issuer) != idp.entity_id:
        raise SamlWrongIssuer("the response comes from another identity provider")
    if response.get("InResponseTo", "") != asked.id:
        raise SamlUnsolicited("the response answers another request")
    demand_recent(response, now=now, skew=skew, age=RESPONSE_AGE_S)


def demand_recent(message: Element, *, now: float, skew: float, age: float) -> None:
    """Raise SamlOutOfTime for a message that was not written within so many seconds before now."""
    issued = instant(message.get("IssueInstant"))
    if not now - age - skew <= issued <= now + skew:
        raise SamlOutOfTime(f"the message was written {now - issued:.0f} s ago; {age:.0f} s is the limit")


def _trusted_assertion(response: Element, idp: IdentityProvider, sp: ServiceProvider, signed: Signed) -> Element:
    """Return the document's one assertion, as it was signed."""
    _check_parts(response, response)
    is_signed = bool(children(response, ds("Signature")))
    if not is_signed and signed in ("response", "both"):
        raise SamlUnsigned("the response is not signed")
    assertion = _assertion_in(verified(response, idp.certificates) if is_signed else response, sp)
    if children(assertion, ds("Signature")) or not is_signed or signed in ("assertion", "both"):
        return verified(assertion, idp.certificates)
    return assertion


def _assertion_in(response: Element, sp: ServiceProvider) -> Element:
    """Return the assertion, decrypted if need be: then it is a document that is looked at as closely as the first."""
    sealed = optional(response, saml("EncryptedAssertion"))
    if sealed is None:
        return only(response, saml("Assertion"))
    assertion = decrypted(sealed, sp.decryption_keys)
    if assertion.tag != saml("Assertion"):
        raise SamlBadAssertion("what is encrypted is no assertion")
    _check_parts(assertion, None)
    return assertion


def _check_parts(root: Element, response: Element | None) -> None:
    """Refuse another number of assertions than one, what else is encrypted, and signatures in other places than theirs.

    `root` is the response, or without one an assertion that was decrypted.
    """
    names = [etree.QName(element).localname for element in root.iter()]
    sealed = names.count("EncryptedAssertion") if response is not None else 0
    if not {"EncryptedID", "EncryptedAttribute"}.isdisjoint(names) or names.count("EncryptedData") != sealed:
        raise SamlEncrypted("another part of the response than its assertion is encrypted")
    count = names.count("Assertion") + names.count("EncryptedAssertion")
    if count != 1:
        raise SamlBadAssertion(f"the response holds {count} assertions; one belongs there")
    assertion = root if response is None else only(root, saml("EncryptedAssertion" if sealed else "Assertion"))
    places = [element.getparent() for element in root.iter() if etree.QName(element).localname == "Signature"]
    fitting = [place for place in places if place is response or (place is assertion and not sealed)]
    if len(fitting) != len(places) or len(places) != len(set(places)):
        raise SamlBadAssertion("a signature stands where none belongs")


class _Reader:
    """Reads a signed assertion that has to be the answer to a request, now."""

    def __init__(self, idp: IdentityProvider, sp: ServiceProvider, asked: Asked, now: float, skew: float) -> None:
        self._idp, self._sp, self._asked, self._now, self._skew = idp, sp, asked, now, skew

    def read(self, assertion: Element) -> Asserted:
        """Return what it asserts."""
        demand_version(assertion)
        if text_of(only(assertion, saml("Issuer"))) != self._idp.entity_id:
            raise SamlWrongIssuer("the assertion comes from another identity provider")
        subject = only(assertion, saml("Subject"))
        confirmed_until = self._confirmation(subject)
        conditions_until = self._conditions(only(assertion, saml("Conditions")))
        statement = only(assertion, saml("AuthnStatement"))
        context = optional(only(statement, saml("AuthnContext")), saml("AuthnContextClassRef"))
        return Asserted(
            issuer=self._idp.entity_id,
            id=id_of(assertion),
            name_id=name_id_of(subject),
            issued_at=instant(assertion.get("IssueInstant")),
            at=self._authenticated(statement),
            valid_until=max(confirmed_until, conditions_until) + self._skew,
            ends_at=self._session_end(statement),
            session=statement.get("SessionIndex", ""),
            context="" if context is None else text_of(context),
            attributes=_attributes(assertion),
        )

    def _confirmation(self, subject: Element) -> float:
        """Return until when the bearer may present the assertion; one confirmation that fits is enough."""
        bearers = [one for one in children(subject, saml("SubjectConfirmation")) if one.get("Method") == BEARER]
        if not bearers:
            raise SamlBadAssertion("the assertion is not one for whoever bears it")
        data = [only(one, saml("SubjectConfirmationData")) for one in bearers]
        ours = [one for one in data if one.get("Recipient") == self._sp.acs]
        if not ours:
            raise SamlWrongRecipient("the assertion may be presented at another address only")
        answers = [one for one in ours if one.get("InResponseTo", "") == self._asked.id]
        if not answers:
            raise SamlUnsolicited("the assertion answers another request")
        return self._in_time(answers[0], must_end=True)

    def _conditions(self, conditions: Element) -> float:
        if any(condition.tag not in CONDITIONS for condition in conditions):
            raise SamlBadAssertion("the assertion has a condition that is not known")
        restrictions = children(conditions, saml("AudienceRestriction"))
        audiences = [[text_of(one) for one in children(each, saml("Audience"))] for each in restrictions]
        if not audiences or any(self._sp.entity_id not in named for named in audiences):
            raise SamlWrongAudience("the assertion is meant for others")
        return self._in_time(conditions, must_end=False)

    def _in_time(self, element: Element, *, must_end: bool) -> float:
        """Return when an element ends to be valid; raise SamlOutOfTime if it is not now."""
        begins, ends = optional_instant(element, "NotBefore"), optional_instant(element, "NotOnOrAfter")
        if ends is None and must_end:
            raise SamlBadAssertion("the assertion does not say until when it may be presented")
        if (begins is not None and begins > self._now + self._skew) or (
            ends is not None and ends <= self._now - self._skew
        ):
            raise SamlOutOfTime("the assertion is not valid now")
        return self._now if ends is None else ends

    def _authenticated(self, statement: Element) -> float:
        at = instant(statement.get("AuthnInstant"))
        if at > self._now + self._skew:
            raise SamlOutOfTime("the assertion tells of a logon to come")
        if self._asked.force and at < self._asked.at - self._skew:
            raise SamlStaleLogon("a fresh logon was demanded, and the assertion tells of an older one")
        return min(at, self._now)

    def _session_end(self, statement: Element) -> float | None:
        ends = optional_instant(statement, "SessionNotOnOrAfter")
        if ends is not None and ends <= self._now:
            raise SamlOutOfTime("the identity provider's session has ended")
        return ends


def name_id_of(element: Element) -> NameId:
    """Return the name in a Subject or LogoutRequest.

    Raises:
        SamlEncrypted: It is encrypted.
        SamlMalformed: There is none, or it is empty.
    """
    if children(element, saml("EncryptedID")):
        raise SamlEncrypted("the name is encrypted")
    found = only(element, saml("NameID"))
    value = text_of(found)
    if not value:
        raise SamlMalformed("the name is empty")
    return NameId(
        value=value,
        format=found.get("Format", ""),
        name_qualifier=found.get("NameQualifier", ""),
        sp_name_qualifier=found.get("SPNameQualifier", ""),
    )


def _attributes(assertion: Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in _values(assertion):
        found[name] = (*found.get(name, ()), value)
    return found


def _values(assertion: Element) -> Iterator[tuple[str, str]]:
    """Yield names and values of all attributes; values that are no texts are left out."""
    for statement in children(assertion, saml("AttributeStatement")):
        for attribute in children(statement, saml("Attribute")):
            for value in children(attribute, saml("AttributeValue")):
                if not len(value):
                    yield attribute.get("Name", ""), text_of(value, limit=ATTRIBUTE_CHARACTERS)
