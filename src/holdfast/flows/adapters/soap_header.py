"""Blocks of a SOAP header: those that a flow says, with what the message brings put in, and WS-Security's token.

Sources: OASIS Web Services Security: SOAP Message Security 1.1.1, UsernameToken Profile 1.1.1 §3.1.
"""

import base64
import hashlib
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree
from lxml.builder import ElementMaker

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Credential
from holdfast.flows.adapters.envelope import NAMESPACES, Element, Version, parsed
from holdfast.flows.expressions import render

OASIS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE: Final = f"{OASIS}wssecurity-secext-1.0.xsd"
WSU: Final = f"{OASIS}wssecurity-utility-1.0.xsd"
PASSWORD: Final = f"{OASIS}username-token-profile-1.0#Password"
BASE64: Final = f"{OASIS}soap-message-security-1.0#Base64Binary"
NONCE_BYTES: Final = 16


class Blocks:
    """Header blocks as XML with templates in texts and attributes: what is put in stays a text, and makes no element.

    Raises ConfigurationError: it is no XML.
    """

    def __init__(self, template: str) -> None:
        try:
            self._blocks = list(parsed(f"<blocks>{template}</blocks>"))
        except ValueError as exc:
            raise ConfigurationError(f"`soap_header` cannot be used: {exc}") from exc
        if any(not etree.QName(block).namespace for block in self._blocks):
            raise ConfigurationError("each element of `soap_header` needs a namespace (SOAP 1.1 §4.2)")

    def filled(self, names: Mapping[str, Any]) -> list[Element]:
        """Return the blocks for a message. Raises BadInput: it brings characters that XML cannot hold."""
        blocks = deepcopy(self._blocks)
        try:
            for block in blocks:
                for element in block.iter():
                    _fill(element, names)
        except ValueError as exc:
            raise BadInput("`soap_header` would hold a character that XML cannot") from exc
        return blocks


def security(who: Credential, *, digest: bool, now: float, nonce: bytes, version: Version) -> Element:
    """Return a Security block with a username token.

    Args:
        digest: Send Base64(SHA-1(nonce + created + password)) instead of the password.
        now: Seconds since 1970.
    """
    maker = ElementMaker(namespace=WSSE, nsmap={"wsse": WSSE, "wsu": WSU})
    created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = maker.UsernameToken(maker.Username(who.user))
    if digest:
        hashed = hashlib.sha1(nonce + created.encode() + who.secret.encode(), usedforsecurity=False).digest()
        token.append(maker.Password(_base64(hashed), Type=f"{PASSWORD}Digest"))
        token.append(maker.Nonce(_base64(nonce), EncodingType=BASE64))
        token.append(ElementMaker(namespace=WSU).Created(created))
    else:
        token.append(maker.Password(who.secret, Type=f"{PASSWORD}Text"))
    return maker.Security(token, {f"{{{NAMESPACES[version]}}}mustUnderstand": "1"})


def _fill(element: Element, names: Mapping[str, Any]) -> None:
    if element.text:
        element.text = render(element.text, names)
    if element.tail:
        element.tail = render(element.tail, names)
    for name, value in element.attrib.items():
        element.set(name, render(str(value), names))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
