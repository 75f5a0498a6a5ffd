"""`holdfast flow check`, `migrate` and `schema`: what they print, and their exit codes."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line
from holdfast.flows.model import json_schema

OLD = """\
flow: orders
receivers:
  erp: {adapter: http, url: https://erp.example/orders}
steps:
- loop: {while: body, max: 3, do: [{call: erp}]}
"""
SHARED = OLD.replace("/orders}", "/orders, stateful: true}").replace(
    "receivers:", "http_session_reuse: on_integration_flow\nreceivers:"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.yaml").write_bytes(OLD.encode())
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    ran = CliRunner().invoke(command_line(), ["flow", *arguments])
    return ran.exit_code, ran.stdout, ran.stderr


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_flow_of_which_nothing_is_to_be_said_is_exit_code_0(folder: Path) -> None:
    # F12
    assert run("check", "orders.yaml") == (0, "orders.yaml: nothing was found\n", "")
    assert run("check", "orders.yaml", "--json") == (0, "", "")
    assert run("check", "orders.yaml", "--load")[0] == 0


def test_findings_are_printed_with_place_level_and_remedy(folder: Path) -> None:
    # F12
    (folder / "shared.yaml").write_text(SHARED)
    code, said, _ = run("check", "orders.yaml", "shared.yaml")
    [told, remedy] = said.splitlines()
    assert code == 1
    assert told.startswith("shared.yaml:4: warning: shared_state: 'erp' is stateful")
    assert remedy == "  next: Use http_session_reuse: on_exchange."
    (folder / "shared.yaml").write_text(f"strict: true\n{SHARED}")
    code, said, _ = run("check", "shared.yaml", "--json", "--load")
    [row] = rows(said)
    assert (code, row["file"], row["line"], row["code"], row["level"]) == (2, "shared.yaml", 5, "shared_state", "error")


def test_all_that_is_wrong_with_a_file_is_told_and_the_other_files_are_looked_at(folder: Path) -> None:
    (folder / "wrong.yaml").write_text("flow: f\nsteps:\n- call: erp\n- script: nowhere:x\n- filter: 1 +\n")
    code, said, _ = run("check", "wrong.yaml", "absent.yaml", "orders.yaml", "--json")
    assert (code, [(row["place"], row["code"]) for row in rows(said)]) == (
        2,
        [
            ("wrong.yaml:3", "receiver"),
            ("wrong.yaml:4", "function"),
            ("wrong.yaml:5", "expression"),
            ("absent.yaml", "file"),
        ],
    )
    assert all(row["next"] for row in rows(said))


def test_a_check_runs_nothing_of_the_flow_until_it_is_to_load_it(folder: Path) -> None:
    # F12
    (folder / "flow_check_beside.py").write_text("open('RAN', 'w').close()\ndef made(message): ...\n1 / 0\n")
    (folder / "ours.yaml").write_text("flow: f\nsteps: [script: flow_check_beside:made]")
    assert run("check", "ours.yaml")[0] == 0
    assert not (folder / "RAN").exists()
    code, said, _ = run("check", "ours.yaml", "--load")
    assert (code, "ours.yaml:2: error: function: the module 'flow_check_beside' fails" in said) == (2, True)
    assert (folder / "RAN").exists()


def test_credentials_are_looked_at_when_the_flow_is_loaded(folder: Path) -> None:
    code, _, said = run("check", "orders.yaml", "--load", "--credentials", "absent.toml")
    assert (code, "absent.toml" in said) == (2, True)


def test_a_flow_is_migrated_on_stdout_and_the_setting_that_fits_is_said_beside_it(folder: Path) -> None:
    # F11
    code, said, beside = run("migrate", "orders.yaml")
    assert (code, said) == (0, OLD.replace("orders\nrec", "orders\nhttp_session_reuse: none\nrec"))
    assert beside == (
        "orders.yaml: http_session_reuse is now none; the flow's shape suggests on_exchange: "
        "one message calls erp.example:443 several times (orders.yaml:5)\n"
    )
    assert (folder / "orders.yaml").read_text() == OLD


@pytest.mark.parametrize(("setting", "written"), [("suggested", "on_exchange"), ("none", "none")])
def test_a_file_is_migrated_in_place_with_its_line_ends_and_rights(folder: Path, setting: str, written: str) -> None:
    # F11
    file = folder / "orders.yaml"
    file.write_bytes(OLD.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    (folder / "link.yaml").symlink_to("orders.yaml")
    code, said, _ = run("migrate", "link.yaml", "--write", "--setting", setting, "--json")
    assert (code, [row["changed"] for row in rows(said)]) == (0, [True])
    assert (
        file.read_bytes()
        == OLD.replace("orders\nrec", f"orders\nhttp_session_reuse: {written}\nrec").replace("\n", "\r\n").encode()
    )
    assert (stat.S_IMODE(file.stat().st_mode), (folder / "link.yaml").is_symlink()) == (0o640, True)
    assert sorted(path.name for path in folder.iterdir() if "orders" in path.name) == ["orders.yaml"]
    code, said, _ = run("migrate", "orders.yaml", "--write", "--setting", "on_integration_flow")
    assert (code, f"was {written} already" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("absent.yaml",), "wrong_flow: absent.yaml: the flow cannot be read (FileNotFoundError)"),
        (("orders.yaml", "--setting", "sometimes"), "'sometimes' is no setting of session re-use; there are none,"),
    ],
)
def test_what_cannot_be_migrated_is_told(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    code, said, beside = run("migrate", *arguments)
    assert (code, said, told in beside, "next: " in beside) == (2, "", True, True)


def test_the_schema_of_the_file_is_printed() -> None:
    # F15
    code, said, _ = run("schema")
    assert (code, json.loads(said)) == (0, json.loads(json.dumps(json_schema())))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-H", "no header"), "bad_input: 'no header' is no header"),
        (("--file", "absent.json"), "bad_input: the body cannot be read from absent.json"),
        (("--file", "/dev/zero"), "bad_input: the body in /dev/zero has more than 200,000 bytes"),
        (("--file", "deep.json"), "bad_input: the body is not what its type says, application/json"),
        (("--file", "deep.json", "-H", "content-type: x/y+json"), "the body is not what its type says, x/y+json"),
        (("--body", "x", "--file", "y"), "bad_input: the body is given twice"),
        (("--credentials", "absent.toml"), "configuration: the credentials absent.toml cannot be read"),
    ],
)
def test_a_command_line_that_is_wrong_is_told(
    folder: Path, arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.cli.flow_run.MAX_BODY_BYTES", 200_000)
    (folder / "deep.json").write_text("[" * 100_000)
    code, said, beside = run("run", "orders.yaml", *arguments)
    assert (code, said, told in beside) == (2, "", True), beside
