"""What leaves through `core.events.Sink`: log lines, an audit trail, counters."""

from holdfast.core.events import LogLines, Sinks
from holdfast.observe.sinks import AuditTrail, Counts

__all__ = ["AuditTrail", "Counts", "LogLines", "Sinks"]
