"""What an orchestrator asks: `/livez`, whether this process runs, and `/readyz`, whether to send it requests.

Nobody has to say who they are: an answer names the checks and a stable code for each, and nothing else. Source of the
two names and their meaning: Kubernetes, "API health endpoints" and "Liveness, Readiness, and Startup Probes".
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from holdfast._asgi import Send
from holdfast.errors import HoldfastError, ServerStopping, StoreUnavailable
from holdfast.web.reply import Header, reply

LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"
OK: Final = "ok"
REMEMBERED_S: Final = 1.0  # so long an answer of the store stands: probes, which anybody may send, are no load on it
HEADERS: Final[tuple[Header, ...]] = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))

logger = logging.getLogger(__name__)


class Probes:
    """Answers both probes.

    Args:
        ask_store: Asks the store something small.
        timeout: Seconds the store may take for it.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, ask_store: Callable[[], Awaitable[object]], *, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask_store, self._timeout, self._clock = ask_store, timeout, clock
        self._turn = anyio.Lock()
        self._asked_at, self._found = float("-inf"), OK
        self._stopping = False

    def stop(self) -> None:
        """Be unready from now on: the server is going down."""
        self._stopping = True

    async def live(self, send: Send) -> None:
        """Answer 200: whoever reads it knows that the event loop turns."""
        await _answer(send, {"live": True}, 200)

    async def ready(self, send: Send) -> None:
        """Answer 200 if requests are welcome, else 503 with the code of every check that failed."""
        serving = ServerStopping.code if self._stopping else OK
        checks = {"serving": serving, "store": self._found if self._stopping else await self._store()}
        ready = set(checks.values()) == {OK}
        await _answer(send, {"ready": ready, "checks": checks}, 200 if ready else 503)

    async def _store(self) -> str:
        """Return what the store says now, or said less than a second ago."""
        async with self._turn:
            if self._clock() - self._asked_at >= REMEMBERED_S:
                self._found = await self._asked()
                self._asked_at = self._clock()
        return self._found

    async def _asked(self) -> str:
        try:
            with anyio.fail_after(self._timeout):
                await self._ask_store()
        except TimeoutError:
            return StoreUnavailable.code
        except HoldfastError as exc:
            return exc.code
        except Exception:
            logger.exception("the store could not be asked")
            return HoldfastError.code
        return OK


async def _answer(send: Send, body: object, status: int) -> None:
    await reply(send, status, json.dumps(body).encode(), HEADERS)
