"""What the routes of SAML share."""

import logging
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from holdfast._asgi import Receive, Scope, header
from holdfast.errors import BadInput, HoldfastError
from holdfast.identity.saml.bindings import BASE64_BYTES
from holdfast.identity.saml.parties import ServiceProvider
from holdfast.identity.saml.refusals import SamlMalformed, SamlRefused, SamlUnsolicited
from holdfast.web.body import read_body
from holdfast.web.cookies import Cookie
from holdfast.web.notice import Notice
from holdfast.web.pending import Pending, browser_token
from holdfast.web.reply import Header
from holdfast.web.saml.gate import Gate
from holdfast.web.saml.pages import posting
from holdfast.web.saml.partners import Partners
from holdfast.web.site import Running, Security

logger = logging.getLogger(__name__)

METHOD: Final = "saml"
FORM_BYTES: Final = 2 * BASE64_BYTES  # as percent signs make it longer
FORM_FIELDS: Final = 10
AGAIN: Final = "again"  # a field of a form that our own page has posted
Fields = list[tuple[str, str]]


class Shared(msgspec.Struct, frozen=True):
    """The parts, and what several routes do with them.

    Args:
        landing: Where people go who did not come from a page.
        away: The cookie of a browser that is at the identity provider. It comes back from another site, by a form.
        was_here: The cookie of a browser that has logged on here and not off.
        clock: Unix seconds.
    """

    security: Security
    sp: ServiceProvider
    partners: Partners
    gate: Gate
    landing: str
    away: Cookie
    was_here: Cookie
    clock: Callable[[], float]

    async def send_away(self, running: Running, scope: Scope, content: dict[str, Any]) -> tuple[str, list[Header]]:
        """Keep something until a browser comes back; return the RelayState it takes along, and its cookie.

        Raises:
            BadInput: The browser could not be known again, as it comes over plain HTTP.
        """
        browser = browser_token(scope, self.away)
        cookie = self.away.put(scope, browser)
        if cookie is None:
            raise BadInput("this would travel over plain HTTP", hint="Use the https:// address of this site.")
        client = self.security.proxies.client_of(scope)
        return await Pending(running.manager).begin(content, browser, client=client), [cookie]

    async def take_back(self, running: Running, scope: Scope, relay_state: str, kind: str) -> dict[str, Any]:
        """Return what was kept for a browser that comes back; raise SamlUnsolicited if it was not away."""
        try:
            kept = await Pending(running.manager).take(relay_state, self.away.read(scope) or "")
        except BadInput:
            kept = {}
        if kept.get("kind") != kind:
            raise SamlUnsolicited("this browser has no such request open: it is too old, or another browser's")
        return kept

    def once_more(self, scope: Scope, fields: Fields, to: str, *, always: bool = False) -> Notice | None:
        """Return a page that posts a form here a second time, from this site; None if that is not needed.

        A browser may leave our cookie out of a form that another site posts: over plain HTTP on one machine, or where
        it is set to. From our own page it comes along, and so do all others: `always` is for who needs those.
        """
        if (self.away.read(scope) is not None and not always) or AGAIN in dict(fields):
            return None
        return posting(to, {**dict(fields), AGAIN: "1"}, "One moment", "You come back from your identity provider.")

    def tell(self, running: Running, scope: Scope, error: HoldfastError, *, logon: bool) -> None:
        """Note that a message was refused, by its code alone: what it said is nobody's business."""
        logger.info("a SAML message was refused: %s", error.code)  # a storm of them must not fill the log
        if logon and isinstance(error, SamlRefused):
            running.logon_failed(self.security.proxies.client_of(scope), f"{METHOD}: {error.code}")


async def fields_of(scope: Scope, receive: Receive) -> Fields:
    """Return the fields of a form that was posted.

    Raises:
        SamlMalformed: It is no such form.
        BodyTooLarge: It is longer than any honest message.
    """
    if _media_type(scope) != "application/x-www-form-urlencoded":
        raise SamlMalformed("the message is sent as a form")
    body = await body_of(scope, receive, FORM_BYTES)
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        raise SamlMalformed("the form cannot be read") from None


async def body_of(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the body of a request, up to a limit."""
    return await read_body(receive, limit, header(scope, b"content-length"))


def _media_type(scope: Scope) -> str:
    return header(scope, b"content-type").decode("latin-1").partition(";")[0].strip().lower()
