"""What responses are believed, and that each wrong thing in one is refused with its own code (R40, R41)."""

from typing import Any

import pytest

from holdfast.identity.saml.bindings import from_form
from holdfast.identity.saml.parties import Signed
from holdfast.identity.saml.people import People
from holdfast.identity.saml.refusals import SamlRefused
from holdfast.identity.saml.responses import Asked, Asserted, authn_request, read_response
from identity.saml.idp import (
    IDP,
    NOW,
    OTHER_IDP,
    SP_URL,
    TRANSIENT,
    assertion,
    form,
    identity_provider,
    response,
    service_provider,
    sign,
    signed_response,
)

ASKED = Asked(id="_r1", at=NOW - 20)
NOTHING = Asked(id="", at=NOW - 300)


def read(
    text: str | bytes,
    *,
    asked: Asked = ASKED,
    now: float = NOW,
    signed: Signed = "either",
    keys: tuple[str, ...] = (),
) -> Asserted:
    return read_response(
        from_form(form(text)), identity_provider(IDP, *keys), service_provider(), asked, now=now, signed=signed
    )


def refusal(text: str | bytes, **options: Any) -> str:
    with pytest.raises(SamlRefused) as caught:
        read(text, **options)
    assert "ann" not in str(caught.value)  # no text quotes the message
    return caught.value.code


@pytest.mark.parametrize(("sign_response", "sign_assertion"), [(False, True), (True, False), (True, True)])
def test_a_signed_assertion_or_response_says_who_has_logged_on(sign_response: bool, sign_assertion: bool) -> None:
    said = read(signed_response(sign_response=sign_response, sign_assertion=sign_assertion))
    assert (said.issuer, said.name_id.value, said.name_id.format) == (IDP, "ann", TRANSIENT)
    assert (said.session, said.at, said.ends_at, said.context) == ("_s1", NOW - 10, NOW + 3600, "urn:password")
    assert said.attributes == {"uid": ("ann",), "groups": ("cn=clerks", "cn=all")}
    assert said.valid_until >= NOW + 300


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("saml_wrong_issuer", {"issuer": OTHER_IDP}),
        ("saml_wrong_issuer", {"r_issuer": OTHER_IDP}),
        ("saml_wrong_destination", {"r_to": "https://other.example/saml/acs"}),
        ("saml_wrong_destination", {"r_to": ""}),
        ("saml_wrong_recipient", {"recipient": "https://other.example/saml/acs"}),
        ("saml_wrong_audience", {"audience": "https://other.example/saml/metadata"}),
        ("saml_unsolicited", {"answers": "_r2"}),
        ("saml_unsolicited", {"r_answers": "_r2"}),
        ("saml_out_of_time", {"until": NOW - 61}),
        ("saml_out_of_time", {"ends": NOW - 61}),
        ("saml_out_of_time", {"begins": NOW + 61}),
        ("saml_out_of_time", {"r_at": NOW - 400}),
        ("saml_out_of_time", {"r_at": NOW + 61}),
        ("saml_out_of_time", {"at": NOW + 61}),
        ("saml_out_of_time", {"session_ends": NOW - 1}),
        ("saml_bad_assertion", {"conditions": '<saml:Condition ID="_c" />'}),
        ("saml_bad_assertion", {"version": "1.1"}),
        ("saml_malformed", {"name": ""}),
        ("saml_malformed", {"name": "<saml:b>ann</saml:b>"}),
        ("saml_encrypted", {"more": "<saml:EncryptedID/>"}),
        ("saml_status", {"r_status": '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/>'}),
    ],
)
@pytest.mark.parametrize("sign_response", [False, True])
def test_each_wrong_thing_in_a_response_is_refused_with_its_code(
    code: str, said: dict[str, Any], sign_response: bool
) -> None:  # R41
    assert refusal(signed_response(sign_response=sign_response, **said)) == code


def test_what_must_be_signed_is_as_configured() -> None:  # R40
    only_assertion, only_response = signed_response(), signed_response(sign_response=True, sign_assertion=False)
    neither, both = signed_response(sign_assertion=False), signed_response(sign_response=True)
    assert refusal(neither) == "saml_unsigned"
    assert refusal(only_assertion, signed="response") == "saml_unsigned"
    assert refusal(only_response, signed="assertion") == "saml_unsigned"
    assert refusal(only_response, signed="both") == refusal(only_assertion, signed="both") == "saml_unsigned"
    assert read(both, signed="both").name_id.value == "ann"


@pytest.mark.parametrize("sign_response", [False, True])
def test_another_key_than_those_of_the_metadata_signs_nothing(sign_response: bool) -> None:  # R40
    assert refusal(signed_response("thief", sign_response=sign_response)) == "saml_bad_signature"
    text = sign(response(sign(assertion(), "thief")))  # a good response does not make a bad assertion good
    assert refusal(text) == "saml_bad_signature"


def test_of_several_certificates_each_verifies_while_keys_roll_over() -> None:
    for key in ("idp", "idp2", "ec1"):
        assert read(signed_response(key), keys=("idp", "idp2", "ec1")).name_id.value == "ann"


def test_what_was_changed_after_it_was_signed_is_refused() -> None:  # R40
    for sign_response in (False, True):
        text = signed_response(sign_response=sign_response)
        assert refusal(text.replace(">ann<", ">bob<")) == "saml_bad_signature"
        assert refusal(text.replace("_s1", "_s2")) == "saml_bad_signature"


def test_a_fresh_logon_that_was_demanded_must_be_fresh() -> None:  # R29
    asked = Asked(id="_r1", at=NOW - 20, force=True)
    assert read(signed_response(at=NOW - 10), asked=asked).at == NOW - 10
    assert refusal(signed_response(at=NOW - 3600), asked=asked) == "saml_stale_logon"
    assert read(signed_response(at=NOW - 3600)).at == NOW - 3600


def test_an_answer_to_nothing_is_believed_where_nothing_was_asked_and_there_alone() -> None:  # R41
    unsolicited: dict[str, Any] = {"answers": None, "r_answers": None}
    for sign_response in (False, True):
        text = signed_response(sign_response=sign_response, **unsolicited)
        assert read(text, asked=NOTHING).name_id.value == "ann"
        assert refusal(text) == "saml_unsolicited"
    for said in ({"r_answers": None}, {"answers": None}, {}):  # an answer does not become none by leaving a part out
        assert refusal(signed_response(**said), asked=NOTHING) == "saml_unsolicited"
    assert refusal(signed_response(until=NOW - 61, **unsolicited), asked=NOTHING) == "saml_out_of_time"
    forced = Asked(id="", at=NOW - 300, force=True)
    assert read(signed_response(at=NOW - 300, **unsolicited), asked=forced).at == NOW - 300
    assert refusal(signed_response(at=NOW - 3600, **unsolicited), asked=forced) == "saml_stale_logon"


def test_the_request_demands_what_it_is_told_to() -> None:  # R29
    plain = authn_request(service_provider(), "https://idp.example/sso", ASKED)
    assert plain.get("ForceAuthn") is None
    assert plain.get("AssertionConsumerServiceURL") == SP_URL + "/acs"
    forced = authn_request(service_provider(), "https://idp.example/sso", Asked(id="_r1", at=NOW, force=True))
    assert forced.get("ForceAuthn") == "true"


def test_attributes_say_who_somebody_is_here() -> None:
    said = read(signed_response())
    people = People(
        subject="uid", name="uid", roles_in="groups", roles={"cn=clerks": "clerk"}, levels={"urn:password": 2}
    )
    assert (people.subject_of(said), people.name_of(said)) == ("ann", "ann")
    assert (people.roles_of(said), people.level_of(said)) == (("clerk",), 2)
    assert People(roles_in="groups").roles_of(said) == ("cn=clerks", "cn=all")
    assert (People().roles_of(said), People().subject_of(said), People().level_of(said)) == ((), "ann", 1)
    with pytest.raises(SamlRefused):
        People(subject="groups").subject_of(said)
