"""An event loop whose clock jumps to the next thing that happens: hours pass in no time, and always in the same order.

anyio.run(main, backend_options={"loop_factory": VirtualLoop})
"""

import asyncio
import itertools
import selectors
from collections.abc import Coroutine, Iterable, Iterator, MutableSet
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
_numbers = itertools.count()


class InOrder(MutableSet[Item], Generic[Item]):
    """A set that is gone through in the order in which it was filled, not in that of memory addresses."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Item) -> None:
        self._items[value] = None

    def discard(self, value: Item) -> None:
        self._items.pop(value, None)

    def update(self, items: Iterable[Item]) -> None:
        self._items.update(dict.fromkeys(items))


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is always the same."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **more)

    def __hash__(self) -> int:
        return self._number


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
        self.set_task_factory(_task)

    def time(self) -> float:
        return self.instant


def _task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any) -> _Task:
    return _Task(coro, loop=loop, **more)
