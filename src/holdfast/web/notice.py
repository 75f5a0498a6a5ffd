"""A page of a few words: what has happened, and one way on. It has no scripts, and nothing of it is kept or framed."""

from collections.abc import Iterable
from html import escape
from typing import Final

import msgspec

from holdfast._asgi import Send
from holdfast.errors import HoldfastError
from holdfast.web.cookies import NO_STORE
from holdfast.web.csrf import FIELD
from holdfast.web.reply import Header, come_back, reply

HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")
SAFE: Final[tuple[Header, ...]] = (
    (b"referrer-policy", b"same-origin"),  # the address may hold a code
    (b"x-content-type-options", b"nosniff"),
)
NOT_FRAMED: Final[Header] = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
)


class Notice(msgspec.Struct, frozen=True):
    """An answer in one go."""

    status: int = 200
    body: bytes = b""
    headers: tuple[Header, ...] = ()

    async def send(self, send: Send, more: Iterable[Header] = ()) -> None:
        """Send it; nothing keeps a copy."""
        kept = [header for header in (*self.headers, *more) if header != NO_STORE]
        await reply(send, self.status, self.body, (NO_STORE, *SAFE, *kept))


def page(
    title: str, *words: str, status: int = 200, link: tuple[str, str] | None = None, form: str = "", token: str = ""
) -> Notice:
    """Return a page.

    Args:
        link: An address, and what it is called.
        form: What a button is called that posts to the page's own address.
        token: Shows that it was this page's button (S11).
    """
    parts = [f"<p>{escape(word)}</p>" for word in words]
    if form:
        hidden = f'<input type="hidden" name="{FIELD}" value="{escape(token)}">' if token else ""
        parts.append(f'<form method="post">{hidden}<button>{escape(form)}</button></form>')
    if link is not None:
        parts.append(f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>')
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>"
    )
    return Notice(status, text.encode(), (HTML, NOT_FRAMED))


def problem(title: str, error: HoldfastError, *, link: tuple[str, str] | None = None) -> Notice:
    """Return a page that tells of an error."""
    shown = page(title, f"{error} ({error.code}).", error.hint, status=error.status, link=link)
    return msgspec.structs.replace(shown, headers=(*shown.headers, *come_back(error.status)))


def onward_from_here(to: str, words: str) -> Notice:
    """Return a page that goes on by itself, so that it is this site that sends the browser there.

    A browser that another site sends does not show cookies that are `SameSite=Strict`, however often it is redirected.
    """
    shown = page(words, link=(to, "Go on"))
    return msgspec.structs.replace(shown, headers=(*shown.headers, (b"refresh", f"0;url={to}".encode())))


def onward(to: str) -> Notice:
    """Return what sends a browser elsewhere, by GET."""
    return Notice(303, headers=((b"location", to.encode()),))
