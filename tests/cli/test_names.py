"""How commands take the name of a node."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line


@pytest.mark.parametrize("command", [("sessions", "show"), ("sessions", "end"), ("locks", "release")])
def test_an_id_that_begins_with_a_dash_is_a_name_and_no_option(
    command: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = CliRunner().invoke(command_line(), [*command, "-aBcD123", "--json"])
    assert result.exit_code == 2
    assert "there is no session '-aBcD123'" in result.stderr
