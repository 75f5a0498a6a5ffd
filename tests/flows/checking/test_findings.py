"""What is told of a flow before anything runs (F12): code, line, what is meant, and what to do."""

from contextlib import nullcontext

import pytest

from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.flows import flow_kinds
from holdfast.flows.adapters import NAMES
from holdfast.flows.checking import findings
from holdfast.flows.model import Definition, read_flow
from holdfast.flows.runtime import deployed

HEAD = """\
flow: orders
http_session_reuse: {reuse}
receivers:
  erp: {{adapter: http, url: https://erp.example/orders, auth: {{basic: anna}}}}
  erp2: {{adapter: http, url: "https://erp.example:443/stock", auth: {{basic: anna}}}}
  crm: {{adapter: http, url: https://crm.example}}
{receivers}
steps:
{steps}"""


def flow(steps: str = "- call: erp", reuse: str = "on_exchange", receivers: str = "") -> Definition:
    return read_flow(HEAD.format(reuse=reuse, receivers=receivers, steps=steps), "orders.yaml")


def told(definition: Definition) -> list[str]:
    """Return place and code of what is told."""
    return [f"{finding.place.partition(':')[2]} {finding.code}" for finding in findings(definition)]


def test_a_flow_that_does_what_its_author_thinks_is_told_nothing() -> None:
    # F12
    for reuse in ("none", "on_exchange", "on_integration_flow"):
        assert told(flow("- call: erp\n- call: erp2\n- split: {parallel: true, do: [{call: erp}]}", reuse)) == []


@pytest.mark.parametrize(
    ("reuse", "receiver", "expected"),
    [
        ("on_integration_flow", "stateful: true", "7 shared_state"),
        ("none", "stateful: true", "7 no_state"),
        ("on_integration_flow", "auth: {basic: '${headers.user}'}", "7 dynamic_user"),
    ],
)
def test_what_a_receiver_is_may_not_go_with_the_setting(reuse: str, receiver: str, expected: str) -> None:
    # F3, F12
    made = flow("- call: new", reuse, f"  new: {{adapter: http, url: https://new.example, {receiver}}}")
    assert told(made) == [expected]
    [finding] = findings(made)
    assert finding.remedy.startswith("Use http_session_reuse: on_exchange")
    assert "'new'" in finding.text


@pytest.mark.parametrize("reuse", ["on_exchange", "on_integration_flow"])
def test_two_users_at_one_host_are_told_with_both_channels(reuse: str) -> None:
    # F3, F12
    bert = "  bert: {adapter: http, url: https://ERP.example, auth: {basic: bert}}"
    [finding] = findings(flow("- call: erp\n- call: bert\n- call: bert", reuse, bert))
    assert (finding.place, finding.code, finding.about) == ("orders.yaml:7", "second_user", ("erp", "bert"))
    assert "basic anna" in finding.text
    assert told(flow("- call: erp\n- call: bert", "none", bert)) == []
    assert told(flow("- call: erp\n- call: {receiver: erp, auth: {basic: bert}}")) == ["10 second_user"]
    assert told(flow("- call: erp\n- call: {receiver: crm, auth: {basic: bert}}")) == []


@pytest.mark.parametrize(
    ("steps", "lines"),
    [
        ("- split: {parallel: true, do: [{call: erp}]}", [9]),
        ("- split: {do: [{call: erp}]}", []),
        ("- call: erp2\n- split: {parallel: true, do: [{call: erp}]}", []),
        ("- call: crm\n- split: {parallel: true, do: [{call: erp}]}", [10]),
        ("- multicast: {parallel: true, branches: [[{call: erp}], [{call: erp2}]]}", [9]),
        ("- multicast: {parallel: true, branches: [[{call: erp}], [{call: crm}]]}", []),
        ("- multicast: {branches: [[{call: erp}], [{call: erp2}]]}", []),
        (
            "- router: {routes: [{when: body, do: [{call: erp}]}]}\n- split: {parallel: true, do: [{send: erp}]}",
            [10],
        ),
        (
            "- router: {routes: [{when: body, do: [{call: erp}]}], otherwise: [{call: erp}]}\n"
            "- split: {parallel: true, do: [{call: erp}]}",
            [],
        ),
        (
            "- loop: {while: body, max: 3, do: [{call: erp}]}\n- split: {parallel: true, do: [{call: erp}]}",
            [],
        ),
        (
            "- loop: {while: body, max: 3, check_first: true, do: [{call: erp}]}\n"
            "- split: {parallel: true, do: [{call: erp}]}",
            [10],
        ),
        (
            "- try: {do: [{call: erp}], on_error: [{modify: {body: x}}]}\n- split: {parallel: true, do: [{call: erp}]}",
            [10],
        ),
        ("- split: {parallel: true, do: [{split: {parallel: true, do: [{call: erp}]}}]}", [9]),
        ("- split: {parallel: true, do: [{call: crm}, {split: {parallel: true, do: [{call: crm}]}}]}", [9]),
    ],
)
def test_parallel_branches_without_a_call_before_them_are_told(steps: str, lines: list[int]) -> None:
    # F8, F12
    assert told(flow(steps)) == [f"{line} branches" for line in lines]
    assert told(flow(steps, "on_integration_flow")) == told(flow(steps, "none")) == []


def test_a_host_that_looks_virtual_is_told_until_it_is_mapped() -> None:
    # F9, F12
    virtual = "  sap: {adapter: http, url: http://sap-erp:8000/x}\n  in: {adapter: http, url: https://a.corp/x}"
    steps = "- call: sap\n- call: in"
    [sap, _] = findings(flow(steps, receivers=virtual))
    assert (sap.place, sap.code) == ("orders.yaml:7", "no_mapping")
    assert "domain_mappings: [{virtual: sap-erp, internal: " in sap.remedy
    assert told(flow(steps, "none", virtual)) == []
    local = "  sap: {adapter: http, url: http://127.0.0.1/x}\n  in: {adapter: http, url: http://localhost/x}"
    assert told(flow(steps, receivers=local)) == []
    mapped = virtual + "\ndomain_mappings:\n- {virtual: sap-erp, internal: a.b.c}\n- {virtual: .Corp, internal: c.d}"
    assert told(flow(steps, receivers=mapped)) == []
    assert told(flow(receivers=mapped)) == ["10 idle_mapping", "11 idle_mapping"]


def test_a_host_that_is_computed_is_nobody_elses() -> None:
    other = "  any: {adapter: http, url: 'https://${headers.host}/x', auth: {basic: bert}}"
    path = "  any: {adapter: http, url: 'https://erp.example/${headers.path}', auth: {basic: bert}}"
    tail = "  any: {adapter: http, url: 'https://erp.example${headers.path}', auth: {basic: bert}}"
    steps = "- call: erp\n- call: any"
    assert [told(flow(steps, receivers=r)) for r in (other, path, tail)] == [[], ["7 second_user"], []]


NEEDED = {
    "as2": "from: ACME, to: Partner, key: absent.p12, partner_certificate: absent.pem",
    "http": "",
    "idoc": "",
    "odata_v2": "resource: Orders",
    "odata_v4": "resource: Orders",
    "odc": "service: PARTS, resource: Parts",
    "sap_rm": "",
    "soap": "wsdl: absent.wsdl, operation: Get",
    "successfactors_odata_v2": "resource: User",
    "successfactors_odata_v4": "resource: User, auth: {bearer: token}",
    "successfactors_rest": "auth: {bearer: token}",
    "successfactors_soap": "company: ACME, query: SELECT id FROM User, auth: {basic: anna}",
    "xi": "sender: {service: A}, receiver: {service: B}, interface: I, namespace: urn:n",
}


@pytest.mark.parametrize(
    ("reuse", "expected"),
    [
        ("none", {"successfactors_odata_v2": "reuse_wanted", "successfactors_soap": "reuse_wanted"}),
        ("on_exchange", {"successfactors_odata_v4": "never_reused", "successfactors_rest": "never_reused"}),
        ("on_integration_flow", {"successfactors_odata_v4": "never_reused", "successfactors_rest": "never_reused"}),
    ],
)
def test_each_adapter_is_told_what_the_setting_means_to_it_and_loads_nothing(
    reuse: str, expected: dict[str, str]
) -> None:
    # F4, F5, F12, statements 30 and 31: neither certificates nor WSDLs are there
    assert set(NEEDED) == set(NAMES)
    lines = [
        f"  {name}: {{adapter: {name}, url: https://{name.replace('_', '-')}.example, {more}}}"
        for name, more in NEEDED.items()
    ]
    steps = "\n".join(f"- send: {name}" for name in NEEDED)
    made = flow(steps, reuse, "\n".join(lines))
    found = {finding.about[0]: finding.code for finding in findings(made)}
    assert found == expected


@pytest.mark.parametrize(
    ("reuse", "receiver", "refused"),
    [
        ("on_exchange", "url: https://erp.example, auth: {basic: bert}", True),
        ("on_integration_flow", "url: https://new.example, auth: {basic: '${headers.user}'}", True),
        ("on_integration_flow", "url: https://new.example, stateful: true", True),
        ("on_exchange", "url: https://new.corp, stateful: true", False),
    ],
)
async def test_strict_refuses_what_would_mix_up_messages_or_users(reuse: str, receiver: str, refused: bool) -> None:
    # F3, statements 10 and 25
    made = flow("- call: erp\n- call: new", reuse, f"  new: {{adapter: http, {receiver}}}\nstrict: true")
    assert [finding.serious for finding in findings(made)] == [refused]
    with pytest.raises(ConfigurationError, match=r"flow orders: orders\.yaml:7: ") if refused else nullcontext():
        async with open_engine("memory://", kinds=flow_kinds()) as engine, deployed(made, engine.manager) as running:
            assert [finding.code for finding in running.deployment.findings] == ["no_mapping"]
