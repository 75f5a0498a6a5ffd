"""What a provider tells of somebody when it is asked with their access token (OIDC Core §5.3)."""

from typing import Any, Final

import msgspec

from holdfast.identity.facts import InvalidToken, IssuerUnavailable
from holdfast.identity.fetching import Fetch

ANSWER_BYTES: Final = 64 * 1024


async def told_of(fetch: Fetch, endpoint: str, access_token: str, subject: str) -> dict[str, Any]:
    """Return the claims of somebody.

    Raises:
        InvalidToken: It tells of somebody else (§5.3.2).
        IssuerRefused: It does not take the access token.
        IssuerUnavailable: It does not answer, with nonsense, or in a token; or it gave no access token to ask with.
    """
    if not access_token:
        raise IssuerUnavailable("the provider gave no access token to ask it with")
    body = await fetch(endpoint, limit=ANSWER_BYTES, bearer=access_token)
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise IssuerUnavailable("what the provider tells of somebody cannot be read") from None
    if said.get("sub") != subject:
        raise InvalidToken("the provider tells of somebody else than who has logged on")
    return said
