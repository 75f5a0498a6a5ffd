"""One cookie, read from a Set-Cookie line by the rules of RFC 6265bis §5. Text in, values out.

Values are kept byte for byte: nothing is unquoted or decoded (A21). Text stands for bytes as Latin-1.
"""

import calendar
import ipaddress
import re
from typing import Final

import msgspec

LONGEST_PAIR: Final = 4096
LONGEST_ATTRIBUTE: Final = 1024
LONGEST_LIFE_S: Final = 400 * 86_400.0
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DATE_PARTS: Final = re.compile(r"[^\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
CLOCK: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)")
DAY: Final = re.compile(r"(\d{1,2})(?:\D|$)")
YEAR: Final = re.compile(r"(\d{2,4})(?:\D|$)")
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Origin(msgspec.Struct, frozen=True):
    """Where a request goes to: what decides which cookies belong."""

    host: str
    path: str
    secure: bool


class Cookie(msgspec.Struct, frozen=True, array_like=True):
    """A stored cookie. `expires_at` is None for one that lives as long as the session."""

    name: str
    value: str
    domain: str
    path: str
    host_only: bool = True
    secure: bool = False
    http_only: bool = False
    expires_at: float | None = None

    @property
    def place(self) -> tuple[str, str, bool, str]:
        """What identifies the cookie: a newer one in the same place replaces it."""
        return self.name, self.domain, self.host_only, self.path

    def belongs_to(self, origin: Origin) -> bool:
        """Say whether the cookie goes with a request to this place (RFC 6265bis §5.8.3)."""
        at_home = origin.host == self.domain if self.host_only else domain_matches(origin.host, self.domain)
        return at_home and path_matches(origin.path, self.path) and (origin.secure or not self.secure)

    def __repr__(self) -> str:
        """Name the cookie, never its value."""
        return f"<Cookie {self.name} {self.domain}{self.path}>"


def parse(line: str, origin: Origin, *, now: float, shared_domains: tuple[str, ...] = ()) -> Cookie | None:
    """Return the cookie of a Set-Cookie line, or None if the origin may not set it.

    There is no public suffix list here: a Domain attribute widens a cookie only inside one of `shared_domains`,
    otherwise the cookie stays with the host that set it.
    """
    if CONTROL.search(line):
        return None
    pair, *rest = line.split(";")
    name, value = _name_and_value(pair)
    if not (name or value) or len(name) + len(value) > LONGEST_PAIR:
        return None
    attributes = _attributes(rest)
    domain = _domain(attributes.get("domain", ""), origin, shared_domains)
    if domain is None:
        return None
    cookie = Cookie(
        name=name,
        value=value,
        domain=domain or origin.host,
        path=_path(attributes.get("path", ""), origin),
        host_only=not domain,
        secure="secure" in attributes,
        http_only="httponly" in attributes,
        expires_at=_expiry(attributes, now),
    )
    return cookie if _allowed(cookie, attributes, origin) else None


def domain_matches(host: str, domain: str) -> bool:
    """Say whether `host` is `domain` or lies below it; an IP address matches itself only."""
    return host == domain or (host.endswith("." + domain) and not _is_address(host))


def path_matches(path: str, cookie_path: str) -> bool:
    """Say whether a request path lies at or below a cookie's path (RFC 6265bis §5.1.4)."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def parse_date(text: str) -> float | None:
    """Return a cookie date as Unix seconds by the lenient algorithm of RFC 6265bis §5.1.1, or None."""
    clock = day = month = year = None
    for token in DATE_PARTS.findall(text):
        if clock is None and (found := CLOCK.match(token)):
            clock = tuple(int(part) for part in found.groups())
        elif day is None and (found := DAY.match(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in MONTHS:
            month = MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := YEAR.match(token)):
            year = _full_year(int(found[1]))
    if clock is None or day is None or month is None or year is None:
        return None
    if not (1 <= day <= 31 and year >= 1601 and clock[0] <= 23 and clock[1] <= 59 and clock[2] <= 59):
        return None
    if day > calendar.monthrange(year, month)[1]:
        return None
    return float(calendar.timegm((year, month, day, *clock)))


def _full_year(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year <= 69 else year


def _name_and_value(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    return (name.strip(" \t"), value.strip(" \t")) if equals else ("", pair.strip(" \t"))


def _attributes(parts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        if len(value.strip(" \t")) <= LONGEST_ATTRIBUTE:
            found[name.strip(" \t").lower()] = value.strip(" \t")
    return found


def _domain(attribute: str, origin: Origin, shared: tuple[str, ...]) -> str | None:
    """Return the domain the cookie spreads over, empty for the host alone, None if it is not the origin's to set."""
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return ""
    if not domain_matches(origin.host, domain):
        return None
    return domain if any(domain_matches(domain, wide) for wide in shared) else ""


def _path(attribute: str, origin: Origin) -> str:
    if attribute.startswith("/"):
        return attribute
    head = origin.path.rpartition("/")[0]
    return head if head.startswith("/") else "/"


def _expiry(attributes: dict[str, str], now: float) -> float | None:
    span = attributes.get("max-age", "")
    if re.fullmatch(r"-?\d+", span):
        return now + min(float(span), LONGEST_LIFE_S) if float(span) > 0 else now
    date = parse_date(attributes.get("expires", ""))
    return None if date is None else min(date, now + LONGEST_LIFE_S)


def _allowed(cookie: Cookie, attributes: dict[str, str], origin: Origin) -> bool:
    """Apply the rules for Secure and for the name prefixes (RFC 6265bis §5.7, steps 8 to 21)."""
    if cookie.secure and not origin.secure:
        return False
    name = (cookie.name or cookie.value).lower()
    if not name.startswith(("__secure-", "__host-")):
        return True
    if not cookie.name or not cookie.secure:
        return False
    return name.startswith("__secure-") or (not attributes.get("domain") and attributes.get("path") == "/")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
