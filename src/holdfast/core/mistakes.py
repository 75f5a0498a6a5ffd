"""Mistakes of the program in a loop that has to go on: told once each, while the loop takes its next turn."""

import logging
import traceback
from typing import Final

log: Final = logging.getLogger(__name__)


class Mistakes:
    """What has gone wrong in one loop. Nothing it keeps in memory may be half changed by what is noted here."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._told: set[tuple[str, str, int | None]] = set()

    def note(self, exc: Exception) -> None:
        """Log where it was, the first time it was there; not its message, which may hold what nobody should read."""
        mistake: BaseException = exc
        while isinstance(mistake, BaseExceptionGroup):
            mistake = mistake.exceptions[0]
        way = traceback.extract_tb(mistake.__traceback__)
        name, place = type(mistake).__name__, way[-1]
        if (name, place.filename, place.lineno) not in self._told:
            self._told.add((name, place.filename, place.lineno))
            log.error("%s: %s; going on\n%s", self._doing, name, "".join(traceback.format_list(way)))
