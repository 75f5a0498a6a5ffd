"""How much one SAP user, and one client of ours, may take of a system: sessions, locks, calls in flight (A29).

Sessions and locks are counted in the store, which all workers share. Calls in flight are counted by each worker for
itself; those that wait are served in turn by agent, so that one with a hundred calls delays another by one. Giving back
and keeping alive is not counted and never waits.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import anyio
import msgspec

from holdfast.config import SystemSettings
from holdfast.core.kinds import Limits
from holdfast.core.model import Policy
from holdfast.core.turns import Turns
from holdfast.errors import Busy, QuotaExceeded

CALLS: Final = 10  # as many as a small system has dialog work processes (ADT §5.1: 7 on an appliance); ours, not SAP's


class Quotas:
    """Places for calls in flight in this process. `client_calls` is how many one client may have, at all systems."""

    def __init__(self, client_calls: int = CALLS) -> None:
        self._client_calls = client_calls
        self._turns = Turns()

    @asynccontextmanager
    async def call(self, account: str, settings: SystemSettings, *, client: str, agent: bytes) -> AsyncIterator[None]:
        """Count a call in the block as in flight; wait for a place for `quota_wait` seconds.

        Args:
            account: The SAP user at its system.
            client: The principal; empty where nobody says who they are, then only the SAP user counts.
            agent: Among whom places go round.

        Raises:
            QuotaExceeded: None became free in time; nothing was sent.
        """
        until = anyio.current_time() + settings.quota_wait
        async with AsyncExitStack() as places:
            try:
                if client:
                    place = self._turns.take(("client", client), until, party=agent, most=self._client_calls)
                    await places.enter_async_context(place)
                place = self._turns.take(("user", account), until, party=agent, most=settings.quota_calls)
                await places.enter_async_context(place)
            except Busy as exc:
                raise QuotaExceeded(
                    f"no call could be sent for {settings.quota_wait:g} s: {settings.quota_calls} for {account} and "
                    f"{self._client_calls} of one client may be in flight at once"
                ) from exc
            yield


def within(rules: Limits, most: int) -> Limits:
    """Return the limits of a kind with `most` for one SAP user. What SAP holds is never ended to make room."""
    return msgspec.structs.replace(rules, per_client=most, policy=Policy.REJECT)


def used_up(what: str, account: str, limits: Limits) -> QuotaExceeded:
    """Return the error of a full quota of sessions or locks."""
    of_client = f", {limits.per_principal} for one client" if limits.per_principal is not None else ""
    return QuotaExceeded(
        f"the quota of {what} is used up: {limits.per_client} for {account}{of_client}",
        hint="Unlock, or close a session you no longer need (ListSessions, ListLocks), then try again in 30 seconds.",
        retry_after=30.0,
    )
