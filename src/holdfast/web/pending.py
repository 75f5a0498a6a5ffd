"""What waits for a browser that was sent elsewhere and will come back: once, with what it was given, and soon.

The way back is open to everybody, so a request is found by a handle that travelled with the browser and opened only
with a token that stayed in it, as a cookie: whoever is handed a link with somebody else's handle gets nowhere (T10).
Any worker finds it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final

from holdfast._asgi import Scope
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.errors import BadInput, SessionNotFound
from holdfast.web.address import network_of
from holdfast.web.cookies import Cookie
from holdfast.web.kinds import PENDING

BROWSER: Final = "browser"
TOKEN_BYTES: Final = 32
TOKEN_CHARACTERS: Final = 43


class Pending:
    """Keeps requests of browsers that are away."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def begin(self, content: Mapping[str, Any], browser: str, *, client: str = "") -> str:
        """Keep something for a browser, which is at an address `client`, and return the handle that it takes along.

        Raises:
            LimitReached: There are as many as there may be.
        """
        node = await self._manager.open(PENDING, {**content, BROWSER: _digest(browser)}, client=network_of(client))
        return str(node.id)

    async def take(self, handle: str, browser: str) -> dict[str, Any]:
        """Return what was kept; the first time, and to the browser it was kept for.

        Raises:
            BadInput: There is no such request (any more), or it is another browser's.
        """
        try:
            node = await self._manager.load(handle, kind=PENDING)
        except SessionNotFound:
            raise _unknown() from None
        if not hmac.compare_digest(str(node.content.get(BROWSER, "")), _digest(browser)):
            raise _unknown()
        if not await self._manager.end(node, Reason.CLIENT):
            raise _unknown()
        return {name: value for name, value in node.content.items() if name != BROWSER}


def browser_token(scope: Scope, cookie: Cookie) -> str:
    """Return the token that a browser has, or a fresh one for it to be given."""
    token = cookie.read(scope) or ""
    return token if len(token) == TOKEN_CHARACTERS else secrets.token_urlsafe(TOKEN_BYTES)


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()


def _unknown() -> BadInput:
    return BadInput(
        "this logon was begun too long ago, in another browser, or has been used already", hint="Log on again."
    )
