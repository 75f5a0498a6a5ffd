"""Every figure of spec/4 that is a speed or a size, in one run of about six minutes: two tables.

    python bench/mcp_table.py                    # alone on the machine; `--quick` for a look at how it works

The first table has a row per server and mode: requests a second, 50th and 99th percentile, processor time per request,
ratio to bare Starlette, and for servers on Holdfast the ratio to the fastest peer of the same mode. The second has a
row per wanted figure. The measurements are those of `mcp_peers.py`, `mcp_cost.py`, `mcp_workers.py` and
`mcp_sessions.py`, each a process of its own; their lines go to standard error as they come.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mcp_peers

HERE = Path(__file__).resolve().parent
MODES = ("legacy JSON", "legacy SSE", "modern JSON", "modern SSE")
Row = Mapping[str, Any]


def lines_of(program: str, *options: str) -> list[Row]:
    """Run one measurement and return its lines."""
    process = subprocess.Popen([sys.executable, str(HERE / program), *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        sys.stderr.write(line)
        told.append(json.loads(line))
    if process.wait():
        raise SystemExit(f"{program} failed")
    return told


def mode_of(name: str) -> str:
    """Return the mode that a row is about; empty for none."""
    return next((mode for mode in MODES if name.endswith(mode)), "")


def fastest_peer(rows: Mapping[str, Row], mode: str) -> Row | None:
    """Return the row of the peer that answers most requests in a mode."""
    peers = [row for name, row in rows.items() if mcp_peers.is_peer(name) and mode and name.endswith(mode)]
    return max(peers, key=lambda row: row["rps"], default=None)


def speeds(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the lines of the first table."""
    yield "| server | requests/s | p50 ms | p99 ms | processor µs | of Starlette | of the fastest peer |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows.items():
        peer = None if mcp_peers.is_peer(name) else fastest_peer(rows, mode_of(name))
        beside = f"{row['rps'] / peer['rps']:.2f} × {peer['server']}" if peer else ""
        figures = (row["rps"], row["p50_ms"], row["p99_ms"], row["cpu_us"], row["ratio"], beside)
        yield f"| {name} | " + " | ".join(map(str, figures)) + " |"


def wanted_of_speeds(rows: Mapping[str, Row]) -> Iterator[tuple[str, str, str]]:
    """Yield what the speeds have to reach: the figure, what is wanted, what was measured."""
    for mode in MODES:
        ours, peer = rows[f"native {mode}"], fastest_peer(rows, mode)
        if peer:
            told = f"{ours['rps'] / peer['rps']:.2f} ×, {ours['p99_ms']} ms"
            yield f"native, {mode}, beside {peer['server']}", "≥ 2 ×, p99 ≤ 10 ms", told
    for mode, times in (("legacy JSON", "1.3"), ("legacy SSE", "2")):
        ours, own = rows[f"SDK server on Holdfast {mode}"], rows[f"SDK {mode}"]
        told = f"{ours['rps'] / own['rps']:.2f} ×, 1/{own['p99_ms'] / ours['p99_ms']:.1f}"
        more = f"; by processor time {own['cpu_us'] / ours['cpu_us']:.2f} ×"
        yield f"SDK server on Holdfast beside its own, {mode}", f"≥ {times} ×, p99 ≤ 1/4", told + more


def wanted_of_cost(rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        told = f"{row['ours_us']} µs of {row['whole_us']}; trips {row['trips'] or 'none'}"
        yield f"ours on top of the SDK's dispatch, {row['row']}", "≤ 60 µs", told


def wanted_of_workers(rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    for row in rows:
        if "figure" in row:
            yield row["figure"], "≥ 1.3 ×", f"{row['times']} ×; by processor time {row['by_cpu']} ×"


def wanted_of_sessions(rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    named = {row["server"]: row for row in rows}
    ours, sdk, alone = named["native"], named["sdk-json"], named["native, alone"]
    by_cpu = f"{sdk['cpu_us'] / ours['cpu_us']:.1f} × by processor time"
    yield "`initialize` beside SDK 2.3", "≥ 5 ×", f"{ours['times_the_sdk']} × ({ours['initialize_per_s']}/s); {by_cpu}"
    yield "idle session, memory store", "≤ 2 KiB", f"{alone['kib_per_idle_session']} KiB"
    first, last = alone["first_thousand_per_s"], alone["last_thousand_per_s"]
    figure = f"the last thousand of {alone['sessions']} sessions as fast as the first"
    yield figure, "≥ 1 ×", f"{last / first:.2f} × ({first}/s, then {last}/s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="much less of everything: the figures mean nothing")
    quick = parser.parse_args().quick
    short = ("--rounds", "1", "--seconds", "0.3") if quick else ("--rounds", "3", "--seconds", "1.2")
    peers = lines_of("mcp_peers.py", *short)
    cost = lines_of("mcp_cost.py", "--only", "sdk", "--rounds", "2" if quick else "30")
    workers = lines_of("mcp_workers.py", *short)
    many = ("--many", "3000", "--sessions", "200") if quick else ("--many", "100000")
    sessions = lines_of("mcp_sessions.py", "--rounds", "1" if quick else "3", *many)
    rows = {row["server"]: row for row in peers if "server" in row}
    print("\n".join(speeds(rows)))
    print("\n| figure | wanted | measured |\n|---|---|---|")
    for wanted in (
        wanted_of_speeds(rows),
        wanted_of_cost(cost),
        wanted_of_workers(workers),
        wanted_of_sessions(sessions),
    ):
        print("\n".join(f"| {' | '.join(line)} |" for line in wanted))


if __name__ == "__main__":
    main()
