"""A back end as the configuration describes it, and the wire to it.

A `Door` says in requests how one logs on and off there; each protocol brings its own (`adt.door`).
"""

import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec

from holdfast.backend.lanes import Lanes
from holdfast.backend.quotas import Quotas
from holdfast.backend.wire import Call, Reply, Wire
from holdfast.config import Settings, SystemSettings
from holdfast.core.turns import Turns
from holdfast.errors import BadInput, ConfigurationError

TransportFor = Callable[[str, SystemSettings], httpx2.AsyncBaseTransport]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How to come in and go out.

    Args:
        logon: Requests to try in this order; one that is answered 404 is not there on this release.
        logoff: Ends the logon and all that hangs on it.
        token: The request that fetches a CSRF token; told whether a context must survive it.
        idle_limit: Reads the back end's idle time-out, in seconds, from the answer to the logon.
    """

    logon: tuple[Call, ...]
    logoff: Call
    token: Callable[[bool, int], Call]
    idle_limit: Callable[[Reply], float | None]


class System:
    """One back end: where it is, as whom we log on, and what was learnt about its release."""

    def __init__(
        self,
        name: str,
        settings: SystemSettings,
        wire: Wire,
        door: Door,
        *,
        clock: Callable[[], float] = time.time,
        note: str = "",
    ) -> None:
        self.name, self.settings, self.wire, self.door, self.clock = name, settings, wire, door, clock
        self.note = note  # said once to whoever opens a session
        self.route = 0  # the first of `door.logon` that is not known to be absent

    @property
    def user(self) -> str:
        """The user we log on as, in upper case; empty for a token."""
        return self.settings.user.upper()

    @property
    def account(self) -> str:
        """The user at this system and client: what quotas count, and what a logon's label begins with."""
        return f"{self.name} {self.settings.client} {self.user}"

    def authorization(self) -> str:
        """Return the Authorization header of a logon request. Read anew each time: a secret may be rotated."""
        token = self.settings.token.get_secret_value()
        if token:
            return f"Bearer {token}"
        if not self.settings.user:
            raise ConfigurationError(f"system {self.name!r} has no user", hint="Set its user and password, or a token.")
        pair = f"{self.settings.user}:{self.settings.secret()}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    def __repr__(self) -> str:
        return f"<System {self.name}>"


class Systems:
    """The systems of this process by name, and the one that is meant when none is named.

    `turns` put the requests of one stateless logon in order within this process; `quotas` count those in flight.
    """

    def __init__(self, systems: Mapping[str, System], default: str, quotas: Quotas | None = None) -> None:
        if default not in systems:
            raise ConfigurationError(f"default_system {default!r} is not among the systems")
        self._systems, self.default = dict(systems), default
        self.turns, self.quotas = Turns(), quotas or Quotas()

    @property
    def names(self) -> list[str]:
        """The names of all systems."""
        return list(self._systems)

    def get(self, name: str | None = None) -> System:
        """Return the system of this name, or the default one. Raises BadInput with the names there are."""
        system = self._systems.get(name or self.default)
        if system is None:
            raise BadInput(f"there is no system {name!r}", hint=f"Use one of: {', '.join(self._systems)}.")
        return system


@asynccontextmanager
async def open_systems(
    settings: Settings,
    door: Door,
    *,
    transport_for: TransportFor | None = None,
    clock: Callable[[], float] = time.time,
    note: str = "",
) -> AsyncIterator[Systems]:
    """Connect the configured systems; connections are opened when first needed and closed at the end.

    Raises:
        ConfigurationError: No system is configured, the default is not among several, or a certificate file is bad.
    """
    if not settings.systems:
        raise ConfigurationError(
            "no SAP system is configured", hint="Set HOLDFAST_SAP_URL, or [systems.NAME] in a file."
        )
    for name, system in settings.systems.items():
        if "@" in urlsplit(system.url).netloc:  # addresses are shown in messages
            raise ConfigurationError(f"the url of system {name!r} has a user in it", hint="Set user and password.")
    make = transport_for or http_transport
    wires = {
        name: Wire(system.url, make(name, system), timeout=system.timeout) for name, system in settings.systems.items()
    }
    default = settings.default_system or next(iter(settings.systems))
    made = {
        name: System(name, settings.systems[name], wire, door, clock=clock, note=note) for name, wire in wires.items()
    }
    try:
        yield Systems(made, default, Quotas(settings.quota_client_calls))
    finally:
        for wire in wires.values():
            await wire.aclose()


def http_transport(name: str, settings: SystemSettings) -> httpx2.AsyncBaseTransport:
    """Return a pool of real connections to one system."""
    return Lanes(httpx2.create_ssl_context(verify=_trust(name, settings.verify)))


def _trust(name: str, verify: bool | Path) -> ssl.SSLContext | bool:
    if isinstance(verify, bool):
        return verify
    try:
        return ssl.create_default_context(cafile=str(verify))
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"system {name!r}: {verify} is not a file of certificates") from exc
