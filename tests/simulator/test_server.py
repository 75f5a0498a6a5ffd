"""The simulator as a process of its own: what it prints, what it refuses."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from holdfast.simulator.server import main
from simulator.wire import listening_url

START = [sys.executable, "-m", "holdfast.simulator", "--port", "0"]
GRAPH = "/sap/bc/adt/compatibility/graph"


def test_it_prints_its_url_once_it_listens_and_takes_profile_switches_and_faults(tmp_path: Path) -> None:
    more = ["--store", str(tmp_path / "a.db"), "--profile", "816", "--switches", '{"context_timeout_s": 7}']
    more += ["--faults", '[{"effect": "unavailable"}]', "--delay-ms", "1"]
    with subprocess.Popen([*START, *more], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = listening_url(process)
            assert httpx2.get(f"{url}/_sim/status").json()["profile"] == "816"
            switches = httpx2.get(f"{url}/_sim/switches").json()
            assert (switches["context_timeout_s"], switches["delay_s"]) == (7, 0.001)
            logon = {"auth": ("ALICE", "Holdfast1")}
            assert [httpx2.get(url + GRAPH, **logon).status_code for _ in range(2)] == [503, 200]
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--switches", "{"],
        ["--switches", '{"no_such": 1}'],
        ["--switches", "[]"],
        ["--faults", '[{"effect": "x"}]'],
        ["--profile", "7.00"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(wrong)
    assert refused.value.code == 2
    assert "error:" in capsys.readouterr().err
