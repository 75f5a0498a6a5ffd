"""Where a request comes from: the peer of the connection, or who a trusted proxy says stands behind it.

`X-Forwarded-For` is believed from right to left, for as long as who added an entry is trusted: what a client writes
into the header itself stands to the left of that and is never read. Source: MDN on `X-Forwarded-For`, "trusted proxy
list"; OWASP on spoofed client addresses.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from holdfast._asgi import Scope
from holdfast.errors import ConfigurationError

FORWARDED: Final = b"x-forwarded-for"
FORWARDED_PROTO: Final = b"x-forwarded-proto"
REMEMBERED: Final = 1024
HOST_BITS: Final = 64  # of an IPv6 address: whoever has one has all that share its network (RFC 6177)


class Proxies:
    """Tells the address of a client.

    Args:
        trusted: Addresses or networks of proxies, as `10.0.0.7` or `10.0.0.0/8`; none: the header is never read.

    Raises:
        ConfigurationError: One of them is no address and no network.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [_network(text) for text in trusted]
        self._is_trusted = lru_cache(REMEMBERED)(self._in_networks)

    def client_of(self, scope: Scope) -> str:
        """Return the address a request comes from; empty for a connection without one, such as a Unix socket."""
        peer = scope.get("client")
        address = str(peer[0]) if peer else ""
        if not self._networks or not self._is_trusted(address):
            return address
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name == FORWARDED]
        for entry in reversed(",".join(lines).split(",")):
            named = _bare(entry.strip())
            if named is None:
                break
            address = named
            if not self._is_trusted(address):
                break
        return address

    def scheme_of(self, scope: Scope) -> str:
        """Return `http` or `https`: that of the connection, or what a trusted proxy says of the one before it.

        `X-Forwarded-Proto` of several proxies is read from its right end, where the nearest one writes (T32).
        """
        if self._networks and self._is_trusted(str(peer[0]) if (peer := scope.get("client")) else ""):
            said = [value for name, value in scope["headers"] if name == FORWARDED_PROTO]
            last = b",".join(said).rpartition(b",")[2].strip().lower()
            if last in (b"http", b"https"):
                return last.decode()
        return str(scope.get("scheme", "http"))

    def _in_networks(self, address: str) -> bool:
        found = _ip(address)
        return found is not None and any(found in network for network in self._networks)


@lru_cache(REMEMBERED)
def network_of(address: str, prefix: int = HOST_BITS) -> str:
    """Return what counts of an address: of an IPv6 one its network, since hosts change theirs within it; else all."""
    found = _ip(address)
    return str(ip_network((found, prefix), strict=False)) if isinstance(found, IPv6Address) else str(found or address)


def _bare(entry: str) -> str | None:
    """Return the address of `1.2.3.4`, `1.2.3.4:80`, `::1` or `[::1]:80` in its shortest form; None for any other."""
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    if host.count(":") == 1:
        host = host.partition(":")[0]
    found = _ip(host)
    return None if found is None else str(found)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address; of an IPv4 one in the clothes of IPv6 (`::ffff:10.0.0.7`) the IPv4 one."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as exc:
        raise ConfigurationError(f"trusted_proxies: {text!r} is no address and no network") from exc
