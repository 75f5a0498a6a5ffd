"""The kinds of node that flows keep: sessions, what became of messages, and how far senders are."""

import httpx2

from holdfast.core.kinds import Kind
from holdfast.flows.adapters.as2.awaited import KIND as RECEIPT_KIND
from holdfast.flows.monitoring.book import JOURNAL_KIND
from holdfast.flows.monitoring.pages import PAGE_KIND
from holdfast.flows.senders.post import SENDER_KIND
from holdfast.flows.sessions.ending import session_kinds


def flow_kinds(transport: httpx2.AsyncBaseTransport | None = None) -> tuple[Kind, ...]:
    """Return the kinds of this face for `open_engine`; sessions are logged off over `transport`."""
    return (*session_kinds(transport), PAGE_KIND, JOURNAL_KIND, RECEIPT_KIND, SENDER_KIND)
