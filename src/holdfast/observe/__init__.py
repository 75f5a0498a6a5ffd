"""What leaves through `core.events.Sink`: log lines, an audit trail, metrics, analytics, live facts."""

from holdfast.core.events import LogLines, Sinks
from holdfast.observe.analytics import Stats, stats
from holdfast.observe.observer import Observer, observing
from holdfast.observe.prometheus import Prometheus
from holdfast.observe.sinks import AuditTrail, Counts
from holdfast.observe.statsd import StatsD

__all__ = [
    "AuditTrail",
    "Counts",
    "LogLines",
    "Observer",
    "Prometheus",
    "Sinks",
    "Stats",
    "StatsD",
    "observing",
    "stats",
]
