"""An identity provider in the test's own memory. It writes its messages as text and signs them by xmlsec's rules.

All that a response or a request says can be replaced, so that each wrong one differs in one thing from a good one.
"""

import os
import re
import zlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner

from holdfast.identity.saml.encryption import DIGESTS, MASKS
from holdfast.identity.saml.names import XENC, XENC11
from holdfast.identity.saml.parties import Credentials, Endpoint, IdentityProvider, ServiceProvider
from holdfast.identity.saml.xml import written

NOW = 1_800_000_000.0
IDP, OTHER_IDP = "https://idp.example/metadata", "https://other.example/metadata"
SP_URL = "https://site.example/saml"
NS = 'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
DS = "{http://www.w3.org/2000/09/xmldsig#}"
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
SUCCESS = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>'
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key_of(name: str) -> Key:
    """Return a party's private key; one whose name begins with `ec` has an elliptic one, `weak` a short one."""
    if name.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1024 if name.startswith("weak") else 2048)


@cache
def certificate_of(name: str, *, expired: bool = False) -> x509.Certificate:
    """Return a certificate that a party has written for its key."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key_of(name).public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=30 if expired else 36_500))
    )
    return made.sign(key_of(name), hashes.SHA256())


@cache
def credentials_of(name: str = "sp") -> Credentials:
    """Return key and certificate of a service provider."""
    key = key_of(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(key, certificate_of(name).public_bytes(Encoding.PEM))


def service_provider(url: str = SP_URL, *decrypting: str) -> ServiceProvider:
    return ServiceProvider(url, credentials_of(), decrypts=[credentials_of(name) for name in decrypting])


def identity_provider(entity_id: str = IDP, *names: str, base: str = "https://idp.example") -> IdentityProvider:
    """Return what its metadata would say."""
    bindings = {"HTTP-Redirect": "/slo", "HTTP-POST": "/slo-post", "SOAP": "/slo-soap"}
    urn = "urn:oasis:names:tc:SAML:2.0:bindings:"
    return IdentityProvider(
        entity_id=entity_id,
        certificates=tuple(certificate_of(name) for name in names or ("idp",)),
        logon={urn + "HTTP-Redirect": base + "/sso", urn + "HTTP-POST": base + "/sso-post"},
        logout={urn + name: Endpoint(base + path, base + path) for name, path in bindings.items()},
    )


def identity_metadata(entity_id: str = IDP, *keys: str, until: float | None = None, more: str = "") -> bytes:
    """Return an identity provider's metadata as text, with a comment as many have."""
    host = entity_id.removesuffix("/metadata")
    described = "".join(
        '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
        + b64encode(certificate_of(key).public_bytes(Encoding.DER)).decode()
        + "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for key in keys or ("idp",)
    )
    urn = "urn:oasis:names:tc:SAML:2.0:bindings:"
    endpoints = "".join(
        f'<md:{service} Binding="{urn}{binding}" Location="{host}{path}"/>'
        for service, binding, path in (
            ("SingleLogoutService", "HTTP-Redirect", "/slo"),
            ("SingleLogoutService", "HTTP-POST", "/slo-post"),
            ("SingleLogoutService", "SOAP", "/slo-soap"),
            ("SingleSignOnService", "HTTP-Redirect", "/sso"),
            ("SingleSignOnService", "HTTP-POST", "/sso-post"),
        )
    )
    ends = f' validUntil="{written(until)}"' if until is not None else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><!-- ours --><md:EntityDescriptor ID="_m" entityID="{entity_id}"{ends}'
        ' xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        f"{described}{endpoints}{more}</md:IDPSSODescriptor></md:EntityDescriptor>"
    ).encode()


def assertion(**said: Any) -> str:
    """Return an assertion, not signed yet."""
    v = {
        "id": "_a1",
        "issuer": IDP,
        "name": "ann",
        "format": TRANSIENT,
        "recipient": SP_URL + "/acs",
        "answers": "_r1",
        "until": NOW + 300,
        "begins": NOW - 30,
        "ends": NOW + 300,
        "audience": SP_URL + "/metadata",
        "at": NOW - 10,
        "session": "_s1",
        "session_ends": NOW + 3600,
        "more": "",
        "conditions": "",
        "attributes": {"uid": ["ann"], "groups": ["cn=clerks", "cn=all"]},
        "version": "2.0",
        "issued": NOW,
        **said,
    }
    attributes = "".join(
        f'<saml:Attribute Name="{name}">'
        + "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
        + "</saml:Attribute>"
        for name, values in v["attributes"].items()
    )
    session_end = f' SessionNotOnOrAfter="{written(v["session_ends"])}"' if v["session_ends"] else ""
    return (
        f'<saml:Assertion {NS} ID="{v["id"]}" Version="{v["version"]}" IssueInstant="{written(v["issued"])}">'
        f"<saml:Issuer>{v['issuer']}</saml:Issuer>{v['more']}"
        f'<saml:Subject><saml:NameID Format="{v["format"]}">{v["name"]}</saml:NameID>'
        '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml:SubjectConfirmationData Recipient="{v["recipient"]}"{_answering(v["answers"])}'
        f' NotOnOrAfter="{written(v["until"])}"/></saml:SubjectConfirmation></saml:Subject>'
        f'<saml:Conditions NotBefore="{written(v["begins"])}" NotOnOrAfter="{written(v["ends"])}">'
        f"<saml:AudienceRestriction><saml:Audience>{v['audience']}</saml:Audience></saml:AudienceRestriction>"
        f"{v['conditions']}</saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{written(v["at"])}" SessionIndex="{v["session"]}"{session_end}>'
        "<saml:AuthnContext><saml:AuthnContextClassRef>urn:password</saml:AuthnContextClassRef></saml:AuthnContext>"
        f"</saml:AuthnStatement><saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion>"
    )


def response(inside: str, **said: Any) -> str:
    """Return a response around assertions, not signed yet."""
    v = {"id": "_p1", "issuer": IDP, "to": SP_URL + "/acs", "answers": "_r1", "at": NOW, "status": SUCCESS, **said}
    return (
        f'<samlp:Response {NS} ID="{v["id"]}" Version="2.0" IssueInstant="{written(v["at"])}"'
        f' Destination="{v["to"]}"{_answering(v["answers"])}><saml:Issuer>{v["issuer"]}</saml:Issuer>'
        f"<samlp:Status>{v['status']}</samlp:Status>{inside}</samlp:Response>"
    )


def _answering(request: str | None) -> str:
    return "" if request is None else f' InResponseTo="{request}"'


def logout_request(**said: Any) -> str:
    """Return a request for a logout, not signed yet."""
    v = {
        "id": "_l1",
        "issuer": IDP,
        "to": SP_URL + "/slo",
        "name": "ann",
        "format": TRANSIENT,
        "at": NOW,
        "until": NOW + 300,
        "sessions": ["_s1"],
        **said,
    }
    sessions = "".join(f"<samlp:SessionIndex>{one}</samlp:SessionIndex>" for one in v["sessions"])
    return (
        f'<samlp:LogoutRequest {NS} ID="{v["id"]}" Version="2.0" IssueInstant="{written(v["at"])}"'
        f' Destination="{v["to"]}" NotOnOrAfter="{written(v["until"])}"><saml:Issuer>{v["issuer"]}</saml:Issuer>'
        f'<saml:NameID Format="{v["format"]}">{v["name"]}</saml:NameID>{sessions}</samlp:LogoutRequest>'
    )


def logout_response(**said: Any) -> str:
    """Return the answer to a request for a logout, not signed yet."""
    v = {
        "id": "_o1",
        "issuer": IDP,
        "to": SP_URL + "/slo",
        "answers": "_q1",
        "at": NOW,
        "status": SUCCESS,
        **said,
    }
    return (
        f'<samlp:LogoutResponse {NS} ID="{v["id"]}" Version="2.0" IssueInstant="{written(v["at"])}"'
        f' Destination="{v["to"]}" InResponseTo="{v["answers"]}"><saml:Issuer>{v["issuer"]}</saml:Issuer>'
        f"<samlp:Status>{v['status']}</samlp:Status></samlp:LogoutResponse>"
    )


def sign(text: str, by: str = "idp", *, tag: str = "") -> str:
    """Sign a message, or the element in it with a tag."""
    root = etree.fromstring(text)
    target = root if not tag else root.find(f".//{SAML}{tag}")
    assert target is not None
    place = etree.Element(DS + "Signature", Id="placeholder")
    target.insert(1, place)
    alone = etree.fromstring(etree.tostring(target, with_tail=False))
    key = key_of(by)
    method = "rsa-sha256" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa-sha256"
    signer = XMLSigner(
        signature_algorithm=method,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    made = signer.sign(alone, key=key, cert=[certificate_of(by)])
    if target is root:
        return etree.tostring(made, encoding="unicode")
    parent = target.getparent()
    assert parent is not None
    parent.replace(target, made)
    return etree.tostring(root, encoding="unicode")


def encrypted(
    inside: str,
    to: str = "spe",
    *,
    content: str = XENC11 + "aes256-gcm",
    transport: str = XENC + "rsa-oaep-mgf1p",
    digest: str = "",
    mask: str = "",
    beside: bool = False,
    more: str = "",
    spoil: Callable[[bytes], bytes] = bytes,
) -> str:
    """Return an EncryptedAssertion; `beside` puts its key beside the data, `spoil` changes what is encrypted."""
    bits = int(re.sub(r"\D", "", content.rpartition("#")[2]) or 128)
    secret, nonce = os.urandom(bits // 8), os.urandom(12)
    sealed = spoil(nonce + AESGCM(secret).encrypt(nonce, inside.encode(), None))
    hashed, masked = DIGESTS.get(digest, hashes.SHA1), MASKS.get(mask, hashes.SHA1)
    public = key_of(to).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    wrapped = public.encrypt(secret, padding.OAEP(padding.MGF1(masked()), hashed(), None))
    said = f'<ds:DigestMethod Algorithm="{digest}"/>' if digest else ""
    said += f'<m:MGF xmlns:m="{XENC11}" Algorithm="{mask}"/>' if mask else ""
    key = (
        f'<e:EncryptedKey xmlns:e="{XENC}"><e:EncryptionMethod Algorithm="{transport}">{said}{more}'
        f"</e:EncryptionMethod><e:CipherData><e:CipherValue>{b64encode(wrapped).decode()}</e:CipherValue>"
        "</e:CipherData></e:EncryptedKey>"
    )
    info = "" if beside else f"<ds:KeyInfo>{key}</ds:KeyInfo>"
    return (
        f'<saml:EncryptedAssertion {NS} xmlns:ds="{DS[1:-1]}"><e:EncryptedData xmlns:e="{XENC}">'
        f'<e:EncryptionMethod Algorithm="{content}"/>{info}<e:CipherData><e:CipherValue>'
        f"{b64encode(sealed).decode()}</e:CipherValue></e:CipherData></e:EncryptedData>"
        f"{key if beside else ''}</saml:EncryptedAssertion>"
    )


def signed_response(by: str = "idp", *, sign_response: bool = False, sign_assertion: bool = True, **said: Any) -> str:
    """Return a response with one assertion; what begins with `r_` is said by the response."""
    about = {name: value for name, value in said.items() if not name.startswith("r_")}
    around = {name[2:]: value for name, value in said.items() if name.startswith("r_")}
    inside = assertion(**about)
    text = response(sign(inside, by) if sign_assertion else inside, **around)
    return sign(text, by) if sign_response else text


def form(text: str | bytes, kind: str = "SAMLResponse", relay_state: str = "") -> list[tuple[str, str]]:
    """Return the fields of a form with a message."""
    data = text if isinstance(text, bytes) else text.encode()
    return [(kind, b64encode(data).decode()), *([("RelayState", relay_state)] if relay_state else [])]


def envelope(text: str) -> bytes:
    """Return a SOAP envelope with a message, which declares namespaces of its own."""
    return (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" {NS} xmlns:other="urn:x"><s:Body>{text}'
        "</s:Body></s:Envelope>"
    ).encode()


def query(
    text: str | bytes, by: str | None = "idp", *, kind: str = "SAMLRequest", relay_state: str = "", algorithm: str = ""
) -> bytes:
    """Return a signed query with a message, with percent signs in lower case as some write them."""
    data = text if isinstance(text, bytes) else text.encode()
    packer = zlib.compressobj(9, wbits=-15)
    pairs = [f"{kind}=" + _lower(quote(b64encode(packer.compress(data) + packer.flush()).decode(), safe=""))]
    if relay_state:
        pairs.append("RelayState=" + quote(relay_state, safe=""))
    if by is None:
        return "&".join(pairs).encode()
    name = algorithm or "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    covered = "&".join([*pairs, "SigAlg=" + _lower(quote(name, safe=""))]).encode()
    key = key_of(by)
    assert isinstance(key, rsa.RSAPrivateKey)
    return (
        covered
        + b"&Signature="
        + quote(b64encode(key.sign(covered, padding.PKCS1v15(), hashes.SHA256())), safe="").encode()
    )


def _lower(text: str) -> str:
    first, *others = text.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in others)])
