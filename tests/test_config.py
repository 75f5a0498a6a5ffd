"""Settings: what rules over what, and errors that name the setting."""

from pathlib import Path

import pytest

from holdfast.config import KindSettings, load_settings, shown_url
from holdfast.core.kinds import Clocks, Limits
from holdfast.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_the_defaults_need_no_file() -> None:
    settings = load_settings()
    assert (settings.host, settings.lock_hold_limit, settings.systems) == ("127.0.0.1", 900.0, {})


def test_the_environment_rules_over_the_file_and_arguments_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "holdfast.toml").write_text('port = 1111\nlease_ttl = 5.0\nhost = "::1"\n')
    monkeypatch.setenv("HOLDFAST_PORT", "2222")
    settings = load_settings(host="localhost", token=None)
    assert (settings.port, settings.lease_ttl, settings.host) == (2222, 5.0, "localhost")


def test_several_systems_have_names_in_the_file_and_secrets_may_be_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # A20
    (tmp_path / "pw").write_text("s3cret\n")
    (tmp_path / "x.toml").write_text(
        '[systems.dev]\nurl = "https://dev:44300"\nclient = "100"\nuser = "ANN"\n'
        f'password_file = "{tmp_path}/pw"\n[systems.test]\nurl = "https://test"\n'
    )
    monkeypatch.setenv("HOLDFAST_CONFIG", str(tmp_path / "x.toml"))
    systems = load_settings().systems
    assert sorted(systems) == ["dev", "test"]
    assert systems["dev"].secret() == "s3cret"
    assert "s3cret" not in repr(systems)


def test_one_system_is_given_wholly_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # A20
    for name, value in {"URL": "https://sap", "CLIENT": "100", "USER": "ANN", "PASSWORD": "pw"}.items():
        monkeypatch.setenv(f"HOLDFAST_SAP_{name}", value)
    settings = load_settings()
    assert settings.default_system == "default"
    assert settings.systems["default"].secret() == "pw"
    assert "pw" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"HOLDFAST_SAP_USER": "ANN"}, "HOLDFAST_SAP_URL"),
        ({"HOLDFAST_CONFIG": "missing.toml"}, "missing.toml"),
        ({"HOLDFAST_PORT": "99999"}, "port"),
        ({"HOLDFAST_SAP_URL": "https://x", "HOLDFAST_SAP_PASWORD": "x"}, "pasword"),
        ({"HOLDFAST_STRICKT": "1"}, "HOLDFAST_STRICKT is not a setting"),
        ({"HOLDFAST_KINDS__MCP__IDLE": "-"}, "kinds.mcp.idle"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=named):
        load_settings()


@pytest.mark.parametrize("text", ["port = ", "colour = 1", "\udcff"])
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "holdfast.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError):
        load_settings()


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('[systems.dev]\nurl = "https://dev"\npassword_file = "nowhere"\n')
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_settings().systems["dev"].secret()


def test_a_misspelt_variable_is_answered_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STRICKT", "1")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.hint == "Did you mean HOLDFAST_STRICT?"


def test_every_clock_and_limit_of_a_kind_can_be_set() -> None:  # E31
    assert set(KindSettings.model_fields) == {*Clocks.__struct_fields__, *Limits.__struct_fields__}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:////var/lib/holdfast.db", "sqlite:////var/lib/holdfast.db"),
        ("redis://:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("postgresql://ann:hunter2@a,b/db?sslmode=require", "postgresql://***@a,b/db"),
        ("postgresql:///db?host=/run&password=hunter2", "postgresql:///db"),
        ("redis://ann:hun?ter2@host", "redis://…"),
        ("redis://ann:hun@ter2@host", "redis://***@host"),
    ],
)
def test_a_stores_url_is_shown_without_what_it_keeps_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown
