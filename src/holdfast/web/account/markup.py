"""Pages as HTML: every text in them is escaped, and there is no script and no style in the page itself (T38)."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from holdfast.core.events import visible
from holdfast.web.csrf import FIELD
from holdfast.web.notice import HTML, Notice
from holdfast.web.reply import Header

STYLE: Final = Path(__file__).with_name("style.css").read_bytes()
CSS: Final[tuple[Header, ...]] = ((b"content-type", b"text/css; charset=utf-8"),)
POLICY: Final = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"
FORMS_HERE: Final = "; form-action 'self'"
VOID: Final = frozenset({"input", "link", "meta"})
NOTHING: Final = ""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: str | bool) -> Markup:
    """Return an element: texts in it are escaped, `Markup` is not.

    An attribute that is False is left out; underscores at the end of its name are, too, others become hyphens.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items() if value is not False)
    return Markup(f"<{name}{said}>" + ("" if name in VOID else f"{joined(inside)}</{name}>"))


def joined(parts: Iterable[str]) -> Markup:
    """Return parts one after the other, escaped where they are texts."""
    return Markup("".join(part if isinstance(part, Markup) else shown(part) for part in parts))


def shown(text: str) -> Markup:
    """Return a text as a page shows it: escaped, and without what turns the order of reading round."""
    return Markup(escape(visible(text)))


def instant(at: float) -> Markup:
    """Return a point in time, to the minute."""
    when = datetime.fromtimestamp(at, UTC)
    return tag("time", when.strftime("%d %B %Y, %H:%M UTC").lstrip("0"), datetime=when.strftime("%Y-%m-%dT%H:%MZ"))


def hidden(name: str, value: str) -> Markup:
    """Return a field of a form that nobody sees."""
    return tag("input", type="hidden", name=name, value=value)


def proof_field(token: str) -> Markup:
    """Return the field that shows that a form is of a page of this session; nothing without a token (S11)."""
    return hidden(FIELD, token) if token else Markup()


def post_button(text: str, action: str, *fields: str, look: str = "", described: str = "") -> Markup:
    """Return a form of one button; `described` is the id of what says what it is about."""
    button = tag("button", text, class_=look or False, aria_describedby=described or False)
    return tag("form", *fields, button, method="post", action=action)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return what is known of something, as a list of words and what they are."""
    return tag("dl", *(cell for word, fact in pairs for cell in (tag("dt", word), tag("dd", fact))))


def document(
    title: str, *body: str, root: str, status: int = 200, narrow: bool = False, forms_here: bool = True
) -> Notice:
    """Return a page.

    Args:
        root: Where the pages are mounted.
        forms_here: Its forms post to this site, and nothing they are answered sends the browser to another one.
    """
    head = joined(
        [
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("link", rel="stylesheet", href=f"{root}/style.css"),
        ]
    )
    main = tag("main", tag("h1", title), *body, class_="narrow" if narrow else False)
    text = Markup("<!doctype html>") + tag("html", tag("head", head), tag("body", main), lang="en")
    policy = POLICY + (FORMS_HERE if forms_here else NOTHING)
    return Notice(status, text.encode(), (HTML, (b"content-security-policy", policy.encode())))


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{shown(str(value))}"'
