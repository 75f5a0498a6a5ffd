"""What an authorization server says of itself: RFC 8414, or OpenID Connect Discovery 1.0 where it has only that."""

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from holdfast.identity.facts import IssuerUnavailable
from holdfast.identity.fetching import Fetch

METADATA_BYTES: Final = 256 * 1024


class Metadata(msgspec.Struct, frozen=True):
    """The part of it that is read here."""

    issuer: str
    jwks_uri: str = ""
    introspection_endpoint: str = ""


Described = TypeVar("Described", bound=Metadata)


def metadata_urls(issuer: str) -> list[str]:
    """Return where an issuer's metadata may be, in the order in which MCP clients look (MCP authorization, 2025-11-25).

    RFC 8414 §3.1 puts the well-known name between host and path, OpenID Connect behind the path.
    """
    scheme, _, rest = issuer.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    places = [
        f"{host}/.well-known/oauth-authorization-server{slash}{path}",
        f"{host}/.well-known/openid-configuration{slash}{path}",
        f"{host}{slash}{path}/.well-known/openid-configuration",
    ]
    return [f"{scheme}://{place}" for place in dict.fromkeys(places)]


async def discover(fetch: Fetch, issuer: str) -> Metadata:
    """Return the metadata of an issuer; raise IssuerUnavailable as `discover_at` does."""
    return await discover_at(fetch, issuer, metadata_urls(issuer), Metadata)


async def discover_at(fetch: Fetch, issuer: str, urls: Iterable[str], kind: type[Described]) -> Described:
    """Return the metadata of an issuer from the first of these addresses that has any.

    Raises:
        IssuerUnavailable: There is none, or it is another issuer's (RFC 8414 §3.3).
    """
    for url in urls:
        try:
            found = msgspec.json.decode(await fetch(url, limit=METADATA_BYTES), type=kind)
        except (IssuerUnavailable, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if found.issuer != issuer:
            raise IssuerUnavailable("the issuer's metadata is that of another one")
        return found
    raise IssuerUnavailable("the issuer shows no metadata")
