"""`[saml]`: the parts are what it says, and what cannot work is refused at the start."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from holdfast.config import SamlSettings, Settings, load_settings
from holdfast.errors import ConfigurationError
from holdfast.web.saml import Partner, Saml
from holdfast.web.saml.configured import configured
from holdfast.web.security import Logon
from holdfast.web.site import Security
from identity.saml.idp import IDP, NOW, OTHER_IDP, certificate_of, identity_metadata, key_of

URL = "https://site.example/saml"


def files(folder: Path, name: str, prefix: str = "") -> dict[str, Path]:
    """Write a key and its certificate; return the settings that name them."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    key.write_bytes(key_of(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(certificate_of(name).public_bytes(Encoding.PEM))
    return {f"{prefix}key": key, f"{prefix}certificate": certificate}


@pytest.fixture
def said(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "idp.xml").write_bytes(identity_metadata())
    return {"url": URL, "metadata": str(tmp_path / "idp.xml"), **files(tmp_path, "sp")}


def test_the_parts_are_what_the_table_says(tmp_path: Path, said: dict[str, Any]) -> None:
    sp, partner = configured(SamlSettings(**said))
    assert (sp.url, sp.entity_id, len(sp.credentials), sp.decrypts) == (URL, URL + "/metadata", 1, ())
    assert (partner.metadata, partner.unsolicited, partner.logout) == (tmp_path / "idp.xml", False, "front")
    more = {
        **files(tmp_path, "old", "old_"),
        **files(tmp_path, "spe", "encryption_"),
        **files(tmp_path, "spe2", "old_encryption_"),
        "metadata": "https://idp.example/metadata.xml",
        "issuer": IDP,
        "entity_id": "urn:site",
        "vouched_by": said["certificate"],
        "subject": "uid",
        "name": "cn",
        "roles_in": "groups",
        "roles": {"a": "b"},
        "levels": {"urn:mfa": 2},
        "signed": "both",
        "fresh": "always",
        "name_format": "urn:x",
        "unsolicited": True,
        "logout": "back",
    }
    sp, partner = configured(SamlSettings(**{**said, **more}))
    assert [one.certificate.subject for one in (*sp.credentials, *sp.decrypts)] == [
        certificate_of(name).subject for name in ("sp", "old", "spe", "spe2")
    ]
    assert (sp.entity_id, partner.metadata, partner.entity_id) == ("urn:site", more["metadata"], IDP)
    assert partner.vouched_by == said["certificate"].read_bytes()
    people = partner.people
    assert (people.subject, people.name, people.roles_in) == ("uid", "cn", "groups")
    assert (people.roles, people.levels) == ({"a": "b"}, {"urn:mfa": 2})
    assert (partner.signed, partner.fresh, partner.name_format) == ("both", "always", "urn:x")
    assert (partner.unsolicited, partner.logout) == (True, "back")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": ""},
        {"url": "http://site.example/saml"},
        {"key": None},
        {"certificate": None},
        {"key": Path("nowhere.key")},
        {"metadata": ""},
        {"metadata": "nowhere.xml"},
        {"metadata": "https://idp.example/metadata.xml"},
        {"metadata": "http://idp.example/metadata.xml", "issuer": IDP},
        {"issuer": OTHER_IDP},
        {"old_key": Path("old.key")},
        {"encryption_certificate": Path("spe.crt")},
        {"vouched_by": Path("nowhere.crt")},
    ],
)
def test_what_cannot_work_is_refused_at_the_start(said: dict[str, Any], wrong: dict[str, Any]) -> None:
    security = Security(settings=Settings(saml=SamlSettings(**{**said, **wrong})))
    with pytest.raises(ConfigurationError):
        Saml(security)
    assert security.federations == []


def test_identity_providers_of_a_program_are_not_those_of_the_table(said: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Saml(Security(settings=Settings(saml=SamlSettings(**said))), None, Partner(metadata=identity_metadata()))


def test_an_elliptic_key_opens_nothing(tmp_path: Path, said: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="RSA"):
        configured(SamlSettings(**{**said, **files(tmp_path, "ec1", "encryption_")}))


def test_the_table_is_read_from_the_file_and_the_environment(
    tmp_path: Path, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f'{name} = "{value}"' for name, value in said.items()]
    file = tmp_path / "holdfast.toml"
    file.write_text("\n".join(["[saml]", *lines, 'levels = { "urn:mfa" = 2 }', ""]))
    monkeypatch.setenv("HOLDFAST_CONFIG", str(file))
    monkeypatch.setenv("HOLDFAST_SAML__SUBJECT", "uid")
    security = Security(settings=load_settings())
    assert security.settings.saml.subject == "uid"
    assert security.settings.saml.levels == {"urn:mfa": 2}
    saml = Saml(security)
    logon = Logon(issuer=IDP, subject="ann", method="saml", at=NOW)
    assert [one.knows(logon) for one in security.federations] == [True]
    assert security.federations == [saml]
    file.write_text('[saml]\nidp = "x"\n')
    with pytest.raises(ConfigurationError):
        load_settings()
