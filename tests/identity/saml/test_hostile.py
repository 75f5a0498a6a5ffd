"""Wrapped signatures, bombs and texts that two readers would read differently: all refused, each with a code (R40)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from holdfast.identity.saml.bindings import Received, from_envelope, from_form, from_redirect
from holdfast.identity.saml.logouts import read_logout_request
from holdfast.identity.saml.refusals import SamlRefused
from holdfast.identity.saml.responses import Asked, Asserted, read_response
from identity.saml.hostile import GOOD, TEXTS
from identity.saml.idp import (
    DS,
    IDP,
    NOW,
    SP_URL,
    envelope,
    form,
    identity_provider,
    logout_request,
    query,
    service_provider,
    sign,
    signed_response,
)
from identity.saml.wrapping import OF_RESPONSES, WAYS, wrapped

ASKED = Asked(id="_r1", at=NOW - 20)
CODES = {"saml_malformed", "saml_too_large", "saml_bad_assertion", "saml_bad_signature", "saml_unsigned"}


def read(text: str | bytes) -> Asserted:
    return read_response(from_form(form(text)), identity_provider(), service_provider(), ASKED, now=NOW)


def refusal(text: str | bytes) -> str:
    with pytest.raises(SamlRefused) as caught:
        read(text)
    return caught.value.code


def test_the_response_that_all_these_are_made_of_is_good() -> None:
    assert read(GOOD).name_id.value == "ann"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("of_response", "of_assertion"), [(False, True), (True, False), (True, True)])
def test_a_wrapped_signature_vouches_for_nothing(way: str, of_response: bool, of_assertion: bool) -> None:  # R40
    if (way in OF_RESPONSES and not of_response) or (way not in OF_RESPONSES and not of_assertion):
        return
    text = signed_response(sign_response=of_response, sign_assertion=of_assertion)
    assert refusal(wrapped(text, way)) in CODES


@pytest.mark.parametrize("kind", TEXTS)
def test_what_is_not_plain_XML_is_not_read(kind: str) -> None:  # R40
    assert refusal(TEXTS[kind]) in CODES


def test_a_comment_that_a_signature_covers_does_not_cut_a_name_short() -> None:  # R40
    signed = sign(logout_request(name="ann<!---->.evil.example"))
    with pytest.raises(SamlRefused):
        from_form(form(signed, "SAMLRequest"))


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1"),
        ("2001/04/xmldsig-more#rsa-sha256", "2001/04/xmldsig-more#hmac-sha256"),
        ("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1"),
        ("2001/10/xml-exc-c14n#", "2001/10/none#"),
    ],
)
def test_weak_and_unknown_algorithms_are_refused(found: str, instead: str) -> None:  # R40
    assert refusal(GOOD.replace(found, instead)) == "saml_bad_signature"


def test_the_certificate_that_a_message_brings_counts_for_nothing() -> None:  # R40
    root = etree.fromstring(signed_response("thief"))
    assert next(root.iter(DS + "X509Certificate")).text
    assert refusal(etree.tostring(root)) == "saml_bad_signature"


# -- anything at all


def _take(received: Received) -> None:
    for destination in (SP_URL + "/slo", SP_URL + "/slo/soap"):
        try:
            read_logout_request(received, identity_provider(), destination, now=NOW)
        except SamlRefused:
            continue
        raise AssertionError("a message that was changed was believed")


def _damaged(data: st.DataObject, text: bytes) -> bytes:
    """Return bytes with one piece taken out, put in twice, or replaced."""
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 40)))
    return (
        text[:begin]
        + data.draw(st.sampled_from([b"", text[begin:end] * 2, b"<x/>", b"&amp;", b"\0"]) | st.binary(max_size=8))
        + text[end:]
    )


GOOD_REQUEST = logout_request(to=SP_URL + "/slo/soap")
SIGNED_REQUEST = sign(GOOD_REQUEST).encode()
IN_QUERY = query(logout_request())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_response_is_refused_or_says_the_same(data: st.DataObject) -> None:
    try:
        said = read(_damaged(data, GOOD.encode()))
    except SamlRefused:
        return
    assert said == read(GOOD)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_request_is_refused_or_says_the_same(data: st.DataObject) -> None:
    good = read_logout_request(
        from_envelope(envelope(SIGNED_REQUEST.decode())), identity_provider(), SP_URL + "/slo/soap", now=NOW
    )
    try:
        received = from_envelope(envelope("@").replace(b"@", _damaged(data, SIGNED_REQUEST)))
        said = read_logout_request(received, identity_provider(), SP_URL + "/slo/soap", now=NOW)
    except SamlRefused:
        return
    assert said == good


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_query_is_refused_or_says_the_same(data: st.DataObject) -> None:
    try:
        received = from_redirect(_damaged(data, IN_QUERY))
        said = read_logout_request(received, identity_provider(), SP_URL + "/slo", now=NOW)
    except SamlRefused:
        return
    assert (said.id, said.issuer, said.sessions) == ("_l1", IDP, ("_s1",))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_bytes_of_any_kind_are_refused(raw: bytes) -> None:
    for take in (from_redirect, from_envelope, lambda raw: from_form(form(raw, "SAMLRequest"))):
        try:
            _take(take(raw))
        except SamlRefused:
            continue
