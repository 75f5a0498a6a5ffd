"""What others reuse in their own tests: a contract for stores, a clock that stands still, a sink that remembers.

    class TestMyStore(StoreContract):
        def open(self) -> AbstractAsyncContextManager[Store]:
            return open_my_store(...)

The contract's tests are `async def` methods: run them with pytest and anyio's plugin (`anyio_mode = "auto"`).
"""

from holdfast.testing.clock import Clock
from holdfast.testing.contract import StoreContract
from holdfast.testing.sink import RecordingSink

__all__ = ["Clock", "RecordingSink", "StoreContract"]
