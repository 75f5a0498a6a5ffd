"""The cookie jar of one back-end session: what came with Set-Cookie goes back where it belongs (RFC 6265bis, A21).

A jar belongs to one logon and is never shared. It is kept as a list of plain values, sealed with its session.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from holdfast.backend.cookies import Cookie, Origin, domain_matches, parse, path_matches

MOST_COOKIES: Final = 180
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@lru_cache(maxsize=256)
def origin_of(url: str) -> Origin:
    """Return what a URL means to cookies. The own machine counts as secure, as in browsers."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return Origin(host, parts.path or "/", parts.scheme == "https" or host in LOOPBACK)


def header_of(cookies: Iterable[Cookie]) -> str:
    """Return the Cookie header that sends these cookies in their order."""
    return "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in cookies)


class Jar:
    """Cookies in the order they were first set."""

    def __init__(self, cookies: Iterable[Cookie] = (), *, shared_domains: tuple[str, ...] = ()) -> None:
        self._cookies = {cookie.place: cookie for cookie in cookies}
        self._shared_domains = shared_domains

    @classmethod
    def load(cls, values: list[Any]) -> "Jar":
        """Return the jar that `dump` gave these values for."""
        return cls(msgspec.convert(values, list[Cookie]))

    def dump(self) -> list[Any]:
        """Return the jar as plain values."""
        plain: list[Any] = msgspec.to_builtins(list(self._cookies.values()))
        return plain

    def absorb(self, url: str, lines: Iterable[str], *, now: float) -> bool:
        """Take the Set-Cookie lines of an answer, whatever its status; say whether a value changed."""
        before = self._values()
        self.take(url, lines, now=now)
        return self._values() != before

    def take(self, url: str, lines: Iterable[str], *, now: float) -> list[Cookie]:
        """Take the Set-Cookie lines of an answer and return the cookies they set or delete, as far as they may."""
        origin = origin_of(url)
        read = [cookie for line in lines if (cookie := self._read(line, origin, now)) is not None]
        taken = [cookie for cookie in read if self._store(cookie, origin, now)]
        self._trim(now)
        return taken

    def belonging(self, url: str, *, now: float) -> list[Cookie]:
        """Return the cookies that go with a request; longer paths come first."""
        origin = origin_of(url)
        self._trim(now)
        chosen = [cookie for cookie in self._cookies.values() if self._belongs(cookie, origin)]
        chosen.sort(key=lambda cookie: -len(cookie.path))  # stable: older first among equals
        return chosen

    def header(self, url: str, *, now: float) -> str:
        """Return the Cookie header for a request, empty if no cookie belongs to it."""
        return header_of(self.belonging(url, now=now))

    def get(self, name: str) -> str | None:
        """Return the value of the newest cookie of this name, wherever it belongs."""
        return next((cookie.value for cookie in reversed(self._cookies.values()) if cookie.name == name), None)

    def names(self) -> list[str]:
        """Return the names of all cookies, oldest first."""
        return [cookie.name for cookie in self._cookies.values()]

    def drop(self, name: str) -> None:
        """Forget the cookies of this name on every path."""
        self._cookies = {place: cookie for place, cookie in self._cookies.items() if cookie.name != name}

    def _read(self, line: str, origin: Origin, now: float) -> Cookie | None:
        return parse(line, origin, now=now, shared_domains=self._shared_domains)

    def _belongs(self, cookie: Cookie, origin: Origin) -> bool:
        return cookie.belongs_to(origin)

    def _store(self, cookie: Cookie, origin: Origin, now: float) -> bool:
        if not origin.secure and self._covers_secure(cookie):
            return False
        if cookie.expires_at is not None and cookie.expires_at <= now:
            self._cookies.pop(cookie.place, None)
        else:
            self._cookies[cookie.place] = cookie
        return True

    def _covers_secure(self, cookie: Cookie) -> bool:
        """Say whether a cookie from an insecure place would stand before a secure one (RFC 6265bis §5.7 step 16)."""
        return any(
            old.secure
            and old.name == cookie.name
            and (domain_matches(old.domain, cookie.domain) or domain_matches(cookie.domain, old.domain))
            and path_matches(cookie.path, old.path)
            for old in self._cookies.values()
        )

    def _trim(self, now: float) -> None:
        for place in [place for place, cookie in self._cookies.items() if (cookie.expires_at or now + 1) <= now]:
            del self._cookies[place]
        for place in list(self._cookies)[:-MOST_COOKIES]:
            del self._cookies[place]

    def _values(self) -> dict[tuple[str, str, bool, str], str]:
        return {place: cookie.value for place, cookie in self._cookies.items()}

    def __repr__(self) -> str:
        """Name what is inside, never a value."""
        return f"<Jar {', '.join(self.names())}>"
