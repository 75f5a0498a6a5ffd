"""Encrypted assertions: what is opened, and that each wrong thing is refused (R40)."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.identity.saml.bindings import from_form
from holdfast.identity.saml.names import DSIG, XENC, XENC11
from holdfast.identity.saml.parties import ServiceProvider, Signed
from holdfast.identity.saml.refusals import SamlRefused
from holdfast.identity.saml.responses import Asked, Asserted, read_response
from identity.saml.idp import (
    IDP,
    NOW,
    SP_URL,
    assertion,
    credentials_of,
    encrypted,
    form,
    identity_provider,
    response,
    service_provider,
    sign,
)

ASKED = Asked(id="_r1", at=NOW - 20)
SIGNED = sign(assertion())


def read(text: str, *keys: str, signed: Signed = "either") -> Asserted:
    sp = service_provider(SP_URL, *(keys or ("spe",)))
    return read_response(from_form(form(text)), identity_provider(IDP), sp, ASKED, now=NOW, signed=signed)


def refusal(text: str, *keys: str, **options: Any) -> str:
    with pytest.raises(SamlRefused) as caught:
        read(text, *keys, **options)
    return caught.value.code


def sealed(**options: Any) -> str:
    return response(encrypted(SIGNED, **options))


@pytest.mark.parametrize("content", ["aes128-gcm", "aes192-gcm", "aes256-gcm"])
@pytest.mark.parametrize(
    ("transport", "digest", "mask"),
    [
        (XENC + "rsa-oaep-mgf1p", "", ""),
        (XENC + "rsa-oaep-mgf1p", DSIG + "sha1", ""),
        (XENC + "rsa-oaep-mgf1p", XENC + "sha256", ""),
        (XENC11 + "rsa-oaep", XENC + "sha256", XENC11 + "mgf1sha256"),
        (XENC11 + "rsa-oaep", XENC + "sha512", XENC11 + "mgf1sha512"),
    ],
)
def test_an_assertion_that_was_encrypted_for_us_says_the_same(
    content: str, transport: str, digest: str, mask: str
) -> None:  # S7
    for beside in (False, True):
        text = sealed(content=XENC11 + content, transport=transport, digest=digest, mask=mask, beside=beside)
        said = read(text)
        assert (said.name_id.value, said.session, said.attributes["uid"]) == ("ann", "_s1", ("ann",))


def test_while_our_keys_roll_over_each_of_them_opens() -> None:
    assert read(sealed(to="spe2"), "spe", "spe2").name_id.value == "ann"
    assert refusal(sealed(to="thief"), "spe", "spe2") == "saml_undecipherable"


def test_a_site_without_a_key_reads_nothing_that_is_encrypted() -> None:
    with pytest.raises(SamlRefused) as caught:
        read_response(from_form(form(sealed())), identity_provider(IDP), service_provider(), ASKED, now=NOW)
    assert caught.value.code == "saml_encrypted"
    with pytest.raises(ConfigurationError, match="RSA"):
        ServiceProvider(SP_URL, credentials_of(), decrypts=[credentials_of("ec1")])


@pytest.mark.parametrize(
    "options",
    [
        {"content": XENC + "aes128-cbc"},
        {"content": XENC + "aes256-cbc"},
        {"content": XENC + "tripledes-cbc128"},
        {"content": ""},
        {"transport": XENC + "rsa-1_5"},
        {"transport": XENC + "kw-aes128"},
        {"transport": ""},
        {"digest": DSIG + "md5"},
        {"transport": XENC11 + "rsa-oaep", "mask": XENC11 + "mgf1md5"},
        {"more": f'<e:OAEPparams xmlns:e="{XENC}">YQ==</e:OAEPparams>'},
    ],
)
def test_other_algorithms_are_refused_before_anything_is_opened(options: dict[str, Any]) -> None:  # R40
    assert refusal(sealed(**options)) == "saml_encrypted"


@pytest.mark.parametrize("place", [0, 5, 11, 12, 40, -17, -16, -1])
def test_what_was_changed_on_its_way_does_not_open_and_nobody_learns_why(place: int) -> None:  # R40
    def spoil(data: bytes) -> bytes:
        place_at = place % len(data)
        return data[:place_at] + bytes([data[place_at] ^ 1]) + data[place_at + 1 :]

    def short(data: bytes) -> bytes:
        return data[: abs(place)]

    assert refusal(sealed(spoil=spoil)) == refusal(sealed(spoil=short)) == "saml_undecipherable"
    longer = sealed(content=XENC11 + "aes128-gcm").replace("aes128-gcm", "aes256-gcm")  # the key is of another length
    assert refusal(longer) == "saml_undecipherable"


def test_an_encrypted_assertion_is_believed_no_more_than_a_plain_one() -> None:  # R40
    plain = assertion()
    assert refusal(response(encrypted(plain))) == "saml_unsigned"  # anybody can encrypt for us
    assert refusal(response(encrypted(sign(plain, "thief")))) == "saml_bad_signature"
    assert refusal(response(encrypted(SIGNED.replace(">ann<", ">bob<")))) == "saml_bad_signature"
    around = sign(response(encrypted(plain)))
    assert read(around).name_id.value == "ann"  # the response is signed around what is encrypted
    assert refusal(around, signed="assertion") == "saml_unsigned"
    assert read(sign(response(encrypted(SIGNED))), signed="both").name_id.value == "ann"
    exchanged = around.replace(_cipher(around), _cipher(sealed()))
    assert refusal(exchanged) == "saml_bad_signature"


@pytest.mark.parametrize(
    ("code", "inside"),
    [
        ("saml_bad_assertion", encrypted(SIGNED) + SIGNED),
        ("saml_bad_assertion", encrypted(SIGNED) + encrypted(SIGNED)),
        ("saml_bad_assertion", encrypted(response(""))),
        ("saml_bad_assertion", encrypted(encrypted(SIGNED).replace("e:EncryptedData", "e:Data"))),
        ("saml_bad_assertion", encrypted(sign(assertion(more=assertion(id="_a2"))))),
        ("saml_bad_assertion", encrypted(sign(assertion(more="<saml:EncryptedAssertion/>")))),
        ("saml_encrypted", encrypted(sign(assertion(more="<saml:EncryptedID/>")))),
        ("saml_encrypted", encrypted(sign(assertion(more=f'<e:EncryptedData xmlns:e="{XENC}"/>')))),
        ("saml_malformed", encrypted("<!DOCTYPE a>" + SIGNED)),
        ("saml_malformed", encrypted(SIGNED.replace(">ann<", "><!-- -->ann<"))),
        ("saml_malformed", encrypted("no XML")),
        ("saml_too_large", encrypted(SIGNED.replace("</saml:Assertion>", "<b/>" * 5_000 + "</saml:Assertion>"))),
        ("saml_malformed", encrypted(SIGNED).replace("e:CipherValue", "e:CipherReference")),
        ("saml_malformed", encrypted(SIGNED).replace("<e:CipherValue>", "<e:CipherValue>~")),
        ("saml_malformed", encrypted(SIGNED).replace("EncryptedKey", "OtherKey")),
    ],
)
def test_what_is_inside_is_looked_at_as_closely_as_what_is_around(code: str, inside: str) -> None:  # R40
    assert refusal(response(inside)) == code


def test_not_many_keys_are_tried() -> None:
    text = encrypted(SIGNED, beside=True)
    key = text[text.index("<e:EncryptedKey") : text.index("</saml:EncryptedAssertion>")]
    assert refusal(response(text.replace(key, 5 * key))) == "saml_malformed"
    assert read(response(text.replace(key, 4 * key))).name_id.value == "ann"


GOOD = sealed()


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), instead=st.sampled_from("aAz09+/=<>&\"'é "))
def test_a_damaged_response_is_refused_or_says_the_same(at: int, instead: str) -> None:  # R40
    with suppress(SamlRefused):
        assert read(GOOD[:at] + instead + GOOD[at + 1 :]).name_id.value == "ann"


def _cipher(text: str) -> str:
    return text[text.rindex("<e:CipherValue>") : text.rindex("</e:CipherValue>")]
