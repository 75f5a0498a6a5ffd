"""`tools/call` a second of one MCP server on one core, beside every peer: `mcp_echo.py` with the peers it may lack.

    python bench/mcp_peers.py                         # all rows, 5 interleaved rounds: about six minutes
    python bench/mcp_peers.py --only modern --rounds 3

The options, the load and the rows' form are those of `mcp_echo.py`. Added are FastMCP 4 and the TypeScript SDK 2, each
installed once into the user's cache folder, and their modern era. At the end a line per mode says what the native
dispatch reaches beside the fastest peer of that mode in this run, by requests a second and by processor time.
"""

import contextlib
import io
import json
import sys

import _peers
import mcp_echo
from mcp_echo import Variant

REACH = 2.0
REACH_P99_MS = 10.0
MORE = (
    Variant("FastMCP modern JSON", "fastmcp-json", "modern"),
    Variant("SDK modern SSE", "sdk-sse", "modern"),
    Variant("FastMCP modern SSE", "fastmcp-sse", "modern"),
    Variant("TypeScript SDK 2.4 modern JSON", "typescript-modern-json", "modern"),
    Variant("TypeScript SDK 2.4 modern SSE", "typescript-modern-sse", "modern"),
)
PEERS = ("SDK ", "FastMCP ", "TypeScript ")


def is_peer(name: str) -> bool:
    """Say whether a row is about a server that has nothing of ours."""
    return name.startswith(PEERS) and "Holdfast" not in name


def beside_the_fastest(rows: dict[str, dict[str, float]]) -> None:
    """Print for every mode how many times as many requests as the fastest peer's ours answers."""
    for mode in ("legacy JSON", "legacy SSE", "modern JSON", "modern SSE"):
        ours = rows.get(f"native {mode}")
        peers = {name: row["rps"] for name, row in rows.items() if is_peer(name) and name.endswith(mode)}
        if ours and peers:
            fastest = max(peers, key=lambda name: peers[name])
            peer = rows[fastest]
            figure = {"figure": f"{mode}, beside {fastest}", "times": round(ours["rps"] / peer["rps"], 2)}
            more = {"times_by_cpu": round(peer["cpu_us"] / ours["cpu_us"], 2), "p99_ms": ours["p99_ms"]}
            print(json.dumps(figure | more | {"reach": f">= {REACH}, p99 <= {REACH_P99_MS} ms"}))


def main() -> None:
    _peers.install()
    mcp_echo.VARIANTS = (*mcp_echo.VARIANTS, *MORE)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        mcp_echo.main()
    sys.stdout.write(told.getvalue())
    beside_the_fastest({row["server"]: row for row in map(json.loads, told.getvalue().splitlines())})


if __name__ == "__main__":
    main()
