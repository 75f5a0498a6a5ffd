"""Every adapter over the wire: which of them re-use a session, and that they share the one of a host."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from e2e.flows_hosts import BASIC, IDOC, LOGGING_ON_ITSELF, NEVER, PLACE, REUSING, ROWS, Host, running_host
from e2e.flows_world import known, running_flow
from flows.senders.test_schedule import Time, settled
from flows.senders.world import served
from holdfast.flows.adapters import NAMES
from holdfast.flows.runtime import Message
from peers.flows.sap_world import REUSES

CALLS: Final = 6  # of 3 messages
EACH: Final = {"none": [1] * 6, "on_exchange": [2] * 3, "on_integration_flow": [6]}  # calls of each session
TOKENS: Final = dict.fromkeys(("odata_v2", "odc", "successfactors_odata_v2"), ", csrf: true") | {
    "odata_v4": ", operation: patch, csrf: true"
}
CHANGES: Final = (
    f'{BASIC}, company: ACME, schedule: {{every: 10s}}, lag: 0, query: "SELECT id FROM User WHERE '
    "lastModified > '${properties.since}' AND lastModified <= '${properties.until}'\""
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running_host(tmp_path_factory.mktemp("as2")) as host:
        yield host


@pytest.fixture
def host(running: Host) -> Host:
    running.reset()
    return running


async def send_three(host: Host, name: str, reuse: str) -> list[str]:
    """Let three messages, two of them at a time, make two calls each; return what was told of the flow."""
    text = host.flow(reuse, (name,), f"- send: {name}\n- call: {name}\n")
    async with running_flow(text, host.file) as flow:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(flow.process, Message(body=ROWS[name].body))
        await flow.process(Message(body=ROWS[name].body))
        return [finding.code for finding in flow.deployment.findings]


def given(name: str) -> str:
    """Return the step that makes the body what the receiver is sent."""
    return f"{{modify: {{body: '${{properties.{name}}}'}}}}"


def test_there_is_a_row_for_every_adapter() -> None:
    assert set(ROWS) == set(NAMES) == {*REUSING, *NEVER, LOGGING_ON_ITSELF}


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("name", REUSING)
async def test_30_an_adapter_re_uses_sessions_as_the_setting_says(host: Host, name: str, reuse: str) -> None:
    # F1, F2, F5, statements 1 to 4, 9 and 30
    host.peers["shop"].tell("csrf", "off")
    told = await send_three(host, name, reuse)
    assert (host.authentications, host.sessions) == REUSES[reuse]
    assert sorted(host.calls.values()) == EACH[reuse]
    assert [bool(one["authorization"]) for one in host.requests] == [cookie is None for cookie in host.cookies]
    assert host.arrived(name) == [ROWS[name].what] * CALLS
    assert told == (["reuse_wanted"] if reuse == "none" and name == "successfactors_odata_v2" else [])


@pytest.mark.parametrize("reuse", REUSES)
@pytest.mark.parametrize("name", NEVER)
async def test_30_an_adapter_without_sessions_never_sends_a_cookie(host: Host, name: str, reuse: str) -> None:
    # F4, F5, statements 6 and 30: the receiver sets one with each answer
    told = await send_three(host, name, reuse)
    assert [(one["cookie"], one["authorization"]) for one in host.requests] == [(None, "Bearer secret")] * CALLS
    assert (host.authentications, host.sessions) == REUSES["none"]
    assert host.arrived(name) == [ROWS[name].what] * CALLS
    assert told == ([] if reuse == "none" else ["ignored"])


@pytest.mark.parametrize("reuse", REUSES)
async def test_30_sfapi_is_logged_on_to_as_the_setting_says(host: Host, reuse: str) -> None:
    # F1, F5, statements 30 and 31: its logon is an operation
    told, hr = await send_three(host, LOGGING_ON_ITSELF, reuse), host.peers["sfapi"]
    operations = Counter(hr.tell()["operations"])
    assert (hr.authentications, hr.sessions) == REUSES[reuse]
    assert (operations["login"], operations["query"]) == (hr.authentications, CALLS)
    assert hr.cookies.count(None) == operations["login"]
    assert host.arrived(LOGGING_ON_ITSELF) == [ROWS[LOGGING_ON_ITSELF].what] * CALLS
    assert told == (["reuse_wanted"] if reuse == "none" else [])


@pytest.mark.parametrize(("reuse", "logons"), [("none", 6), ("on_exchange", 4), ("on_integration_flow", 1)])
async def test_30_sfapi_as_a_sender_re_uses_sessions_too_and_shares_them_with_a_receiver(
    host: Host, tmp_path: Path, reuse: str, logons: int
) -> None:
    # F1, F19, statements 5 and 30: it asks twice, and what it finds first are two messages of two calls each
    hr, time = host.peers["sfapi"], Time()
    hr.tell("set", dict.fromkeys("ab", "2026-01-01T00:00:00Z"))
    sender = f"sender: {{adapter: successfactors_soap, url: '{hr.url}/sfapi', {CHANGES}}}\n"
    text = host.flow(reuse, (LOGGING_ON_ITSELF,), "- send: successfactors_soap\n- call: successfactors_soap\n", sender)
    async with served(tmp_path, text, credentials=known, clock=time, sleep=time.sleep) as running:
        await settled([running])
        for _ in range(2):
            await time.pass_by(10)
            await settled([running])
    operations = Counter(hr.tell()["operations"])
    assert (operations["query"], operations["login"]) == (6, logons)
    assert (hr.authentications, hr.sessions) == (logons, logons)


@pytest.mark.parametrize("first", REUSING)
async def test_5_whichever_adapter_opens_the_session_of_a_host_all_others_share_it(host: Host, first: str) -> None:
    # F19, statements 5 and 30: the tokens of changes hold in it too
    names = sorted(REUSING, key=lambda name: name != first)
    steps = "".join(f"- {given(name)}\n- call: {{receiver: {name}{TOKENS.get(name, '')}}}\n" for name in names)
    bodies = {name: ROWS[name].body for name in names} | {"odata_v4": {"Name": "screw"}}
    async with running_flow(host.flow("on_exchange", names, steps), host.file) as flow:
        await flow.process(Message(properties=bodies))
    assert (host.authentications, host.sessions) == (1, 1)
    opening, *others = host.requests
    assert {(one["cookie"], one["authorization"]) for one in others} == {(opening["session"], None)}
    for name in set(names) - {"odata_v4"}:
        assert ROWS[name].what in host.arrived(name)
    assert host.peers["parts"].tell()["rows"]["2"]["Name"] == "screw"


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
async def test_5_an_adapter_without_sessions_stays_out_of_the_one_of_its_host(host: Host, reuse: str) -> None:
    # F5, F19, statement 30: it sends no cookie of the others, and what it is sent does not replace theirs
    names = ("http", "successfactors_rest", "http", "successfactors_odata_v4", "http")
    steps = "".join(f"- call: {name}\n" for name in names)
    async with running_flow(host.flow(reuse, sorted(set(names)), steps), host.file) as flow:
        await flow.process(Message())
    sessions = [one["session"] for one in host.requests]
    assert host.cookies == [None, None, sessions[0], None, sessions[0]]
    assert len(set(sessions)) == 3 == host.sessions == host.authentications


@pytest.mark.parametrize(("before", "logons", "told"), [("- call: http", 1, []), ("", len(REUSING), ["branches"])])
async def test_22_adapters_in_parallel_branches_share_the_session_of_a_call_before(
    host: Host, before: str, logons: int, told: list[str]
) -> None:
    # F8, F19, statements 5, 21 and 22
    host.peers["shop"].tell("csrf", "off")
    branches = "".join(f"    - [{given(name)}, {{send: {name}}}, {{call: {name}}}]\n" for name in REUSING)
    steps = f"{before}\n- multicast:\n    parallel: true\n    branches:\n{branches}"
    async with running_flow(host.flow("on_exchange", REUSING, steps), host.file) as flow:
        await flow.process(Message(properties={name: ROWS[name].body for name in REUSING}))
        assert sorted({finding.code for finding in flow.deployment.findings}) == told
    assert (host.authentications, host.sessions) == (logons, logons)
    assert len(host.requests) == 2 * len(REUSING) + (logons == 1)


@pytest.mark.parametrize(
    ("reuse", "users", "told"),
    [
        ("none", ["anna", "bert", "bert"], []),
        ("on_exchange", ["anna", "anna", "anna"], ["second_user"]),
        ("on_integration_flow", ["anna", "anna", "anna"], ["second_user"]),
    ],
)
async def test_10_another_adapter_with_another_user_is_the_first_user_at_a_host_which_is_told(
    host: Host, reuse: str, users: list[str], told: list[str]
) -> None:
    # F3, F19, statements 10 and 12
    steps = f'- send: soap\n- modify: {{body: "{IDOC}"}}\n- send: idoc\n- call: idoc\n'
    text = host.flow(reuse, ("soap", "idoc"), steps)
    text = text.replace(f"/idoc', {BASIC}", "/idoc', auth: {basic: bert}")
    async with running_flow(text, host.file) as flow:
        await flow.process(Message(body=PLACE))
        assert [finding.code for finding in flow.deployment.findings] == told
        assert all("'soap'" in one.text and "'idoc'" in one.text for one in flow.deployment.findings)
    assert host.users == users
    assert len(host.peers["system"].tell()["idocs"]) == 2


@pytest.mark.parametrize("name", REUSING)
async def test_13_a_session_that_was_dropped_is_opened_anew_and_the_call_carried_out_once(
    host: Host, name: str
) -> None:
    # F7, statement 13, with each adapter
    host.peers["shop"].tell("csrf", "off")
    async with running_flow(host.flow("on_integration_flow", (name,), f"- call: {name}\n"), host.file) as flow:
        for _ in range(2):
            await flow.process(Message(body=ROWS[name].body))
            host.tell("expire")
            await flow.process(Message(body=ROWS[name].body))
    assert (host.authentications, host.sessions) == (3, 3)
    assert host.arrived(name) == [ROWS[name].what] * 4
