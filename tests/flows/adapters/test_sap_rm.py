"""The adapter `sap_rm` on the wire: what says that a message has come, and what is repeated until it has.

A service that takes each message once is in tests/peers/flows.
"""

import pytest

from flows.adapters.wire import answering, called, http
from holdfast.errors import BackendError
from holdfast.flows.adapters.envelope import wrapped
from holdfast.flows.failures import CallRefused, NotCarriedOut, SoapFault
from holdfast.flows.runtime import Message, StepFailed

HELLO = "<hello xmlns='urn:greet'>world</hello>"
FAULT = (
    "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><e:Fault><faultcode>e:Server</faultcode>"
    "<faultstring>out of order</faultstring></e:Fault></e:Body></e:Envelope>"
)


async def sent(url: str) -> Message:
    return await called(f"adapter: sap_rm, url: '{url}'", HELLO)


@pytest.mark.parametrize("first", [b"", http(503), http(429), http(200, wrapped([]))[:-9]])
async def test_a_message_is_repeated_with_the_same_id_until_the_receiver_has_it(first: bytes) -> None:
    # F17
    async with answering(first, http(202)) as wire:
        assert (await sent(wire.url)).headers["http-status"] == 202
    one, other = wire.requests
    assert one == other
    assert "?MessageId=" in one.line


@pytest.mark.parametrize("answer", [http(200), http(202), http(200, wrapped([]))])
async def test_an_answer_of_nothing_or_an_empty_envelope_says_that_a_message_has_come(answer: bytes) -> None:
    async with answering(answer) as wire:
        assert (await sent(wire.url)).body is None
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("answer", "error", "times"),
    [
        (http(200, "<html>log on", "text/html"), BackendError, 1),
        (http(302, Location="http://127.0.0.1:9/"), CallRefused, 1),
        (http(404), CallRefused, 1),
        (http(500, FAULT), SoapFault, 1),
        (http(200, FAULT), SoapFault, 1),
        (http(429), NotCarriedOut, 3),
    ],
)
async def test_any_other_answer_is_an_error(answer: bytes, error: type[BackendError], times: int) -> None:
    async with answering(answer) as wire:
        with pytest.raises(StepFailed, match=r"^orders\.yaml:5: call: erp answered") as caught:
            await sent(wire.url)
    assert isinstance(caught.value.cause, error)
    assert len(wire.requests) == times
