"""Whether the client is still there: the only thing a request's `receive` tells after its body."""

import anyio

from holdfast._asgi import Receive


async def gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def has_gone(receive: Receive) -> bool:
    """Say whether the client has closed the connection by now. Ask before an answer's end: then it always has."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await gone(receive)
        return True
    return False
