"""Ten thousand damaged requests of both eras and the dialect: no fault, no hang, no growth, nothing left behind.

`make fuzz` sends as many as one likes. A failure prints where the request is kept that `--replay` sends again.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # bench/ is no part of what the tests find by themselves

from bench.fuzz.__main__ import judged  # noqa: E402
from bench.fuzz.client import Seen  # noqa: E402
from bench.fuzz.draw import Draw, Drawn  # noqa: E402

LONGEST_S = 180.0


def fuzz(folder: Path, **options: str | int) -> subprocess.CompletedProcess[str]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "bench.fuzz", "--keep", str(folder), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)


@pytest.mark.parametrize(("store", "requests", "seed"), [("memory", 6000, 11), ("sqlite", 4000, 12)])
def test_no_damaged_request_is_a_fault_of_the_server_or_leaves_anything(
    tmp_path: Path, store: str, requests: int, seed: int
) -> None:
    # M1: every request has its row
    ended = fuzz(tmp_path, store=store, requests=requests, seed=seed)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["requests"] == requests
    assert found["slowest_s"] < 10
    assert {"200", "202", "204", "400", "403", "404", "405", "406", "415"} <= set(found["statuses"])
    assert found["statuses"]["200"] > requests / 10  # many get through to the tools


@pytest.mark.parametrize(
    ("planted", "said"), [("raise", "planted"), ("hang", "no answer within"), ("keep", "memory grew")]
)
def test_a_fault_that_is_planted_is_found_and_the_request_is_kept(tmp_path: Path, planted: str, said: str) -> None:
    ended = fuzz(tmp_path, planted=planted, requests=3000, seed=5)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert said in ended.stdout
    assert list(tmp_path.glob("fuzz-5-*.http"))
    if planted != "keep":
        kept = min(tmp_path.glob("fuzz-5-*.http"))
        assert fuzz(tmp_path, replay=kept).returncode == 0, "the fault is the server's, not the request's"


def test_the_same_seed_draws_the_same_bytes() -> None:
    first, second, other = (Draw(seed) for seed in ("1.0", "1.0", "1.1"))
    drawn = [first() for _ in range(300)]
    assert drawn == [second() for _ in range(300)]
    assert drawn != [other() for _ in range(300)]


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        (Seen(200, b"", b"{}", True), ""),
        (Seen(503, b"", b"x", True), "answered with 503"),
        (Seen(200, b"", b'{"error":{"code":-32603,"message":"x"}}', True), "an internal error"),
        (Seen(), "closed without an answer"),
    ],
)
def test_an_answer_is_judged(seen: Seen, wrong: str) -> None:
    assert judged(Drawn(b"x"), seen).startswith(wrong or "")
    assert bool(judged(Drawn(b"x"), seen)) is bool(wrong)
