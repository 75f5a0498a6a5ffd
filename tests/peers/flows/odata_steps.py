"""Scripts of flows in these tests."""

import httpx2

from holdfast.flows.message import Message


def drop_tokens(message: Message) -> Message:
    """Let the service forget its tokens, and go on with another body."""
    httpx2.post(f"{message.properties['url']}/admin/tokens").raise_for_status()
    return message.changed(body=message.properties["then"])
