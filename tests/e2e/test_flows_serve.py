"""`holdfast serve` with flows: senders by HTTP and by schedule, at two servers with one store, killed and stopped."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from e2e.cluster import Cluster, cluster, free_port
from e2e.flows_world import Receiver, started, until
from holdfast.core.sealing import new_key_text

TOKEN = "a-long-token-of-this-test"
KNOWN = {"authorization": f"Bearer {TOKEN}"}
TESTS = Path(__file__).parent.parent
SFAPI = TESTS / "peers" / "flows" / "sfapi_spyne.py"
PATIENCE_S = 30.0

ORDERS = """\
flow: orders
http_session_reuse: on_integration_flow
sender: {{adapter: http, path: /orders}}
receivers:
  erp: {{adapter: http, url: '{url}', auth: {{basic: erp-user}}}}
steps:
- send: {{receiver: erp, path: /whole/begun/orders, method: GET}}
- script: flows.senders.scripts:linger
- call: {{receiver: erp, path: /whole/done/orders, method: GET}}
"""
TAKEN = ORDERS.replace("orders", "taken").replace("path: /taken}}", "path: /taken, respond: accepted}}", 1)
TICKS = """\
flow: ticks
sender: {{adapter: schedule, every: 1s}}
receivers:
  erp: {{adapter: http, url: '{url}', auth: {{basic: erp-user}}, method: GET}}
steps:
- send: {{receiver: erp, path: '/whole/begin/${{headers.due}}'}}
- script: flows.senders.scripts:linger
- send: {{receiver: erp, path: '/whole/end/${{headers.due}}'}}
"""


HIRES = """\
flow: hires
http_session_reuse: on_integration_flow
sender:
  adapter: successfactors_soap
  url: 'HR/sfapi'
  company: ACME
  auth: {{basic: erp-user}}
  schedule: {{every: 1s}}
  query: "SELECT id FROM User WHERE lastModified > '${{properties.since}}' AND lastModified <= '${{properties.until}}'"
receivers:
  erp: {{adapter: http, url: '{url}', auth: {{basic: erp-user}}, method: GET}}
steps:
- modify: {{headers: {{x-seconds: '0.1'}}}}
- script: flows.senders.scripts:linger
- send: {{receiver: erp, path: '/whole/hired/${{body.id}}'}}
"""


def prepared(folder: Path, erp: Receiver, flows: Mapping[str, str], **more: str) -> dict[str, str]:
    """Write the files of a server, and return its environment."""
    (folder / "flows").mkdir()
    for name, text in flows.items():
        (folder / "flows" / name).write_text(text.format(url=erp.url))
    credentials = folder / "credentials.toml"
    credentials.write_text('[erp-user]\nuser = "anna"\nsecret_file = "password"\n')
    credentials.chmod(0o600)
    (folder / "password").write_text("secret\n")
    settings = {
        "STORE": f"sqlite:///{folder / 'store.db'}",
        "KEYS": new_key_text(),
        "TOKEN": TOKEN,
        "SAP_URL": "http://127.0.0.1:9",  # never asked: with a system of its own a server may share a store
        "SAP_USER": "NOBODY",
        "SAP_PASSWORD": "nothing",
        "LEASE_TTL": "3",
        "FLOWS__FILES": f'["{folder}/flows/*.yaml"]',
        "FLOWS__CREDENTIALS": str(credentials),
        **{name.upper(): value for name, value in more.items()},
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {
        **inherited,
        "XDG_DATA_HOME": str(folder),
        "PYTHONPATH": str(TESTS),
        **{f"HOLDFAST_{name}": value for name, value in settings.items()},
    }


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "holdfast", "serve", "--port", str(port)]


@asynccontextmanager
async def servers(
    folder: Path, erp: Receiver, flows: Mapping[str, str], *, count: int = 2, **more: str
) -> AsyncIterator[Cluster]:
    async with cluster(command, count=count, env=prepared(folder, erp, flows, **more)) as workers:
        yield workers


def at(workers: Cluster, number: int, path: str) -> str:
    return f"http://127.0.0.1:{workers.ports[number]}{path}"


def paths(erp: Receiver, part: str) -> list[str]:
    """Return what was asked for below `/whole/…/`, in order."""
    found = [request["path"] for request in erp.tell()["requests"]]
    return [path.removeprefix(f"/whole/{part}/") for path in found if path.startswith(f"/whole/{part}/")]


async def test_messages_come_in_at_any_server_and_share_one_session(tmp_path: Path, erp: Receiver) -> None:
    # F1, F13, F15
    async with (
        servers(tmp_path, erp, {"orders.yaml": ORDERS}) as workers,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        for number in (0, 1, 0, 1):
            answer = await client.post(at(workers, number, "/flows/orders"), headers={**KNOWN, "x-seconds": "0"})
            assert (answer.status_code, answer.json()["user"]) == (200, "anna")
        assert (await client.post(at(workers, 0, "/flows/orders"))).status_code == 401
        assert (await client.post(at(workers, 0, "/flows/other"), headers=KNOWN)).status_code == 404
        assert (await client.get(at(workers, 1, "/readyz"))).status_code == 200
    assert (erp.authentications, erp.sessions) == (1, 1)


async def test_what_is_due_is_done_once_and_goes_on_when_a_server_is_killed(tmp_path: Path, erp: Receiver) -> None:
    # F15, F17: whoever was killed with the turn loses it with its lease
    async with servers(tmp_path, erp, {"ticks.yaml": TICKS}) as workers:
        await until(lambda: len(paths(erp, "end")) >= 2)
        await workers.kill(0)
        before = len(paths(erp, "end"))
        await until(lambda: len(paths(erp, "end")) >= before + 2)
        await workers.start(0)
        await workers.kill(1)
        before = len(paths(erp, "end"))
        await until(lambda: len(paths(erp, "end")) >= before + 2)
    begun, ended = paths(erp, "begin"), paths(erp, "end")
    assert len(set(begun)) == len(begun)
    assert sorted(begun) == begun
    assert len(begun) - len(ended) <= 3  # the two that were killed, and one when the test ended
    order = [request["path"].split("/")[2] for request in erp.tell()["requests"]]
    assert "begin/begin/begin/begin" not in "/".join(order)  # never two at once but for those that were cut off


async def test_what_has_changed_is_read_to_its_end_once_whoever_is_killed_meanwhile(
    tmp_path: Path, erp: Receiver
) -> None:
    # F5, F15, F17: only what was under way in a server that was killed comes again
    people = {f"u{number:02}": "2026-01-01T00:00:00Z" for number in range(40)}
    with started(sys.executable, "-W", "ignore", SFAPI) as hr:
        hr.tell("set", people)
        async with servers(tmp_path, erp, {"hires.yaml": HIRES.replace("HR", hr.url)}) as workers:
            for number, before in ((0, 8), (1, 20)):
                await until(lambda before=before: len(paths(erp, "hired")) >= before)
                await workers.kill(number)
                await workers.start(number)
            await until(lambda: len(set(paths(erp, "hired"))) == len(people))
        seen = paths(erp, "hired")
    assert sorted(set(seen)) == sorted(people)
    assert len(seen) - len(people) <= 2


async def test_a_server_that_is_told_to_stop_finishes_what_it_has_begun(tmp_path: Path, erp: Receiver) -> None:
    # M18
    answers: list[httpx2.Response] = []
    async with (
        servers(tmp_path, erp, {"orders.yaml": ORDERS, "taken.yaml": TAKEN}, count=1) as workers,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):

        async def send(path: str) -> None:
            answers.append(await client.post(at(workers, 0, path), headers={**KNOWN, "x-seconds": "1.5"}))

        with anyio.fail_after(PATIENCE_S):
            await send("/flows/taken")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send, "/flows/orders")
                await until(lambda: len(paths(erp, "begun")) == 2)
                assert await workers.stop(0) == 0
    assert [answer.status_code for answer in answers] == [202, 200]
    assert sorted(paths(erp, "done")) == ["orders", "taken"]


async def test_what_takes_longer_than_the_grace_is_given_up_and_told_so(tmp_path: Path, erp: Receiver) -> None:
    answers: list[httpx2.Response] = []
    async with (
        servers(tmp_path, erp, {"orders.yaml": ORDERS}, count=1, shutdown_timeout="0.5") as workers,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):

        async def send() -> None:
            answers.append(await client.post(at(workers, 0, "/flows/orders"), headers={**KNOWN, "x-seconds": "60"}))

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await until(lambda: paths(erp, "begun") == ["orders"])
                assert await workers.stop(0) == 0
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "server_stopping")]
    assert paths(erp, "done") == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("flows/a.yaml", "flow: a\nsteps:\n- cal: erp\n", "a.yaml:3: there is no step 'cal'; did you mean 'call'"),
        ("flows/a.yaml", "flow: a\nsender: {adapter: schedule}\nsteps: [filter: body]\n", "a.yaml:2: "),
        ("flows/a.yaml", ORDERS, "orders.yaml:1: the flow 'orders' is at"),
        (
            "flows/a.yaml",
            ORDERS.replace("flow: orders", "flow: a"),
            "orders.yaml:3: the path /orders is that of the flow 'a'",
        ),
        ("credentials.toml", "[erp-user]\n", "[erp-user] needs either secret or secret_file"),
    ],
)
def test_what_is_wrong_stops_the_start_with_file_and_line(
    tmp_path: Path, erp: Receiver, name: str, text: str, said: str
) -> None:
    environment = prepared(tmp_path, erp, {"orders.yaml": ORDERS})
    (tmp_path / name).write_text(text.format(url=erp.url) if "{{" in text else text)
    ended = subprocess.run(
        command(free_port()), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Listening" not in ended.stdout


async def test_several_workers_of_one_port_serve_flows(tmp_path: Path, erp: Receiver) -> None:
    both = {"orders.yaml": ORDERS, "ticks.yaml": TICKS}
    async with (
        servers(tmp_path, erp, both, count=1, workers="2") as workers,
        httpx2.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        for _ in range(4):
            answer = await client.post(at(workers, 0, "/flows/orders"), headers={**KNOWN, "x-seconds": "0"})
            assert answer.status_code == 200
        await until(lambda: len(paths(erp, "end")) >= 3)
    begun = paths(erp, "begin")
    assert len(set(begun)) == len(begun)
