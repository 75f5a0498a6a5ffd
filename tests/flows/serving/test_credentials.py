"""Credentials of flows: where they come from, and what is said if they do not."""

from pathlib import Path

import pytest

from holdfast.config import FlowSettings, load_settings
from holdfast.errors import ConfigurationError
from holdfast.flows.serving.credentials import load_credentials

SECRET = "k3ep-m3-h1dd3n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flows.toml"


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_file_says_user_and_secret_or_names_the_file_that_does(file: Path) -> None:
    (file.parent / "erp").write_text(f"{SECRET}\n")
    known = load_credentials(written(file, f'[a]\nuser = "anna"\nsecret = "{SECRET}"\n[b]\nsecret_file = "erp"\n'), {})
    assert (known("a").user, known("a").secret) == ("anna", SECRET)
    assert (known("b").user, known("b").secret) == ("", SECRET)


def test_the_environment_rules_over_the_file_part_by_part(file: Path) -> None:
    written(file, '[erp-user]\nuser = "anna"\nsecret = "old"\n')
    prefix = "HOLDFAST_FLOW_CREDENTIAL_"
    known = load_credentials(
        file, {f"{prefix}ERP_USER_SECRET": SECRET, f"{prefix}CRM_USER": "carl", f"{prefix}CRM_SECRET": "c", "X": "y"}
    )
    assert (known("erp-user").user, known("erp-user").secret) == ("anna", SECRET)
    assert (known("crm").user, known("crm").secret) == ("carl", "c")


def test_a_name_that_nobody_knows_is_told_with_those_there_are(file: Path) -> None:
    known = load_credentials(written(file, f'[a]\nsecret = "{SECRET}"'), {})
    with pytest.raises(
        ConfigurationError, match=r"there is no credential 'erp-b' in .*flows\.toml or in .*: a$"
    ) as told:
        known("erp-b")
    assert "HOLDFAST_FLOW_CREDENTIAL_ERP_B_USER" in told.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[a]\nsecret = "{SECRET}', r"are no TOML \(at "),
        (f"[a]\nsecret = {SECRET}", r"are no TOML \(at line 2"),
        (f'a = "{SECRET}"', r"\[a\]: expected `object`"),
        (f'[a]\npassword = "{SECRET}"', r"\[a\]: the key 'password' is not known here"),
        (f'[a]\nsecret = ["{SECRET}"]', r"\[a\]: expected `str`"),
        ('[a]\nuser = "anna"', r"\[a\] needs either secret or secret_file"),
        (f'[a]\nsecret = "{SECRET}"\nsecret_file = "x"', r"\[a\] needs either"),
        ('[a]\nsecret_file = "none"', r"\[a\]: secret_file none cannot be read \(FileNotFoundError\)"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_without_what_it_holds(file: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as told:
        load_credentials(written(file, text), {})
    assert "flows.toml" in str(told.value)
    assert SECRET not in f"{told.value} {told.value.hint}"


def test_a_file_that_others_may_read_or_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="can be read by others"):
        load_credentials(written(file, "", 0o644), {})
    with pytest.raises(ConfigurationError, match=r"cannot be read \(FileNotFoundError\)"):
        load_credentials(file.with_name("gone"), {})


def test_a_variable_that_names_no_part_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"HOLDFAST_FLOW_CREDENTIAL_ERP ends neither"):
        load_credentials(None, {"HOLDFAST_FLOW_CREDENTIAL_ERP": SECRET})


def test_settings_name_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holdfast.toml").write_text('[flows]\nfiles = ["flows/*.yaml"]\ncredentials = "flows.toml"\n')
    monkeypatch.setenv("HOLDFAST_FLOW_CREDENTIAL_ERP_SECRET", SECRET)
    assert load_settings().flows == FlowSettings(files=["flows/*.yaml"], credentials=Path("flows.toml"))
