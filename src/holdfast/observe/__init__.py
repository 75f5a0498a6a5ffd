"""What leaves through `core.events.Sink`: log lines, an audit trail, counters."""

from holdfast.observe.sinks import AuditTrail, Counts, LogLines, Sinks

__all__ = ["AuditTrail", "Counts", "LogLines", "Sinks"]
