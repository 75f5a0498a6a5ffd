"""Facts as measurements (M24): a sink that hands what it is told to any number of meters."""

from typing import Final

from holdfast.core.events import LOUD, Event, Fact
from holdfast.core.mistakes import Mistakes
from holdfast.core.model import Reason
from holdfast.observe.measures import FACTS, Family, Measure, Meter, family_of

RAN_OUT: Final = (Reason.IDLE, Reason.EXPIRED)


class Metrics:
    """Measures what facts tell. A meter that fails is told of in the log, and keeps nobody from anything."""

    def __init__(self, *meters: Meter) -> None:
        self.meters = meters
        self._families: dict[str, Family] = {}
        self._mistakes = Mistakes("measuring")

    def emit(self, event: Event) -> None:
        """Measure the fact."""
        if not self.meters:
            return
        if event.fact is Fact.OPENED:
            family = self._family(event.kind)
            self.add(family.created, family.labels)
        elif event.lived is not None:
            self._end(self._family(event.kind), event.reason, event.lived)
        if event.fact in LOUD:
            self.add(FACTS, (event.fact.value,))

    def active(self, kind: str, number: int) -> None:
        """Take how many sessions of a kind there are."""
        family = self._family(kind)
        for meter in self.meters:
            try:
                meter.set(family.active, number, family.labels)
            except Exception as exc:  # noqa: BLE001 - see the class
                self._mistakes.note(exc)

    def add(self, measure: Measure, labels: tuple[str, ...] = ()) -> None:
        """Count one more."""
        for meter in self.meters:
            try:
                meter.add(measure, 1, labels)
            except Exception as exc:  # noqa: BLE001 - see the class
                self._mistakes.note(exc)

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """Take how long something took."""
        for meter in self.meters:
            try:
                meter.time(measure, seconds, labels)
            except Exception as exc:  # noqa: BLE001 - see the class
                self._mistakes.note(exc)

    def _end(self, family: Family, reason: Reason | None, lived: float) -> None:
        labels = (*family.labels, reason.value if reason else "")
        self.add(family.ended, labels)
        self.time(family.duration, lived, labels)
        if family.expired is not None and reason in RAN_OUT:
            self.add(family.expired, labels)

    def _family(self, kind: str) -> Family:
        family = self._families.get(kind)
        if family is None:
            family = self._families[kind] = family_of(kind)
        return family
