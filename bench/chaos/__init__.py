"""Servers killed, frozen and cut off while agents edit ABAP objects; a model checks that no promise is broken (A5, A6).

    python -m bench.chaos --store sqlite --kills 50 --seed 1

`world` starts the processes, `agents` work, `faults` disturb them, `model` keeps what was promised and `judge` compares
it with what the simulated ABAP system says. `python -m bench.chaos --help` lists the rest.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # the proxy, the simulator's process and the store servers are the tests' own
