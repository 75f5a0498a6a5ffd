"""Blocks of a SOAP header: what a message brings stays a text, and a username token is one that zeep makes too."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from zeep.wsse.username import UsernameToken
from zeep.wsse.utils import get_security_header

from holdfast.errors import BadInput, ConfigurationError
from holdfast.flows.adapters.adapter import Credential
from holdfast.flows.adapters.envelope import NAMESPACES, Version, parsed, wrapped
from holdfast.flows.adapters.soap_header import WSSE, Blocks, security

ANNA = Credential("anna", "s€cret&<>")
TEMPLATE = "<h:a xmlns:h='urn:h' b='${body.attribute}'>x <h:c/>${body.text}</h:a><d xmlns='urn:d'/>"
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)


@given(text=texts, attribute=texts)
@settings(max_examples=100, deadline=None)
def test_what_is_put_in_stays_what_it_is(text: str, attribute: str) -> None:
    names = {"body": {"text": text, "attribute": attribute}}
    blocks = Blocks(TEMPLATE).filled(names)
    envelope = parsed(wrapped([], blocks))
    first, second = envelope[0]
    assert (first.tag, first.get("b"), first.text) == ("{urn:h}a", attribute, "x ")
    assert (first[0].tag, first[0].tail or "", len(first)) == ("{urn:h}c", text, 1)
    assert second.tag == "{urn:d}d"


def test_a_template_is_the_same_for_the_next_message() -> None:
    blocks = Blocks("<a xmlns='urn:a'>${body}</a>")
    assert [blocks.filled({"body": body})[0].text for body in ("1", "2")] == ["1", "2"]


def test_a_character_that_xml_cannot_hold_is_told() -> None:
    with pytest.raises(BadInput, match="`soap_header` would hold a character that XML cannot"):
        Blocks("<a xmlns='urn:a'>${body}</a>").filled({"body": "\0"})


@pytest.mark.parametrize("template", ["<a>", "</blocks>", "&b;", "<a/>", "<!DOCTYPE a><a xmlns='urn:a'/>"])
def test_a_template_that_is_no_xml_is_told(template: str) -> None:
    with pytest.raises(ConfigurationError, match="soap_header"):
        Blocks(template)


@pytest.mark.parametrize("version", NAMESPACES)
@pytest.mark.parametrize("digest", [False, True])
def test_a_username_token_is_as_zeep_makes_it(digest: bool, version: Version) -> None:
    # OASIS UsernameToken Profile 1.1.1 §3.1
    nonce, now = "0123456789abcdef", 1_795_000_000.7
    ours = security(ANNA, digest=digest, now=now, nonce=nonce.encode(), version=version)
    created = datetime.fromtimestamp(now, UTC)
    theirs = UsernameToken(ANNA.user, ANNA.secret, use_digest=digest, nonce=nonce, created=created, zulu_timestamp=True)
    envelope = etree.fromstring(wrapped([]))
    theirs.apply(envelope, {})
    assert facts(ours[0]) == facts(get_security_header(envelope)[0])
    assert (ours.tag, ours.get(f"{{{NAMESPACES[version]}}}mustUnderstand")) == (f"{{{WSSE}}}Security", "1")
    assert ours.findtext(".//{*}Created") == ("2026-11-18T11:06:40Z" if digest else None)
    assert (ANNA.secret in [part.text for part in ours[0]]) == (not digest)


def facts(token: etree._Element) -> list[tuple[str, str | None, str | None]]:
    """Return what the parts of a token say."""
    return [(str(part.tag), part.text, part.get("Type")) for part in token]
