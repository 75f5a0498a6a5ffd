"""What a developer writes: a class per entity set, in plain Python, sync or async (O12).

class Orders(EntitySet[Order]):
    def list(self, query): return table.values()
    def save(self, row, base): table[row.ID] = row; return row

With that its entities are read, created and edited in sticky sessions. The session keeps what is not saved yet; the
methods here see whole entities and know of no session. A method refuses by raising `Refused`, or any other error of
this package; what else it raises is told to nobody.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import cached_property, partial
from inspect import iscoroutinefunction
from typing import Any, Generic, Literal, TypeAlias, TypeVar, Union, get_args

import anyio
import msgspec

from holdfast.errors import ConfigurationError
from holdfast.odata.errors import MethodNotAllowed
from holdfast.odata.query import Options
from holdfast.odata.server.operations import Operation, operations_of
from holdfast.odata.server.shapes import Shape, T, shape_of

R = TypeVar("R")
Maybe: TypeAlias = Union[R, Awaitable[R]]  # noqa: UP007 - a union with a type variable first
Outside = Literal["actions", "allow"]


class Sticky(msgspec.Struct, frozen=True, kw_only=True):
    """What the actions of the choreography are called in the service (O1)."""

    new: str = "Create"
    edit: str = "Edit"
    save: str = "Save"
    discard: str = "Discard"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a list. `options` has the filter, the search and the order; how much of it is said here.

    Args:
        without: Keys that are to be left out: a session has entities of its own in their place.
        skip: How many are to be left out at the beginning.
        most: How many are needed at most after that; None for all.
    """

    options: Options = Options()
    without: frozenset[tuple[Any, ...]] = frozenset()
    skip: int = 0
    most: int | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A list to which the handler has applied the whole query.

    `count` is how many entities filter, search and `without` have left; needed if `options.count` asks for it.
    """

    rows: Iterable[T]
    count: int | None = None


class EntitySet(Generic[T]):
    """An entity set of a service.

    Attributes, of the class or of an object:
        name: In the service; the class's own if left out.
        sticky: The names of the four actions; None for a set that is changed without sessions.
        outside: What may be done outside of a session: `actions`, all but POST, PATCH, PUT and DELETE; or `allow`, all
            (O5). Of a set without `sticky`, all.
        searched: The properties that `$search` looks into; all texts if left out.
        page_size: How many entities one answer has at most; the next page is linked.
        blocking: Methods that are not async are called in a thread, since they wait for something.
    """

    name: str = ""
    sticky: Sticky | None = Sticky()
    outside: Outside = "actions"
    searched: tuple[str, ...] = ()
    page_size: int | None = None
    blocking: bool = False
    entity: type[T]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, msgspec.Struct):
                    cls.entity = argument  # type: ignore[assignment]  # it is the T of this very class
        cls.name = cls.__dict__.get("name") or cls.__name__

    # -- what a handler may have

    def list(self, query: Query) -> Maybe[Iterable[T] | Page[T]]:
        """Return the entities; all of them, if they are no `Page`: then the service filters, sorts and cuts."""
        raise MethodNotAllowed(f"{self.name} cannot be listed")

    def read(self, key: Any) -> Maybe[T | None]:
        """Return one entity, None if there is none. `key` is a tuple if there are several key properties."""
        return self._found(key if isinstance(key, tuple) else (key,))

    def new(self) -> Maybe[T]:
        """Return a new entity to be filled in; nothing is stored yet. Its key may be a provisional one."""
        try:
            return self.entity()
        except TypeError as exc:
            raise ConfigurationError(f"{self.name} needs a method `new`: not every property has a default") from exc

    def edit(self, row: T) -> Maybe[T | None]:
        """Take what has to be held while an entity is edited, such as a lock; it may return a fresher entity.

        What it takes is let go by `save` and by `discard`, one of which is certain to follow.
        """
        return None

    def patch(self, row: T, changes: Mapping[str, Any]) -> Maybe[T | None]:
        """Look at an entity that was changed and is not saved yet; it may return what is to be kept instead."""
        return None

    def save(self, row: T, base: T | None) -> Maybe[T]:
        """Store an entity and return it as it is now. `base` is what is stored of it; None for a new one."""
        raise MethodNotAllowed(f"{self.name} cannot be saved")

    def discard(self, row: T) -> Maybe[None]:
        """Let go what `edit` took in this session (`calling().session`), and nothing else.

        It may be called again, also for what was never taken: after a crash nobody knows how far the first call came.
        """

    def delete(self, row: T) -> Maybe[None]:
        """Remove an entity."""
        raise MethodNotAllowed(f"{self.name} cannot be deleted from")

    def related(self, row: T, name: str) -> Maybe[Any]:
        """Return what a navigation property leads to: an entity or None, or several. It may be read only when asked."""
        value: Any = getattr(row, self.shape.properties[name].attribute)
        return value

    def unit(self) -> AbstractAsyncContextManager[Any]:
        """Return a unit of work: what is stored in its block stays only if the block is left without an error.

        A change set, or a request of its own, runs in one.
        """
        return nullcontext()

    # -- what the service asks

    @cached_property
    def shape(self) -> Shape[T]:
        """The entity type."""
        entity = getattr(self, "entity", None)
        if entity is None:
            raise ConfigurationError(f"{self.name} does not say of what: class {self.name}(EntitySet[…])")
        found = shape_of(entity)
        if not found.key:
            raise ConfigurationError(f"{found.name} has no key", hint="Mark a field: ID: Annotated[str, Key].")
        return found

    @cached_property
    def operations(self) -> dict[str, Operation]:
        """The actions and functions bound to its entities or to the set."""
        return operations_of(self, self.shape)

    @cached_property
    def holds(self) -> bool:
        """Whether editing takes something that has to be let go."""
        return type(self).edit is not EntitySet.edit

    async def call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call one of the methods, whichever way it was written."""
        return await call(method, *arguments, blocking=self.blocking, **named)

    async def _found(self, wanted: tuple[Any, ...]) -> T | None:
        listed = await self.call(self.list, Query())
        rows = listed.rows if isinstance(listed, Page) else listed
        return next((row for row in rows if self.shape.key_of(row) == wanted), None)


async def call(method: Callable[..., Any], *arguments: Any, blocking: bool = False, **named: Any) -> Any:
    """Call a function that may be sync or async; one that is `blocking` runs in a thread."""
    if blocking and not iscoroutinefunction(method):
        return await anyio.to_thread.run_sync(partial(method, *arguments, **named))
    found = method(*arguments, **named)
    return await found if isinstance(found, Awaitable) else found
