"""Which requests and answers of single logout are believed, over each binding (R42 to R44)."""

from typing import Any

import pytest

from holdfast.identity.saml.bindings import Received, from_envelope, from_form, from_redirect, to_envelope, to_redirect
from holdfast.identity.saml.logouts import (
    LogoutRequest,
    read_logout_request,
    read_logout_response,
)
from holdfast.identity.saml.logouts import (
    logout_request as make_request,
)
from holdfast.identity.saml.logouts import (
    logout_response as make_response,
)
from holdfast.identity.saml.parties import NameId
from holdfast.identity.saml.refusals import SamlRefused
from identity.saml.idp import (
    IDP,
    NOW,
    OTHER_IDP,
    SP_URL,
    TRANSIENT,
    certificate_of,
    credentials_of,
    envelope,
    form,
    identity_provider,
    logout_request,
    logout_response,
    query,
    service_provider,
    sign,
)

BINDINGS = ("redirect", "post", "soap")
WHERE = {"redirect": SP_URL + "/slo", "post": SP_URL + "/slo", "soap": SP_URL + "/slo/soap"}
PARTIAL = (
    '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success">'
    '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/></samlp:StatusCode>'
)


def sent(text: str, binding: str, by: str | None = "idp", kind: str = "SAMLRequest") -> Received:
    if binding == "redirect":
        return from_redirect(query(text, by, kind=kind))
    signed = sign(text, by) if by else text
    return from_envelope(envelope(signed)) if binding == "soap" else from_form(form(signed, kind))


def read(binding: str, by: str | None = "idp", **said: Any) -> LogoutRequest:
    text = logout_request(**{"to": WHERE[binding], **said})
    return read_logout_request(sent(text, binding, by), identity_provider(), WHERE[binding], now=NOW)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_signed_request_says_whose_sessions_end(binding: str) -> None:  # R42
    said = read(binding, sessions=["_s1", "_s2"])
    assert (said.id, said.issuer, said.sessions) == ("_l1", IDP, ("_s1", "_s2"))
    assert said.name_id == NameId(value="ann", format=TRANSIENT)
    assert read(binding, sessions=[]).sessions == ()


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("code", "by", "said"),
    [
        ("saml_unsigned", None, {}),
        ("saml_bad_signature", "thief", {}),
        ("saml_bad_signature", "other", {"issuer": OTHER_IDP}),
        ("saml_wrong_issuer", "idp", {"issuer": OTHER_IDP}),
        ("saml_wrong_destination", "idp", {"to": "https://other.example/slo"}),
        ("saml_wrong_destination", "idp", {"to": ""}),
        ("saml_out_of_time", "idp", {"at": NOW - 361}),
        ("saml_out_of_time", "idp", {"at": NOW + 61}),
        ("saml_out_of_time", "idp", {"until": NOW - 61}),
        ("saml_malformed", "idp", {"name": ""}),
        ("saml_malformed", "idp", {"id": "7 no name"}),
        ("saml_malformed", "idp", {"sessions": [str(n) for n in range(101)]}),
    ],
)
def test_each_wrong_thing_in_a_request_is_refused_with_its_code(
    binding: str, code: str, by: str | None, said: dict[str, Any]
) -> None:  # R42
    with pytest.raises(SamlRefused) as caught:
        read(binding, by, **said)
    assert caught.value.code in ({code, "saml_malformed"} if "id" in said else {code})


def test_the_signature_of_a_query_covers_it_as_it_came() -> None:  # R42
    good = query(logout_request(), relay_state="theirs")
    read_logout_request(from_redirect(good), identity_provider(), WHERE["redirect"], now=NOW)
    changed = (
        good.replace(b"RelayState=theirs", b"RelayState=mine"),
        good.replace(b"&RelayState=theirs", b""),
        good.replace(b"rsa-sha256", b"rsa-sha512"),
        good.replace(b"rsa-sha256", b"none"),
        good.replace(b"Signature=", b"Signature=AAAA"),
        good.partition(b"&Signature=")[0] + b"&Signature=",
        good.partition(b"&SigAlg=")[0] + b"&Signature=AAAA",
    )
    for one in changed:
        with pytest.raises(SamlRefused) as caught:
            read_logout_request(from_redirect(one), identity_provider(), WHERE["redirect"], now=NOW)
        assert caught.value.code == "saml_bad_signature", one
    for one in (good + b"&SAMLRequest=x", good + b"&RelayState=x", good + b"&SAMLResponse=x", b"", b"RelayState=x"):
        with pytest.raises(SamlRefused) as caught:
            from_redirect(one)
        assert caught.value.code == "saml_malformed", one


def test_sha1_signs_no_query() -> None:  # R42
    received = from_redirect(query(logout_request(), algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"))
    with pytest.raises(SamlRefused) as caught:
        read_logout_request(received, identity_provider(), WHERE["redirect"], now=NOW)
    assert caught.value.code == "saml_bad_signature"


def test_names_mean_the_same_whether_the_obvious_is_said_or_not() -> None:  # R43
    short = NameId(value="a b", format=TRANSIENT)
    long = NameId(value="a b", format=TRANSIENT, name_qualifier=IDP, sp_name_qualifier="sp")
    assert short.text in long.spellings(IDP, "sp")
    assert long.text in short.spellings(IDP, "sp")
    assert short.text not in NameId(value="a b", format=TRANSIENT, name_qualifier="else").spellings(IDP, "sp")
    assert NameId.of(long.text) == long


@pytest.mark.parametrize("binding", BINDINGS)
def test_an_answer_says_whether_all_has_ended(binding: str) -> None:  # R44, R45
    def read_answer(by: str | None = "idp", request_id: str = "_q1", **said: Any) -> bool:
        text = logout_response(**{"to": WHERE[binding], **said})
        received = sent(text, binding, by, "SAMLResponse")
        return read_logout_response(received, identity_provider(), WHERE[binding], request_id, now=NOW)

    assert read_answer()
    assert not read_answer(status=PARTIAL)
    assert not read_answer(status='<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Requester"/>')
    for code, by, options in (
        ("saml_unsigned", None, {}),
        ("saml_bad_signature", "thief", {}),
        ("saml_unsolicited", "idp", {"request_id": "_q2"}),
        ("saml_wrong_issuer", "idp", {"issuer": OTHER_IDP}),
        ("saml_wrong_destination", "idp", {"to": "https://other.example"}),
        ("saml_out_of_time", "idp", {"at": NOW - 400}),
    ):
        with pytest.raises(SamlRefused) as caught:
            read_answer(by, **options)
        assert caught.value.code == code


@pytest.mark.parametrize("key", ["sp", "ec1"])
def test_what_we_sign_is_what_we_would_believe(key: str) -> None:
    sp, ours = service_provider(), identity_provider(SP_URL + "/metadata", key)
    request = make_request(sp, "https://x.example/slo", "_q1", NameId(value="ann"), session="_s1", now=NOW)
    address = to_redirect(request, "https://x.example/slo?a=1", credentials_of(key), relay_state="a&b=c")
    received = from_redirect(address.partition("?")[2].encode())
    assert received.relay_state == "a&b=c"
    assert read_logout_request(received, ours, "https://x.example/slo", now=NOW).sessions == ("_s1",)
    for complete in (True, False):
        answer = make_response(sp, "https://x.example/slo", "_o1", "_q1", complete=complete, now=NOW)
        received = from_envelope(to_envelope(answer, credentials_of(key)))
        assert read_logout_response(received, ours, "https://x.example/slo", "_q1", now=NOW) == complete


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    with pytest.raises(SamlRefused):
        read_logout_request(
            sent(logout_response(), "post", kind="SAMLResponse"), identity_provider(), WHERE["post"], now=NOW
        )
    with pytest.raises(SamlRefused):
        read_logout_response(sent(logout_request(), "post"), identity_provider(), WHERE["post"], "_q1", now=NOW)
    assert certificate_of("idp") != certificate_of("thief")
