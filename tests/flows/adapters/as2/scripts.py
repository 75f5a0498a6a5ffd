"""What flows of these tests run."""

from holdfast.flows.runtime import Message


def count(message: Message) -> Message:
    """Count rounds."""
    return message.changed(properties={"n": message.properties.get("n", 0) + 1})
