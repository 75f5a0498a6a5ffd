"""The sender `successfactors_soap` against SFAPI by spyne: what has changed becomes a message, once (F5, F15)."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from e2e.flows_fixtures import fixtures_of
from e2e.flows_world import Receiver, known, started
from flows.senders import scripts
from flows.senders.test_schedule import BEGIN, Time, settled
from flows.senders.world import Served, served
from holdfast.core.sealing import new_key_text
from holdfast.errors import ConfigurationError
from holdfast.flows.model import read_flow

PEER = Path(__file__).with_name("sfapi_spyne.py")
WHERE = "WHERE lastModified > '${properties.since}' AND lastModified <= '${properties.until}'"
TEXT = """\
flow: hires
http_session_reuse: {reuse}
sender:
  adapter: successfactors_soap
  url: '{url}/sfapi?mode={mode}'
  company: ACME
  auth: {{basic: anna}}
  schedule: {{every: 10s}}
  lag: 0
  timeout: 2
  query: "SELECT id FROM User {where}"{more}
steps:
- script: flows.senders.scripts:{function}
"""


receiver_process, hr_with_people = fixtures_of(partial(started, sys.executable, "-W", "ignore", PEER))


@pytest.fixture
def hr(hr_with_people: Receiver) -> Receiver:
    hr_with_people.tell("set", {})
    return hr_with_people


@pytest.fixture
def time() -> Time:
    scripts.seen.clear()
    scripts.gates["here"] = anyio.Event()
    return Time()


def at(seconds: float) -> str:
    """Return an instant so many seconds after the beginning, as SFAPI has it."""
    return datetime.fromtimestamp(BEGIN + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@asynccontextmanager
async def workers(folder: Path, hr: Receiver, time: Time, count: int = 1, **flow: str) -> AsyncIterator[list[Served]]:
    """Run the flow at workers with a store that outlives them."""
    given = {"reuse": "on_exchange", "mode": "", "where": WHERE, "more": "", "function": "note", **flow}
    (folder / "keys").touch()
    keys = (folder / "keys").read_text() or new_key_text()
    (folder / "keys").write_text(keys)
    more = {"store": f"sqlite:///{folder / 'store.db'}", "keys": keys, "clock": time, "sleep": time.sleep}
    text = TEXT.format(url=hr.url, **given)
    async with served(folder, text, credentials=known, **more) as first:
        if count == 1:
            await settled([first])
            yield [first]
            return
        async with served(folder, text, credentials=known, **more) as second:
            await settled([first, second])
            yield [first, second]


async def polled(running: list[Served], time: Time) -> None:
    """Let ten seconds pass, and what is due then be done."""
    await time.pass_by(10)
    await settled(running)


def ids() -> list[str]:
    return [message.body["id"] for message in scripts.seen]


@pytest.mark.parametrize(("reuse", "logons"), [("on_exchange", 3), ("on_integration_flow", 1)])
async def test_what_has_changed_becomes_a_message_once_at_one_of_all_workers(
    tmp_path: Path, hr: Receiver, time: Time, reuse: str, logons: int
) -> None:
    # F1, statement 30: SFAPI as a sender
    hr.tell("set", {"old": at(-500), "new": at(5)})
    async with workers(tmp_path, hr, time, 2, reuse=reuse) as running:
        await polled(running, time)
        assert ids() == ["old", "new"]
        hr.tell("set", {"old": at(-500), "new": at(15), "last": at(12)})
        await polled(running, time)
        assert sorted(ids()[2:]) == ["last", "new"]
        await polled(running, time)
    assert len(scripts.seen) == 4
    assert len({message.id for message in scripts.seen}) == 4
    assert hr.authentications == logons
    assert [request["operation"] for request in hr.tell()["requests"]].count("query") == 3
    assert scripts.seen[0].properties["until"] == scripts.seen[2].properties["since"]


async def test_all_pages_are_read_and_a_page_may_be_one_message(tmp_path: Path, hr: Receiver, time: Time) -> None:
    hr.tell("set", {f"u{number:03}": at(0) for number in range(45)})
    async with workers(tmp_path, hr, time, more="\n  per: page\n  page: 20") as running:
        await polled(running, time)
    assert [len(message.body) for message in scripts.seen] == [20, 25]


async def test_what_was_under_way_in_a_crash_comes_again_by_its_name_and_the_rest_once(
    tmp_path: Path, hr: Receiver, time: Time
) -> None:
    # F17: nothing lost, nothing twice but what was cut off itself
    hr.tell("set", {name: at(0) for name in "abcd"})
    async with workers(tmp_path, hr, time, function="stop_at_c") as running:
        await time.pass_by(10)
        with anyio.fail_after(10):
            while ids() != ["a", "b", "c"]:
                await anyio.sleep(0.01)
        running[0].flows.give_up()
        await settled(running)
    hr.tell("set", {**{name: at(0) for name in "abcd"}, "e": at(20)})
    async with workers(tmp_path, hr, time) as running:
        await polled(running, time)
        assert ids() == ["a", "b", "c", "c", "d"]
        await polled(running, time)
    assert ids() == ["a", "b", "c", "c", "d", "e"]
    assert scripts.seen[2].id == scripts.seen[3].id


async def test_a_message_that_fails_is_in_the_log_and_keeps_no_other_waiting(
    tmp_path: Path, hr: Receiver, time: Time
) -> None:
    hr.tell("set", {"a": at(0), "b": at(0)})
    async with workers(tmp_path, hr, time, function="fail_at_a") as running:
        await polled(running, time)
        await polled(running, time)
        assert ids() == ["a", "b"]
        entry = await running[0].flows.flows["hires"].log.get(scripts.seen[0].id, "hires")
    assert entry.outcome == "failed"


@pytest.mark.parametrize("mode", ["busy", "cut", "hang", "html", "no_id"])
async def test_what_cannot_be_read_now_is_read_later(tmp_path: Path, hr: Receiver, time: Time, mode: str) -> None:
    hr.tell("set", {"a": at(0)})
    async with workers(tmp_path, hr, time, mode=mode) as running:
        await polled(running, time)
    assert scripts.seen == []
    async with workers(tmp_path, hr, time) as running:
        await polled(running, time)
    assert ids() == ["a"]


async def test_that_nothing_is_re_used_and_that_nobody_logs_on_is_told_at_load(
    tmp_path: Path, hr: Receiver, time: Time
) -> None:
    # statement 31
    async with workers(tmp_path, hr, time, reuse="none") as running:
        findings = running[0].flows.flows["hires"].deployment.findings
        assert [finding.code for finding in findings] == ["reuse_wanted"]
    text = TEXT.format(url="http://x", reuse="none", mode="", where="", more="", function="note")
    with pytest.raises(ConfigurationError, match=r"flow\.yaml:3: SFAPI takes user and password"):
        async with served(tmp_path, text.replace("  auth: {basic: anna}\n", "")):
            pass


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("schedule: {every: 10 s}", "'10 s' is no time"),
        ("since: yesterday", "expected"),
        ("query: SELECT ${properties.}", "properties"),
        ("per: row", "invalid enum value 'row'"),
    ],
)
def test_wrong_settings_are_told_with_their_line(line: str, said: str) -> None:
    text = TEXT.format(url="http://x", reuse="none", mode="", where="", more="", function="note")
    name = line.partition(":")[0]
    lines = [each for each in text.splitlines() if not each.startswith(f"  {name}:")]
    lines.insert(3, f"  {line}")
    with pytest.raises(ConfigurationError, match=rf"^a\.yaml:4: .*{said}"):
        read_flow("\n".join(lines), "a.yaml")
