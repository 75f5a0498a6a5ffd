"""One server process: uvicorn on a socket that is bound already, going down gently (M18).

uvicorn closes its socket as soon as it is told to stop. We listen until what runs has finished: whoever comes meanwhile
is told to come back (503), and the readiness probe says why.
"""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Final

import uvicorn

from holdfast.app import MCP_PATH, Application
from holdfast.config import Settings
from holdfast.web.http1 import BoundedHttp

LOOK_EVERY_S: Final = 0.1
LAST_WORDS_S: Final = 2  # in which calls that were given up are answered
STDIN: Final = 0


class Server(uvicorn.Server):
    """Calls `ready` once it listens. `application.failure` says why it could not."""

    def __init__(self, application: Application, settings: Settings, *, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=BoundedHttp,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # `trusted_proxies` says whom to believe, and `web.address` does
                lifespan="on",
                timeout_graceful_shutdown=LAST_WORDS_S,
            )
        )
        self._application, self._grace, self._ready = application, settings.shutdown_timeout, ready

    def run_until_told(self, bound_socket: socket.socket) -> None:
        """Serve until SIGTERM or SIGINT, and return.

        Raises:
            SystemExit: The application could not be opened, or has failed since: a supervisor starts it anew.
        """
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what it caught once more when it is done
            signal.signal(number, self.handle_exit)
        self.run(sockets=[bound_socket])
        if self.lifespan.error_occurred:
            raise SystemExit(1)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Say whether to go down: told to, or because nothing can be served any more."""
        failed: bool = self.lifespan.error_occurred
        return await super().on_tick(counter) or failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what is new, wait for what runs, give up what takes too long, and close."""
        self._application.stop()
        await self._running(asyncio.get_running_loop().time() + self._grace)
        self._application.give_up()
        await super().shutdown(sockets)

    async def _running(self, deadline: float) -> None:
        """Wait until the requests and messages that run now have finished; a second Ctrl-C ends the wait."""
        loop, running = asyncio.get_running_loop(), set(self.server_state.tasks)
        while (running or self._application.busy) and not self.force_exit and (left := deadline - loop.time()) > 0:
            if running:
                _, running = await asyncio.wait(running, timeout=min(LOOK_EVERY_S, left))
            else:
                await asyncio.sleep(min(LOOK_EVERY_S, left))


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address and listens once a server does. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def announce(bound_socket: socket.socket) -> None:
    """Print the URL of the endpoint."""
    host, port = bound_socket.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    print(f"Holdfast listening on http://{name}:{port}{MCP_PATH}", flush=True)


def end_with_stdin() -> None:
    """Go down as at SIGTERM when stdin ends: whoever started this process has gone, however that came about."""

    def watch() -> None:
        while os.read(STDIN, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="holdfast-parent", daemon=True).start()
