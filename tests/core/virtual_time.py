"""An event loop whose clock jumps to the next thing that happens: hours pass in no time, and always in the same order.

anyio.run(main, backend_options={"loop_factory": VirtualLoop})
"""

import asyncio
import selectors


class _Skipping(selectors.DefaultSelector):
    """Waits for nobody: there is nothing outside this process to wait for."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen again")
        self.loop.instant += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that starts at 0 seconds."""

    def __init__(self) -> None:
        self.instant = 0.0
        selector = _Skipping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.instant
