"""Who a session belongs to, as it is kept in the session and shown in the ASGI scope (M23).

It is there to be read. What a request may do is decided by the token that it brings, never by what is kept here.
"""

from collections.abc import Mapping
from typing import Any, Final

from holdfast.core.session import Session
from holdfast.identity.facts import NOBODY, Identity

KEPT: Final = "authentication"
USER_ID: Final = "mcp.session_user_id"
SCOPES: Final = "mcp.session_scopes"
AUTHENTICATED_AT: Final = "mcp.session_authenticated_at"


def kept(identity: Identity, now: float) -> dict[str, Any]:
    """Return what a session's content holds of who it belongs to; nothing without authentication."""
    if not identity.subject:
        return {}
    facts = {
        "user_id": identity.subject,
        "scopes": sorted(identity.scopes),
        "authenticated_at": identity.authenticated_at or now,
    }
    return {KEPT: facts}


def changed(session: Session, identity: Identity, now: float) -> dict[str, Any]:
    """Return what a request's token changes of it: nothing, unless the token is a later one that says otherwise."""
    if not identity.subject:
        return {}
    before: Mapping[str, Any] = session.content.get(KEPT) or {}
    known = float(before.get("authenticated_at") or 0.0)
    after = kept(identity, known or now)
    if after[KEPT] == before or after[KEPT]["authenticated_at"] < known:
        return {}
    return after


def in_scope(session: Session, identity: Identity = NOBODY) -> dict[str, Any]:
    """Return what the ASGI scope shows of a session's user: id, list of scopes, Unix seconds of the logon.

    `identity` is who the request's own token names: then the scopes are those of this token. Without authentication
    there is nothing.
    """
    facts: Mapping[str, Any] = session.content.get(KEPT) or {}
    if not facts:
        return {}
    scopes = sorted(identity.scopes) if identity.subject else list(facts["scopes"])
    return {USER_ID: facts["user_id"], SCOPES: scopes, AUTHENTICATED_AT: facts["authenticated_at"]}
