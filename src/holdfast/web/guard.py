"""Who may speak to this server from a browser: `Origin` and `Host` against DNS rebinding.

A page of a foreign site must not reach a server on the user's own machine. Two headers tell: a browser always names
the page's `Origin`, and a rebound name stands in `Host`. A request without `Origin` comes from no page.
Source: MCP transports page (Origin must be validated; 403 from 2025-11-25), OWASP on DNS rebinding.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
REMEMBERED: Final = 256


class Guard:
    """Judges `Origin` and `Host`.

    Args:
        allowed_origins: Origins that may call, as `https://app.example`. `*` in place of the port, as in
            `https://app.example:*`, allows any port. A lone `*` allows every origin. Besides these, pages of this
            machine may call a server on a loopback address, and the server's own pages may where `Host` is checked.
        allowed_hosts: Values of `Host` that are served besides local names, in the same form; a lone `*` allows all.
            Left empty, only a server on a loopback address checks `Host`, and allows local names alone.
    """

    def __init__(self, allowed_origins: Collection[str] = (), allowed_hosts: Collection[str] = ()) -> None:
        self._origins, self._hosts = frozenset(allowed_origins), frozenset(allowed_hosts)
        self.refusal = lru_cache(REMEMBERED)(self._refusal)

    def _refusal(self, origin: str | None, host: str | None, address: str) -> str | None:
        """Return why a request is refused, or None.

        Args:
            origin: The `Origin` header, None if it is absent.
            host: The `Host` header.
            address: The address on which the connection was accepted.
        """
        if not self._host_allowed(host or "", address):
            return f"Host {host!r} is not served here; allowed_hosts names what is"
        if origin is not None and not self._origin_allowed(origin, host or "", address):
            return f"Origin {origin!r} is not allowed; allowed_origins names what is"
        return None

    def _host_allowed(self, host: str, address: str) -> bool:
        if not self._hosts and not is_loopback(address):
            return True
        return (is_loopback(address) and without_port(host) in LOCAL_NAMES) or listed(host, self._hosts)

    def _origin_allowed(self, origin: str, host: str, address: str) -> bool:
        scheme, _, authority = origin.partition("://")
        web, local = scheme in ("http", "https"), is_loopback(address)
        own = web and authority == host and (local or bool(self._hosts))
        return own or (web and local and without_port(authority) in LOCAL_NAMES) or listed(origin, self._origins)


def is_loopback(address: str) -> bool:
    """Say whether an address can be reached from this machine only."""
    return address.startswith("127.") or address in ("::1", "localhost")


def without_port(authority: str) -> str:
    """Return the host of `host:port`, in lower case; an IPv6 address keeps its brackets."""
    head, colon, port = authority.lower().rpartition(":")
    return head if colon and port.isdigit() else authority.lower()


def listed(value: str, allowed: Collection[str]) -> bool:
    """Say whether a value stands in a list, exactly or with any port."""
    head, _, port = value.rpartition(":")
    return "*" in allowed or value in allowed or (port.isdigit() and f"{head}:*" in allowed)
