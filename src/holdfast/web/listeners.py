"""What an application is told of sessions: callables of its own, driven by the facts that the engine tells (S17).

@security.on("ended")
def goodbye(event: Event) -> None:
    log.info("%s has left: %s", event.owner, event.reason)

A worker tells of what happens through it, so of all workers of a store exactly one tells of each event.
"""

import logging
from collections.abc import Callable
from typing import Final, Literal, get_args

from holdfast.core.events import Event, Fact
from holdfast.core.manager import ATTACHED
from holdfast.core.model import Reason
from holdfast.errors import ConfigurationError
from holdfast.web.kinds import HTTP, SECURITY

Occasion = Literal["created", "attached", "rotated", "expired", "ended"]
Listener = Callable[[Event], None]
TIME: Final = (Reason.IDLE, Reason.EXPIRED)

logger = logging.getLogger(__name__)


class Listeners:
    """Hands facts about logons and HTTP sessions to who wants to know; a sink."""

    def __init__(self) -> None:
        self._by_occasion: dict[str, list[Listener]] = {}

    def add(self, occasion: Occasion, listener: Listener) -> None:
        """Call `listener` whenever that has happened. It must return at once; what it raises is logged.

        `ended` are those that somebody has ended or that made room for others, `expired` those whose time was over,
        when that is noticed. What ends with its logon is told of when it is closed, with the reason `parent`.

        Raises:
            ConfigurationError: There is no such occasion.
        """
        if occasion not in get_args(Occasion):
            raise ConfigurationError(f"{occasion!r} is none of {', '.join(get_args(Occasion))}")
        self._by_occasion.setdefault(occasion, []).append(listener)

    def emit(self, event: Event) -> None:
        """Tell those who listen."""
        if not self._by_occasion or event.kind not in (HTTP, SECURITY):
            return
        for listener in self._by_occasion.get(occasion_of(event) or "", ()):
            try:
                listener(event)
            except Exception:  # a fault of the listener must not become one of the session
                logger.exception("a listener failed")


def occasion_of(event: Event) -> Occasion | None:
    """Return what a fact means for a session; None for those that change nothing in its life."""
    if event.fact is Fact.OPENED:
        return "created"
    if event.fact is Fact.ROTATED:
        return "attached" if event.detail == ATTACHED else "rotated"
    if event.fact is Fact.REPLACED or (event.fact is Fact.CLOSED and event.reason is Reason.PARENT):
        return "ended"
    if event.fact is Fact.ENDED:
        return "expired" if event.reason in TIME else "ended"
    return None
