"""`holdfast users`: people are added, changed and removed, and their logons end with it."""

import json
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from holdfast.cli import app
from holdfast.config import load_settings, store_url
from holdfast.engine import open_engine
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons

SECRET = "correct horse"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "people"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOLDFAST_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("HOLDFAST_PASSWORDS__FILE", str(path))
    monkeypatch.setenv("HOLDFAST_PASSWORDS__MEMORY", "8192")
    return path


def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    ran = CliRunner().invoke(app, ["users", *arguments], input=typed)
    assert SECRET not in ran.stdout + ran.stderr
    return ran.exit_code, ran.stdout, ran.stderr


def logons(begin: bool = False) -> int:
    """Return how many logons of ann's there are, perhaps after she has logged on."""

    async def count() -> int:
        async with open_engine(store_url(load_settings()), kinds=KINDS, keeper=False) as engine:
            made = Logons(engine.manager)
            if begin:
                await made.begin(Logon(subject="ann", method="password", at=0.0))
            return len(await made.listed("ann"))

    return anyio.run(count)


def test_people_are_added_and_listed_without_their_passwords(file: Path) -> None:  # S7
    assert run("list")[0] == 2
    code, said, _ = run(
        "add", "Ann", "--role", "clerk", "--role", "boss", "--display-name", "Ann E", typed=SECRET + "\n"
    )
    assert (code, said) == (0, "ann was added\n")
    code, said, _ = run("list", "--json")
    assert json.loads(said) == {"name": "ann", "roles": "boss,clerk", "display name": "Ann E"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("add", "ann", typed=SECRET + "\n")[0] == 2
    assert run("add", "bob", typed="short\n")[0] == 2


@pytest.mark.parametrize("command", ["passwd", "remove"])
def test_who_is_changed_or_removed_is_logged_off(file: Path, command: str) -> None:  # R33, R34
    run("add", "ann", typed=SECRET + "\n")
    assert logons(begin=True) == 1
    code, said, _ = run(command, "ann", typed="another one\n")
    assert code == 0
    assert "1 of their logons" in said
    assert logons() == 0


def test_logons_may_go_on(file: Path) -> None:
    run("add", "ann", typed=SECRET + "\n")
    logons(begin=True)
    assert "go on" in run("passwd", "ann", "--keep-logons", typed="another one\n")[1]
    assert logons() == 1


def test_no_file_and_no_such_person_say_what_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "ann", typed=SECRET + "\n")
    code, _, said = run("remove", "bob")
    assert (code, "users list" in said) == (2, True)
    monkeypatch.delenv("HOLDFAST_PASSWORDS__FILE")
    code, _, said = run("list")
    assert (code, "--file" in said) == (2, True)
