"""An entity that is new or being edited in a sticky session, as a mapping one reads and sets properties of.

What is set stays here until `flush`, which sends it in one PATCH; `save` flushes first.
"""

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from holdfast.odata.client.errors import Loss, StickySessionLost

if TYPE_CHECKING:
    from holdfast.odata.client.client import StickyClient


class Entity(Mapping[str, Any]):
    """One entity of the open session. `path` is relative to the service's root; `etag` empty if it has none.

    Deleting properties is not for entities; set them to None.
    """

    def __init__(self, client: "StickyClient", path: str, values: Mapping[str, Any], etag: str) -> None:
        self.path, self.etag = path, etag
        self.changes: dict[str, Any] = {}
        self.loss: Loss | None = None  # set when its session is lost
        self._client = client
        self._values: dict[str, Any] = {}
        self.learn(values)

    def __getitem__(self, name: str) -> Any:
        """Return a property as it will be: what was set, else what the service said last."""
        return self.changes[name] if name in self.changes else self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a property; `flush` or `save` sends it. What equals the service's value is no change."""
        if name in self._values and self._values[name] == value:
            self.changes.pop(name, None)
        else:
            self.changes[name] = value

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all properties that are known."""
        yield from self._values | self.changes

    def __len__(self) -> int:
        """Return how many properties are known."""
        return len(self._values | self.changes)

    def __repr__(self) -> str:
        """Name the entity and what is not sent yet, no values."""
        return f"<Entity {self.path} changed: {', '.join(self.changes) or 'nothing'}>"

    @property
    def is_open(self) -> bool:
        """Whether it is new or edited in the session that is open, and not saved yet."""
        return self._client.entity(self.path) is self

    async def flush(self) -> None:
        """Send what was set since the last time, in one PATCH; nothing if there is nothing."""
        if self.changes:
            self.check()
            sent = dict(self.changes)
            await self._client.patch(self.path, sent)
            self.changes = {name: value for name, value in self.changes.items() if sent.get(name, self) != value}

    async def refresh(self) -> None:
        """Read the entity as it stands in the session; what was set and not sent stays set."""
        self.check()
        self.learn(await self._client.read(self.path))

    async def save(self) -> None:
        """Send what was set, then save. The session ends if it was the last entity of it."""
        self.check()
        if not self._client.batch:
            await self.flush()
        await self._client.save(self.path, self.changes)
        self.changes = {}

    def check(self) -> None:
        """Raise `StickySessionLost` if its session is."""
        if self.loss is not None:
            raise StickySessionLost(self.loss)

    def learn(self, values: Mapping[str, Any], etag: str = "") -> None:
        """Take in what the service says of it."""
        self._values.update({name: value for name, value in values.items() if "@" not in name})
        self.etag = etag or self.etag


class Opening:
    """What `edit` and `new` return: await it for the entity, or enter it to have the entity saved or discarded.

    Leaving the block saves. Leaving it by an exception, or with a save that the service refuses, discards, which by the
    vocabulary ends the whole session with every entity in it.
    """

    def __init__(self, client: "StickyClient", opened: Callable[[], Awaitable[Entity]]) -> None:
        self._client, self._opened = client, opened
        self._entity: Entity | None = None

    def __await__(self) -> Generator[Any, None, Entity]:
        """Open the entity, and leave what follows to the caller."""
        return self._opened().__await__()

    async def __aenter__(self) -> Entity:
        """Open the entity."""
        self._entity = await self._opened()
        return self._entity

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Save, or discard after an exception. What was saved or discarded in the block already stays that way."""
        entity = self._entity
        if entity is None or not (entity.is_open or entity.loss or entity.changes):
            return
        if error is not None:
            await self._client.abandon(entity)
            return
        try:
            await entity.save()
        except BaseException:
            await self._client.abandon(entity)
            raise
