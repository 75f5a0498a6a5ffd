"""For whom a token is: resource identifiers, compared as URIs (RFC 8707 §2)."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit, urlunsplit

PORTS: Final = {"https": 443, "http": 80}


class Audience:
    """The names under which this server is meant."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(canonical(name) for name in names)

    def meets(self, named: str | list[str]) -> bool:
        """Say whether one of those that a token names is meant."""
        return any(canonical(name) in self._names for name in ([named] if isinstance(named, str) else named))


def canonical(name: str) -> str:
    """Return a URI with scheme and host in lower case, without default port and slash at its end; else the name."""
    try:
        parts = urlsplit(name)
        port = parts.port
    except ValueError:
        return name
    if parts.scheme not in PORTS or not parts.hostname or parts.username is not None or parts.fragment:
        return name
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port in (None, PORTS[parts.scheme]) else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), parts.query, ""))
