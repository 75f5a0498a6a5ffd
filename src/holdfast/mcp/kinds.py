"""The kinds of node this face keeps: the session of a legacy client, and a stream that hangs on it.

A stream is a node so that no worker's memory is needed to count it. Its worker shows every 15 s that it is there; one
that was killed is taken over sooner, since it does not answer (`standalone`).
"""

from typing import Final

from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy

SESSION: Final = "mcp"
STREAM: Final = "stream"

KINDS: Final = (
    Kind(
        name=SESSION,
        clocks=Clocks(idle=1800.0, absolute=43_200.0),
        limits=Limits(per_client=100, policy=Policy.LEAST_RECENT),
    ),
    Kind(
        name=STREAM,
        clocks=Clocks(idle=60.0, absolute=43_200.0, touch_interval=10.0),
        limits=Limits(per_parent=1, policy=Policy.REJECT),
    ),
)
