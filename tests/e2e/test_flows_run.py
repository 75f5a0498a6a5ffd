"""`holdfast flow run` against a real receiver: bodies, sessions of the three settings, many messages, and Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from e2e.flows_cli import PATIENCE_S, Folder
from e2e.flows_world import Receiver, until


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def blocks(erp: Receiver, reuse: str, *, more: str = "") -> str:
    """Return a flow that fetches blocks until there are no more, or not all."""
    return f"""\
flow: blocks
http_session_reuse: {reuse}
receivers:
  erp: {{adapter: http, url: '{erp.url}', auth: {{basic: good}}, log_off: '{erp.url}/logoff'{more}}}
steps:
- loop: {{while: json(body).more, max: 5, do: [{{call: {{receiver: erp, path: /blocks, method: GET}}}}]}}
- modify: {{body: '${{json(body).block}}'}}
"""


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_a_message_is_processed_in_one_session_that_is_logged_off_at_the_end(
    folder: Folder, erp: Receiver
) -> None:
    # F1, F15: sqlite, where another process could log off later, and need not
    folder.write("blocks.yaml", blocks(erp, "on_exchange"))
    ran = await folder.flow("run", "blocks.yaml", HOLDFAST_STORE=f"sqlite:///{folder.path / 'flows.db'}")
    assert (ran.code, ran.out, ran.err) == (0, "5\n", "")
    assert (erp.authentications, erp.sessions, erp.tell()["ended"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("reuse", "block", "authentications"),
    [("none", [1], 24), ("on_exchange", [5], 6), ("on_integration_flow", [5, 1], 1)],
)
async def test_many_messages_are_processed_several_at_a_time(
    folder: Folder, erp: Receiver, reuse: str, block: list[int], authentications: int
) -> None:
    # F1
    steps = "- multicast: {branches: ["
    steps += ", ".join(["[{call: {receiver: erp, path: /whole/x, method: GET}}]"] * 4) + "]}"
    text = blocks(erp, reuse).partition("- loop")[0] + steps + "\n- modify: {body: '${properties.number}'}\n"
    folder.write("many.yaml", text)
    ran = await folder.flow("run", "many.yaml", "--count", "6", "--parallel", "3", "--json", "--quiet")
    assert ran.code == 0
    assert sorted(row["body"] for row in rows(ran.out)) == [1, 2, 3, 4, 5, 6]
    assert {row["outcome"] for row in rows(ran.out)} == {"done"}
    assert (erp.authentications, erp.sessions) == (authentications, authentications)


async def test_what_became_of_many_messages_is_summed_up_and_each_error_told_once(folder: Folder) -> None:
    folder.write(
        "odd.yaml", "flow: odd\nsteps:\n- filter: properties.number > 2\n- split: {over: body, do: [{filter: body}]}"
    )
    ran = await folder.flow("run", "odd.yaml", "--count", "5")
    assert (ran.code, ran.out.partition(": ")[2]) == (1, "3 failed, 2 filtered\n")
    assert ran.out.startswith("5 messages in ")
    [told, remedy, message] = ran.err.splitlines()
    assert told.startswith("error: bad_input: odd.yaml:4: split: 'body' is no list that could be split")
    assert told.endswith(" (3 times)")
    assert (remedy[:8], message[:11]) == ("  next: ", "  message: ")


@pytest.mark.parametrize(
    ("arguments", "body", "out"),
    [
        (["--body", '{"items": [{"n": 1}]}'], b"", '{"items":[{"n":1}]}\n'),
        (["--body", "[no list"], b"", "[no list\n"),
        (["--file", "-"], b"gr\xc3\xbc\xc3\x9fe", "grüße\n"),
        (["--file", "-", "-H", "Content-Type: application/octet-stream"], b"\x01\x02", "\x01\x02"),
        (["--file", "body.json"], b"", "[1,2]\n"),
        ([], b"", ""),
    ],
)
async def test_a_body_is_what_its_type_says_and_comes_out_again(
    folder: Folder, arguments: list[str], body: bytes, out: str
) -> None:
    folder.write("same.yaml", "flow: same\nsteps:\n- filter: headers.stop != 'yes'\n")
    folder.write("body.json", "[1, 2]")
    ran = await folder.flow("run", "same.yaml", "-H", "Stop: no", *arguments, body=body)
    assert (ran.code, ran.out, ran.err) == (0, out, "")


async def test_a_message_that_is_filtered_out_is_said_to_be(folder: Folder) -> None:
    folder.write("same.yaml", "flow: same\nsteps:\n- filter: headers.stop != 'yes'\n")
    ran = await folder.flow("run", "same.yaml", "-H", "Stop: yes")
    assert (ran.code, ran.out, ran.err) == (0, "", "the message was filtered out\n")


async def test_findings_are_told_before_the_message_is_processed_and_strict_refuses_the_flow(
    folder: Folder, erp: Receiver
) -> None:
    # F12, statement 25
    folder.write("blocks.yaml", blocks(erp, "on_integration_flow", more=", stateful: true"))
    ran = await folder.flow("run", "blocks.yaml")
    assert (ran.code, "blocks.yaml:4: 'erp' is stateful" in ran.err) == (0, True), ran
    erp.tell("reset")
    folder.write("blocks.yaml", "strict: true\n" + blocks(erp, "on_integration_flow", more=", stateful: true"))
    ran = await folder.flow("run", "blocks.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "flow blocks: blocks.yaml:5: 'erp' is stateful" in ran.err
    assert erp.tell()["requests"] == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_whoever_interrupts_a_flow_leaves_no_session_behind(folder: Folder, erp: Receiver, stop: int) -> None:
    # F1: Ctrl-C in a loop without hurry
    text = blocks(erp, "on_exchange").replace("max: 5", "max: 1000000").replace("json(body).more", "1 == 1")
    text = text.replace("method: GET}}]", "method: GET}}, {script: 'asyncio:sleep'}]").replace(
        "asyncio:sleep", "slow:step"
    )
    folder.write("slow.py", "import time\ndef step(message):\n    time.sleep(0.05)\n")
    folder.write("blocks.yaml", text)
    store = f"sqlite:///{folder.path / 'flows.db'}"
    async with folder.running("run", "blocks.yaml", HOLDFAST_STORE=store) as running:
        await until(lambda: len(erp.tell()["requests"]) > 3)
        running.send_signal(stop)
        with anyio.fail_after(PATIENCE_S):
            assert await running.wait() == 130
        assert running.stderr is not None
        said = (await running.stderr.receive()).decode()
    assert "interrupted: 0 of 1 messages were processed" in said
    assert "Traceback" not in said
    assert (erp.sessions, erp.tell()["ended"]) == (1, 1)


async def test_a_terminal_shows_bars_and_a_pipe_nothing_of_short_loops(folder: Folder, erp: Receiver) -> None:
    # F18
    folder.write("slow.py", "import time\ndef step(message):\n    time.sleep(0.1)\n")
    folder.write(
        "long.yaml",
        "flow: long\nsteps:\n"
        "- loop: {while: 1 == 1 and properties.round < 2, max: 9, do: [{script: 'slow:step'},"
        " {modify: {properties: {round: '${(properties.round or 0) + 1}'}}}]}\n"
        "- split: {over: '[1, 2, 3]', do: [{script: 'slow:step'}]}\n",
    )
    shown = await anyio.to_thread.run_sync(on_terminal, folder, "run", "long.yaml")
    assert "long.yaml:3" in shown
    assert "2/?" in shown
    assert "long.yaml:4" in shown
    assert "3/3" in shown
    assert (await folder.flow("run", "long.yaml")).err == ""
    assert "long.yaml" not in await anyio.to_thread.run_sync(on_terminal, folder, "run", "long.yaml", "--quiet")


def on_terminal(folder: Folder, *arguments: str) -> str:
    """Run `holdfast flow` with stderr on a terminal, and return what it shows."""
    main, other = pty.openpty()
    try:
        env = {**folder.env, "TERM": "xterm", "COLUMNS": "100"}
        ran = subprocess.Popen(
            folder.command(*arguments),
            cwd=folder.path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=other,
        )
        os.close(other)
        patience = threading.Timer(PATIENCE_S, ran.kill)
        patience.start()
        shown = b""
        with suppress(OSError):  # the terminal has gone with the process
            while part := os.read(main, 4096):
                shown += part
        patience.cancel()
        assert ran.wait(PATIENCE_S) == 0, shown
        return shown.decode()
    finally:
        os.close(main)
