"""The chaos program for about a minute on each shared store: servers killed, frozen and cut off, and nothing lost.

`python -m bench.chaos --kills 1000` is the same at length. A failure prints the whole history of the object concerned.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # bench/ is no part of what the tests find by themselves

from bench.chaos.model import Model, Word  # noqa: E402

LONGEST_S = 170.0
KILLS = 15
SHORT = {"agents": 12, "kills": KILLS, "quiet-every": KILLS, "outage-every": 10, "idle": 6, "jump": 5}


def chaos(folder: Path, **changes: str | int) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the program, and return how it ended and its report."""
    report = folder / "report.json"
    options = {**SHORT, **changes, "report": report, "keep": folder}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "bench.chaos", *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    return ended, json.loads(report.read_text())


@pytest.mark.parametrize(("store", "order"), [("redis", "serialise"), ("postgres", "overtake")])
def test_no_acknowledged_fact_is_lost_and_nothing_stays_behind_whatever_is_killed(
    tmp_path: Path, store: str, order: str
) -> None:
    # A5, A6, A30, E15, E26
    ended, found = chaos(tmp_path, store=store, order=order)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert found["broken"] == []
    assert [found[name] for name in ("lost", "twice", "locks_left", "contexts_left", "nodes_left", "stranded")] == [
        0
    ] * 6
    assert found["kills"] == KILLS
    assert len(found["checks"]) == 1
    for fault in ("store stops", "requests lost", "answers lost", "requests late"):
        assert found["faults"].get(fault, 0) >= 1, found["faults"]
    assert found["faults"].get("freezes", 0) + found["faults"].get("freezes under a lease", 0) >= 1, found["faults"]
    for fact in ("locked", "update applied", "unlocked", "activated"):
        assert found["facts"].get(fact, 0) >= 10, found["facts"]


def model(*words: Word) -> Model:
    """Return what is known of an object whose texts n1, n2, … were answered with these words."""
    made = Model()
    for number, word in enumerate(words, 1):
        made.sent("ZCL_A", f"n{number}", locked_at=1.0)
        made.answered("ZCL_A", f"n{number}", word)
    return made


def broken(made: Model, puts: dict[str, int]) -> list[str]:
    made.check_counts(puts)
    return [broken.promise for broken in made.broken]


def test_the_model_tells_texts_lost_denied_and_written_twice_from_those_that_may_be_either() -> None:
    assert broken(model(Word.APPLIED, Word.NOT_APPLIED), {"n1": 1}) == []
    for count in (0, 1):
        assert broken(model(Word.MAYBE), {"n1": count}) == []
    assert broken(model(Word.APPLIED), {}) == ["lost"]
    assert broken(model(Word.NOT_APPLIED), {"n1": 1}) == ["denied"]
    for word in Word:
        assert broken(model(word), {"n1": 2}) == ["twice"]


def test_the_model_takes_the_last_acknowledged_text_or_a_later_one_and_no_older() -> None:
    item = model(Word.MAYBE, Word.APPLIED, Word.MAYBE).item("ZCL_A")
    assert [item.newest(nonce) is None for nonce in ("n1", "n2", "n3", None, "alice")] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert model(Word.MAYBE, Word.NOT_APPLIED).item("ZCL_A").newest(None) is None


def test_a_fault_planted_in_the_server_is_found(tmp_path: Path) -> None:
    ended, found = chaos(tmp_path, store="sqlite", plant="guess", kills=6)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "lost" in {broken["promise"] for broken in found["broken"]}
    assert "BROKEN" in ended.stdout
