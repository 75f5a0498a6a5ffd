"""An ABAP system to run against: logon, ADT, enqueue, as ASGI applications. For learning and testing.

It imports nothing of the rest of the package, so that it can judge it. Protocol facts are cited as ADT §n.
"""

from holdfast.simulator.cutting import ConnectionCut
from holdfast.simulator.faults import Rule
from holdfast.simulator.profiles import PROFILES, Profile, Switches
from holdfast.simulator.server import serve
from holdfast.simulator.system import ADMIN_PATH, DEMO_USERS, Simulator, asgi

__all__ = [
    "ADMIN_PATH",
    "DEMO_USERS",
    "PROFILES",
    "ConnectionCut",
    "Profile",
    "Rule",
    "Simulator",
    "Switches",
    "asgi",
    "serve",
]
