"""What a store's URL says: which servers, which user, which options."""

from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from holdfast.errors import ConfigurationError

PORT: Final = 6_379
SENTINEL_PORT: Final = 26_379
OPTIONS: Final = frozenset({"shards", "wait_replicas", "tls"})
LINE: Final[dict[str, Any]] = {  # of the driver's connections; how long they may take is looked after by `Line`
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    "socket_timeout": None,  # each command would be a task of its own
}
HINT: Final = (
    "Use redis://user:password@host:6379/0, rediss:// for TLS, redis+sentinel://host:26379,host:26379/service/0 or "
    "redis+cluster://host:6379,host:6379, with ?wait_replicas=1, ?shards=64 or ?tls=1 (Sentinel, Cluster) if need be."
)

Mode = Literal["single", "sentinel", "cluster"]


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed URL. `plain` is the URL without its user and password, as it may be shown."""

    mode: Mode
    hosts: tuple[tuple[str, int], ...]
    plain: str
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    shards: int | None = None
    wait_replicas: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what every connection of the driver is made with; timeouts and retries are the line's."""
        return {
            "username": self.username,
            "password": self.password,
            "socket_keepalive": True,
            **LINE,
        }

    @property
    def connection_class(self) -> type[Connection]:
        """Return the driver's class of connections, with TLS or without."""
        return SSLConnection if self.tls else Connection


def parse(url: str) -> Address:
    """Read a store's URL.

    Raises:
        ConfigurationError: It has no such form. The message repeats nothing of it: it may have a password in it.
    """
    try:
        parts = urlsplit(url)
        login, _, places = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if not OPTIONS.issuperset(options):
            raise ValueError("an option nobody knows")
        mode = _mode(parts.scheme)
        path = [unquote(part) for part in parts.path.strip("/").split("/") if part]
        service = path.pop(0) if mode == "sentinel" else ""
        database = int(path.pop(0)) if path else 0
        if path or (mode == "cluster" and database):
            raise ValueError("more of a path than there is")
        port = SENTINEL_PORT if mode == "sentinel" else PORT
        hosts = tuple(_host(place, port) for place in places.split(","))
        if mode == "single" and len(hosts) > 1:
            raise ValueError("several servers")
        return Address(
            mode=mode,
            hosts=hosts,
            plain=f"{parts.scheme}://{places}{parts.path}",
            service=service,
            database=database,
            username=unquote(username) or None,
            password=unquote(password) or None,
            tls=parts.scheme == "rediss" or options.get("tls", "0") not in {"0", "false", "no"},
            shards=_number(options, "shards", 1, 4_096),
            wait_replicas=_number(options, "wait_replicas", 0, 100) or 0,
        )
    except (ValueError, IndexError):
        raise ConfigurationError("the URL of the Redis store cannot be read", hint=HINT) from None


def _mode(scheme: str) -> Mode:
    modes: dict[str, Mode] = {
        "redis": "single",
        "rediss": "single",
        "redis+sentinel": "sentinel",
        "redis+cluster": "cluster",
    }
    if scheme not in modes:
        raise ValueError(scheme)
    return modes[scheme]


def _host(place: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    return parts.hostname or "localhost", parts.port or port


def _number(options: dict[str, str], name: str, least: int, most: int) -> int | None:
    if name not in options:
        return None
    number = int(options[name])
    if not least <= number <= most:
        raise ValueError(name)
    return number
