"""The one HTTP session that each application has below a logon, however many requests ask for it at once (S2).

The logon names it: before it is opened, the key that it will have is written into the logon's content, which is
compared and set. Who comes at the same time learns that key, and one of them opens the session, whoever it is; nobody
waits for a worker that has died. A key under which nothing lives gives way to another one after `OPENING_S`, or at
once when a row shows that its session has ended.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from holdfast.core.ids import new_key
from holdfast.core.manager import Manager
from holdfast.core.model import Ref
from holdfast.core.session import Session
from holdfast.errors import SessionConflict, SessionExists, SessionNotFound

PLACES: Final = "places"  # in the content of a logon: by application, the key of its session and when it was chosen
OPENING_S: Final = 10.0  # for which a key stands without a session; no call of a store takes that long
PAUSE_S: Final = 0.01

T = TypeVar("T")


async def until_written(manager: Manager, session: Session, write: Callable[[], Awaitable[T]]) -> T:
    """Repeat a change of a session, read anew, until nobody else has written in between."""
    while True:
        try:
            return await write()
        except SessionConflict:
            fresh = await manager.get(session.ref)
            session.record, session.content = fresh.record, fresh.content


class Places:
    """Finds the session of an application below a logon, and sees to it that there is one."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def find(self, security: Session, app: str) -> Session | None:
        """Return the session that a logon, as it was read, names for an application; None if it has ended."""
        key, _ = _named(security, app)
        return await self._live(Ref(security.record.tree, key)) if key else None

    async def take(
        self, security: Session, app: str, begin: Callable[[bytes], Awaitable[Session]]
    ) -> tuple[Session, bool]:
        """Return an application's session, and whether it was begun here, with the key that `begin` is given.

        Raises:
            SessionNotFound, SessionEnded: The logon has ended.
        """
        ended = b""
        while True:
            key = await self._choose(security, app, ended=ended)
            try:
                return await begin(key), True
            except SessionExists:
                ref = Ref(security.record.tree, key)
            if await self._manager.current(ref) is None:  # its name is reserved: another worker is about to write it
                await anyio.sleep(PAUSE_S)
            elif (there := await self._live(ref)) is not None:
                return there, False
            else:
                ended = key

    async def claim(self, security: Session, app: str, http: Session) -> bool:
        """Make a session that hangs below a logon already the one of its application; False if another one is."""
        return await self._choose(security, app, key=http.key) == http.key

    # -- inside

    async def _choose(self, security: Session, app: str, *, key: bytes = b"", ended: bytes = b"") -> bytes:
        """Return the key that stands for an application; where none does, from now on this one or a new one."""

        async def write() -> bytes:
            named, at = _named(security, app)
            now = self._manager.clock()
            if named and named != ended and (at > now - OPENING_S or await self.find(security, app) is not None):
                return named
            chosen = key or new_key(now)
            security.content = {**security.content, PLACES: {**_places(security), app: [chosen.hex(), now]}}
            await self._manager.save(security)
            return chosen

        return await until_written(self._manager, security, write)

    async def _live(self, ref: Ref) -> Session | None:
        try:
            return await self._manager.get(ref)
        except SessionNotFound:
            return None


def _places(security: Session) -> dict[str, tuple[str, float]]:
    return dict(security.content.get(PLACES) or {})


def _named(security: Session, app: str) -> tuple[bytes, float]:
    """Return the key that a logon names for an application, and since when; no key if it names none."""
    key, at = _places(security).get(app, ("", 0.0))
    return bytes.fromhex(key), at
