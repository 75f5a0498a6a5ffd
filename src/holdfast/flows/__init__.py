"""Integration flows: calls to stateful receivers with a chosen re-use of sessions.

`SessionReuse` gives it to any httpx2 client in two lines. A flow's own parts are a `Deployment`, its exchanges, and a
`ReusingTransport` for each channel; a process that ends sessions of flows opens its engine with `flow_kinds()`.
"""

from holdfast.flows.kinds import flow_kinds
from holdfast.flows.reuse import SessionReuse
from holdfast.flows.sessions.cookies import JAVA, RFC6265BIS, CookiePolicy, DomainMapping
from holdfast.flows.sessions.deployment import Deployment
from holdfast.flows.sessions.scopes import Channel, Finding, Reuse
from holdfast.flows.sessions.transport import ReusingTransport

__all__ = [
    "JAVA",
    "RFC6265BIS",
    "Channel",
    "CookiePolicy",
    "Deployment",
    "DomainMapping",
    "Finding",
    "Reuse",
    "ReusingTransport",
    "SessionReuse",
    "flow_kinds",
]
