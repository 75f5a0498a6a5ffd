"""Every Python example of the manual runs as it stands; every command named there exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```python[ ]*(?P<flag>[\w-]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)")
COMMAND = re.compile(r"holdfast ((?:[a-z]+ ?){1,2})")


def examples() -> list[object]:
    """All blocks marked as Python, but for those that say they need a server at the reader's side."""
    found = []
    for page in PAGES:
        for number, block in enumerate(BLOCK.finditer(page.read_text()), 1):
            if block["flag"] != "no-run":
                found.append(pytest.param(block["code"], id=f"{page.name}-{number}"))
    return found


def run_alone(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with these arguments in an empty folder, with nothing of ours configured."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    environment |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("code", examples())
def test_an_example_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    done = run_alone(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_to_files_that_are_there(page: Path) -> None:
    targets = [link["target"] for link in LINK.finditer(page.read_text())]
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_that_exist(page: Path) -> None:
    from typer.main import get_command

    from holdfast.cli import command_line

    group = get_command(command_line())
    for text in re.findall(r"`holdfast [^`]+`|^    holdfast .*$", page.read_text(), re.MULTILINE):
        words = text.strip("` ").split()[1:]
        command = group
        while words and hasattr(command, "commands") and re.fullmatch("[a-z]+", words[0]):
            assert words[0] in command.commands, f"{text} in {page.name}"
            command = command.commands[words.pop(0)]


def test_the_example_program_edits_a_class(tmp_path: Path) -> None:
    done = run_alone(tmp_path, str(ROOT / "examples" / "abap_edit_class.py"), "ZCL_EXAMPLE")
    assert done.returncode == 0, done.stderr
    assert "ZCL_EXAMPLE is active." in done.stdout
    assert "METHODS greet" in done.stdout
