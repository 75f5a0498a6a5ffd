"""The handlers as the source calls them: its complete example, verbatim, blocking and awaited (A9, A12, A34)."""

import asyncio
import inspect
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.adt import aio, handlers
from holdfast.adt.mistakes import TwoNames
from holdfast.adt.runtime import runtime
from holdfast.adt.types import TYPES
from holdfast.errors import BadInput, SessionExpiredError

EXAMPLE = (Path(__file__).parent / "complete_example.txt").read_text()


@pytest.fixture(autouse=True, scope="module")
def unconfigured() -> Iterator[None]:
    """The handlers read the environment and start once; here they find nothing, as on a fresh machine."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("HOLDFAST_")}
    runtime.forget()
    yield
    runtime.close()
    runtime.forget()
    os.environ.update(kept)


def awaited(source: str) -> str:
    """Return the example with `await` before every handler it calls."""
    for name in aio.__all__:
        source = source.replace(f"= {name}(", f"= await {name}(")
    return source


def run(source: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(source, "complete_example", "exec"), names)
    return names


def test_the_complete_example_runs_as_it_stands_and_can_run_twice() -> None:
    # A12
    for _ in range(2):
        names = run(EXAMPLE, {name: getattr(handlers, name) for name in handlers.__all__})
        assert names["update_result"]["success"]
        assert names["unlock_result"]["success"]
        assert (names["activate_result"]["success"], bool(names["activate_result"]["messages"])) == (False, True)
    assert handlers.list_locks()["locks"] == []
    read = handlers.read_class(class_name="ZCL_MY_CLASS", session_id=names["session_id"])
    assert read["source_code"] == "..."


async def test_the_complete_example_runs_awaited() -> None:
    # A12
    body = textwrap.indent(awaited(EXAMPLE), "    ")
    names = run(f"async def main():\n{body}\n    return activate_result\n", {n: getattr(aio, n) for n in aio.__all__})
    assert (await names["main"]())["messages"]


def test_get_session_answers_what_the_source_says_and_that_it_is_a_simulation() -> None:
    # A9
    session = handlers.get_session()
    assert list(session) == ["success", "session_id", "session_state", "message"]
    assert list(session["session_state"]) == ["cookies", "csrf_token", "cookie_store"]
    assert "simulated" in session["message"]
    assert handlers.get_session(force_new=True)["session_id"] != session["session_id"]


def test_the_expiry_of_the_source_is_an_error_one_can_catch_by_its_name() -> None:
    # A13
    session = handlers.get_session()
    handlers.close_session(session["session_id"])
    with pytest.raises(handlers.SessionExpiredError, match=r"^Session expired"):
        handlers.read_class(class_name="ZCL_MY_CLASS", session_id=session["session_id"])


def test_object_name_is_another_name_of_the_own_argument() -> None:
    # A34
    session_id = handlers.get_session()["session_id"]
    for given in ({"object_name": "zcl_x"}, {"class_name": "ZCL_X", "object_name": "zcl_x"}, {"class_name": "zcl_x"}):
        assert handlers.validate_class(**given, session_id=session_id)["success"]
    assert handlers.validate_class("zcl_x", session_id=session_id)["success"]
    with pytest.raises(TwoNames):
        handlers.validate_class(class_name="ZCL_X", object_name="ZCL_Y", session_id=session_id)
    with pytest.raises(BadInput, match="class_name is missing"):
        handlers.validate_class(session_id=session_id)
    with pytest.raises(BadInput, match="a class has no interface_name"):
        handlers.validate_class(interface_name="ZIF_X", session_id=session_id)


def test_both_modules_have_every_operation_of_every_type() -> None:
    # A15: a row more is a type more
    operations = ("validate", "create", "read", "lock", "update", "check", "unlock", "activate", "delete")
    wanted = {f"{operation}_{row.word}" for operation in operations for row in TYPES.values()}
    assert wanted <= set(aio.__all__)
    assert aio.__all__ == handlers.__all__
    for name in wanted:
        assert inspect.iscoroutinefunction(getattr(aio, name))
        assert getattr(handlers, name).__doc__


async def test_the_blocking_handlers_work_inside_a_running_loop() -> None:
    # A12
    assert handlers.get_session()["success"]
    assert asyncio.get_running_loop().is_running()


def test_many_threads_use_one_loop() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(handlers.get_session()["session_id"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(found)) == 8
    assert sum(thread.name == "holdfast-abap" for thread in threading.enumerate()) == 1


def test_different_loops_one_after_another_use_one_loop() -> None:
    # A12
    assert asyncio.run(aio.get_session())["success"]
    assert asyncio.run(aio.get_session())["success"]


def python(program: str) -> tuple[subprocess.CompletedProcess[str], float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment,
    )
    return done, time.monotonic() - began


@pytest.mark.slow
def test_the_interpreter_exits_soon_after_the_last_line() -> None:
    # A12
    done, _ = python(
        """
        import time
        from holdfast.adt.handlers import *
        session_id = get_session()["session_id"]
        create_class(class_name="ZCL_LEFT", session_id=session_id)
        lock_class(class_name="ZCL_LEFT", session_id=session_id)
        print(time.monotonic())
        """
    )
    ended = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ended - float(done.stdout) < 3


@pytest.mark.slow
def test_a_forked_child_has_handlers_of_its_own() -> None:
    # A12
    done, _ = python(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        from holdfast.adt.handlers import get_session
        first = get_session()["session_id"]
        child = os.fork()
        if child == 0:
            os._exit(0 if get_session()["session_id"] != first else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert get_session()["success"]
        print("done")
        """
    )
    assert done.stdout == "done\n", done.stderr


def test_wrong_settings_are_said_by_the_first_call_and_can_be_mended() -> None:
    done, _ = python(
        """
        import os
        os.environ["HOLDFAST_SAP_USER"] = "ME"
        from holdfast.adt.handlers import get_session
        from holdfast.errors import ConfigurationError
        try:
            get_session()
        except ConfigurationError as exc:
            print(exc)
        del os.environ["HOLDFAST_SAP_USER"]
        print(get_session()["success"])
        """
    )
    assert "HOLDFAST_SAP_URL is missing" in done.stdout, done.stderr
    assert done.stdout.endswith("True\n")


def test_an_interrupted_wait_does_not_hurt_the_next_call() -> None:
    with pytest.raises(SessionExpiredError):
        handlers.read_class(class_name="ZCL_X", session_id="nope")
    assert handlers.get_session()["success"]
