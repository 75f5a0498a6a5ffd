"""Damaged requests against a real server, from several connections at once: no fault, no hang, nothing stays behind.

    python -m bench.fuzz --requests 100000 --seed 1 --store sqlite
    python -m bench.fuzz --replay fuzz-1-3-2104.http

`draw` makes requests that are nearly right, from a seed; `client` sends their bytes; `target` is the server's process,
and `__main__` judges. A request that breaks a promise is kept as bytes. `python -m bench.fuzz --help` lists the rest.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # messages of either era, and the search for a free port, are the tests' own
