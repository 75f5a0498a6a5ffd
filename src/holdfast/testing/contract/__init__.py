"""The other half of `core.ports`: every sentence of its docstrings as a test, to be run over any store."""

from holdfast.testing.contract.channel import ChannelContract
from holdfast.testing.contract.claims import ClaimContract
from holdfast.testing.contract.counters import CounterContract
from holdfast.testing.contract.events import EventLogContract
from holdfast.testing.contract.finding import FindContract
from holdfast.testing.contract.leases import LeaseContract
from holdfast.testing.contract.limits import LimitContract
from holdfast.testing.contract.loading import LoadContract
from holdfast.testing.contract.moving import MoveContract
from holdfast.testing.contract.writing import WriteContract


class StoreContract(
    LoadContract,
    WriteContract,
    LimitContract,
    MoveContract,
    FindContract,
    ClaimContract,
    LeaseContract,
    EventLogContract,
    ChannelContract,
    CounterContract,
):
    """All that a store promises. Subclass it in a test module and say in `open` how a fresh, empty store is opened."""
