"""Who goes next where only so many may at once: those who wait take turns by party, each party in its own order. Pure.

A party that asks a hundred times delays another by one turn, not by a hundred.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """At most `most` are inside at once. Tickets are whatever the caller wakes those up with who wait."""

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self.inside = 0
        self._waiting: dict[Hashable, deque[T]] = {}  # in the order in which the parties are served

    def enter(self) -> bool:
        """Come in if there is room; nobody waits then, for a place that becomes free is handed on at once."""
        free = self.inside < self._most
        self.inside += free
        return free

    def wait(self, party: Hashable, ticket: T) -> None:
        """Stand in line: behind the party's own tickets, and behind all parties that wait already."""
        self._waiting.setdefault(party, deque()).append(ticket)

    def withdraw(self, party: Hashable, ticket: T) -> None:
        """Leave the line."""
        tickets = self._waiting[party]
        tickets.remove(ticket)
        if not tickets:
            del self._waiting[party]

    def leave(self) -> T | None:
        """Go out; return the ticket of who comes in instead, None if nobody waits."""
        if not self._waiting:
            self.inside -= 1
            return None
        party = next(iter(self._waiting))
        tickets = self._waiting.pop(party)
        following = tickets.popleft()
        if tickets:
            self._waiting[party] = tickets
        return following
