"""How both sides introduce themselves: our metadata, and those of identity providers that we take (Metadata §2).

Whose metadata are taken decides whose word is believed, so they come from the configuration, or from where it says.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from holdfast.identity.saml.names import DSIG, METADATA, POST, PROTOCOL, REDIRECT, SOAP, XENC, XENC11, ds, md
from holdfast.identity.saml.parties import Credentials, Endpoint, IdentityProvider, ServiceProvider, is_strong
from holdfast.identity.saml.refusals import SamlMalformed, SamlOutOfTime, SamlWrongIssuer
from holdfast.identity.saml.signatures import MOST_CERTIFICATES, signed, verified
from holdfast.identity.saml.xml import Element, children, optional, optional_instant, parse, text_of, to_bytes, written

METADATA_BYTES: Final = 4 * 1024 * 1024
METADATA_ELEMENTS: Final = 100_000
ENCRYPTION: Final = (XENC11 + "aes256-gcm", XENC11 + "aes128-gcm", XENC + "rsa-oaep-mgf1p")  # what we like to be sent
BINDINGS: Final = frozenset({REDIRECT, POST, SOAP})
WEB: Final = ("https://", "http://")


def read_metadata(
    data: bytes, *, now: float, entity_id: str = "", vouched_by: Sequence[x509.Certificate] = ()
) -> IdentityProvider:
    """Return the identity provider that metadata describe.

    Args:
        entity_id: Which one, where they describe several.
        vouched_by: Certificates of which one must have signed the document; none: it need not be signed.

    Raises:
        SamlMalformed, SamlTooLarge: They cannot be read, or lack what is needed.
        SamlOutOfTime: They have expired.
        SamlUnsigned, SamlBadSignature: They should be signed, and are not.
        SamlWrongIssuer: They describe no such identity provider, or several.
    """
    root = parse(data, limit=METADATA_BYTES, most_elements=METADATA_ELEMENTS, comments=True)
    if vouched_by:
        root = verified(root, vouched_by)
    found = [one for one in root.iter(md("EntityDescriptor")) if entity_id in ("", one.get("entityID"))]
    found = [one for one in found if children(one, md("IDPSSODescriptor"))]
    if len(found) != 1:
        raise SamlWrongIssuer(f"the metadata describe {len(found)} such identity providers; one is needed")
    return _identity_provider(found[0], now)


def _identity_provider(entity: Element, now: float) -> IdentityProvider:
    roles = [role for role in children(entity, md("IDPSSODescriptor")) if PROTOCOL in _protocols(role)]
    if len(roles) != 1:
        raise SamlMalformed("the metadata have no one description of a SAML 2.0 identity provider")
    role = roles[0]
    ends = [end for element in (role, *role.iterancestors()) if (end := optional_instant(element, "validUntil"))]
    if ends and min(ends) <= now:
        raise SamlOutOfTime("the metadata have expired")
    certificates = tuple(_certificates(role))
    logon = {one.get("Binding", ""): _location(one) for one in _endpoints(role, "SingleSignOnService")}
    if not certificates or not logon.keys() & {REDIRECT, POST}:
        raise SamlMalformed("the metadata name no certificate to verify with, or no address for logons")
    return IdentityProvider(
        entity_id=entity.get("entityID", ""),
        certificates=certificates[:MOST_CERTIFICATES],
        logon=logon,
        logout={
            one.get("Binding", ""): Endpoint(_location(one), _location(one, "ResponseLocation") or _location(one))
            for one in _endpoints(role, "SingleLogoutService")
        },
        valid_until=min(ends, default=None),
        name=_name(entity),
    )


def _protocols(role: Element) -> list[str]:
    return role.get("protocolSupportEnumeration", "").split()


def _endpoints(role: Element, name: str) -> list[Element]:
    """Return the endpoints with a binding that is spoken here; of two with one binding the first."""
    found = [one for one in children(role, md(name)) if one.get("Binding") in BINDINGS]
    return list(reversed(found))


def _location(endpoint: Element, name: str = "Location") -> str:
    value = endpoint.get(name, "")
    if value and not value.startswith(WEB):
        raise SamlMalformed("the metadata name an address that is none of the web")
    return value


def _certificates(role: Element) -> Iterator[x509.Certificate]:
    """Yield the certificates to verify with; those that cannot be read, or are too weak, are left out."""
    for descriptor in children(role, md("KeyDescriptor")):
        if descriptor.get("use", "signing") == "signing":
            for found in descriptor.iter(ds("X509Certificate")):
                try:
                    certificate = x509.load_der_x509_certificate(b64decode(found.text or ""))
                except (ValueError, binascii.Error):
                    continue
                if is_strong(certificate):
                    yield certificate


def _name(entity: Element) -> str:
    organization = optional(entity, md("Organization"))
    names = [] if organization is None else children(organization, md("OrganizationDisplayName"))
    return text_of(names[0]) if names else ""


def our_metadata(sp: ServiceProvider, *, name_formats: Sequence[str] = (), valid_until: float | None = None) -> bytes:
    """Return our metadata, signed: all our certificates, where to send responses, and where messages of logout."""
    entity = etree.Element(md("EntityDescriptor"), nsmap={"md": METADATA, "ds": DSIG})
    entity.set("ID", "_metadata")
    entity.set("entityID", sp.entity_id)
    if valid_until is not None:
        entity.set("validUntil", written(valid_until))
    role = etree.SubElement(entity, md("SPSSODescriptor"))
    role.set("AuthnRequestsSigned", "true")
    role.set("WantAssertionsSigned", "true")
    role.set("protocolSupportEnumeration", PROTOCOL)
    for credentials in sp.credentials:
        _key(role, "signing", credentials)
    for credentials in sp.decrypts[:1]:
        _key(role, "encryption", credentials, ENCRYPTION)
    for binding, location in ((REDIRECT, sp.slo), (POST, sp.slo), (SOAP, sp.soap)):
        _endpoint(role, "SingleLogoutService", binding, location)
    for name_format in name_formats:
        etree.SubElement(role, md("NameIDFormat")).text = name_format
    consumer = _endpoint(role, "AssertionConsumerService", POST, sp.acs)
    consumer.set("index", "0")
    consumer.set("isDefault", "true")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + to_bytes(signed(entity, sp.credentials[0]))


def _key(role: Element, use: str, credentials: Credentials, methods: Sequence[str] = ()) -> None:
    key = etree.SubElement(role, md("KeyDescriptor"))
    key.set("use", use)
    data = etree.SubElement(etree.SubElement(key, ds("KeyInfo")), ds("X509Data"))
    der = credentials.certificate.public_bytes(Encoding.DER)
    etree.SubElement(data, ds("X509Certificate")).text = b64encode(der).decode()
    for method in methods:
        etree.SubElement(key, md("EncryptionMethod")).set("Algorithm", method)


def _endpoint(role: Element, name: str, binding: str, location: str) -> Element:
    endpoint = etree.SubElement(role, md(name))
    endpoint.set("Binding", binding)
    endpoint.set("Location", location)
    return endpoint
