"""`holdfast users`: people are added, changed and removed, and their logons end with it."""

import json
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line
from holdfast.config import load_settings, store_url
from holdfast.engine import open_engine
from holdfast.identity.passwords import Cost, Passwords
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons

SECRET = "correct horse"
CHEAP = Cost(passes=1, memory=8192, lanes=1)


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
    ran = CliRunner().invoke(command_line(), ["users", *arguments], input=typed)
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


@pytest.mark.slow
def test_people_are_added_and_listed_without_their_passwords(file: Path) -> None:  # S7
    assert run("list")[0] == 2
    code, said, _ = run(
        "add", "Ann", "--role", "clerk", "--role", "boss", "--display-name", "Ann E", typed=SECRET + "\n"
    )
    assert (code, said) == (0, "ann was added\n")
    code, said, _ = run("list", "--json")
    assert json.loads(said) == {"name": "ann", "roles": "boss,clerk", "display name": "Ann E", "state": ""}
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("add", "ann", typed=SECRET + "\n")[0] == 2
    assert run("add", "bob", typed="short\n")[0] == 2


@pytest.mark.parametrize("command", ["passwd", "remove", "disable"])
def test_who_is_changed_or_removed_is_logged_off(file: Path, command: str) -> None:  # R33, R34
    run("add", "ann", typed=SECRET + "\n")
    assert logons(begin=True) == 1
    code, said, _ = run(command, "ann", typed="another one\n")
    assert code == 0
    assert "1 of their logons" in said
    assert logons() == 0


@pytest.mark.slow
def test_who_is_disabled_logs_on_no_more_until_enabled(file: Path) -> None:  # R33
    run("add", "ann", "--role", "clerk", typed=SECRET + "\n")
    passwords = Passwords(file, cost=CHEAP)
    assert passwords.checked("ann", SECRET) is not None
    assert run("disable", "ann")[0] == 0
    assert json.loads(run("list", "--json")[1])["state"] == "disabled"
    assert passwords.checked("ann", SECRET) is None
    assert run("passwd", "ann", typed=SECRET + " 2\n")[0] == 0
    assert passwords.checked("ann", SECRET + " 2") is None, "another password changes nothing of that"
    assert run("enable", "ann")[1] == "ann was enabled\n"
    again = passwords.checked("ann", SECRET + " 2")
    assert again is not None
    assert (again.roles, again.disabled) == (("clerk",), False)
    assert run("disable", "bob")[0] == run("enable", "bob")[0] == 2


def test_short_and_common_passwords_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # ASVS 6.2
    common = file.with_name("common")
    monkeypatch.setenv("HOLDFAST_PASSWORDS__REFUSED", str(common))
    assert run("add", "ann", typed=SECRET + "\n")[0] == 2, "the list is not there"
    common.write_text("password1\nCorrect Horse Battery\n")
    code, _, said = run("add", "ann", typed="correct horse BATTERY\n")
    assert (code, "too common" in said) == (2, True)
    monkeypatch.setenv("HOLDFAST_PASSWORDS__SHORTEST", "15")
    code, _, said = run("add", "ann", typed=SECRET + "\n")
    assert (code, "15 characters" in said) == (2, True)
    assert run("add", "ann", typed="a" * 64 + "\n")[0] == 0


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
