"""From YAML to a flow, and what a flow's author is told of mistakes: file, line, and what would be right."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters import NAMES
from holdfast.flows.adapters.http import Http
from holdfast.flows.model import Flow, Step, check, json_schema, load_flow, read_flow, steps_of
from holdfast.flows.model.flow import Loop
from holdfast.flows.parts import Call

ORDERS = """\
flow: orders   # what it is called
http_session_reuse: on_exchange
receivers:
  erp: {adapter: http, url: https://erp.example/orders, auth: {basic: erp-user}}
  archive:
    adapter: http
    url: https://archive.example/${headers.year}
    retry: {times: 3, first: 0.1}
steps:
  - loop: {while: "headers.more == 'true'", max: 1000, do: [{call: erp}, {script: flows.model.scripts:passes}]}
  - router:
      routes:
        - when: len(body) > 3
          do:
            - split: {over: body, parallel: true, do: [{filter: body.wanted}, {send: archive}]}
            - gather: join
      otherwise:
        - try: {do: [{call: {receiver: erp, path: /again, timeout: 5}}], on_error: [{modify: {body: none}}]}
  - multicast: {branches: [[{call: archive}], [{call: erp}]]}
  - call: archive
"""
BASE = "flow: f\nreceivers:\n  erp: {adapter: http, url: http://erp}\nsteps:\n"


def complaint(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_flow(text, "orders.yaml")
    return str(caught.value)


def test_the_flow_of_the_manual_is_read_with_the_line_of_every_part(tmp_path: Path) -> None:
    # F15
    (tmp_path / "orders.yaml").write_text(ORDERS)
    read = load_flow(tmp_path / "orders.yaml")
    flow, place = read.flow, read.source.place
    assert (flow.name, flow.http_session_reuse) == ("orders", "on_exchange")
    assert flow.receivers["erp"].auth.basic == "erp-user"
    assert flow.receivers["archive"].retry.times == 3
    kinds = [(path, step.kind, place(path).rpartition(":")[2]) for path, step in steps_of(flow)]
    assert kinds[:3] == [
        ("steps[0]", "loop", "10"),
        ("steps[0].loop.do[0]", "call", "10"),
        ("steps[0].loop.do[1]", "script", "10"),
    ]
    assert ("steps[1].router.routes[0].do[0].split.do[1]", "send", "15") in kinds
    assert ("steps[1].router.otherwise[0].try.on_error[0]", "modify", "18") in kinds
    assert kinds[-1] == ("steps[3]", "call", "20")
    jsonschema.validate(yaml.safe_load(ORDERS), json_schema())


def test_the_same_flow_can_be_made_in_python() -> None:
    made = Flow(
        name="orders",
        receivers={"erp": Http(url="http://erp")},
        steps=(Step(loop=Loop(while_="body", max=3, do=(Step(call="erp"),))),),
    )
    assert check(made) is made
    text = "flow: orders\nreceivers: {erp: {adapter: http, url: 'http://erp'}}\nsteps:\n- loop: {while: body, max: 3, "
    assert read_flow(text + "do: [{call: erp}]}").flow == made
    assert made.steps[0].options.do[0].options == Call(receiver="erp")
    with pytest.raises(ConfigurationError, match=r"^steps\[0\]\.call: there is no receiver 'crm'"):
        check(msgspec.structs.replace(made, steps=(Step(call="crm"),)))


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("- call: crm", "orders.yaml:5: there is no receiver 'crm'; there are: erp"),
        ("- cal: erp", "orders.yaml:5: there is no step 'cal'; did you mean 'call'; there are: call, send,"),
        ("- {}", "orders.yaml:5: a step has exactly one kind, this one has none"),
        ("- {call: erp, send: erp}", "orders.yaml:5: a step has exactly one kind, this one has call, send"),
        (
            "- call: erp\n- loop:\n    while: body\n    do: [{call: erp}]",
            "orders.yaml:6: this is missing required field",
        ),
        ("- loop:\n    while: body\n    max: x\n    do: [{call: erp}]", "orders.yaml:7: expected `int`, got `str`"),
        ("- loop: {while: body, max: 0, do: [{call: erp}]}", "orders.yaml:5: expected `int` >= 1"),
        ("- loop: {while: body, max: 3, do: []}", "orders.yaml:5: expected `array` of length >= 1"),
        ("- loop:\n    max: 3\n    while: body ==\n    do: [{call: erp}]", "orders.yaml:7: 'body ==' is no expression"),
        ("- filter: open('x')", "orders.yaml:5: a function other than len,"),
        ("- filter: __import__", "orders.yaml:5: the name '__import__' (there are headers, properties, body)"),
        ("- script: nowhere.at_all:x", "orders.yaml:5: the module 'nowhere.at_all' cannot be imported"),
        (
            "- script: flows.model.scripts:absent",
            "orders.yaml:5: the module 'flows.model.scripts' has no function",
        ),
        ("- script: os.system", "orders.yaml:5: expected a function, as module:function"),
        ("- gather: all", "orders.yaml:5: expected join, merge, first, last, or a function as module:function"),
        ("- modify:\n    headers:\n      a: 1\n      b: '${1 +}'", "orders.yaml:8: '1 +' is no expression"),
        ("- call: {receiver: erp, paht: /x}", "orders.yaml:5: the key 'paht' is not known here"),
        ("- call: &a erp\n- call: *a", "orders.yaml:5: anchors and aliases are not allowed"),
        ("- call: !!python/name:os.system x", "orders.yaml:5: the tag tag:yaml.org,2002:python/name:os.system is not"),
        ("- call: erp\n  call: erp", "orders.yaml:6: the key 'call' comes twice"),
        ("- call: [erp", "orders.yaml:5: expected ',' or ']'"),
        ("- call: " + "[" * 5000, "orders.yaml:5: this is nested too deeply"),
    ],
)
def test_a_mistake_in_a_step_is_told_with_file_and_line(steps: str, told: str) -> None:
    # F15: bad input
    assert complaint(BASE + steps).startswith(told)


@pytest.mark.parametrize(
    ("receiver", "told"),
    [
        ("{adapter: htp, url: 'http://x'}", f"orders.yaml:4: there is no adapter 'htp'; there are: {', '.join(NAMES)}"),
        ("{url: 'http://x'}", f"orders.yaml:4: the receiver 'crm' names no adapter; there are: {', '.join(NAMES)}"),
        ("{adapter: http, url: 'ftp://x'}", "orders.yaml:4: expected an http or https URL"),
        ("\n    adapter: http\n    url: http://x\n    timeout: 0", "orders.yaml:7: expected `float` > 0"),
        (
            "\n    adapter: http\n    url: http://x\n    tiemout: 1",
            "orders.yaml:7: the key 'tiemout' is not known",
        ),
        ("\n    adapter: http\n    url: http://x/${secret}", "orders.yaml:6: the name 'secret' (there are"),
        ("\n    adapter: http\n    url: http://x\n    auth: {basic: a, bearer: b}", "orders.yaml:7: either basic or"),
    ],
)
def test_a_mistake_in_a_receiver_is_told_with_file_and_line(receiver: str, told: str) -> None:
    text = (
        f"flow: f\nreceivers:\n  erp: {{adapter: http, url: 'http://erp'}}\n  crm: {receiver}\nsteps: [{{call: erp}}]"
    )
    assert complaint(text).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "orders.yaml:1: a flow is a mapping"),
        ("- call: erp", "orders.yaml:1: a flow is a mapping"),
        ("flow: f", "orders.yaml:1: this is missing required field `steps`"),
        ("flow: f\nhttp_session_reuse: on_message\nsteps: [{filter: body}]", "orders.yaml:2: invalid enum value"),
        ("flow: f\n\x00", "orders.yaml: "),
        ("? [a]\n: b", "orders.yaml:1: a key has to be a text"),
        ("flow: !!set {f}", "orders.yaml:1: the tag tag:yaml.org,2002:set is not allowed"),
        ("flow: f\nsteps: " + "9" * 5000, "orders.yaml:2: '9999"),
        ("#" * 250_001, "orders.yaml: more than 250000 characters are no flow"),
    ],
)
def test_a_file_that_is_no_flow_is_told_so(text: str, told: str) -> None:
    assert complaint(text).startswith(told)


def test_all_mistakes_that_can_be_told_at_once_are() -> None:
    told = complaint(BASE + "- call: crm\n- call: erp\n- filter: '1 +'")
    assert [line.partition(": ")[0] for line in told.splitlines()] == ["orders.yaml:5", "orders.yaml:7"]


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: the flow cannot be read"):
        load_flow(tmp_path / "none.yaml")


def test_no_and_on_are_texts_and_not_truth_values() -> None:
    read = read_flow("flow: no\nsteps: [{modify: {body: {country: no, from: 2026-01-01, at: 12:30:00, all: true}}}]")
    assert read.flow.name == "no"
    assert read.flow.steps[0].options.body == {"country": "no", "from": "2026-01-01", "at": "12:30:00", "all": True}


broken: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["erp", "body", "http"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["flow", "steps", "receivers", "call", "loop", "while", "max", "do", "adapter", "url", "try"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["flow", "steps", "receivers", "http_session_reuse"]), broken))
def test_whatever_stands_in_a_file_it_is_a_flow_or_an_error_with_a_place(data: Any) -> None:
    text = yaml.safe_dump(data, default_flow_style=False, allow_unicode=True)
    try:
        read_flow(text, "orders.yaml")
        told = ""
    except ConfigurationError as exc:
        told = str(exc)
    assert re.match(r"orders\.yaml:\d+: ", told) or (not told and jsonschema.validate(data, json_schema()) is None)
