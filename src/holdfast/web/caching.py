"""What keeps an answer that belongs to one browser from being shown to another: `Vary`, `Cache-Control` (R13, T37)."""

from collections.abc import Iterable
from typing import Final

from holdfast._asgi import Scope
from holdfast.web.cookies import NO_STORE
from holdfast.web.reply import Header

VARY: Final[Header] = (b"vary", b"Cookie")


def guarded(given: Iterable[Header], cookies: list[Header], *, personal: bool) -> list[Header]:
    """Return the headers of an answer with its cookies, and with what they ask for.

    An answer that sets a cookie is never stored, whatever the application says. One to a `personal` request, which has
    a session, is stored only if the application says how.
    """
    kept = list(given)
    said = {name.lower() for name, _ in kept}
    if cookies:
        kept = [header for header in kept if header[0].lower() != b"cache-control"]
    if cookies or (personal and b"cache-control" not in said):
        kept.append(NO_STORE)
    if b"vary" not in said or not any(name.lower() == b"vary" and _has_cookie(value) for name, value in kept):
        kept.append(VARY)
    kept += cookies
    return kept


def navigates(scope: Scope) -> bool:
    """Say whether the answer is the next page, which nothing overtakes.

    Only then a cookie that names nothing is cleared: the answer to another request may come after that of a logon that
    has set it anew (T14).
    """
    return any(value == b"navigate" for name, value in scope["headers"] if name == b"sec-fetch-mode")


def _has_cookie(vary: bytes) -> bool:
    return any(part.strip().lower() in (b"cookie", b"*") for part in vary.split(b","))
