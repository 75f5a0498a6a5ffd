"""Runs the Python functions that a flow names: within their time, their errors told with file and line."""

import asyncio
import contextvars
import inspect
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio

from holdfast.flows.failures import ScriptFailed
from holdfast.flows.model.functions import function

SHOWN_CHARS = 200


async def run(name: str, argument: Any, timeout: float) -> Any:
    """Return what the function returns: an `async def` runs here, any other in a thread.

    A thread cannot be stopped: one that takes too long is left to itself, and ends with the process. An `async def`
    that never awaits lets nothing else run. Raises ScriptFailed.
    """
    called = function(name)
    with anyio.move_on_after(timeout):
        try:
            if inspect.iscoroutinefunction(called):
                return await called(argument)
            made = await _in_thread(called, argument)
            return await made if inspect.isawaitable(made) else made
        except (Exception, SystemExit) as exc:
            raise ScriptFailed(f"{name} raised {_shown(exc)}") from exc
    raise ScriptFailed(f"{name} did not come to an end within {timeout:g} s")


async def _in_thread(called: Callable[[Any], Any], argument: Any) -> Any:
    """Return what a function returns in a thread that no end of the process waits for, as it would for anyio's."""
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(called, argument))
        except StopIteration as exc:  # no future takes it
            future.set_exception(RuntimeError("StopIteration").with_traceback(exc.__traceback__))
        except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(exc)

    threading.Thread(target=work, daemon=True, name="script").start()
    return await asyncio.wrap_future(future)


def _shown(exc: BaseException) -> str:
    last = traceback.extract_tb(exc.__traceback__)[-1]
    text = " ".join(str(exc).split())[:SHOWN_CHARS]
    return f"{type(exc).__name__}{': ' if text else ''}{text} ({Path(last.filename).name}:{last.lineno})"
