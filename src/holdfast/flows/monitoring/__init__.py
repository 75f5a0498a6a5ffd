"""What became of messages: a log in the store that every worker sees, and what is to be sent again (F10, F17, F20)."""

from holdfast.flows.monitoring.book import running
from holdfast.flows.monitoring.entries import Entry, Failure, Line, Run
from holdfast.flows.monitoring.levels import Levels
from holdfast.flows.monitoring.messagelog import Listed, MessageLog
from holdfast.flows.monitoring.pages import Retention

__all__ = ["Entry", "Failure", "Levels", "Line", "Listed", "MessageLog", "Retention", "Run", "running"]
