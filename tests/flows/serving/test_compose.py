"""Flows of files, deployed with their senders: which files, what must not be twice, and who else answers at a path."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from e2e.flows_world import known
from flows.senders import scripts
from flows.senders.world import AUTHORIZED, served
from holdfast.core.sealing import new_key_text
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.flows import flow_kinds
from holdfast.flows.adapters import Means
from holdfast.flows.adapters.http import Http, HttpAdapter
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Message, deployed
from holdfast.flows.serving.compose import matching, open_flows
from holdfast.flows.serving.credentials import load_credentials
from holdfast.flows.serving.paths import Asked, Paths, Place, Told

PLAIN = "flow: {name}\nsteps: [filter: body]\n"
CALLED_BACK = """\
flow: {name}
receivers:
  erp: {{adapter: http, url: 'http://erp'}}
steps:
- call: erp
- call: {{receiver: erp, path: /again}}
"""


class CalledBack(HttpAdapter):
    """An adapter whose receiver answers by a call of its own."""

    def __init__(self, name: str, options: Http, means: Means) -> None:
        super().__init__(name, options, means)
        self._paths = means.paths

    async def prepare(self) -> None:
        place = Place(answer=self.answer, owner=f"the receiver {self.channel.name!r}", anonymous=True)
        self._paths.offer("/receipts", place)

    async def answer(self, asked: Asked) -> Told:
        return Told(200, asked.body.upper())


async def answered(asked: Asked) -> Told:
    return Told()


async def test_files_and_patterns_are_each_deployed_once_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.yml", "deep/d.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(PLAIN.format(name=(tmp_path / name).stem))
    names = matching([f"{tmp_path}/a.yaml", f"{tmp_path}/**/*.yaml"])
    assert [Path(name).name for name in names] == ["a.yaml", "b.yaml", "d.yaml"]
    with pytest.raises(ConfigurationError, match=r"there is no file .*/\*\.json"):
        matching([f"{tmp_path}/a.yaml", f"{tmp_path}/*.json"])


async def test_a_flow_of_a_program_processes_messages_beside_those_with_senders(tmp_path: Path) -> None:
    async with served(tmp_path, {"a.yaml": PLAIN.format(name="a"), "b.yaml": PLAIN.format(name="b")}) as world:
        assert list(world.flows.flows) == ["a", "b"]
        result = await world.flows.flows["b"].process(Message(body=1))
        assert result is not None
        assert not world.flows.busy


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (PLAIN.format(name="a"), r"b\.yaml:1: the flow 'a' is at .*a\.yaml:1 already"),
        (
            "flow: b\nsender: {adapter: http, path: /x}\nsteps: [filter: body]\n",
            r"b\.yaml:2: the path /x is that of the",
        ),
        ("flow: b\nsteps: [call: erp]\n", r"b\.yaml:2: there is no receiver 'erp'"),
    ],
)
async def test_what_cannot_stand_beside_another_is_told_with_file_and_line(
    tmp_path: Path, second: str, said: str
) -> None:
    first = "flow: a\nsender: {adapter: http, path: /x}\nsteps: [filter: body]\n"
    with pytest.raises(ConfigurationError, match=said):
        async with served(tmp_path, {"a.yaml": first, "b.yaml": second}):
            pass


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("receivers: {erp: {adapter: http, url: 'http://x', auth: {basic: nobody}}}\nsteps: [call: erp]", 2),
        ("receivers: {erp: {adapter: http, url: 'http://x', auth: {bearer: nobody}}}\nsteps: [call: erp]", 2),
        (
            "receivers: {erp: {adapter: http, url: 'http://x'}}\nsteps: [call: {receiver: erp, auth: {basic: nobody}}]",
            3,
        ),
        (
            "sender: {adapter: successfactors_soap, url: 'http://x', company: A, auth: {basic: nobody},"
            " query: Q, schedule: {every: 1d}}\nsteps: [filter: body]",
            2,
        ),
    ],
)
async def test_a_credential_that_nobody_knows_stops_the_start_with_its_line(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(ConfigurationError, match=rf"flow\.yaml:{line}: there is no credential 'nobody' in HOLDFAST_"):
        async with served(tmp_path, f"flow: a\n{text}\n", credentials=load_credentials(None, {})):
            pass
    computed = text.replace("nobody", "'${properties.user}'")
    async with served(tmp_path, f"flow: a\n{computed}\n", credentials=load_credentials(None, {})):
        pass


async def test_an_adapter_answers_at_a_path_that_the_steps_of_its_receiver_share(tmp_path: Path) -> None:
    adapters: Any = {Http: CalledBack}
    async with served(tmp_path, CALLED_BACK.format(name="a"), adapters=adapters) as world:
        answer = await world.client.post("/receipts", content=b"taken")
        assert (answer.status_code, answer.content) == (200, b"TAKEN")
        assert (await world.client.get("/receipts", headers=AUTHORIZED)).status_code == 405


async def test_an_adapter_that_is_called_back_needs_a_server(tmp_path: Path) -> None:
    definition = read_flow(CALLED_BACK.format(name="a"), "a.yaml")
    adapters: Any = {Http: CalledBack}
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        with pytest.raises(
            ConfigurationError, match=r"^a\.yaml:3: the receiver 'erp' has to answer at /receipts"
        ) as told:
            async with deployed(definition, engine.manager, adapters=adapters):
                pass
    assert "holdfast serve" in told.value.hint


def test_the_last_offer_of_an_owner_holds_and_nobody_else_gets_the_path() -> None:
    paths = Paths()
    paths.offer("/x", Place(answer=answered, owner="a"))
    paths.offer("/x", Place(answer=answered, owner="a", anonymous=True))
    found = paths.at("/x")
    assert found is not None
    assert found.anonymous
    with pytest.raises(ConfigurationError, match="the path /x is that of a already"):
        paths.offer("/x", Place(answer=answered, owner="b"))
    assert paths.at("/y") is None


async def test_a_mistake_in_an_answer_is_told_without_what_it_says(tmp_path: Path) -> None:
    class Broken(CalledBack):
        async def answer(self, asked: Asked) -> Told:
            raise RuntimeError("the password is hunter2")

    adapters: Any = {Http: Broken}
    async with served(tmp_path, CALLED_BACK.format(name="a"), adapters=adapters) as world:
        answer = await world.client.post("/receipts")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text


async def test_what_is_under_way_at_the_end_of_the_block_is_cancelled_and_in_the_log(tmp_path: Path) -> None:
    # F17
    scripts.seen.clear()
    scripts.gates["here"] = anyio.Event()
    sender, steps = "{adapter: http, path: /x, respond: accepted}", "[script: 'flows.senders.scripts:wait']"
    text = f"flow: a\nsender: {sender}\nsteps: {steps}\n"
    place = {"store": f"sqlite:///{tmp_path / 'store.db'}", "keys": new_key_text()}
    with anyio.fail_after(10):
        async with served(tmp_path, text, **place) as world:
            assert (await world.post("/x", b"x")).status_code == 202
            while not scripts.seen:
                await anyio.lowlevel.checkpoint()
        async with served(tmp_path, text, **place) as world:
            entry = await world.flows.flows["a"].log.get(scripts.seen[0].id, "a")
    assert (entry.outcome, entry.message().body) == ("failed", b"x")


async def test_a_sender_with_sessions_is_an_adapter_that_re_uses_them(tmp_path: Path) -> None:
    # F4, F12
    text = """\
flow: a
http_session_reuse: on_exchange
sender:
  adapter: successfactors_soap
  url: http://hr
  company: A
  auth: {basic: anna}
  query: SELECT id FROM User
  schedule: {every: 1d}
receivers: {rest: {adapter: successfactors_rest, url: 'http://hr', auth: {bearer: token}}}
steps: [call: rest]
"""
    for reuse, told in (("on_exchange", []), ("none", ["flow.yaml:3"])):
        async with served(tmp_path, text.replace("on_exchange", reuse), credentials=known) as world:
            findings = world.flows.flows["a"].deployment.findings
        assert [Path(finding.place).name for finding in findings if finding.code in ("ignored", "reuse_wanted")] == told


async def test_nothing_is_served_without_files() -> None:
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        open_flows([], engine.manager) as flows,
    ):
        assert flows.flows == {}
        assert not flows.busy
