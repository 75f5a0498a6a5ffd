"""Faults planted in a worker on purpose: a run with one of them has to fail, or the judge is blind.

python -m bench.chaos --plant repeat --kills 10
"""

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.adt.changing import Changed, Changing
from holdfast.adt.kinds import Keeping
from holdfast.adt.locksmith import Place
from holdfast.backend.locks import Lock, Outcome
from holdfast.backend.wire import AnswerLost, Call, Reply, Wire
from holdfast.core.duty import Duty
from holdfast.core.session import Session


def repeat() -> None:
    """Send a write whose answer was lost once more: it may be written twice."""
    send = Wire.send

    async def twice(self: Wire, call: Call, *given: Any, **named: Any) -> Reply:
        try:
            return await send(self, call, *given, **named)
        except AnswerLost:
            if call.method != "PUT":
                raise
            return await send(self, call, *given, **named)

    Wire.send = twice  # type: ignore[method-assign]


def guess() -> None:
    """Take a write whose answer was lost for applied: it may never have arrived."""

    async def find_out(self: Changing, place: Place, node: Session, lock: Lock, *_: Any) -> Changed:
        self._smith.store(place, node, lock.settled(Outcome.APPLIED, at=self._now()))
        return Changed(Outcome.APPLIED, place.backend, place.backend.logon.version)

    Changing._find_out = find_out  # type: ignore[method-assign, assignment]


def forget() -> None:
    """Forget locks and logons instead of ending them: they stay in the system."""

    async def nothing(self: Keeping, duty: Duty) -> None:
        return

    Keeping.close_lock = Keeping.close_backend = nothing  # type: ignore[method-assign]


PLANTS: Mapping[str, Callable[[], None]] = {plant.__name__: plant for plant in (repeat, guess, forget)}
