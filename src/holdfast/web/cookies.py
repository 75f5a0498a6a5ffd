"""The cookies that carry session ids: where they may go, how they are read, set and cleared (R14 to R21).

A cookie has the prefix `__Host-`, so a browser takes it only from this host itself, over TLS, for every path and for no
other host. Over plain HTTP there is none, but for a server and a browser on one machine, where prefix and `Secure` are
left out. What a browser does with a cookie's age is a courtesy; the session ends when the server says so (R19).
"""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Final, Literal

from holdfast._asgi import Scope, header
from holdfast.errors import BadInput, ConfigurationError
from holdfast.web.address import Proxies
from holdfast.web.guard import LOCAL_NAMES, is_loopback, without_port
from holdfast.web.reply import Header

logger = logging.getLogger(__name__)

PREFIX: Final = "__Host-"
MOST_BYTES: Final = 4096  # of name and value, RFC 6265bis §5.6
NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
CLEAR_SITE_DATA: Final[Header] = (b"clear-site-data", b'"cookies", "storage"')
NO_STORE: Final[Header] = (b"cache-control", b"no-store")
SameSite = Literal["lax", "strict", "none"]


class TwoCookies(BadInput):
    """Two cookies of one name came with a request: another host of the same site may have planted one (R18)."""

    code = "two_cookies"


class Cookie:
    """One cookie of ours.

    Args:
        name: Without the prefix, which is added where it belongs.
        same_site: `lax`, `strict`, or `none` for pages that other sites embed.
        partitioned: Only with `none`: one cookie for each site that embeds the page (CHIPS).
        proxies: Say whether a connection began as TLS.

    Raises:
        ConfigurationError: Browsers would refuse such a cookie.
    """

    def __init__(
        self, name: str, *, same_site: SameSite = "lax", partitioned: bool = False, proxies: Proxies | None = None
    ) -> None:
        if not name or not NAME.issuperset(name):
            raise ConfigurationError(f"{name!r} cannot be the name of a cookie")
        if name.lower().startswith(("__host-", "__secure-", "__http-")):
            raise ConfigurationError(f"{name!r}: the prefix is added by itself", hint="Leave it out.")
        if same_site not in ("lax", "strict", "none"):
            raise ConfigurationError(f"same_site is {same_site!r}; it is lax, strict or none")
        if partitioned and same_site != "none":
            raise ConfigurationError("a partitioned cookie is one that other sites see", hint="Set same_site to none.")
        self._name, self.same_site, self._partitioned = name, same_site, partitioned
        self.proxies = proxies or Proxies()
        self._warned, self._prefixed = False, PREFIX + name
        self._values_in = {spelled: _values_of(spelled) for spelled in (name, self._prefixed)}

    def read(self, scope: Scope) -> str | None:
        """Return the cookie's value; None if it is not there, or could not have been set over such a connection.

        Raises:
            TwoCookies: It is there twice.
        """
        lines, prefixed = _received(scope, self.proxies)
        return self.among(lines, prefixed=prefixed)

    def among(self, lines: Sequence[bytes], *, prefixed: bool) -> str | None:
        """Return the value that there is in `Cookie` headers, with the prefix or without."""
        name = self._prefixed if prefixed else self._name
        values_in = self._values_in[name]
        found = values_in(lines[0]) if len(lines) == 1 else [value for line in lines for value in values_in(line)]
        if len(found) > 1:
            raise TwoCookies(f"the cookie {name} came twice or more", hint="Delete this site's cookies.")
        return found[0].rstrip().decode("latin-1") if found else None

    def put(self, scope: Scope, value: str, *, max_age: int | None = None) -> Header | None:
        """Return the header that sets it; None where it may not go, which is logged once.

        With `max_age` the browser drops it after so many seconds.

        Raises:
            BadInput: Browsers would drop it: it is too long.
        """
        name = self._name_over(scope)
        if name is None:
            self._warn()
            return None
        if len(name) + len(value) > MOST_BYTES:
            raise BadInput(f"the cookie {name} has {len(name) + len(value)} bytes; browsers take {MOST_BYTES}")
        age = "" if max_age is None else f"; Max-Age={max_age}"
        return b"set-cookie", f"{name}={value}{age}{self._attributes(name)}".encode("latin-1")

    def clear(self, scope: Scope) -> Header | None:
        """Return the header that removes it."""
        name = self._name_over(scope)
        return None if name is None else (b"set-cookie", f"{name}=; Max-Age=0{self._attributes(name)}".encode())

    def described(self, scope: Scope) -> tuple[str, str] | None:
        """Return its name and its attributes over this connection; None if it may not go over it."""
        name = self._name_over(scope)
        return None if name is None else (name, self._attributes(name).removeprefix("; "))

    def _name_over(self, scope: Scope) -> str | None:
        """Return what it is called over this connection; None if it may not go over it."""
        if self.proxies.scheme_of(scope) in ("https", "wss"):
            return self._prefixed
        return self._name if on_this_machine(scope) else None

    def _attributes(self, name: str) -> str:
        secure = "; Secure" if name.startswith(PREFIX) else ""
        same_site = self.same_site if secure or self.same_site != "none" else "lax"  # browsers drop the other (R16)
        return f"; Path=/; HttpOnly; SameSite={same_site.title()}{secure}" + (
            "; Partitioned" if self._partitioned and secure else ""
        )

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "the cookie %s is not set over plain HTTP: serve TLS, or name the proxy that does", self._name
            )


def read_both(scope: Scope, one: Cookie, other: Cookie) -> tuple[str | None, str | None]:
    """Return the values of two cookies of one site, as `Cookie.read` does."""
    lines, prefixed = _received(scope, one.proxies)
    return one.among(lines, prefixed=prefixed), other.among(lines, prefixed=prefixed)


def _received(scope: Scope, proxies: Proxies) -> tuple[list[bytes], bool]:
    """Return the `Cookie` headers, none if ours could not have been set over such a connection; is there a prefix?"""
    lines = [line for name, line in scope["headers"] if name == b"cookie"]
    if not lines:
        return [], False
    prefixed = proxies.scheme_of(scope) in ("https", "wss")
    return lines if prefixed or on_this_machine(scope) else [], prefixed


def _values_of(name: str) -> Callable[[bytes], list[bytes]]:
    """Return what finds the values of a cookie in a `Cookie` header."""
    begin = name.encode() + b"="
    found_in = re.compile(rb"(?:^|;)\s*" + re.escape(begin) + b"([^;]*)").findall
    return lambda line: found_in(line) if begin in line else []  # a search costs a thirtieth of a match


def on_this_machine(scope: Scope) -> bool:
    """Say whether browser and server are on one machine, and the browser knows the server by a local name."""
    client, server = scope.get("client"), scope.get("server")
    host = header(scope, b"host").decode("latin-1")
    return (
        client is not None
        and server is not None
        and is_loopback(str(client[0]))
        and is_loopback(str(server[0]))
        and without_port(host) in LOCAL_NAMES
    )
