"""The kinds of node this face keeps: a legacy client's session, a stream on it, a handle, a task, its run, a state.

A stream is a node so that no worker's memory is needed to count it. Its worker shows every 15 s that it is there; one
that was killed is taken over sooner, since it does not answer (`standalone`). A run is one so that any keeper notices
when its worker has died (`tasks.register`).
"""

from typing import Final

from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy
from holdfast.mcp.handles import HANDLE
from holdfast.mcp.tasks.register import RUN, TASK, watch_over
from holdfast.web.kinds import KINDS as LOGONS

SESSION: Final = "mcp"
STREAM: Final = "stream"
STATE: Final = "state"  # what a FastMCP server keeps for its sessions (`fastmcp_state`)

KINDS: Final = (
    *LOGONS,  # what an agent opens hangs below its person's logon
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
    Kind(
        name=HANDLE,
        clocks=Clocks(idle=3600.0, absolute=30 * 86_400.0, touch_interval=1.0),
        limits=Limits(per_client=1000, policy=Policy.LEAST_RECENT),
    ),
    Kind(
        name=TASK,
        spared=True,
        clocks=Clocks(absolute=3600.0),
        limits=Limits(per_client=1000, policy=Policy.REJECT),  # a task is there for its time, whatever comes after it
    ),
    Kind(
        name=STATE,
        spared=True,
        clocks=Clocks(idle=30 * 86_400.0, absolute=365 * 86_400.0, touch_interval=3600.0),
        limits=Limits(per_client=10_000, policy=Policy.LEAST_RECENT),
    ),
    Kind(name=RUN, spared=True, clocks=Clocks(absolute=30 * 86_400.0), upkeep=watch_over),
)
