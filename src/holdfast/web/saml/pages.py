"""Pages that a browser leaves at once: to post a message to the other side, or to carry one there in the address."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Final

from holdfast.web.notice import HTML, Notice

SCRIPT: Final = "document.forms[0].submit()"
HASH: Final = b64encode(sha256(SCRIPT.encode()).digest()).decode()
POLICY: Final = (
    b"content-security-policy",
    f"default-src 'none'; script-src 'sha256-{HASH}'; frame-ancestors 'none'; base-uri 'none'".encode(),
)


def posting(to: str, fields: Mapping[str, str], title: str, words: str) -> Notice:
    """Return a page that posts a form to another site; without scripts, a button does."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    form = f'<form method="post" action="{escape(to)}">{inputs}<button>Go on</button></form>'
    return _page(title, words, f"{form}<script>{SCRIPT}</script>")


def leaving(to: str, title: str, words: str) -> Notice:
    """Return a page that says something, and goes on to another site by itself."""
    link = f'<p><a href="{escape(to)}">Go on</a></p>'
    return _page(title, words, link, head=f'<meta http-equiv="refresh" content="0; url={escape(to)}">')


def _page(title: str, words: str, rest: str, *, head: str = "") -> Notice:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{head}</head>'
        f"<body><h1>{escape(title)}</h1><p>{escape(words)}</p>{rest}</body></html>"
    )
    return Notice(200, text.encode(), (HTML, POLICY))
