"""All adapters: which of them re-use sessions, told when a flow is deployed."""

from typing import Any, Final

import pytest

from holdfast.engine import open_engine
from holdfast.flows import flow_kinds
from holdfast.flows.adapters import NAMES
from holdfast.flows.model import read_flow
from holdfast.flows.runtime import Credential, deployed

BEARER: Final = ", auth: {bearer: token}"
RECEIVERS: Final = {
    "as2": ", from: us, to: them, sign: none, encrypt: none, receipt: none",
    "http": "",
    "idoc": "",
    "odata_v2": "",
    "odata_v4": "",
    "odc": ", service: SHOP",
    "sap_rm": "",
    "soap": "",
    "successfactors_odata_v2": "",
    "successfactors_odata_v4": BEARER,
    "successfactors_rest": BEARER,
    "successfactors_soap": ", company: A, auth: {basic: anna}, query: SELECT a FROM b",
    "xi": ", sender: {service: A}, receiver: {service: B}, interface: I, namespace: 'urn:n'",
}
NEVER: Final = {"successfactors_odata_v4", "successfactors_rest"}
WANTED: Final = {"successfactors_odata_v2", "successfactors_soap"}


async def told(adapter: str, reuse: str) -> set[str]:
    """Return what is reported of a flow that only has such a receiver."""
    receiver = f"erp: {{adapter: {adapter}, url: 'https://erp.example'{RECEIVERS[adapter]}}}"
    text = f"flow: f\nhttp_session_reuse: {reuse}\nreceivers: {{{receiver}}}\nsteps: [{{call: erp}}]"
    known: Any = Credential("anna", "secret")
    async with (
        open_engine("memory://", kinds=flow_kinds()) as engine,
        deployed(read_flow(text), engine.manager, credentials=lambda name: known) as flow,
    ):
        return {finding.code for finding in flow.deployment.findings}


def test_every_adapter_is_tried_here() -> None:
    assert set(RECEIVERS) == set(NAMES)


@pytest.mark.parametrize("adapter", RECEIVERS)
async def test_only_receivers_without_sessions_ignore_the_setting(adapter: str) -> None:
    # F4, F5, statement 30
    for reuse in ("on_exchange", "on_integration_flow"):
        assert ("ignored" in await told(adapter, reuse)) == (adapter in NEVER)


@pytest.mark.parametrize("adapter", RECEIVERS)
async def test_without_re_use_those_that_want_it_are_told(adapter: str) -> None:
    # statement 31
    assert ("reuse_wanted" in await told(adapter, "none")) == (adapter in WANTED)
