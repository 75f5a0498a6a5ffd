"""`holdfast flow log`, `resend` and `loglevel`: over a store that lasts, with a receiver on a thread of its own."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdfast.cli import command_line

FLOW = """\
flow: orders
http_session_reuse: on_exchange
receivers:
  erp: {{adapter: http, url: "{url}/orders?key=hidden", auth: {{basic: anna}}}}
steps:
- filter: body != 'nothing'
- call: erp
- send: erp
"""
COOKIE = "f00ba4c00c1e"
PASSWORD = "pa55-of-anna"


class Erp(BaseHTTPRequestHandler):
    """A receiver with sessions: 401 without its cookie or the right password."""

    seen: list[tuple[str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        known = f"SID={COOKIE}" in self.headers.get("Cookie", "")
        right = base64.b64encode(f"anna:{PASSWORD}".encode()).decode() in self.headers.get("Authorization", "")
        self.seen.append((body, "cookie" if known else "logon" if right else "refused"))
        self.send_response(200 if known or right else 401)
        if right and not known:
            self.send_header("Set-Cookie", f"SID={COOKIE}; Path=/")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"fine")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def erp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What a running receiver has seen, which is called by `orders.yaml` in the current folder."""
    seen: list[tuple[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Erp,), {"seen": seen}))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOLDFAST_STORE", f"sqlite:///{tmp_path}/flows.db")
    monkeypatch.setenv("HOLDFAST_FLOW_CREDENTIAL_ANNA_USER", "anna")
    monkeypatch.setenv("HOLDFAST_FLOW_CREDENTIAL_ANNA_SECRET", "wrong-pa55")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.yaml").write_text(FLOW.format(url=f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield seen
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command. None of them shows a secret."""
    ran = CliRunner().invoke(command_line(), ["flow", *arguments])
    for secret in (COOKIE, PASSWORD, "wrong-pa55", "hidden"):
        assert secret not in ran.stdout + ran.stderr
    return ran.exit_code, ran.stdout, ran.stderr


def listed(*arguments: str) -> list[dict[str, Any]]:
    code, said, _ = run("log", *arguments, "--json")
    assert code == 0
    return [json.loads(line) for line in said.splitlines()]


def test_a_message_that_failed_is_listed_shown_and_sent_again(
    erp: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # F17
    assert run("log") == (0, "no messages\n", "")
    assert run("run", "orders.yaml", "--body", "order 7")[0] == 1
    [row] = listed("--outcome", "failed", "--flow", "orders", "--since", "1h")
    assert (row["flow"], row["outcome"], row["runs"], row["error"]) == (
        "orders",
        "failed",
        1,
        "orders.yaml:7: logon_failed",
    )
    name = row["message"]

    code, said, _ = run("log", name[:8])
    assert code == 0
    assert f"message {name} of flow orders (orders.yaml): failed" in said
    assert f"next: holdfast flow resend {name}" in said
    assert "error: logon_failed: orders.yaml:7: erp answered 401" in said
    assert re.search(r"orders\.yaml:6: filter done in 0\.\d{3} s\n", said)
    assert run("log", name, "--body") == (0, "order 7", "")

    code, _, told = run("resend", name)
    assert (code, "logon_failed" in told) == (1, True)
    monkeypatch.setenv("HOLDFAST_FLOW_CREDENTIAL_ANNA_SECRET", PASSWORD)
    assert run("resend", name) == (0, "fine\n", "")
    [row] = listed()
    assert (row["message"], row["outcome"], row["runs"]) == (name, "done", 3)
    assert erp == [("order 7", "refused")] * 2 + [("order 7", "logon"), ("fine", "cookie")]

    code, _, told = run("resend", name)
    assert (code, "is done" in told) == (1, True)
    code, _, told = run("resend", "nothing")
    assert (code, "not_found" in told) == (2, True)


def test_at_debug_the_log_shows_the_cookies_of_each_call_by_their_hash_until_the_time_is_over(
    erp: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # F10, F20, statements 32 to 34
    monkeypatch.setenv("HOLDFAST_FLOW_CREDENTIAL_ANNA_SECRET", PASSWORD)
    assert run("loglevel", "orders")[1].split()[3:] == ["orders", "info", "-"]
    code, said, _ = run("loglevel", "orders", "debug", "--for", "1h", "--json")
    assert (code, json.loads(said)["level"]) == (0, "debug")
    assert run("run", "orders.yaml", "--body", "order 7")[0] == 0
    [row] = listed()
    _, said, _ = run("log", row["message"])
    requests = [line for line in said.splitlines() if "answered" in line]
    [sent, again] = [re.search(r"POST (\S+) answered 200; sent (.+); set (.+)", line) for line in requests]
    assert sent is not None
    assert again is not None
    assert sent[1].endswith("/orders")
    assert sent[2] == again[3] == "no cookie"
    assert re.fullmatch(r"SID #[0-9a-f]{12}", sent[3])
    assert again[2] == sent[3]  # the same hash: the session was used again

    assert json.loads(run("loglevel", "orders", "info", "--json")[1])["level"] == "info"
    assert run("run", "orders.yaml", "--body", "order 8")[0] == 0
    newest = listed()[0]["message"]
    said = run("log", newest)[1]
    assert "SID" not in said
    assert "answered" not in said
    assert "call done" in said


def test_a_message_that_was_filtered_out_is_listed_as_such(erp: list[tuple[str, str]]) -> None:
    # F17
    assert run("run", "orders.yaml", "--body", "nothing")[0] == 0
    [row] = listed("--outcome", "filtered")
    [details] = listed(row["message"])
    assert (details["outcome"], details["resendable"]) == ("filtered", False)
    assert [(line["place"], line["outcome"]) for line in details["runs"][0]["lines"]] == [("orders.yaml:6", "filtered")]
    assert listed("--outcome", "failed") == []


def test_a_list_goes_on_where_it_ended(erp: list[tuple[str, str]]) -> None:
    assert run("run", "orders.yaml", "--body", "order", "--count", "5", "--quiet")[0] == 1
    code, said, told = run("log", "--count", "3", "--json")
    rest = listed("--after", told.split()[-1])
    assert (code, len(said.splitlines()), len(rest)) == (0, 3, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["log", "--outcome", "odd"], 2, "no outcome"),
        (["log", "--since", "soon"], 2, "no time such as"),
        (["log", "--after", "odd"], 2, "no place in the log"),
        (["log", "abcdefgh"], 2, "no message 'abcdefgh'"),
        (["loglevel", "orders", "loud"], 2, "no log level"),
        (["loglevel", "orders", "debug", "--for", "9d"], 2, "a week at most"),
        (["log", "--store", "memory://"], 2, "seen by its own server only"),
    ],
)
def test_what_makes_no_sense_is_told(erp: list[tuple[str, str]], arguments: list[str], code: int, told: str) -> None:
    done = run(*arguments)
    assert (done[0], told in done[2]) == (code, True)


def test_the_file_of_a_flow_that_is_not_here_has_to_be_named(erp: list[tuple[str, str]], tmp_path: Path) -> None:
    assert run("run", "orders.yaml", "--body", "order")[0] == 1
    [row] = listed()
    (tmp_path / "orders.yaml").rename(tmp_path / "moved.yaml")
    code, _, told = run("resend", row["message"])
    assert (code, "--file" in told) == (2, True)
    assert "logon_failed" in run("resend", row["message"], "--file", "moved.yaml")[2]
    (tmp_path / "other.yaml").write_text("flow: other\nsteps: [filter: body]")
    assert "is not known here" in run("resend", row["message"], "--file", "other.yaml")[2]
