"""What an application keeps in a session: a mapping of its own, apart from what a protocol keeps there.

    async with SessionData(manager, session) as data:       # saved at the end of the block
        data["basket"] = [*data.get("basket", []), article]

Saving merges by key: two that write different keys at the same time both win, of two that write one key the later does
(R66). Who has to count uses `change`.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from holdfast.core.manager import Manager
from holdfast.core.session import Session
from holdfast.errors import BadInput, PayloadTooLarge, SessionConflict, SessionNotFound

PREFIX: Final = "data "  # of the keys in a session's content: one each, so that two workers' changes both stay
MOST_KEYS: Final = 1000
KEY_BYTES: Final = 256
MOST_DEPTH: Final = 32
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder().decode
_PARTS: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
UNWRITABLE: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
NOTHING: Final = _ENCODE({})

OnConflict = Callable[[str, Any, Any], Any]
Begin = Callable[[dict[str, Any]], Awaitable[Session]]
T = TypeVar("T")


class SessionData(dict[str, Any]):
    """The data of one session as a dictionary that may be changed and saved, also deep inside.

    Values are plain: None, booleans, numbers, texts, bytes, and lists and dictionaries of them.
    """

    __slots__ = ("_begin", "_manager", "_saved", "session")

    def __init__(self, manager: Manager, session: Session | None, *, begin: Begin | None = None) -> None:
        """Show what is kept in a session; without one, `begin` opens it when there is something to be kept."""
        super().__init__()
        self._manager, self.session, self._begin = manager, session, begin
        self._saved = NOTHING
        if session is not None:
            self._read(session)

    def show(self, session: Session) -> None:
        """Show what is kept in another session, in place of what is here."""
        self.session = session
        self._read(session)

    def go_on_in(self, session: Session) -> None:
        """Keep what is here in another session from now on; what differs from it is written with the next save."""
        self.session, self._saved = session, _ENCODE(_held(session))

    def replace(self, values: Mapping[str, Any]) -> None:
        """Show other values, of which what differs is written with the next save."""
        fresh = dict(values)
        self.clear()
        self.update(fresh)

    def forget(self) -> None:
        """Show nothing, of no session."""
        self.session, self._saved = None, NOTHING
        self.clear()

    @property
    def is_saved(self) -> bool:
        """Whether there is nothing to write; False as well for what cannot be written."""
        try:
            return (_ENCODE(self) if self else NOTHING) == self._saved
        except UNWRITABLE:
            return False

    def release(self) -> None:
        """Open no session any more."""
        self._begin = None

    async def __aenter__(self) -> "SessionData":
        """Return the data; they are saved at the end of the block, unless it raises."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Save what was changed."""
        if kind is None:
            await self.save()

    async def save(self, *, on_conflict: OnConflict | None = None, unchanged: bool = False) -> bool:
        """Write what was changed since the data were read or saved, and say whether there was anything.

        Args:
            on_conflict: Called with a key, their value and ours if somebody else has written that key meanwhile; what
                it returns is written, what it raises is raised here. Without it, ours is written.
            unchanged: Write even if nothing was changed.

        Raises:
            BadInput: A key or value is none that can be kept. Nothing was written.
            PayloadTooLarge: All together is larger than a session's content may be. Nothing was written.
            SessionNotFound, SessionEnded: The session has ended; nothing brings it back.
        """
        written = self._written()
        if written == self._saved and not unchanged:
            return False
        changed, removed = self._differences(written)
        if changed or removed or unchanged:
            told = None if on_conflict is None else _without_prefix(on_conflict)
            if self.session is None:
                self.session = await self._begun(changed)
            else:
                await self._merge(self.session, changed, removed, told)
        self._saved = written
        return bool(changed or removed or unchanged)

    async def change(self, change: Callable[["SessionData"], T]) -> T:
        """Read the data anew, let `change` change them, save, and return what it returned.

        It is called again with the data as they are then if somebody else has written meanwhile, so it must do nothing
        else. What was changed before is saved first. Raises what `save` raises.
        """
        await self.save()
        session = self.session = self.session or await self._begun({})
        while True:
            fresh = await self._manager.get(session.ref)
            session.record, session.content = fresh.record, fresh.content
            self._read(session)
            result = change(self)
            if await self._replaced(session):
                return result

    # -- inside

    async def _begun(self, changed: dict[str, Any]) -> Session:
        if self._begin is None:
            raise SessionNotFound("there is no session to keep the data in")
        return await self._begin(changed)

    async def _merge(
        self, session: Session, changed: dict[str, Any], removed: list[str], on_conflict: OnConflict | None
    ) -> None:
        before = session.content
        try:
            await self._manager.merge(session, changed, removed=removed, on_conflict=on_conflict)
        except PayloadTooLarge:
            session.content = before
            raise

    async def _replaced(self, session: Session) -> bool:
        """Write all at once; False if somebody else has written since it was read."""
        written = self._written()
        changed, removed = self._differences(written)
        if changed or removed:
            kept = {name: value for name, value in session.content.items() if name not in removed}
            session.content = {**kept, **changed}
            try:
                await self._manager.save(session)
            except SessionConflict:
                return False
        self._saved = written
        return True

    def _read(self, session: Session) -> None:
        """Show what a session holds, and remember how it was, so that what was changed can be told from it."""
        self.clear()
        self.update(_held(session))
        self._saved = _ENCODE(self) if self else NOTHING

    def _written(self) -> bytes:
        """Return the data as they would be kept."""
        if not self:
            return NOTHING
        try:
            return _ENCODE(self)
        except UNWRITABLE:
            for key, value in self.items():
                _encoded(_checked(key), value)
            raise BadInput("the session's data cannot be kept") from None

    def _differences(self, written: bytes) -> tuple[dict[str, Any], list[str]]:
        """Return what is new or other than it was, as copies, and the names of what is no more."""
        if len(self) > MOST_KEYS:
            raise BadInput(f"the session's data have {len(self)} keys; the limit is {MOST_KEYS}")
        before, after = _PARTS(self._saved), self._parts(written)
        differ = [key for key, value in after.items() if value != before.get(key)]
        changed = {PREFIX + _checked(key): self._plain(key, after[key]) for key in differ}
        if self.session is not None:  # what was changed in place is again what it was, to be compared with others' work
            self.session.content.update({PREFIX + key: _DECODE(before[key]) for key in differ if key in before})
        return changed, [PREFIX + key for key in before if key not in after]

    def _parts(self, written: bytes) -> dict[str, msgspec.Raw]:
        """Return each key's value as it would be kept."""
        try:
            return _PARTS(written)
        except msgspec.ValidationError:
            raise _no_key() from None

    def _plain(self, key: str, value: msgspec.Raw) -> Any:
        """Return a copy of a value as it will be read again."""
        if _deeper(self[key], MOST_DEPTH):
            raise BadInput(f"the session's data {key[:100]!r} are nested more than {MOST_DEPTH} deep")
        return _DECODE(value)


def _held(session: Session) -> dict[str, Any]:
    """Return the data of a session; its values are the session's own."""
    return {name[len(PREFIX) :]: value for name, value in session.content.items() if name.startswith(PREFIX)}


def _without_prefix(on_conflict: OnConflict) -> OnConflict:
    return lambda name, theirs, ours: on_conflict(name.removeprefix(PREFIX), theirs, ours)


def _checked(key: object) -> str:
    try:
        if isinstance(key, str) and len(key.encode()) <= KEY_BYTES:
            return key
    except UnicodeEncodeError:
        pass
    raise _no_key()


def _no_key() -> BadInput:
    return BadInput(f"a key of the session's data must be a text of at most {KEY_BYTES} bytes")


def _encoded(key: str, value: Any) -> bytes:
    try:
        return _ENCODE(value)
    except UNWRITABLE as exc:
        why = str(exc) if isinstance(exc, TypeError) else type(exc).__name__
        raise BadInput(f"the session's data {key[:100]!r} cannot be kept: {why}") from None


def _deeper(value: Any, most: int) -> bool:
    """Say whether a value is nested more than so deep."""
    if not isinstance(value, dict | list | tuple):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_deeper(part, most - 1) for part in parts)
