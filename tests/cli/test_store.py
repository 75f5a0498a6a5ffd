"""`holdfast store`: what it prints, its exit codes, and that no password is printed."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line

SECRET = "hunter2"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return f"sqlite:///{tmp_path / 'store.db'}"


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    ran = CliRunner().invoke(command_line(), ["store", *arguments])
    return ran.exit_code, ran.stdout, ran.stderr


def test_a_store_is_migrated_once(url: str) -> None:
    code, said, _ = run("migrate", "--store", url)
    assert (code, "made the file" in said, "made the tables of holdfast" in said) == (0, True, True)
    code, said, _ = run("migrate", "--store", url)
    assert (code, "nothing was left to do" in said) == (0, True)


def test_the_configured_store_is_meant_where_none_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", url)
    monkeypatch.setenv("HOLDFAST_NAMESPACE", "shop")
    assert "made the tables of shop" in run("migrate")[1]


def test_a_check_that_finds_nothing_says_so_and_a_serious_finding_is_exit_code_1(url: str, tmp_path: Path) -> None:
    code, said, _ = run("check", "--store", url)
    assert (code, said.startswith("SERIOUS: schema_wrong")) == (1, True)
    assert "next: Run `holdfast store migrate`" in said
    run("migrate", "--store", url)
    code, said, _ = run("check", "--store", url)
    assert (code, "all is well" in said) == (0, True)
    (tmp_path / "store.db").chmod(0o644)
    code, said, _ = run("check", "--store", url)
    assert (code, said.startswith("note: open_to_others")) == (0, True)
    code, said, _ = run("check", "--store", url, "--json")
    assert (code, json.loads(said)["serious"]) == (0, False)


def test_figures_are_a_table_or_one_object(url: str, tmp_path: Path) -> None:
    run("migrate", "--store", url)
    code, said, _ = run("stats", "--store", url)
    assert (code, said.splitlines()[0].split()) == (0, ["figure", "value"])
    code, said, _ = run("stats", "--store", url, "--json")
    assert (code, json.loads(said)["nodes"]) == (0, 0)
    assert sqlite3.sqlite_version in said


@pytest.mark.parametrize("command", ["migrate", "check", "stats"])
@pytest.mark.parametrize(
    ("scheme", "expected"), [("memory://", 2), ("mysql://ann:hunter2@nowhere/db", 2), ("nothing", 2)]
)
def test_what_is_no_store_to_look_after_is_refused_without_a_word_of_a_secret(
    url: str, command: str, scheme: str, expected: int
) -> None:
    code, said, complained = run(command, "--store", scheme)
    assert (code, said, SECRET in complained, "next: " in complained) == (expected, "", False, True)
