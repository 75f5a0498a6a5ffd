"""The memory store: for one process and one event loop, gone with it. Nothing is shared, nothing is written down."""

from holdfast.core.ports import Store
from holdfast.stores.memory.ports import MemoryChannel, MemoryCounters, MemoryEventLog, MemoryLeases, MemorySessions
from holdfast.stores.memory.rows import MemoryRows


def memory_store() -> Store:
    """Return a new, empty store."""
    rows = MemoryRows()
    return Store(
        sessions=MemorySessions(rows),
        leases=MemoryLeases(rows),
        events=MemoryEventLog(rows),
        channel=MemoryChannel(),
        counters=MemoryCounters(),
        url="memory://",
        shared=False,
    )
