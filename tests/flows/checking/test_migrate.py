"""From the old form of a flow to the new one (F11): one setting more, every other byte as it was."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.flows.checking import migrated
from holdfast.flows.model import read_flow
from holdfast.flows.sessions.scopes import Reuse

OLD = """\
# Fetches what was ordered.
flow: orders   # its name
# who is called
receivers:
  erp: {adapter: http, url: https://erp.example/orders}

steps:
- call: erp    # and nothing else
"""


def test_the_setting_is_put_behind_the_name_and_all_else_stays() -> None:
    # F11
    made = migrated(OLD, "orders.yaml")
    assert made.text == OLD.replace("# its name\n", "# its name\nhttp_session_reuse: none\n")
    assert (made.changed, made.setting) == (True, Reuse.NONE)
    assert read_flow(made.text).flow == read_flow(OLD).flow  # the old form runs as `none`
    asked = migrated(OLD, "orders.yaml", Reuse.EXCHANGE)
    assert read_flow(asked.text).flow.http_session_reuse == "on_exchange"
    fits = migrated(OLD, "orders.yaml", None)
    assert read_flow(fits.text).flow.http_session_reuse == "on_integration_flow"


def test_a_flow_of_the_new_form_stays_as_it_is() -> None:
    new = migrated(OLD, "orders.yaml", Reuse.FLOW).text
    again = migrated(new, "orders.yaml", Reuse.NONE)
    assert (again.text, again.changed, again.setting) == (new, False, Reuse.FLOW)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{flow: f, steps: [{filter: body}]}", "{http_session_reuse: none, flow: f, steps: [{filter: body}]}"),
        ("steps: [{filter: body}]\nflow: f", "steps: [{filter: body}]\nflow: f\nhttp_session_reuse: none\n"),
        (
            "flow: >-\r\n  f\r\n# then\r\nsteps: [{filter: body}]\r\n",
            "flow: >-\r\n  f\r\nhttp_session_reuse: none\r\n# then\r\nsteps: [{filter: body}]\r\n",
        ),
        (
            "---\n  flow:\n    'f'\n  steps: [{filter: body}]\n...\n",
            "---\n  flow:\n    'f'\n  http_session_reuse: none\n  steps: [{filter: body}]\n...\n",
        ),
        ("\ufeffflow: f\nsteps: [{filter: body}]", "\ufeffflow: f\nhttp_session_reuse: none\nsteps: [{filter: body}]"),
    ],
)
def test_unusual_files_are_migrated_too(text: str, made: str) -> None:
    assert migrated(text, "orders.yaml").text == made


def test_what_is_no_flow_is_not_migrated() -> None:
    with pytest.raises(ConfigurationError, match=r"orders\.yaml:1: this is missing required field `steps`"):
        migrated("flow: f", "orders.yaml")


RECEIVERS = (
    "receivers:\n"
    "  erp: {adapter: http, url: https://erp.example/a, auth: {basic: anna}}\n"
    "  erp2: {adapter: http, url: https://erp.example/b, auth: {basic: anna}}\n"
    "  bert: {adapter: http, url: https://erp.example/c, auth: {basic: bert}}\n"
    "  crm: {adapter: http, url: https://crm.example/d}\n"
    "  who: {adapter: http, url: https://who.example, auth: {basic: '${headers.user}'}}\n"
    "  stock: {adapter: http, url: https://stock.example, stateful: true}\n"
    "  far: {adapter: http, url: 'https://${headers.host}'}\n"
)


@pytest.mark.parametrize(
    ("steps", "setting", "reason", "lines"),
    [
        ("- filter: body", "none", "no call goes to a receiver that could keep a session", []),
        ("- call: erp", "on_integration_flow", "one message calls each receiver once", []),
        ("- call: erp\n- send: crm", "on_integration_flow", "one message calls each receiver once", []),
        ("- call: erp\n- call: erp2", "on_exchange", "one message calls erp.example:443 several times", [11, 12]),
        ("- call: far\n- call: far", "on_exchange", "one message calls the receiver of 'far' several times", [11, 12]),
        ("- loop:\n    while: body\n    max: 3\n    do: [{call: erp}]", "on_exchange", "several times", [14]),
        ("- split: {do: [{call: crm}]}", "on_exchange", "one message calls crm.example:443 several times", [11]),
        ("- multicast: {branches: [[{call: erp}], [{call: erp2}]]}", "on_exchange", "several times", [11, 11]),
        ("- try: {do: [{call: erp}], on_error: [{call: erp}]}", "on_exchange", "several times", [11, 11]),
        (
            "- router: {routes: [{when: body, do: [{call: erp}]}], otherwise: [{call: erp2}]}",
            "on_integration_flow",
            "one message calls each receiver once",
            [],
        ),
        ("- call: stock", "on_exchange", "stock.example:443 keeps state, which is that of one message", [11]),
        ("- call: erp\n- call: bert", "none", "erp.example:443 is called as two users", [11, 12]),
        ("- call: who", "none", "is called once for a message, and the user is another for each", [11]),
        ("- call: who\n- call: who", "on_exchange", "one message calls who.example:443 several times", [11, 12]),
    ],
)
def test_the_shape_of_a_flow_suggests_a_setting(steps: str, setting: str, reason: str, lines: list[int]) -> None:
    # F11
    text = f"flow: f\n{RECEIVERS}steps:\n{steps}"
    suggestion = migrated(text, "orders.yaml").suggestion
    assert suggestion.setting.value == setting
    assert reason in suggestion.reason
    assert [read_flow(text).source.line(path) for path in suggestion.paths] == lines


comments = st.text(alphabet="ab:-{}[]#'\" ö", max_size=8).map(lambda text: "# " + text)
PARTS = {
    "flow": [
        "flow: orders",
        "flow: 'orders'",
        'flow: "orders"',
        "flow: >-\n  orders",
        "flow:\n  orders",
        "? flow\n: f",
    ],
    "receivers": ["receivers: {}", "receivers:\n  erp:\n    adapter: http\n    url: http://erp.example"],
    "steps": ["steps: [{filter: body}]", "steps:\n- filter: body\n- modify:\n    body: |\n      flow: x\n"],
    "strict": ["strict: true", ""],
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_a_file_looks_like_only_the_setting_is_new(data: st.DataObject) -> None:
    # F11
    lines = ["---"] if data.draw(st.booleans()) else []
    for name in data.draw(st.permutations(list(PARTS))):
        lines += data.draw(st.lists(st.sampled_from(["", "  "]) | comments, max_size=2))
        lines += data.draw(st.sampled_from(PARTS[name])).split("\n")
        if lines[-1].endswith("}") or lines[-1] == "flow: orders":
            lines[-1] += "  " + data.draw(comments)
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    old = end.join(lines) + data.draw(st.sampled_from(["", end]))
    setting = data.draw(st.sampled_from(Reuse))
    made = migrated(old, "orders.yaml", setting)
    assert made.text.count(f"http_session_reuse: {setting.value}") == 1
    left = [line for line in made.text.split(end) if line != f"http_session_reuse: {setting.value}"]
    assert [line for line in left if line] == [line for line in old.split(end) if line]
    expected = msgspec.structs.replace(read_flow(old).flow, http_session_reuse=setting.value)
    assert read_flow(made.text).flow == expected
