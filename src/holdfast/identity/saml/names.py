"""The names of SAML 2.0: namespaces, bindings, formats, statuses."""

from typing import Final

ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
SOAP_ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
NSMAP: Final = {"saml": ASSERTION, "samlp": PROTOCOL}

REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
SOAP: Final = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"

UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

STATUS: Final = "urn:oasis:names:tc:SAML:2.0:status:"
SUCCESS: Final = STATUS + "Success"
RESPONDER: Final = STATUS + "Responder"
PARTIAL_LOGOUT: Final = STATUS + "PartialLogout"
KNOWN_STATUSES: Final = frozenset(
    {
        *("Success", "Requester", "Responder", "VersionMismatch", "AuthnFailed", "InvalidAttrNameOrValue"),
        *("InvalidNameIDPolicy", "NoAuthnContext", "NoAvailableIDP", "NoPassive", "NoSupportedIDP", "PartialLogout"),
        *("ProxyCountExceeded", "RequestDenied", "RequestUnsupported", "RequestVersionDeprecated", "UnknownPrincipal"),
        *("RequestVersionTooHigh", "RequestVersionTooLow", "ResourceNotRecognized", "TooManyResponses"),
        *("UnknownAttrProfile", "UnsupportedBinding"),
    }
)


def saml(name: str) -> str:
    """Return the tag of an element of assertions."""
    return f"{{{ASSERTION}}}{name}"


def samlp(name: str) -> str:
    """Return the tag of an element of the protocol."""
    return f"{{{PROTOCOL}}}{name}"


def md(name: str) -> str:
    """Return the tag of an element of metadata."""
    return f"{{{METADATA}}}{name}"


def ds(name: str) -> str:
    """Return the tag of an element of XML signatures."""
    return f"{{{DSIG}}}{name}"


def xenc(name: str) -> str:
    """Return the tag of an element of XML encryption."""
    return f"{{{XENC}}}{name}"
