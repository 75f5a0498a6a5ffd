"""What the applications of one process share: the engine, the logons, the logon cookie, and whom they trust.

security = Security(store="redis://…")
shop = SessionMiddleware(shop, security, application="shop")
bank = SessionMiddleware(bank, security, application="bank")
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import msgspec

from holdfast.config import Settings, load_settings
from holdfast.core.events import Event, Fact, Sink, Sinks
from holdfast.core.kinds import Kind
from holdfast.core.manager import Manager
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing
from holdfast.engine import Engine, open_engine
from holdfast.web import dbsc
from holdfast.web.address import Proxies
from holdfast.web.cookies import Cookie, SameSite
from holdfast.web.federation import Federation
from holdfast.web.kinds import KINDS, SECURITY
from holdfast.web.listeners import Listener, Listeners, Occasion
from holdfast.web.opened import Opened
from holdfast.web.rates import Rates
from holdfast.web.security import Logons

COOKIE: Final = "holdfast-logon"


class Running(msgspec.Struct, frozen=True):
    """What there is while the engine is open."""

    engine: Engine
    logons: Logons
    rates: Rates

    @classmethod
    def on(cls, engine: Engine) -> Self:
        """Return what there is on an open engine."""
        manager = engine.manager
        return cls(engine, Logons(manager), Rates(engine.store.counters, engine.settings, clock=manager.clock))

    @property
    def manager(self) -> Manager:
        """The engine's manager."""
        return self.engine.manager

    def logon_failed(self, address: str, detail: str, *, owner: str = "") -> None:
        """Let it be known that somebody could not log on. A name that nobody has is not told: it may be a password."""
        self.manager.sink.emit(
            Event(
                fact=Fact.LOGON_FAILED,
                at=self.manager.clock(),
                kind=SECURITY,
                owner=owner,
                client=address,
                address=address,
                detail=detail,
            )
        )


class Security:
    """Logons and HTTP sessions on a store; every process with the same store serves all of them (S18).

    Args:
        store: Where they are kept, a URL or a store that is open.
        keys: Seal what is stored; needed for a store that several machines share.
        settings: Everything else; read from file and environment if left out.
        sink: Takes the facts the engine tells.
        engine: An engine that is open, instead of all these; its kinds must contain `holdfast.web.KINDS`.
        kinds: What else hangs below the logons, such as sticky sessions.
        same_site: Of the logon cookie.
    """

    def __init__(
        self,
        store: str | Store = "memory://",
        *,
        keys: KeyRing | str | None = None,
        settings: Settings | None = None,
        sink: Sink | None = None,
        engine: Engine | None = None,
        same_site: SameSite = "lax",
        kinds: Sequence[Kind] = (),
    ) -> None:
        self.settings = engine.settings if engine else settings or load_settings()
        self.proxies = Proxies(self.settings.trusted_proxies)
        self.cookie = Cookie(COOKIE, same_site=same_site, proxies=self.proxies)
        bound = Cookie(dbsc.COOKIE, same_site=same_site, proxies=self.proxies)
        self.devices = dbsc.Devices(self.settings.dbsc, bound) if self.settings.dbsc.enabled else None
        self._store, self._keys, self._sink, self._engine = store, keys, sink, engine
        self._kinds = (*KINDS, *kinds)
        self.federations: list[Federation] = []  # how logons come from elsewhere, and are told to have ended there
        self._listeners = Listeners()
        self.opened = Opened(self.running)

    def on(self, occasion: Occasion) -> Callable[[Listener], Listener]:
        """Have a function called whenever a logon or HTTP session was created, attached, rotated, expired or ended.

        See `Listeners.add`.
        """

        def registered(listener: Listener) -> Listener:
            self._listeners.add(occasion, listener)
            return listener

        return registered

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Open the engine until the block ends."""
        if self._engine is not None:
            manager = self._engine.manager
            theirs, manager.sink = manager.sink, Sinks(manager.sink, self._listeners)
            try:
                yield Running.on(self._engine)
            finally:
                manager.sink = theirs
            return
        sink = self._listeners if self._sink is None else Sinks(self._sink, self._listeners)
        async with open_engine(
            self._store, kinds=self._kinds, keys=self._keys, settings=self.settings, sink=sink
        ) as engine:
            yield Running.on(engine)
