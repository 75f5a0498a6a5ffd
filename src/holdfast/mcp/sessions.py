"""What an application says to one session: events of its own on the session's stream, from any worker (M30)."""

from holdfast.core.manager import Manager
from holdfast.errors import SessionNotFound
from holdfast.mcp import session_events
from holdfast.mcp.delivery import Delivery
from holdfast.mcp.kinds import SESSION


class Sessions:
    """The sessions of an endpoint, as an application reaches them by their ids."""

    def __init__(self, manager: Manager, delivery: Delivery) -> None:
        self._manager, self._delivery = manager, delivery

    async def send(self, session_id: str, event: str, data: object) -> bool:
        """Send a named event with data as JSON on one stream of a session, at whichever worker that is.

        A session that asked for notifications gets `notifications/holdfast/EVENT` instead. Return whether a stream
        took it: False as well for an id of no session.

        Raises:
            BadInput: The name is one of the protocol's own, or no name.
            StoreUnavailable: The store is out of reach.
        """
        name = session_events.checked_name(event)
        try:
            session = await self._manager.load(session_id, kind=SESSION, touch=False)
        except SessionNotFound:
            return False
        return await self._delivery.send(session.ref, session_events.of_ours(session, name, data))

    async def notify_session_warning(self, session_id: str, expires_in: float) -> bool:
        """Tell a session that it will expire in so many seconds; it is neither checked nor prolonged."""
        return await self.send(session_id, session_events.WARNING, session_events.warning_data(session_id, expires_in))

    async def notify_session_limit_reached(self, session_id: str) -> bool:
        """Tell a session that it has as many connections as it may have."""
        return await self.send(session_id, session_events.LIMIT, session_events.limit_data(session_id))
