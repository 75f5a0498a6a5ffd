"""How nodes of sessions are looked after and end: by any keeper, which logs off where a channel said how."""

from typing import Final
from urllib.parse import urlsplit

import httpx2

from holdfast.backend.wire import Call, Wire
from holdfast.core.duty import Duty
from holdfast.core.kinds import Clocks, Kind
from holdfast.core.model import Reason
from holdfast.core.policy import expires_at
from holdfast.errors import BackendUnavailable
from holdfast.flows.sessions.kept import Sessions
from holdfast.flows.sessions.nodes import ABSOLUTE, DAY_S, EXCHANGE, FLOW, WORKER_GONE_S, YEAR_S
from holdfast.flows.sessions.scopes import Opened

SOAP_HEADERS: Final = {"content-type": "text/xml; charset=utf-8", "soapaction": '""'}


def session_kinds(transport: httpx2.AsyncBaseTransport | None = None) -> tuple[Kind, ...]:
    """Return the kinds of sessions, which are logged off over `transport`."""

    async def log_off(duty: Duty) -> None:
        await _log_off(duty, transport)

    return (
        Kind(name=FLOW, closer=log_off, outside=True, gone_after=DAY_S, clocks=Clocks(absolute=YEAR_S)),
        Kind(
            name=EXCHANGE,
            closer=log_off,
            upkeep=end_if_alone,
            outside=True,
            gone_after=DAY_S,
            clocks=Clocks(idle=WORKER_GONE_S, absolute=ABSOLUTE.absolute, touch_interval=WORKER_GONE_S / 6),
        ),
    )


async def end_if_alone(duty: Duty) -> float | None:
    """End a node of a worker that does not show itself any more (upkeep)."""
    ends = expires_at(duty.session.record)
    if duty.now < ends:
        return ends
    await duty.manager.end(duty.session, Reason.IDLE)
    return None


async def _log_off(duty: Duty, transport: httpx2.AsyncBaseTransport | None) -> None:
    """Log off wherever a channel said how. A receiver that does not know the session (any more) is fine."""
    sessions = Sessions.load(duty.session.content)
    leaving = [session for session in sessions.opened if session.log_off]
    if not leaving:
        return  # before a transport is made, which reads the certificates anew
    over = transport or httpx2.AsyncHTTPTransport()
    try:
        for session in leaving:
            await _end_session(session, sessions, over, duty.now)
    finally:
        if transport is None:
            await over.aclose()


async def _end_session(session: Opened, sessions: Sessions, over: httpx2.AsyncBaseTransport, now: float) -> None:
    parts = urlsplit(session.log_off)
    wire = Wire(f"{parts.scheme}://{parts.netloc}", over)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    cookies = sessions.jar.header(session.log_off, now=now)
    soap = session.log_off_soap
    call = (
        Call(method="POST", path=target, headers=SOAP_HEADERS, body=soap.encode())
        if soap
        else Call(method="GET", path=target)
    )
    reply = await wire.send(call, {"cookie": cookies} if cookies else {}, shield=False)
    if reply.status >= 500 and not (soap and reply.status == 500):  # a fault: it does not know the session any more
        raise BackendUnavailable(f"{session.receiver} answered {reply.status} to the log-off")
