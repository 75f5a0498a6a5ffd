"""Bad flows, bad messages and bad receivers, over the command line: what is told, with file, line, code and exit code.

Nothing may hang, no secret may be printed (each command of `flows_cli` is looked at for both).
"""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from e2e.flows_cli import Folder, answering, certificate, hanging, receiver
from e2e.flows_world import Receiver, running_receiver

SCRIPTS = """\
import time


def fails(message):
    raise ValueError("no such order")


def leaves(message):
    raise SystemExit(7)


def hangs(message):
    while True:
        time.sleep(0.01)


def odd(message):
    return object()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.write("bad_scripts.py", SCRIPTS)
    return made


def flow(steps: str, erp: str = "{adapter: http, url: 'http://127.0.0.1:1', retry: {times: 0}}") -> str:
    """Return a flow whose first step is in line 5."""
    return f"flow: orders\nhttp_session_reuse: on_exchange\nreceivers: {{erp: {erp}}}\nsteps:\n{steps}\n"


FILES = {
    "adapter": (flow("- call: erp", "{adapter: ftp, url: 'http://x'}"), "3", "adapter", "there is no adapter 'ftp'"),
    "step": (flow("- call: erp\n- forward: erp"), "6", "step", "there is no step 'forward'"),
    "type": (flow("- loop:\n    while: body\n    max: many\n    do: [{call: erp}]"), "7", "value", "expected `int`"),
    "unbounded": (flow("- loop: {while: body, do: [{call: erp}]}"), "5", "value", "missing required field `max`"),
    "endless": (flow("- loop: {while: body, max: 0, do: [{call: erp}]}"), "5", "value", "expected `int` >= 1"),
    "key": (flow("- call: erp", "{adapter: http, url: 'http://x', tiemout: 3}"), "3", "key", "'tiemout' is not known"),
    "url": (flow("- call: erp", "{adapter: http, url: x}"), "3", "value", "expected an http or https URL"),
    "auth": (
        flow("- call: erp", "{adapter: http, url: 'http://x', auth: {basic: a, bearer: b}}"),
        "3",
        "auth",
        "not b",
    ),
    "setting": ("flow: f\nhttp_session_reuse: always\nsteps: [{filter: body}]", "2", "value", "invalid enum value"),
    "receiver": (flow("- call: crm"), "5", "receiver", "there is no receiver 'crm'"),
    "module": (flow("- script: nowhere:x"), "5", "function", "the module 'nowhere' cannot be imported"),
    "function": (flow("- script: bad_scripts:absent"), "5", "function", "has no function 'absent'"),
    "syntax": (flow("- filter: body =="), "5", "expression", "'body ==' is no expression"),
    "call": (flow("- filter: open('/etc/passwd')"), "5", "expression", "a function other than len"),
    "power": (flow("- filter: 9 ** 9 ** 9"), "5", "expression", "a Pow cannot stand in an expression"),
    "long": (flow("- filter: " + "+".join("1" * 400)), "5", "expression", "more than 300 parts"),
    "deep": (flow("- filter: " + "(" * 900 + "1" + ")" * 900), "5", "expression", "is no expression"),
    "not_yaml": ("flow: [f\nsteps: }", "2", "yaml", "expected ',' or ']'"),
    "twice": ("flow: f\nflow: g", "2", "yaml", "the key 'flow' comes twice"),
    "laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nflow: f", "1", "yaml", "anchors and aliases are not allowed"),
    "tag": ("flow: !!python/object/apply:os.system [id]", "1", "yaml", "is not allowed"),
    "nested": ("flow: " + "[" * 100_000, "1", "yaml", "this is nested too deeply"),
    "list": ("- call: erp", "1", "value", "a flow is a mapping"),
    "empty": ("", "1", "value", "a flow is a mapping"),
    "huge": ("flow: f\n" + "# and so on\n" * 100_000, "", "file", "more than 250000 characters are no flow"),
    "binary": ("flow: f\n\x00\x01", "", "yaml", "special characters are not allowed"),
}


async def test_a_file_that_is_no_flow_is_told_with_its_line(folder: Folder) -> None:
    # issue 7, bad input
    for name, (text, *_) in FILES.items():
        folder.write(f"{name}.yaml", text)
    (folder.path / "latin.yaml").write_bytes("flow: für".encode("latin-1"))
    others = {
        "latin.yaml": "(UnicodeDecodeError)",
        "absent.yaml": "(FileNotFoundError)",
        "/dev/zero": "more than",
        ".": "(IsA",
    }
    ran = await folder.flow("check", "--json", *(f"{name}.yaml" for name in FILES), *others)
    told: list[dict[str, Any]] = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 2
    assert [(row["file"], row["line"], row["code"], row["level"]) for row in told[: len(FILES)]] == [
        (f"{name}.yaml", int(line) if line else None, code, "error") for name, (_, line, code, _) in FILES.items()
    ]
    for (_, _, _, text), row in zip(FILES.values(), told, strict=False):
        assert text in row["text"]
    for (file, text), row in zip(others.items(), told[len(FILES) :], strict=True):
        assert (row["file"], row["code"], text in row["text"]) == (file, "file", True)


async def test_a_flow_that_is_wrong_is_not_run(folder: Folder) -> None:
    folder.write("step.yaml", FILES["step"][0])
    ran = await folder.flow("run", "step.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: wrong_flow: step.yaml:6: there is no step 'forward'")
    assert "  next: " in ran.err


PROCESSED = {
    "a script that raises": (
        "script: bad_scripts:fails",
        "script_failed",
        "raised ValueError: no such order (bad_scripts.py:5)",
    ),
    "a script that leaves": (
        "script: bad_scripts:leaves",
        "script_failed",
        "raised SystemExit: 7 (bad_scripts.py:9)",
    ),
    "a script that never ends": (
        "script: {function: 'bad_scripts:hangs', timeout: 0.3}",
        "script_failed",
        "did not come to an end within 0.3 s",
    ),
    "a loop that never ends": (
        "loop: {while: '1', max: 50, do: [{modify: {body: x}}]}",
        "loop_too_long",
        "50 rounds are over, and '1' still holds",
    ),
    "no list to split": (
        "split: {over: headers, do: [{modify: {body: x}}]}",
        "bad_input",
        "'headers' is no list that could be split",
    ),
    "nothing to gather": ("gather: join", "bad_input", "there is nothing to gather"),
    "a text without end": (
        "modify: {body: '${\"a\" * 1000000000}'}",
        "expression",
        "this cannot be calculated with str and int",
    ),
    "a format without end": ("modify: {body: '${\"%999999999d\" % 1}'}", "expression", "this cannot be calculated"),
    "what is not in the message": (
        "filter: body.count > 3",
        "expression",
        "'body.count > 3' cannot be computed: TypeError",
    ),
    "a way into Python": (
        "filter: headers.__class__ or ().__class__",
        "expression",
        "there is no '__class__' in a list",
    ),
    "nobody is there": ("call: erp", "backend_unavailable", "erp cannot be reached (ConnectError)"),
    "an unknown credential": (
        "call: {receiver: erp, auth: {basic: nobody}}",
        "configuration",
        "there is no credential 'nobody'",
    ),
    "no host": ("call: {receiver: erp, url: 'http://${headers.none}/'}", "bad_input", "makes no request to erp"),
}


def by_number(steps: list[str], receivers: str) -> str:
    """Return a flow that does another step with each of its messages; the first is in line 7."""
    routes = [
        f"    - {{when: properties.number == {number}, do: [{{{step}}}]}}" for number, step in enumerate(steps, 1)
    ]
    return f"flow: orders\nreceivers:\n  {{{receivers}}}\nsteps:\n- router:\n    routes:\n" + "\n".join(routes)


async def failures(folder: Folder, steps: list[str], receivers: str) -> list[dict[str, Any]]:
    """Return how messages fail, each by its own step; that it tells the step's line is seen here."""
    folder.write("orders.yaml", by_number(steps, receivers))
    ran = await folder.flow("run", "orders.yaml", "--count", str(len(steps)), "--json")
    told = [json.loads(line)["error"] for line in ran.out.splitlines()]
    assert (ran.code, len(told)) == (1, len(steps)), ran
    for line, error in enumerate(told, start=7):
        assert error["place"] == f"orders.yaml:{line}"
        assert error["text"].startswith(f"orders.yaml:{line}: ")
        assert error["hint"]
    return told


async def test_a_message_that_fails_is_told_with_line_and_code(folder: Folder) -> None:
    # issue 7, bad input
    erp = "erp: {adapter: http, url: 'http://127.0.0.1:1', retry: {times: 0}}"
    told = await failures(folder, [steps for steps, *_ in PROCESSED.values()], erp)
    for (name, (_, code, text)), error in zip(PROCESSED.items(), told, strict=True):
        assert (name, error["code"], text in error["text"]) == (name, code, True), error


async def test_a_receiver_that_hangs_cuts_or_babbles_is_told(folder: Folder) -> None:
    # issue 7, bad input
    ok = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
    answers = [
        (hanging, "backend_unavailable", "did not answer within 0.3 s"),
        (answering(b""), "backend_unavailable", "did not answer (RemoteProtocolError)"),
        (
            answering(ok + b"content-length: 999\r\n\r\n{"),
            "backend_unavailable",
            "did not answer (RemoteProtocolError)",
        ),
        (answering(b"SSH-2.0-OpenSSH_9.6\r\n"), "backend_unavailable", "did not answer (RemoteProtocolError)"),
        (answering(ok + b"content-length: 2\r\n\r\n{]"), "backend_error", "not the JSON it says it is"),
        (answering(ok + b"content-length: 900\r\n\r\n" + b"9" * 900), "backend_error", "more than 500 bytes"),
        (answering(ok + b"content-length: 400\r\n\r\n" + b"[" * 400), "backend_error", "not the JSON it says it is"),
    ]
    receivers = []
    async with AsyncExitStack() as stack:
        for number, (serve, *_) in enumerate(answers):
            at = await stack.enter_async_context(receiver(serve))
            patience = "timeout: 0.3" if serve is hanging else "timeout: 30"
            receivers.append(
                f"r{number}: {{adapter: http, url: 'http://{at}', {patience}, retry: {{times: 0}}, max_answer: 500}}"
            )
        told = await failures(folder, [f"call: r{number}" for number in range(len(answers))], ", ".join(receivers))
    assert [(error["code"], text in error["text"]) for error, (_, _, text) in zip(told, answers, strict=True)] == [
        (code, True) for _, code, _ in answers
    ]


async def test_a_certificate_that_is_wrong_is_told_and_one_that_is_trusted_is_not(folder: Folder) -> None:
    # issue 7, bad input
    tls, file = certificate(folder.path, "localhost")
    answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok")
    async with receiver(answer, tls) as at:
        port = at.rpartition(":")[2]
        orders = folder.write("orders.yaml", flow("- call: erp", f"{{adapter: http, url: 'https://localhost:{port}'}}"))
        other = folder.write("other.yaml", flow("- call: erp", f"{{adapter: http, url: 'https://127.0.0.1:{port}'}}"))
        unknown = await folder.flow("run", orders)
        misnamed = await folder.flow("run", other, SSL_CERT_FILE=str(file))
        trusted = await folder.flow("run", orders, SSL_CERT_FILE=str(file))
    assert unknown.code == 1
    assert "error: certificate: orders.yaml:5: call: the certificate of erp is not trusted: self-signed" in unknown.err
    assert "SSL_CERT_FILE" in unknown.err
    assert (misnamed.code, "IP address mismatch" in misnamed.err) == (1, True)
    assert (trusted.code, trusted.out) == (0, "ok\n")


@pytest.fixture(scope="module")
def erp() -> Any:
    with running_receiver() as made:
        yield made


async def test_wrong_credentials_are_told_without_the_secret(folder: Folder, erp: Receiver) -> None:
    # issue 7, bad input
    erp.tell("reset")
    url = f"{{adapter: http, url: '{erp.url}/whole/x', auth: {{basic: anna}}}}"
    ran = await folder.flow("run", folder.write("orders.yaml", flow("- call: erp", url)), "--json")
    [told] = map(json.loads, ran.out.splitlines())
    assert (ran.code, told["outcome"], told["error"]["code"]) == (1, "failed", "logon_failed")
    assert (told["error"]["place"], told["error"]["text"]) == ("orders.yaml:5", "orders.yaml:5: call: erp answered 401")
    assert (erp.authentications, erp.sessions) == (1, 0)
    (folder.path / "credentials.toml").chmod(0o644)
    ran = await folder.flow("run", "orders.yaml")
    assert (ran.code, "credentials.toml" in ran.err) == (2, True)


async def test_a_store_that_is_not_there_is_told(folder: Folder) -> None:
    folder.write("orders.yaml", flow("- modify: {body: '${len(body)}'}"))
    for store, code, text in (("redis://127.0.0.1:1/0", 3, "store_unavailable"), ("mysql://x", 2, "mysql")):
        ran = await folder.flow("run", "orders.yaml", "--store", store, HOLDFAST_KEYS="A" * 43)
        assert (ran.code, ran.out, text in ran.err) == (code, "", True), ran


async def test_a_body_that_has_no_bytes_is_told(folder: Folder) -> None:
    ran = await folder.flow("run", folder.write("odd.yaml", flow("- script: bad_scripts:odd")))
    assert (ran.code, "a body of type object cannot be sent as JSON" in ran.err) == (2, True)
