"""The three scenarios of the source as programs: what they print is what their README shows (F21)."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.flows_world import Receiver, flow, running_receiver

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "examples" / "flows" / "README.md").read_text()
SHOWN = re.compile(r"^(?P<before>(?:    [^\n]*\n)+)\n```text\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = {block["before"].strip().splitlines()[-1].strip(): block["output"] for block in SHOWN.finditer(README)}
PROGRAMS = [command for command in COMMANDS if command.startswith("python ")]
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+")
CALLS = 5


@pytest.fixture
def erp() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def printed(folder: Path, *command: str, **more: str) -> str:
    """Run a command at the top of the repository, with nothing else of ours configured, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    environment |= {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **more}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return PORT.sub("PORT", done.stdout)


def test_there_is_a_program_for_each_of_the_three() -> None:
    assert len(PROGRAMS) == 3
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", PROGRAMS)
def test_a_scenario_prints_what_its_page_shows(command: str, tmp_path: Path) -> None:
    # F21
    assert printed(tmp_path, *command.split()[1:]) == PORT.sub("PORT", COMMANDS[command])


def test_a_scenario_runs_from_the_command_line(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "examples" / "flows"))
    try:
        from scenario import server  # the module of the examples
    finally:
        sys.path.pop(0)
    [command] = COMMANDS.keys() - PROGRAMS
    known = re.findall(r"(HOLDFAST_\w+)=(\S+)", README)
    with server() as port:
        words = command.replace("8437", str(port)).split()
        assert printed(tmp_path, "-m", *words, **dict(known)) == COMMANDS[command]


@pytest.mark.parametrize(("reuse", "expected"), [("none", 40 * CALLS), ("on_exchange", 40), ("on_integration_flow", 1)])
async def test_how_often_forty_messages_of_five_calls_authenticate(erp: Receiver, reuse: str, expected: int) -> None:
    # figure of spec 3: 1,000 messages in bench/flows.py
    async with flow(reuse, erp.url) as orders:
        for _ in range(40):
            async with orders.exchange():
                for _ in range(CALLS):
                    await orders.get("/whole/a")
    assert (erp.authentications, erp.sessions) == (expected, expected)
    assert len(erp.cookies) == 40 * CALLS
