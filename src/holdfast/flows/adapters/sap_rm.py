"""The adapter `sap_rm`: SAP Reliable Messaging, one-way messages by plain SOAP that the receiver takes once.

What a message is taken once by stands in the URL's query, as `MessageId`; with `QueueId`, messages of a queue are taken
in their order. An answer of 200 or 202 with nothing in it, or with an empty envelope, says that the receiver has the
message; it takes no other with this id. So a call may be repeated whatever became of it, and is.

Sources: "Sender with SAP RM Protocol and Receiver with XI Protocol" and "Configure the SOAP (SAP RM) Receiver Adapter"
in SAP-docs/btp-integration-suite; "Ensuring Exactly Once in the SOAP Sender Adapter" of SAP Process Integration.
"""

import uuid
from typing import Final

import httpx2

from holdfast.errors import ConfigurationError
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.ids import message_id
from holdfast.flows.adapters.soap_sending import SoapReceiver, SoapSending
from holdfast.flows.expressions import render
from holdfast.flows.message import Message

USED: Final = "sapmessageidex"  # the header in which SAP Cloud Integration has the id


class SapRm(SoapReceiver, frozen=True, kw_only=True, tag_field="adapter", tag="sap_rm"):
    """A receiver of one-way messages.

    Args:
        message_id: What a message is taken once by (template), if not its delivery: an id that its sender repeats, such
            as `${headers.sapmessageidex}`. Two calls with one id are one message to the receiver.
        queue: Messages of the same queue (template) are taken in the order in which they come.
    """

    message_id: str = ""
    queue: str = ""


class SapRmAdapter(SoapSending):
    """Sends one-way messages to a receiver."""

    def __init__(self, name: str, options: SapRm, means: Means) -> None:
        super().__init__(name, options, means)
        self._options = options

    async def prepare(self) -> None:
        """Load the WSDL, if there is one. Raises ConfigurationError, also for an operation that answers."""
        await super().prepare()
        if self.operation is not None and self.operation.answers:
            raise ConfigurationError(
                f"the operation {self.operation.name!r} answers, but SAP RM is for one-way operations",
                hint="Call it by the adapter `soap`.",
            )

    def safe(self, message: Message) -> bool:
        """Say yes: the receiver takes it once."""
        return True

    async def call(self, message: Message, session: httpx2.AsyncClient, delivery: uuid.UUID) -> Message:
        """Send the message's body in an envelope; the id that it went out with becomes the header `sapmessageidex`."""
        options = self._options
        identity = str(message_id(options.message_id, message, delivery))
        queue = render(options.queue, message.names)
        query = {"MessageId": identity, **({"QueueId": queue} if queue else {})}
        answer, _ = await self.exchange(message, session, query)
        return message.changed(headers={**answer.told, USED: identity, "http-status": answer.status}, body=None)
