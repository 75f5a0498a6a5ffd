"""From where and with what program a session is used, and what it means if that changes (S12, M13, R50).

A fingerprint is a pair of digests: of the address, of an IPv6 one its network, and of the program. Addresses of people
who move change, so what follows from it is for each application to choose:

* off: nothing is compared
* warn: it is told of, once for each change
* step_up: who sends such a request has to log on anew for what needs a logon; until then it is a visitor's
* reject: the request is a visitor's

Address and program may be judged differently: of those that differ, the stricter choice counts. The session itself, and
whoever else uses it, notice nothing.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, get_args

import msgspec

from holdfast.core.manager import Manager
from holdfast.core.policy import touched
from holdfast.core.session import Session
from holdfast.web.address import HOST_BITS, network_of

Binding = Literal["off", "warn", "step_up", "reject"]
Fingerprint = dict[str, str]
STRICTNESS: Final[tuple[Binding, ...]] = get_args(Binding)
MILD: Final = ("off", "warn")  # who is elsewhere is served all the same
ADDRESS: Final = "address"
AGENT: Final = "user agent"
AGENT_BYTES: Final = 512  # of a User-Agent that count, so that what is remembered of many stays small
DIGITS: Final = 16
VERSION: Final = re.compile(rb"[/ ]?[\d._]+")


class Bindings(msgspec.Struct, frozen=True):
    """What it means that the address or the program is another."""

    address: Binding = "warn"
    agent: Binding = "warn"

    @property
    def strictest(self) -> Binding:
        """The stricter of the two."""
        return max(self.address, self.agent, key=STRICTNESS.index)

    def verdict(self, known: Mapping[str, str], seen: Mapping[str, str]) -> Binding:
        """Return what follows from how two fingerprints differ."""
        address = self.address if known.get(ADDRESS) != seen[ADDRESS] else "off"
        agent = self.agent if known.get(AGENT) != seen[AGENT] else "off"
        return Bindings(address, agent).strictest


@lru_cache(maxsize=1024)
def fingerprint(address: str, agent: bytes, prefix: int = HOST_BITS) -> Fingerprint:
    """Return what tells one place and program from another; `prefix` is how many bits of an IPv6 address count."""
    return {ADDRESS: _digest(network_of(address, prefix).encode()), AGENT: _digest(agent[:AGENT_BYTES])}


@lru_cache(maxsize=1024)
def browser_at(address: str, agent: bytes, prefix: int) -> Fingerprint:
    """Return the fingerprint of a browser, whatever its version."""
    return fingerprint(address, family(agent), prefix)


def family(agent: bytes) -> bytes:
    """Return a `User-Agent` without its versions, which change while a browser is kept up to date."""
    return VERSION.sub(b"", agent[:AGENT_BYTES])


def difference(known: Mapping[str, str], seen: Mapping[str, str]) -> str:
    """Return in what two fingerprints differ, with both, for the audit trail; empty for equal ones (E34)."""
    return " and ".join(f"{name} {known.get(name)} -> {seen[name]}" for name in seen if seen[name] != known.get(name))


async def used(manager: Manager, session: Session, app: str = "") -> None:
    """Record the use of a session that was loaded without, now that it is known to be one of its owner's."""
    after = manager.touch_after(session.record.kind, app)
    if after is not None and touched(session.record, manager.clock(), after) is not None:
        await manager.get(session.ref, touch=True)


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:DIGITS]
