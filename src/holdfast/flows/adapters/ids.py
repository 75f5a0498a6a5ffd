"""Ids of messages on the wire, by which a receiver that takes each message once knows a repeated one."""

import uuid
from typing import Final

from holdfast.flows.expressions import render
from holdfast.flows.message import Message

FOREIGN: Final = uuid.UUID("7c1f0a86-98c1-4f0e-8d0b-0c1c5a3f7b52")


def message_id(template: str, message: Message, delivery: uuid.UUID) -> uuid.UUID:
    """Return the id of what is sent: made of the delivery, or of what the template says of the message if it does.

    An id that the sender has given its message, when repeated by it, comes out as the same one: a UUID as it is, with
    or without hyphens, and any other text as one that is always made of it (RFC 9562 §5.5).
    """
    text = render(template, message.names).strip()
    if not text:
        return delivery
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.uuid5(FOREIGN, text)
