"""`holdfast logons`: listed, shown and ended through the store, with an audit entry for each end."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line
from holdfast.config import load_settings, store_url
from holdfast.engine import open_engine
from holdfast.web.kinds import KINDS
from holdfast.web.security import Logon, Logons


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOLDFAST_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    ran = CliRunner().invoke(command_line(), ["logons", *arguments])
    return ran.exit_code, ran.stdout, ran.stderr


def with_logons(do: Callable[[Logons], Awaitable[Any]]) -> Any:
    async def work() -> Any:
        async with open_engine(store_url(load_settings()), kinds=KINDS, keeper=False) as engine:
            return await do(Logons(engine.manager))

    return anyio.run(work)


async def some(logons: Logons) -> None:
    for subject, issuer in (("ann", ""), ("ann", ""), ("bob", ""), ("eve", "https://id.example")):
        session = await logons.begin(
            Logon(subject=subject, issuer=issuer, method="password", at=1.0, device="\x1b[31m")
        )
        await logons.open_http("shop", below=session)
    await logons.open_http("shop")


def rows(*arguments: str) -> list[Any]:
    return [json.loads(line) for line in run("list", "--json", *arguments)[1].splitlines()]


def test_logons_are_listed_and_shown(folder: Path) -> None:  # S5
    assert "nobody" in run("list")[1]
    with_logons(some)
    assert sorted(row["user"].split("|")[-2 if "|" in row["user"] else 0] for row in rows()) == [
        "ann",
        "ann",
        "bob",
        "eve",
    ]
    assert len(rows("--user", "ann")) == 2
    assert len(rows("--application", "shop")) == 4
    [bob] = rows("--user", "bob")
    code, said, _ = run("show", bob["handle"])
    assert (code, "\x1b" in said, bob["handle"] in said) == (0, False, True)
    assert json.loads(run("show", bob["handle"], "--json")[1])["applications"] == "shop"
    assert run("show", "0" * 32)[0] == 2


def test_one_a_users_an_applications_and_all_are_ended(folder: Path) -> None:  # S5, R33, R35
    with_logons(some)
    [bob] = rows("--user", "bob")
    assert "1 logons and 0 other" in run("end", bob["handle"])[1]
    assert run("end", bob["handle"])[0] == 2
    assert json.loads(run("end", "--user", "ann", "--json")[1]) == {"logons": 2, "sessions": 0, "stays": []}
    assert "0 logons and 2 other" in run("end", "--application", "shop")[1]  # eve's, and a visitor's
    code, said, _ = run("end", "--all")
    assert (code, "1 logons" in said, "https://id.example" in said) == (0, True, True)  # S19
    assert rows() == []
    audited = [json.loads(line) for line in (folder / "holdfast" / "audit.jsonl").read_text().splitlines()]
    forced = [entry for entry in audited if entry["fact"] == "forced_end"]
    assert len(forced) == 6
    assert all(entry["detail"].startswith("command line: ") for entry in forced)


def test_issuers_may_be_left_alone(folder: Path) -> None:  # S19
    with_logons(some)
    assert "id.example" not in run("end", "--all", "--local")[1]


@pytest.mark.parametrize("arguments", [[], ["--all", "--user", "ann"], ["0" * 32, "--all"]])
def test_nothing_is_ended_by_leaving_something_out(folder: Path, arguments: list[str]) -> None:
    with_logons(some)
    assert run("end", *arguments)[0] == 2
    assert len(rows()) == 4


def test_a_server_is_asked_only_with_a_token_and_over_tls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HOLDFAST_ADMIN_TOKEN" in run("list", "--server", "https://site.example/admin")[2]
    monkeypatch.setenv("HOLDFAST_ADMIN_TOKEN", "a-token")
    code, _, said = run("list", "--server", "http://site.example/admin")
    assert (code, "https" in said) == (2, True)
    assert run("list", "--server", "http://127.0.0.1:9/admin")[0] == 3
    monkeypatch.setenv("HOLDFAST_STORE", "memory://")
    assert run("list")[0] == 2
