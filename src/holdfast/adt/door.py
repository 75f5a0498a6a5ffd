"""How one comes into an ABAP system and leaves it (ADT §2.3, §2.4, §4)."""

from typing import Final

from holdfast.adt.types import ADT
from holdfast.adt.xml import attribute, each, parse
from holdfast.backend.system import Door
from holdfast.backend.wire import Call, Reply
from holdfast.errors import BackendError

SESSIONS: Final = f"{ADT}/core/http/sessions"
CORE_DISCOVERY: Final = f"{ADT}/core/discovery"
DISCOVERY: Final = f"{ADT}/discovery"
LOGOFF: Final = "/sap/public/bc/icf/logoff"
SESSION_TYPE: Final = "x-sap-adt-sessiontype"
STATEFUL: Final = {SESSION_TYPE: "stateful"}
STATELESS: Final = {SESSION_TYPE: "stateless"}
SESSION_MEDIA: Final = ", ".join(f"application/vnd.sap.adt.core.http.session.v{n}+xml" for n in (3, 2, 1))
ROUTES: Final = (SESSIONS, CORE_DISCOVERY, DISCOVERY)  # in the order a logon tries them; the first is absent on 7.50


def logon_calls() -> tuple[Call, ...]:
    """Return the requests that open a security session and hand out its token, the best first."""
    create = {"accept": SESSION_MEDIA, "x-sap-security-session": "create", "sap-adt-purpose": "logon", **STATELESS}
    plain = {"accept": "*/*", **STATELESS}
    return (
        Call(method="GET", path=SESSIONS, headers=create),
        Call(method="GET", path=CORE_DISCOVERY, headers=plain),
        Call(method="GET", path=DISCOVERY, headers=plain),
    )


def token_call(keeps_context: bool, route: int) -> Call:
    """Return the request that fetches a token in the session there is; a context in it must survive."""
    return Call(method="GET", path=ROUTES[route], headers=_light(route) | (STATEFUL if keeps_context else STATELESS))


def touch_call(route: int) -> Call:
    """Return a cheap stateful request that keeps a context alive (A3)."""
    return Call(method="GET", path=ROUTES[route], headers=_light(route) | STATEFUL)


def close_call(route: int) -> Call:
    """Return the request that ends the context it is sent with, as Eclipse does it.

    Without the session resource a stateless request on any resource ends it; its 400 counts as well (ADT §4.2).
    """
    if route:
        return Call(method="HEAD", path=CORE_DISCOVERY, headers={"accept": "*/*", **STATELESS})
    headers = {"accept": "*/*", "sap-adt-purpose": "close-session", **STATELESS}
    return Call(method="GET", path=SESSIONS, headers=headers)


def idle_limit(reply: Reply) -> float | None:
    """Return the `inactivityTimeout` of the session resource in seconds, None where a system does not tell it."""
    if not reply.media.endswith("xml"):
        return None
    try:
        root = parse(reply.body, "the logon")
    except BackendError:
        return None
    found = next((e for e in each(root, "property") if attribute(e, "name") == "inactivityTimeout"), None)
    text = (found.text or "").strip() if found is not None else ""
    return float(text) if text.isdigit() and int(text) > 0 else None


def _light(route: int) -> dict[str, str]:
    return {"accept": SESSION_MEDIA, "x-sap-security-session": "use"} if route == 0 else {"accept": "*/*"}


DOOR: Final = Door(
    logon=logon_calls(),
    logoff=Call(method="GET", path=LOGOFF, headers={"accept": "*/*", **STATELESS}),
    token=token_call,
    idle_limit=idle_limit,
)
