"""The adapter `soap`: SOAP 1.1 and 1.2 over HTTP, with XML or, where there is a WSDL, with values.

A body of XML is what stands in the envelope's body, and so is the answer's. A body of values (a mapping, or none) is
what the WSDL's operation takes, and then the answer's body holds the values that it gives. A fault is an error,
`soap_fault`. Calls are POST: they are repeated only if they never reached the receiver, or `repeatable` says so.
"""

import uuid
from typing import Final

import anyio.to_thread
import httpx2

from holdfast.errors import BackendError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.envelope import written
from holdfast.flows.adapters.soap_sending import SoapReceiver, SoapSending
from holdfast.flows.message import Message

XML: Final = "application/xml"


class Soap(SoapReceiver, frozen=True, kw_only=True, tag_field="adapter", tag="soap"):
    """A receiver that is called by SOAP.

    Args:
        one_way: It answers nothing but that it has the message, by 200 or 202. Operations of a WSDL without output are
            so without this.
    """

    one_way: bool = False


class SoapAdapter(SoapSending):
    """Calls a receiver by SOAP."""

    def __init__(self, name: str, options: Soap, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message's body in an envelope and return what stands in the answer's; of a one-way call, nothing."""
        answer, envelope = await self.exchange(message, session)
        headers = {**answer.told, "http-status": answer.status}
        if self._options.one_way or (self.operation is not None and not self.operation.answers):
            return message.changed(headers=headers, body=None)
        if not answer.content.strip():
            said = f"{self.channel.name} answered {answer.status} and nothing else"
            raise BackendError(said, hint="If it is not meant to say more, the receiver is `one_way`.")
        if self.operation is not None and self.by_values(message):
            values = await anyio.to_thread.run_sync(self.operation.values, envelope, abandon_on_cancel=True)
            return message.changed(headers=headers, body=values)
        text = "\n".join(map(written, envelope.body))
        return message.changed(headers={**headers, "content-type": XML}, body=text)
