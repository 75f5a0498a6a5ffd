"""The simulator as a process of its own, under uvicorn."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import uvicorn

from holdfast.simulator.cutting import SimulatorProtocol
from holdfast.simulator.faults import Rule
from holdfast.simulator.profiles import PROFILES, Switches
from holdfast.simulator.system import ADMIN_PATH, DEFAULT_PROFILE, Simulator, asgi


class AnnouncingServer(uvicorn.Server):
    """uvicorn's server; prints one line with the URL once it listens."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"ABAP simulator listening on http://{name}:{port} (admin: {ADMIN_PATH})\n")
            sys.stdout.flush()


def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 50000) -> None:
    """Serve the system and its admin API until interrupted; port 0 takes a free one, the printed line names it."""
    config = uvicorn.Config(
        asgi(simulator),
        host=host,
        port=port,
        http=SimulatorProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,  # icm/keep_alive_timeout, ADT §5.1
        timeout_graceful_shutdown=2,
    )
    try:
        with suppress(KeyboardInterrupt):
            AnnouncingServer(config).run()
    finally:
        simulator.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the simulator from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m holdfast.simulator",
        description="An ABAP system for learning and testing. Objects live in the store; sessions and locks end with "
        "the process.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=50000, help="0 takes a free port")
    parser.add_argument("--store", type=Path, help="SQLite file for the objects; memory without it")
    parser.add_argument("--profile", default=DEFAULT_PROFILE, choices=list(PROFILES))
    parser.add_argument("--delay-ms", type=float, default=0, help="how long each ADT request takes")
    parser.add_argument("--switches", default="{}", help="switches as JSON")
    parser.add_argument("--faults", default="[]", help="fault rules as JSON")
    given = parser.parse_args(arguments)
    try:
        switches = Switches(delay_s=given.delay_ms / 1000).changed(msgspec.json.decode(given.switches))
        rules = msgspec.json.decode(given.faults, type=list[Rule])
    except (msgspec.MsgspecError, TypeError) as exc:
        parser.error(str(exc))
    simulator = Simulator(given.profile, store=given.store, switches=switches)
    simulator.faults.rules.extend(rules)
    serve(simulator, host=given.host, port=given.port)
