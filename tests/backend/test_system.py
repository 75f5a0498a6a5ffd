"""Systems as they are configured (A20, in part)."""

from pathlib import Path

import pytest

from holdfast.adt.door import DOOR
from holdfast.backend.system import http_transport, open_systems
from holdfast.config import Settings, SystemSettings
from holdfast.errors import BadInput, ConfigurationError


def settings(**systems: SystemSettings) -> Settings:
    return Settings(systems=systems, default_system="")


async def test_systems_have_names_and_one_is_meant_when_none_is_named() -> None:
    one, two = SystemSettings(url="https://one.example"), SystemSettings(url="https://two.example/")
    async with open_systems(settings(one=one, two=two), DOOR) as systems:
        assert (systems.default, systems.names) == ("one", ["one", "two"])
        assert systems.get("two").wire.base_url == "https://two.example"
        with pytest.raises(BadInput, match="no system 'three'") as error:
            systems.get("three")
        assert "one, two" in error.value.hint


async def test_without_a_system_or_with_a_wrong_default_nothing_starts() -> None:
    with pytest.raises(ConfigurationError, match="no SAP system"):
        async with open_systems(settings(), DOOR):
            pass
    wrong = Settings(systems={"one": SystemSettings(url="https://one.example")}, default_system="two")
    with pytest.raises(ConfigurationError, match="default_system 'two'"):
        async with open_systems(wrong, DOOR):
            pass


def test_a_file_of_certificates_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="not a file of certificates"):
        http_transport("dev", SystemSettings(url="https://x.example", verify=file))


async def test_a_secret_is_read_anew_for_every_logon(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    one = SystemSettings(url="https://one.example", user="me", password_file=file)
    async with open_systems(settings(one=one), DOOR) as systems:
        first = systems.get().authorization()
        file.write_text("second\n")
        assert systems.get().authorization() != first


async def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    # A10: the address is shown where a system cannot be reached
    one = SystemSettings(url="https://me:hush@one.example")
    with pytest.raises(ConfigurationError, match="system 'one' has a user in it") as error:
        async with open_systems(settings(one=one), DOOR):
            pass
    assert "hush" not in str(error.value)
