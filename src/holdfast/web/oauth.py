"""What an OAuth 2.1 resource server says of itself: protected resource metadata (RFC 9728).

It stands at `/.well-known/oauth-protected-resource`, and with the path of the resource behind that. Everybody may read
it, pages of other origins too. Its addresses come from the configuration, never from the `Host` of a request.
"""

import json
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from holdfast._asgi import Scope, Send
from holdfast.errors import ConfigurationError
from holdfast.identity.audience import canonical
from holdfast.identity.fetching import checked
from holdfast.web.reply import Header, reply

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
CACHE_S: Final = 300
HEADERS: Final[tuple[Header, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET"),
    (b"access-control-allow-headers", b"*"),
)


class ProtectedResource:
    """The metadata of one resource.

    Args:
        resource: Its canonical URI, which clients name to the authorization server (RFC 8707).
        issuers: The authorization servers that give tokens for it.
        scopes: Those that a token may have here.
        name: What people are shown.

    Raises:
        ConfigurationError: The URI is none of https or of this machine, or has a query or a fragment.
    """

    def __init__(
        self, resource: str, issuers: Collection[str], *, scopes: Collection[str] = (), name: str = ""
    ) -> None:
        checked(resource, named="oauth.resource")
        parts = urlsplit(resource)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError(f"oauth.resource: {resource!r} has more than scheme, host, port and path")
        path = parts.path.rstrip("/")
        self.scopes = frozenset(scopes)
        self.metadata_url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}"
        self._paths = frozenset({WELL_KNOWN, WELL_KNOWN + path})
        said = {
            "resource": canonical(resource),
            "authorization_servers": list(issuers),
            "scopes_supported": sorted(self.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": name,
        }
        self._body = json.dumps({word: value for word, value in said.items() if value}).encode()

    def is_at(self, path: str) -> bool:
        """Say whether the metadata stands at a path."""
        return path in self._paths

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer a request for the metadata."""
        if scope["method"] == "OPTIONS":
            await reply(send, 204, headers=HEADERS)
        elif scope["method"] in ("GET", "HEAD"):
            said = ((b"content-type", b"application/json"), (b"cache-control", b"max-age=%d" % CACHE_S), *HEADERS)
            await reply(send, 200, self._body, said)
        else:
            await reply(send, 405, headers=((b"allow", b"GET, HEAD, OPTIONS"),))
