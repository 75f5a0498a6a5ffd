"""Each kind of step over the wire (F15): what the receiver was asked, in how many sessions, and what came of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest

from e2e.flows_world import VIRTUAL, Connector, Receiver
from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, DeployedFlow, Message, deployed


class Case(NamedTuple):
    """Steps, the paths that the receiver is asked for, in how many sessions on_exchange, and the body at the end."""

    steps: str
    paths: list[str]
    sessions: int
    body: Any
    ordered: bool = True


def call(path: str, kind: str = "call") -> str:
    return f"{{{kind}: {{receiver: erp, path: {path}, method: GET}}}}"


SEEN = "{modify: {body: '${json(body).seen}'}}"
PART, ITEMS = call("'/whole/${body}'"), "over: '[1, 2, 3]'"
EACH = ["/whole/1", "/whole/2", "/whole/3"]
BRANCHES = f"branches: [[{call('/whole/a')}], [{call('/whole/b')}]]"
COUNTED = "{modify: {body: '${len(body)}'}}"
KEPT = "modify: {body: '${len(properties.blocks)}'}"
MADE = call("'/whole/${headers.x}${properties.y}'")
BLOCK = "modify: {body: '${json(body).block}'}"
LAST = "{modify: {body: {last: '${json(body).seen[-1]}'}}}"
NEITHER = f"{{routes: [{{when: headers.none, do: [{call('/whole/x')}]}}], otherwise: [{call('/whole/z')}]}}"
CASES = {
    "call": Case(f"- {call('/whole/a')}\n- {SEEN}", ["/whole/a"], 1, ["/whole/a"]),
    "send": Case(
        f"- {call('/whole/a')}\n- {call('/whole/b', 'send')}\n- {SEEN}", ["/whole/a", "/whole/b"], 1, ["/whole/a"]
    ),
    "script": Case(f"- {call('/whole/a')}\n- script: flows.runtime.scripts:append_block\n- {KEPT}", ["/whole/a"], 1, 1),
    "modify": Case(
        f"- modify: {{headers: {{x: b}}, properties: {{y: c}}}}\n- {MADE}\n- {SEEN}", ["/whole/bc"], 1, ["/whole/bc"]
    ),
    "router": Case(
        f"- router:\n    routes:\n    - {{when: headers.kind == 'x', do: [{call('/whole/x')}]}}\n"
        f"    - {{when: headers.kind == 'y', do: [{call('/whole/y')}]}}\n    otherwise: [{call('/whole/z')}]\n- {SEEN}",
        ["/whole/y"],
        1,
        ["/whole/y"],
    ),
    "otherwise": Case(
        f"- router: {NEITHER}\n- {SEEN}",
        ["/whole/z"],
        1,
        ["/whole/z"],
    ),
    "filter": Case(f"- {call('/whole/a')}\n- filter: headers.kind == 'x'\n- {call('/whole/b')}", ["/whole/a"], 1, None),
    "loop": Case(
        f"- loop: {{while: json(body).more, max: 9, do: [{call('/blocks')}]}}\n- {BLOCK}",
        ["/blocks"] * 5,
        1,
        5,
    ),
    "loop that looks first": Case(
        f"- loop: {{while: headers.none, check_first: true, max: 9, do: [{call('/blocks')}]}}", [], 0, None
    ),
    "split": Case(f"- split: {{{ITEMS}, do: [{PART}, {SEEN}, {COUNTED}]}}", EACH, 1, [1, 2, 3]),
    "split in parallel": Case(
        f"- split: {{{ITEMS}, parallel: true, do: [{PART}, {SEEN}, {COUNTED}]}}", EACH, 3, [1, 1, 1], ordered=False
    ),
    "split in parallel behind a call": Case(
        f"- {call('/whole/0', 'send')}\n"
        f"- split: {{{ITEMS}, parallel: true, workers: 2, do: [{PART}, {SEEN}]}}\n- {COUNTED}",
        ["/whole/0", *EACH],
        1,
        3,
        ordered=False,
    ),
    "multicast": Case(f"- multicast: {{{BRANCHES}}}\n- {COUNTED}", ["/whole/a", "/whole/b"], 1, 2),
    "multicast in parallel": Case(
        f"- multicast: {{{BRANCHES}, parallel: true}}\n- {COUNTED}", ["/whole/a", "/whole/b"], 2, 2, ordered=False
    ),
    "gather: join": Case(f"- split: {{{ITEMS}, do: [{PART}, {SEEN}]}}\n- gather: join\n- {COUNTED}", EACH, 1, 6),
    "gather: merge": Case(
        f"- split: {{{ITEMS}, do: [{PART}, {LAST}]}}\n- gather: merge",
        EACH,
        1,
        {"last": "/whole/3"},
    ),
    "gather: first": Case(f"- split: {{{ITEMS}, do: [{PART}, {SEEN}]}}\n- gather: first", EACH, 1, EACH[:1]),
    "gather: last": Case(f"- split: {{{ITEMS}, do: [{PART}, {SEEN}]}}\n- gather: last", EACH, 1, EACH),
    "gather: function": Case(f"- split: {{{ITEMS}, do: [{PART}, {SEEN}]}}\n- gather: builtins:len", EACH, 1, 3),
    "try": Case(
        f"- try:\n    do: [{call('/fault')}, {call('/whole/never')}]\n"
        f"    on_error: [{call('/whole/rescue', 'send')}, {{modify: {{body: '${{properties.error.code}}'}}}}]",
        ["/fault", "/whole/rescue"],
        1,
        "call_refused",
    ),
}


@asynccontextmanager
async def flow(erp: Receiver, steps: str, reuse: str) -> AsyncIterator[DeployedFlow]:
    receivers = f"receivers: {{erp: {{adapter: http, url: '{erp.url}', auth: {{basic: anna}}}}}}"
    definition = read_flow(f"flow: steps\nhttp_session_reuse: {reuse}\n{receivers}\nsteps:\n{steps}", "steps.yaml")
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(definition, engine.manager, credentials=lambda name: Credential(name, "secret")) as running,
    ):
        yield running


@pytest.mark.parametrize("name", CASES)
async def test_a_step_does_what_it_says_in_the_sessions_of_its_message(erp: Receiver, name: str) -> None:
    # F15, F1, F8
    case = CASES[name]
    with anyio.fail_after(30):
        async with flow(erp, case.steps, "on_exchange") as running:
            result = await running.process(Message(headers={"kind": "y"}))
    asked = [request["path"] for request in erp.tell()["requests"]]
    assert (asked if case.ordered else sorted(asked)) == case.paths
    assert (erp.authentications, erp.sessions) == (case.sessions, case.sessions)
    assert (None if result is None else result.body) == case.body


@pytest.mark.parametrize("name", [name for name in CASES if name != "loop"])
async def test_without_re_use_each_call_of_a_step_has_its_own_session(erp: Receiver, name: str) -> None:
    # F1, F15
    case = CASES[name]
    with anyio.fail_after(30):
        async with flow(erp, case.steps, "none") as running:
            await running.process(Message(headers={"kind": "y"}))
    assert (erp.authentications, erp.sessions) == (len(case.paths), len(case.paths))
    assert set(erp.cookies) <= {None}


MAPPED = """\
flow: mapped
http_session_reuse: on_exchange
{keys}
receivers:
  erp: {{adapter: http, url: "{url}?{domain}", auth: {{basic: anna}}}}
steps:
- call: erp
- call: {{receiver: erp, method: GET}}
"""


@pytest.mark.parametrize(
    ("keys", "domain", "sessions", "told"),
    [
        ("", "mycompany.corp", 2, ["foreign_cookie", "no_cookie"]),
        ("domain_mappings: [{virtual: sales-system.cloud, internal: mycompany.corp}]", "mycompany.corp", 1, []),
        ("domain_mappings: [{virtual: other.cloud, internal: x.corp}]", "sales-system.cloud", 1, ["idle_mapping"]),
        ("cookie_policy: java", "sales-system.cloud", 2, ["no_cookie"]),  # Java wants a dot before it
        ("cookie_policy: java", ".sales-system.cloud", 1, []),
    ],
)
async def test_a_flow_says_what_virtual_hosts_are_called_inside_and_whose_cookie_rules_hold(
    erp: Receiver, keys: str, domain: str, sessions: int, told: list[str]
) -> None:
    # F9
    text = MAPPED.format(keys=keys, url=f"{VIRTUAL}/mapped", domain=domain)
    known = {"credentials": lambda name: Credential(name, "secret"), "transport": Connector(erp)}
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(read_flow(text, "mapped.yaml"), engine.manager, **known) as running,
    ):
        await running.process(Message())
        assert [finding.code for finding in running.deployment.findings] == told
    assert (erp.authentications, erp.sessions) == (sessions, sessions)
