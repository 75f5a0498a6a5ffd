"""Programs that send their credentials with each request: one session each, however many requests come.

A program that keeps no cookies would leave a logon behind with each request. Here it has one session for each
application, below one logon; both are found by who it is, how it logs on and what it calls itself, on every worker.
They end as others do: some time after the last request. Of parallel first requests one opens them: the limit of one
holds at the store.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.model import Policy, Reason, State
from holdfast.core.session import Session
from holdfast.errors import Busy, LimitReached, SessionEnded, SessionNotFound
from holdfast.web.kinds import HTTP, SECURITY
from holdfast.web.security import APP, LOGON, Logon

TRIES: Final = 5
Below = Callable[[], Awaitable[Session]]


class Programs:
    """Finds or begins what belongs to a program."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def session(self, logon: Logon, app: str, below: Below | None = None) -> Session:
        """Return a program's session of an application.

        Args:
            logon: Who it is, by the credentials it has sent.
            below: Gives the logon to hang it below, where that is not one of its own.

        Raises:
            LimitReached: They are logged on as often as they may be.
            Busy: What is there ends again and again.
        """
        marker = _marker(logon)
        for _ in range(TRIES):
            found = await self._found(HTTP, f"{marker} {app}", touch=True)
            if found is not None:
                return found
            try:
                security = await (below() if below is not None else self._own(logon, marker))
                return await self._open_below(security, logon, f"{marker} {app}", app)
            except LimitReached:
                if await self._found(HTTP, f"{marker} {app}") is None:
                    raise
            except SessionEnded:
                continue
        raise Busy("the session ends as often as it begins")

    async def _own(self, logon: Logon, marker: str) -> Session:
        """Return the program's own logon."""
        found = await self._found(SECURITY, marker)
        if found is not None:
            return found
        manager = self._manager
        try:
            return await manager.open(
                SECURITY,
                {LOGON: msgspec.to_builtins(logon)},
                owner=logon.principal,
                client=marker,
                label=logon.method,
                limits=self._one(SECURITY),
                named=False,
            )
        except LimitReached:
            found = await self._found(SECURITY, marker)
            if found is None:
                raise
            return found

    async def _open_below(self, security: Session, logon: Logon, marker: str, app: str) -> Session:
        return await self._manager.open(
            HTTP,
            {APP: app, LOGON: msgspec.to_builtins(logon)},
            parent=security,
            owner=logon.principal,
            client=marker,
            label=app,
            app=app,
            limits=self._one(HTTP, app),
            named=False,
        )

    async def _found(self, kind: str, marker: str, *, touch: bool = False) -> Session | None:
        async for record in self._manager.each("client", marker):
            if record.kind == kind and record.state is State.LIVE:
                try:
                    return await self._manager.get(record.ref, touch=touch)
                except SessionNotFound:  # what is above has ended; its row would count until a keeper removes it
                    await self._manager.end(record.ref, Reason.PARENT)
        return None

    def _one(self, kind: str, app: str = "") -> Limits:
        """Return the limits of a kind, but for one program's: one."""
        return msgspec.structs.replace(self._manager.rules(kind, app)[1], per_client=1, policy=Policy.REJECT)


def _marker(logon: Logon) -> str:
    """Return by what a program is found."""
    said = msgspec.json.encode([logon.method, logon.principal, logon.sid, logon.device])
    return f"program {hashlib.sha256(said).hexdigest()[:32]}"
