"""What can be said of a flow before anything runs: mistakes of session re-use, and the setting that fits its shape."""

from holdfast.flows.checking.findings import findings
from holdfast.flows.checking.migrate import Migration, migrated
from holdfast.flows.checking.shape import Suggestion, suggested

__all__ = ["Migration", "Suggestion", "findings", "migrated", "suggested"]
