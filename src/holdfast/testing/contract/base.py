"""What the parts of the contract share: how a store is opened, nodes to put into it, and calls at the same time."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Final, TypeVar

import anyio

from holdfast.core.ids import alias_of, new_key
from holdfast.core.model import Record, Ref
from holdfast.core.ports import Store
from holdfast.errors import HoldfastError

Result = TypeVar("Result")

NOW: Final = 1_800_000_000.0
IDLE: Final = 1_800.0
DAY: Final = 86_400.0
PATIENCE_S: Final = 10.0  # how long anything that waits may take


class Contract(ABC):
    """Base of the parts."""

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Store]:
        """Open a fresh and empty store."""


def root(*, name: str | None = None, **fields: Any) -> Record:
    """Return a node without a parent; `name` is its outside id."""
    key = fields.pop("key", None) or new_key()
    return _node(key=key, tree=key, alias=None if name is None else alias_of(name), **fields)


def below(parent: Record, *, name: str | None = None, **fields: Any) -> Record:
    """Return a node below another."""
    alias = None if name is None else alias_of(name)
    return _node(**{"key": new_key(), "tree": parent.tree, "parent": parent.key, "alias": alias, **fields})


def _node(**fields: Any) -> Record:
    return Record(**{"kind": "mcp", "created_at": NOW, "used_at": NOW, "ends_at": NOW + DAY, **fields})


async def chain(store: Store, *nodes: Record) -> Record:
    """Store nodes in the order given and return the last."""
    for node in nodes:
        await store.sessions.create(node, now=NOW)
    return nodes[-1]


async def stored(store: Store, node: Record) -> Record | None:
    """Return a node as it is stored, in whatever state."""
    found = await store.sessions.find("key", node.key)
    return found[0] if found else None


async def lives(store: Store, node: Record, now: float = NOW) -> bool:
    """Say whether a node can be loaded."""
    return await store.sessions.load(node.ref, now=now) is not None


async def all_at_once(*calls: Awaitable[Result]) -> list[Result | HoldfastError]:
    """Run calls at the same time; return their results, or the errors they raised, in the order given."""
    results: list[Result | HoldfastError] = [HoldfastError("did not finish")] * len(calls)

    async def run(place: int, call: Awaitable[Result]) -> None:
        try:
            results[place] = await call
        except HoldfastError as exc:
            results[place] = exc

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            for place, call in enumerate(calls):
                group.start_soon(run, place, call)
    return results


@contextmanager
def refused(error: type[HoldfastError]) -> Iterator[None]:
    """Expect this error from the block."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def elsewhere(node: Record) -> Ref:
    """Return a place where the node is not: its key in another tree."""
    return Ref(new_key(), node.key)
