"""One request of one application: whose it is, what its session holds, and what its answer has to set.

The state is found when the request comes and written before its answer begins. Nothing is stored for a visitor who
leaves nothing, and an id that nobody issued is never taken over (R3, R68).
"""

from collections.abc import Collection
from typing import Any, Final

from holdfast._asgi import Scope
from holdfast.core.events import ADDRESS, Event, Fact
from holdfast.core.holding import Running as Call
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import SessionEnded, SessionNotFound
from holdfast.web.cookies import CLEAR_SITE_DATA, NO_STORE, Cookie, TwoCookies
from holdfast.web.reply import Header
from holdfast.web.security import LOGON, Logon, logon_of
from holdfast.web.session_data import PREFIX, OnConflict, SessionData
from holdfast.web.site import Running, Security

VARY: Final[Header] = (b"vary", b"Cookie")


class Visit:
    """A request with the sessions it belongs to.

    Args:
        keeps: The keys of the data that survive a logon (S3).
    """

    def __init__(
        self,
        scope: Scope,
        security: Security,
        running: Running,
        *,
        application: str,
        cookie: Cookie,
        keeps: Collection[str] = (),
        on_conflict: OnConflict | None = None,
    ) -> None:
        self.scope, self._site, self._running = scope, security, running
        self._application, self._cookie, self._keeps, self._on_conflict = application, cookie, keeps, on_conflict
        self.address = security.proxies.client_of(scope)
        self.http: Session | None = None
        self.security: Session | None = None
        self.logon: Logon | None = None
        self.data = SessionData(running.manager, None, begin=self._begin)
        self.call: Call | None = None
        self._set: dict[Cookie, str | None] = {}  # cookies to set; None clears
        self._left = False

    @property
    def services(self) -> Running:
        """The engine and the logons."""
        return self._running

    async def find(self) -> None:
        """Find the sessions that the request's cookies name; those that name none are cleared (R19)."""
        ADDRESS.set(self.address)
        try:
            http_id, logon_id = self._cookie.read(self.scope), self._site.cookie.read(self.scope)
        except TwoCookies as exc:
            self._tell(Fact.TWO_IDS, str(exc))
            return
        if http_id is not None:
            await self._find_http(http_id)
        if self.logon is None and logon_id is not None:
            await self._find_logon(logon_id)
        if self.http is not None:
            self.data.show(self.http)

    @property
    def node(self) -> Session | None:
        """The node whose end ends the request."""
        return self.http or self.security

    async def log_in(self, logon: Logon, *, ends_at: float | None = None) -> None:
        """Begin a logon for this browser, or go on with the same person's under new ids (R8, S10, S14).

        Raises:
            LimitReached: They are logged on as often as they may be.
        """
        there = await self.of_logon()
        if there is not None and there.owner == logon.principal:
            self._put(self._site.cookie, await self._running.logons.renew(there, logon, ends_at=ends_at))
            if self.http is not None:
                await self._running.manager.merge(self.http, {LOGON: there.content[LOGON]})
                self._put(self._cookie, await self._running.manager.rotate(self.http))
        else:
            if there is not None:
                await self._forget(Reason.LOGOUT)
            self.security = await self._running.logons.begin(logon, ends_at=ends_at)
            self._put(self._site.cookie, str(self.security.id))
            await self._attach()
        self.logon, self._left = logon, False

    async def log_out(self, reason: Reason = Reason.LOGOUT, *, wipe: bool = True) -> None:
        """End the logon and all that hangs below it; the request goes on as a visitor's.

        With `wipe` the browser is told to forget all that it keeps of this site. That takes the cookies of every host
        below the same domain, so a browser that goes on to log off elsewhere is not told.
        """
        await self._forget(reason)
        self._left = wipe

    async def of_logon(self) -> Session | None:
        """Return the logon's own node."""
        if self.security is None and self.logon is not None and self.http is not None:
            parent = self.http.record.parent
            if parent is not None:
                self.security = await self._running.manager.get(Ref(self.http.record.tree, parent))
        return self.security

    async def save(self) -> None:
        """Write what was changed."""
        await self.data.save(on_conflict=self._on_conflict)

    def headers(self) -> list[Header]:
        """Return what goes out with the answer."""
        made = [
            cookie.clear(self.scope) if value is None else cookie.put(self.scope, value)
            for cookie, value in self._set.items()
        ]
        cookies = [header for header in made if header is not None]
        return [VARY, *cookies, *([NO_STORE] if cookies else []), *([CLEAR_SITE_DATA] if self._left else [])]

    # -- inside

    async def _find_http(self, session_id: str) -> None:
        try:
            self.http = await self._running.logons.load_http(session_id, self._application)
        except SessionNotFound:
            self._set[self._cookie] = None
            return
        self.logon = logon_of(self.http)

    async def _find_logon(self, session_id: str) -> None:
        try:
            self.security = await self._running.logons.load(session_id)
        except SessionNotFound:
            self._set[self._site.cookie] = None
            return
        self.logon = logon_of(self.security)
        if self.http is not None:  # a visitor of this application who has logged on at another one
            self.data.show(self.http)
            await self._attach()

    async def _attach(self) -> None:
        """Hang the visitor's session below the logon, and drop what it does not keep."""
        for key in [key for key in self.data if key not in self._keeps]:
            del self.data[key]
        if self.http is None or self.security is None:
            return
        kept = {PREFIX + key for key in self._keeps}
        removed = [name for name in self.http.content if name.startswith(PREFIX) and name not in kept]
        try:
            await self._running.logons.attach(self.http, self.security, removed=removed)
        except SessionEnded:
            self._drop()
            return
        self._put(self._cookie, str(self.http.id))

    async def _begin(self, content: dict[str, Any]) -> Session:
        """Open the HTTP session, when there is something to keep in it."""
        below = await self.of_logon()
        self.http = await self._running.logons.open_http(self._application, content, below=below, client=self.address)
        self._put(self._cookie, str(self.http.id))
        return self.http

    async def _forget(self, reason: Reason) -> None:
        """End the logon, or a visitor's session, without ending this request with it."""
        there = await self.of_logon() or self.http
        if self.call is not None:
            self.call.let_go()
        if there is not None:
            await self._running.manager.end(there, reason)
        self.security = self.logon = None
        self._set[self._site.cookie] = None
        self._drop()

    def _drop(self) -> None:
        self.http = None
        self._set[self._cookie] = None
        self.data.forget()

    def _put(self, cookie: Cookie, session_id: str) -> None:
        self._set[cookie] = session_id

    def _tell(self, fact: Fact, detail: str) -> None:
        manager = self._running.manager
        manager.sink.emit(
            Event(fact=fact, at=manager.clock(), kind="http", client=self.address, address=self.address, detail=detail)
        )
