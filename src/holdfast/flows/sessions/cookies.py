"""The cookies of a scope: RFC 6265bis, or as the Java class below SAP Cloud Integration has them.

| case | RFC6265BIS | JAVA (`java.net.CookieManager`, measured with Java 17) |
|---|---|---|
| `Path=/app`, request `/application` | not sent | sent: any prefix |
| no Path, set at `/app/x` | sent to `/app` and below | sent to `/app/…`, not to `/app` |
| Domain of a wider domain, without a dot | stored | refused |
| the same with a dot, for more than one label below it | stored | refused |

A Domain attribute widens a cookie up to the last two labels of the host's name: there is no list of public suffixes
here, and a cookie goes to the receivers of one flow only.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from holdfast.backend.cookies import Cookie, Origin, domain_matches, parse
from holdfast.backend.jar import Jar
from holdfast.backend.signs import CONTEXT_COOKIE

DOMAIN: Final = re.compile(r"(;\s*domain\s*=\s*)([^;]*)", re.IGNORECASE)
PATH: Final = re.compile(r";\s*path\s*=\s*/", re.IGNORECASE)


class CookiePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where stores of cookies differ."""

    any_prefix: bool = False  # a path matches whatever begins with it
    folder_slash: bool = False  # the path by default ends with its slash
    dotted_domains: bool = False  # a wider domain needs a leading dot, and only one label may stand before it


RFC6265BIS: Final = CookiePolicy()
JAVA: Final = CookiePolicy(any_prefix=True, folder_slash=True, dotted_domains=True)


class DomainMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A virtual domain or host, as the flow calls it, and what it is called inside (Cloud Connector)."""

    virtual: str
    internal: str

    def ways(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return both directions, as (what the flow calls, what the cookie names)."""
        virtual, internal = (name.removeprefix(".").lower() for name in (self.virtual, self.internal))
        return (virtual, internal), (internal, virtual)


def mapped(domain: str, host: str, mappings: Iterable[DomainMapping]) -> str:
    """Return a cookie's Domain as it has to read for the host that was called (F9).

    The domain of a pair becomes the other one. A host below it, which is the receiver's own name, becomes the host.
    """
    dot, named = domain[: domain.startswith(".")], domain.removeprefix(".").lower()
    for here, there in (way for mapping in mappings for way in mapping.ways()):
        if domain_matches(host, here) and domain_matches(named, there):
            return dot + here if named == there else host
    return domain


class CookieJar(Jar):
    """The cookies of one scope, for all its receivers. `foreign` are (host, domain) of cookies that cannot match."""

    def __init__(
        self,
        cookies: Iterable[Cookie] = (),
        *,
        policy: CookiePolicy = RFC6265BIS,
        mappings: Iterable[DomainMapping] = (),
    ) -> None:
        super().__init__(cookies)
        self._policy, self._mappings = policy, tuple(mappings)
        self.foreign: set[tuple[str, str]] = set()

    def take(self, url: str, lines: Iterable[str], *, now: float) -> list[Cookie]:
        """Take the Set-Cookie lines of an answer. `sap-contextid=0` deletes the cookie wherever it was set."""
        host, path = urlsplit(url).hostname or "", urlsplit(url).path
        taken = super().take(url, [self._line(line, host, path) for line in lines], now=now)
        if any(cookie.name == CONTEXT_COOKIE and cookie.value == "0" for cookie in taken):
            self.drop(CONTEXT_COOKIE)
        return taken

    def holds(self, place: tuple[str, str, bool, str]) -> Cookie | None:
        """Return the cookie in this place."""
        return self._cookies.get(place)

    def forget(self, place: tuple[str, str, bool, str]) -> None:
        """Remove the cookie in this place."""
        self._cookies.pop(place, None)

    def _line(self, line: str, host: str, path: str) -> str:
        line = DOMAIN.sub(lambda found: found[1] + mapped(found[2].strip(), host, self._mappings), line)
        if self._policy.folder_slash and not PATH.search(line):
            line += f"; Path={path.rpartition('/')[0]}/"
        return line

    def _read(self, line: str, origin: Origin, now: float) -> Cookie | None:
        domain = "".join(found[1] for found in DOMAIN.findall(line)[-1:]).strip().lower()
        named = domain.removeprefix(".")
        if named and not domain_matches(origin.host, named):
            self.foreign.add((origin.host, named))
        if self._policy.dotted_domains and not _java_takes(domain, origin.host):
            return None
        wide = ".".join(origin.host.split(".")[-2:])
        return parse(line, origin, now=now, shared_domains=(wide,))

    def _belongs(self, cookie: Cookie, origin: Origin) -> bool:
        if not self._policy.any_prefix:
            return super()._belongs(cookie, origin)
        at_path = origin.path.startswith(cookie.path)
        return at_path and cookie.belongs_to(msgspec.structs.replace(origin, path=cookie.path))


def _java_takes(domain: str, host: str) -> bool:
    """Say whether `HttpCookie.domainMatches` lets a host set this Domain (RFC 2965 §3.3.2)."""
    if not domain or domain == host:
        return True
    before = host.removesuffix(domain)
    return domain.startswith(".") and "." in domain[1:-1] and before != host and "." not in before
