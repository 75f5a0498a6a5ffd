"""The metadata that are taken and given, and keys that roll over."""

import pytest
from lxml import etree

from holdfast.errors import ConfigurationError
from holdfast.identity.saml.metadata import our_metadata, read_metadata
from holdfast.identity.saml.names import POST, REDIRECT, SOAP
from holdfast.identity.saml.parties import Credentials, ServiceProvider
from holdfast.identity.saml.refusals import SamlRefused
from holdfast.identity.saml.signatures import verified
from identity.saml.idp import (
    IDP,
    NOW,
    OTHER_IDP,
    SP_URL,
    certificate_of,
    credentials_of,
    identity_metadata,
    service_provider,
    sign,
)

MD = 'xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'


def unsigned(data: bytes) -> str:
    return data.decode().partition("<!-- ours -->")[2]


def test_an_identity_provider_is_what_its_metadata_say() -> None:
    idp = read_metadata(identity_metadata(IDP, "idp", "idp2"), now=NOW)
    assert (idp.entity_id, len(idp.certificates), idp.valid_until) == (IDP, 2, None)
    assert idp.logon[REDIRECT] == "https://idp.example/sso"
    assert {binding: each.location for binding, each in idp.logout.items()} == {
        REDIRECT: "https://idp.example/slo",
        POST: "https://idp.example/slo-post",
        SOAP: "https://idp.example/slo-soap",
    }


def test_keys_that_are_too_weak_or_cannot_be_read_are_left_out() -> None:
    assert len(read_metadata(identity_metadata(IDP, "weak", "idp"), now=NOW).certificates) == 1
    broken = identity_metadata(IDP, "idp", "idp2").replace(b"<ds:X509Certificate>M", b"<ds:X509Certificate>!", 1)
    assert len(read_metadata(broken, now=NOW).certificates) == 1
    with pytest.raises(SamlRefused):
        read_metadata(identity_metadata(IDP, "weak"), now=NOW)


def test_an_expired_certificate_is_believed_as_long_as_the_metadata_are() -> None:
    element = etree.fromstring(sign(unsigned(identity_metadata())))
    assert verified(element, [certificate_of("idp", expired=True)]).get("entityID") == IDP


def test_metadata_expire() -> None:
    assert read_metadata(identity_metadata(until=NOW + 1), now=NOW).valid_until == NOW + 1
    with pytest.raises(SamlRefused) as caught:
        read_metadata(identity_metadata(until=NOW), now=NOW)
    assert caught.value.code == "saml_out_of_time"


def test_one_of_many_is_named() -> None:
    both = "".join(unsigned(identity_metadata(name)).replace('ID="_m" ', "") for name in (IDP, OTHER_IDP))
    several = f"<md:EntitiesDescriptor {MD}>{both}</md:EntitiesDescriptor>".encode()
    assert read_metadata(several, now=NOW, entity_id=OTHER_IDP).entity_id == OTHER_IDP
    for wanted in ("", "https://nobody.example"):
        with pytest.raises(SamlRefused) as caught:
            read_metadata(several, now=NOW, entity_id=wanted)
        assert caught.value.code == "saml_wrong_issuer"


def test_metadata_that_must_be_vouched_for_are_signed_by_that_key() -> None:
    federation = [certificate_of("federation")]
    plain = unsigned(identity_metadata())
    assert read_metadata(sign(plain, "federation").encode(), now=NOW, vouched_by=federation).entity_id == IDP
    for text, code in ((plain, "saml_unsigned"), (sign(plain, "thief"), "saml_bad_signature")):
        with pytest.raises(SamlRefused) as caught:
            read_metadata(text.encode(), now=NOW, vouched_by=federation)
        assert caught.value.code == code


def test_addresses_are_of_the_web() -> None:
    with pytest.raises(SamlRefused):
        read_metadata(identity_metadata().replace(b"https://idp.example/slo-post", b"javascript:alert(1)"), now=NOW)


def test_ours_are_signed_and_name_all_our_keys() -> None:
    sp = ServiceProvider(SP_URL + "/", credentials_of(), credentials_of("ec1"))
    root = etree.fromstring(our_metadata(sp, name_formats=["urn:x"], valid_until=NOW + 60))
    said = verified(root, [certificate_of("sp")])
    assert said.get("validUntil")
    assert len(list(said.iter("{*}KeyDescriptor"))) == 2
    assert [each.text for each in said.iter("{*}NameIDFormat")] == ["urn:x"]
    [consumer] = said.iter("{*}AssertionConsumerService")
    assert consumer.get("Location") == SP_URL + "/acs"


def test_only_who_can_decrypt_asks_for_encryption() -> None:
    def keys(*decrypting: str) -> list[tuple[str | None, list[str | None]]]:
        said = verified(etree.fromstring(our_metadata(service_provider(SP_URL, *decrypting))), [certificate_of("sp")])
        return [
            (key.get("use"), [one.get("Algorithm") for one in key.iter("{*}EncryptionMethod")])
            for key in said.iter("{*}KeyDescriptor")
        ]

    assert keys() == [("signing", [])]
    signing, (use, methods) = keys("spe", "spe2")  # of two the first is the one to encrypt for
    assert (signing, use) == (("signing", []), "encryption")
    assert [str(method).rpartition("#")[2] for method in methods] == ["aes256-gcm", "aes128-gcm", "rsa-oaep-mgf1p"]


def test_keys_that_do_not_fit_are_refused_at_the_start() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from identity.saml.idp import key_of

    def pem(name: str) -> bytes:
        return key_of(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    certificate = certificate_of("sp").public_bytes(Encoding.PEM)
    weak = certificate_of("weak").public_bytes(Encoding.PEM)
    for key, other in ((pem("idp"), certificate), (b"no key", certificate), (pem("sp"), b"none"), (pem("weak"), weak)):
        with pytest.raises(ConfigurationError):
            Credentials(key, other)
    with pytest.raises(ConfigurationError):
        ServiceProvider(SP_URL)
    assert service_provider().entity_id == SP_URL + "/metadata"
