"""OpenTelemetry: measurements through its API, to whatever the program, or `opentelemetry-instrument`, has set up."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.metrics import Meter as Instruments
from opentelemetry.metrics import get_meter

from holdfast._version import __version__
from holdfast.observe.measures import Measure


class OpenTelemetry:
    """A `Meter` on OpenTelemetry's API; without a provider it measures nothing.

    Args:
        instruments: A meter of the API; that of the global provider if left out.
    """

    def __init__(self, instruments: Instruments | None = None) -> None:
        self._make = instruments or get_meter("holdfast", __version__)
        self._made: dict[str, Any] = {}
        self._attributes: dict[tuple[str, tuple[str, ...]], dict[str, str]] = {}

    def add(self, measure: Measure, amount: int, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.add`."""
        self._instrument(measure).add(amount, self._named(measure, labels))

    def set(self, measure: Measure, value: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.set`."""
        self._instrument(measure).set(value, self._named(measure, labels))

    def time(self, measure: Measure, seconds: float, labels: tuple[str, ...] = ()) -> None:
        """See `Meter.time`; histograms are in seconds."""
        self._instrument(measure).record(seconds, self._named(measure, labels))

    def running(self) -> AbstractContextManager[object]:
        """See `Meter.running`: when measurements leave is for the provider to say."""
        return nullcontext()

    def _instrument(self, measure: Measure) -> Any:
        made = self._made.get(measure.name)
        if made is None:
            made = self._made[measure.name] = self._new(measure)
        return made

    def _new(self, measure: Measure) -> Any:
        match measure.sort.value:
            case "count":
                return self._make.create_counter(measure.name, description=measure.text)
            case "gauge":
                return self._make.create_gauge(measure.name, description=measure.text)
            case _:
                return self._make.create_histogram(
                    measure.name,
                    unit="s",
                    description=measure.text,
                    explicit_bucket_boundaries_advisory=list(measure.buckets),
                )

    def _named(self, measure: Measure, labels: tuple[str, ...]) -> dict[str, str]:
        named = self._attributes.get((measure.name, labels))
        if named is None:
            named = self._attributes[measure.name, labels] = dict(zip(measure.labels, labels, strict=True))
        return named
