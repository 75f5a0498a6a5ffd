"""What is sent exactly once is taken once, whatever happens on the way: IDocs and XI messages (F17).

The receivers are the services of `tests/peers/flows`; here nothing but what happens to a request is between.
"""

import itertools
from collections.abc import Iterator
from email.message import Message as Headers
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.flows_world import running_flow
from holdfast.flows.runtime import Message, StepFailed
from peers.flows import sap_idocs, sap_xi

CONTROL = "<EDI_DC40><IDOCTYP>ORDERS05</IDOCTYP><MESTYP>ORDERS</MESTYP></EDI_DC40>"
IDOC = f"<ORDERS05><IDOC>{CONTROL}<E1EDK01/></IDOC></ORDERS05>"
WHO = "sender: {service: A}, receiver: {service: B}, interface: I, namespace: n"
KINDS: dict[str, tuple[Any, str]] = {"idoc": (sap_idocs, "retry: {}"), "xi": (sap_xi, WHO)}
EVENTS = ("ok", "no connection", "busy", "unavailable", "lost", "locked")
EVER = 50


def answered(service: Any, event: str, request: httpx2.Request) -> httpx2.Response:
    """Return what comes back when this happens to a request."""
    if event == "no connection":
        raise httpx2.ConnectError("refused")
    if event in ("busy", "unavailable"):
        return httpx2.Response(429 if event == "busy" else 503)
    headers = Headers()
    for name, value in request.headers.items():
        headers[name] = value
    mode = {"locked": "locked" if isinstance(service, sap_idocs.Service) else "transient"}.get(event, "")
    query = {"type": "receiver", "sap-client": "100"}
    status, kind, content = service.take(
        SimpleNamespace(query=query, headers=headers, body=request.content, mode=mode, again=False)
    )
    if event == "lost":
        raise httpx2.ReadError("reset")
    return httpx2.Response(status, headers={"content-type": kind}, content=content)


def taken(service: Any) -> int:
    return len(service.idocs if isinstance(service, sap_idocs.Service) else service.messages)


@pytest.mark.parametrize("kind", KINDS)
@given(events=st.lists(st.sampled_from(EVENTS), max_size=12))
@settings(max_examples=25, deadline=None)
def test_a_message_is_taken_once_whatever_happens_and_however_often_it_is_resent(kind: str, events: list[str]) -> None:
    anyio.run(_resend_until_it_has_come, kind, events)


async def _resend_until_it_has_come(kind: str, events: list[str]) -> None:
    module, more = KINDS[kind]
    service, happening = module.Service(), _then_all_is_well(events)
    transport = httpx2.MockTransport(lambda request: answered(service, next(happening), request))
    text = f"flow: f\nreceivers: {{erp: {{adapter: {kind}, url: 'http://erp', {more}}}}}\nsteps:\n- send: erp"
    async with running_flow(text, transport=transport) as running:
        for _ in range(EVER):
            try:
                await running.process(Message(id="m", body=IDOC))
                break
            except StepFailed:
                assert taken(service) <= 1
        else:
            pytest.fail("it never came")
        assert taken(service) == 1


def _then_all_is_well(events: list[str]) -> Iterator[str]:
    return itertools.chain(events, itertools.repeat("ok"))
