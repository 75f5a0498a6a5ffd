"""Runs the Python functions that a flow names: within their time, their errors told with file and line."""

import inspect
import traceback
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from holdfast.flows.failures import ScriptFailed
from holdfast.flows.model.functions import function

SHOWN_CHARS = 200


async def run(name: str, argument: Any, timeout: float) -> Any:
    """Return what the function returns: an `async def` runs here, any other in a thread.

    A thread cannot be stopped: one that takes too long is left to itself. Raises ScriptFailed.
    """
    called = function(name)
    with anyio.move_on_after(timeout):
        try:
            if inspect.iscoroutinefunction(called):
                return await called(argument)
            made = await anyio.to_thread.run_sync(called, argument, abandon_on_cancel=True)
            return await made if inspect.isawaitable(made) else made
        except (Exception, SystemExit) as exc:
            raise ScriptFailed(f"{name} raised {_shown(exc)}") from exc
    raise ScriptFailed(f"{name} did not come to an end within {timeout:g} s")


def _shown(exc: BaseException) -> str:
    last = traceback.extract_tb(exc.__traceback__)[-1]
    text = " ".join(str(exc).split())[:SHOWN_CHARS]
    return f"{type(exc).__name__}{': ' if text else ''}{text} ({Path(last.filename).name}:{last.lineno})"
