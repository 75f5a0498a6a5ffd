"""A sink that remembers what the engine told it."""

from holdfast.core.events import Event, Fact


class RecordingSink:
    """Takes facts (`core.events.Sink`) and keeps them in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep one fact."""
        self.events.append(event)

    def facts(self) -> list[Fact]:
        """Return what happened, in order, without the details."""
        return [event.fact for event in self.events]

    def of(self, fact: Fact) -> list[Event]:
        """Return the events of one fact, in order."""
        return [event for event in self.events if event.fact is fact]

    def clear(self) -> None:
        """Forget everything."""
        self.events.clear()
