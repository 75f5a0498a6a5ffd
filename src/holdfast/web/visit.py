"""One request of one application: whose it is, what its session holds, and what its answer has to set.

The state is found when the request comes and written before its answer begins. Nothing is stored for a visitor who
leaves nothing, and an id that nobody issued is never taken over (R3, R68).

Two cookies may come. That of the application names its HTTP session, which holds a copy of the logon it hangs below;
that of the logon rules: a session below another one is not used, and one whose copy was made under an older id of the
logon is brought up to date under a new id (R8). Requests that were sent together with the one that got the new id are
served through the logon's cookie (R9). That is one class of many
short methods: all of them share what the cookies named.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from holdfast._asgi import Scope
from holdfast.core.events import ADDRESS, Event, Fact
from holdfast.core.holding import Running as Call
from holdfast.core.model import Reason, Ref
from holdfast.core.session import Session
from holdfast.errors import BadInput, HoldfastError, NotLoggedOn, SessionConflict, SessionEnded, SessionNotFound
from holdfast.web.address import network_of
from holdfast.web.application import Application
from holdfast.web.binding import MILD, Binding, Fingerprint, browser_at, difference, used
from holdfast.web.caching import guarded, navigates
from holdfast.web.cookies import CLEAR_SITE_DATA, Cookie, TwoCookies, read_both
from holdfast.web.csrf import new_token
from holdfast.web.kinds import HTTP
from holdfast.web.rates import RateLimited
from holdfast.web.reply import Header
from holdfast.web.security import WITH, Logon, logon_of, mark_with
from holdfast.web.session_data import SessionData
from holdfast.web.site import Running, Security

SESSION: Final = "session"  # in the scope, where Starlette and its kin look for it
SEEN: Final = "seen"  # in the content of an HTTP session: the fingerprint of its last use


class Visit:
    """A request with the sessions it belongs to."""

    __slots__ = (
        "_app",
        "_began",
        "_counts",
        "_doubted",
        "_left",
        "_logon",
        "_logon_id",
        "_offer",
        "_running",
        "_set",
        "_verdict",
        "address",
        "call",
        "data",
        "http",
        "refusal",
        "scope",
        "security",
        "site",
        "unknown",
    )

    def __init__(self, scope: Scope, security: Security, running: Running, app: Application) -> None:
        self.scope, self.site, self._running, self._app = scope, security, running, app
        self.address = security.proxies.client_of(scope)
        self.http: Session | None = None
        self.security: Session | None = None
        self.data = SessionData(running.manager, None, begin=self._begin)
        self.call: Call | None = None
        self.refusal: HoldfastError | None = None
        self._logon: Logon | None = None  # the logon, once it was asked for
        self._logon_id = ""
        self._doubted: Session | None = None  # what the request's cookie names, but its place and program do not match
        self._verdict: Binding = "off"  # what follows from that
        self._set: dict[Cookie, str | None] = {}  # cookies to set; None clears
        self.unknown: list[Cookie] = []  # cookies that name nothing
        self._left = self._began = False
        self._counts = True
        self._offer: Header | None = None  # to bind the logon that has just been begun, or proven anew

    @property
    def services(self) -> Running:
        """The engine and the logons."""
        return self._running

    @property
    def logon(self) -> Logon | None:
        """Who has logged on; None for a visitor."""
        if self._logon is None:
            holder = self.http or self.security
            self._logon = logon_of(holder) if holder is not None else None
        return self._logon

    @property
    def node(self) -> Session | None:
        """The node whose end ends the request."""
        return self.http or self.security

    @property
    def counts(self) -> bool:
        """Whether the request is activity of its user, and no background traffic (R25)."""
        return self._counts

    async def find(self) -> None:
        """Find the sessions that the request's cookies name."""
        ADDRESS.set(self.address)
        scope, app = self.scope, self._app
        self._counts = scope["path"] not in app.background
        try:
            http_id, logon_id = read_both(scope, app.cookie, self.site.cookie)
        except TwoCookies as exc:
            self._tell(Fact.TWO_IDS, str(exc))
            return
        if http_id is not None:
            await self._find_http(http_id)
        if logon_id is not None:
            if self.http is None or self.http.content.get(WITH) != mark_with(logon_id):
                await self._find_logon(logon_id)
            self._logon_id = logon_id
        if self.http is not None and self.data.session is not self.http:
            self.data.show(self.http)

    async def limited(self) -> RateLimited | None:
        """Count cookies that name nothing, and return what to answer if too many come from this address (R75).

        Whose cookies are good is served from there as before. What names nothing is cleared: it keeps nobody out.
        """
        try:
            await self._running.rates.unknown.take(network_of(self.address))
        except RateLimited as exc:
            self._tell(Fact.RATE_LIMITED, str(exc))
            return exc
        return None

    async def log_in(self, logon: Logon, *, ends_at: float | None = None) -> None:
        """Begin a logon for this browser, or go on with the same person's under new ids (R8, S10, S14).

        Raises:
            BadInput: The answer has begun: its cookies cannot be set any more.
            LimitReached: They are logged on as often as they may be.
        """
        self._check_not_begun()
        there = await self._theirs(logon.principal)
        if there is not None:
            self._know(there, await self._running.logons.renew(there, logon, ends_at=ends_at, here=self.http))
            await self._go_on(there)
        else:
            fresh = await self._running.logons.begin(logon, ends_at=ends_at)
            if self.logon is not None:
                await self._forget(Reason.LOGOUT)
            self._know(fresh, str(fresh.id))
            await self._move(fresh)
            there = fresh
        if self.site.devices is not None:
            self._offer = self.site.devices.offer(self.scope, self._running.manager, there)
        self._logon, self._left, self.refusal = logon, False, None

    async def log_out(self, reason: Reason = Reason.LOGOUT, *, wipe: bool = True) -> None:
        """End the logon and all that hangs below it; the request goes on as a visitor's.

        With `wipe` the browser is told to forget all that it keeps of this site. That takes the cookies of every host
        below the same domain, so a browser that goes on to log off elsewhere is not told.
        """
        await self._forget(reason)
        self._left = wipe

    def let_go(self) -> None:
        """Let the request go on though its session ends: for one that ends it itself."""
        if self.call is not None:
            self.call.let_go()

    def stand_for(self, logon: Logon, http: Session) -> None:
        """Serve a program in the session that belongs to it; no cookie is set for it."""
        self._logon, self.http = logon, http
        self.data.show(http)

    async def of_logon(self) -> Session | None:
        """Return the logon's own node; None for a visitor, or if it has ended meanwhile."""
        if self.security is None and self.http is not None and self.http.record.parent is not None:
            try:
                self.security = await self._running.manager.get(Ref(self.http.record.tree, self.http.record.parent))
            except SessionNotFound:
                return None
        return self.security

    async def look_again(self) -> Logon | None:
        """Return the logon as it is now, for who has brought its id: another application may have renewed it."""
        if self.http is not None and self._logon_id:
            try:
                security = await self._running.logons.load(self._logon_id, touch=False)
            except SessionNotFound:
                return self.logon
            if security.key == self.http.record.parent and logon_of(security) != self.logon:
                await self._follow(security, self._logon_id)
                self.security, self._logon = security, logon_of(security)
        return self.logon

    async def token(self) -> str:
        """Return a token for this session's forms (S11); a visitor's session is opened for it."""
        ids = self.ids
        if not ids:
            self.data.session = await self._begin({})
            ids = self.ids
        return new_token(ids[0])

    @property
    def ids(self) -> list[str]:
        """The ids of the request's sessions, as its browser knows them or will."""
        http_id = self.http.id if self.http is not None else None
        return [one for one in (http_id, self._logon_id if self.logon is not None else "") if one]

    @property
    def doubted(self) -> bool:
        """Whether the request comes from elsewhere than its session's, and has to show anew whose it is (S12)."""
        return self._verdict == "step_up"

    async def save(self) -> None:
        """Write what was changed.

        Raises:
            NotLoggedOn, SessionConflict: The session has ended meanwhile, which no write revives (R38).
        """
        held = self.scope.get(SESSION)
        if held is not self.data:  # the application has put something else in its place
            self.data.replace(held if isinstance(held, Mapping) else {})
            self.scope[SESSION] = self.data
        if self.data.is_saved:
            return
        try:
            await self.data.save(on_conflict=self._app.on_conflict)
        except (SessionNotFound, SessionEnded):
            raise self.over() from None

    def over(self) -> HoldfastError:
        """Return what to answer when the session has ended while the request was served."""
        if self.logon is not None:
            return NotLoggedOn("the session ended while the request was served")
        return SessionConflict("the session ended, or somebody logged on in it, while the request was served")

    def leave(self) -> None:
        """End the visit: what refers to itself in a circle is freed at once, without the collector of garbage."""
        self.data.release()
        self.scope = {}

    def headers(self, given: Iterable[Header] = ()) -> list[Header]:
        """Return the headers of the answer: those given, and what goes with them (R13)."""
        self._began = True
        cookies = self._cookies() if self._set or self.unknown else []
        kept = guarded(given, cookies, personal=self.http is not None or self.security is not None)
        if self._left:
            kept.append(CLEAR_SITE_DATA)
        if self._offer is not None:
            kept.append(self._offer)
        return kept

    def _cookies(self) -> list[Header]:
        """Return the headers that set and clear cookies."""
        if self.unknown and navigates(self.scope):
            self._set |= {cookie: None for cookie in self.unknown if cookie not in self._set}
        made = [
            cookie.clear(self.scope) if value is None else cookie.put(self.scope, value)
            for cookie, value in self._set.items()
        ]
        return [header for header in made if header is not None]

    # -- finding

    async def _find_http(self, session_id: str) -> None:
        try:
            found = await self._running.logons.load_http(session_id, self._app.name, touch=self._touches)
            self.http = found if await self._fits(found, found.content.get(SEEN)) else None
        except (SessionNotFound, SessionEnded):
            self.unknown.append(self._app.cookie)

    async def _find_logon(self, session_id: str) -> None:
        try:
            security = await self._running.logons.load(session_id, touch=self._touches)
        except SessionNotFound:
            self.unknown.append(self.site.cookie)
            return
        logon = logon_of(security)
        if logon is None or not await self._fits(security, self._fingerprint(logon.address, logon.device.encode())):
            return
        try:
            await self._go_below(security, session_id)
        except (SessionEnded, SessionNotFound):  # it has ended meanwhile
            self.http = self.security = None

    async def _go_below(self, security: Session, logon_id: str) -> None:
        """Bring together the two sessions that the request's cookies name."""
        http = self.http
        if http is not None and http.record.parent is None:  # a visitor here who has logged on at another application
            self.data.show(http)
            self._logon_id = logon_id
            await self._move(security)
        elif http is not None and http.record.parent == security.key:
            await self._follow(security, logon_id)
        else:
            if http is not None:  # below a logon that this browser has left for another
                await self._running.manager.end(http, Reason.REPLACED)
            self._logon_id = logon_id
            await self._enter(security)
        self.security = security

    async def _enter(self, security: Session) -> None:
        """Go on in the application's session below a logon, or open it."""
        self.http = await self._running.logons.places.find(security, self._app.name)
        if self.http is None:
            await self._open_below(security)
        else:
            self.data.show(self.http)
            await self._follow(security, self._logon_id)

    # -- where and with what

    @property
    def seen(self) -> Fingerprint:
        """From where and with what program the request comes."""
        agent = b""
        for name, value in self.scope["headers"]:
            if name == b"user-agent":
                agent = value
                break
        return browser_at(self.address, agent, self.site.settings.fingerprint_prefix)

    def _fingerprint(self, address: str, agent: bytes) -> Fingerprint:
        return browser_at(address, agent, self.site.settings.fingerprint_prefix)

    @property
    def _touches(self) -> bool:
        """Whether loading counts as use at once; a session that may be refused must not notice who asked."""
        return self._counts and self._app.binding.strictest in MILD and self.site.devices is None

    async def _fits(self, session: Session, known: Any) -> bool:
        """Say whether a session may be used from here; if not as before, that is told of."""
        app, manager, devices = self._app, self._running.manager, self.site.devices
        told = self._doubted is not None  # of the application's cookie; the logon's is refused for the same
        if devices is not None and await devices.refuses(self.scope, manager, session, tells=not told):
            self._doubt(session, "step_up")
            return False
        bound = app.binding.strictest != "off" and isinstance(known, dict)
        if bound and (verdict := app.binding.verdict(known, seen := self.seen)) != "off":
            manager.tell(Fact.FINGERPRINT, session.record, detail=f"{difference(known, seen)}: {verdict}")
            if verdict != "warn":
                self._doubt(session, verdict)
                return False
            if session.record.kind == HTTP:
                await manager.merge(session, {SEEN: seen})  # told of once for each change
        if self._counts and not self._touches:
            await used(manager, session, app.name if session.record.kind == HTTP else "")
        return True

    def _doubt(self, session: Session, verdict: Binding) -> None:
        if self._doubted is None:
            self._doubted, self._verdict = session, verdict

    @property
    def _place(self) -> dict[str, Any]:
        return {} if self._app.binding.strictest == "off" else {SEEN: self.seen}

    # -- logging on and off

    async def _theirs(self, principal: str) -> Session | None:
        """Return the logon of this person that the request belongs to, also where that was in doubt."""
        there = await self.of_logon()
        doubted = self._doubted
        if there is None and doubted is not None and doubted.owner == principal:
            if doubted.record.kind == HTTP:
                self.http = doubted
                self.data.show(doubted)
                there = await self.of_logon()
            else:
                there = doubted
        return there if there is not None and there.owner == principal else None

    async def _go_on(self, security: Session) -> None:
        """Renew the HTTP session as well, or begin it."""
        if self.http is None:
            self.http = await self._running.logons.places.find(security, self._app.name)
            if self.http is not None:
                self.data.show(self.http)
        try:
            if self.http is not None:
                await self._follow(security, self._logon_id)
                return
        except (SessionNotFound, SessionEnded):
            self._drop()
        await self._open_below(security)

    async def _move(self, security: Session) -> None:
        """Hang the visitor's session below a logon, with what it keeps of its data."""
        for key in [key for key in self.data if key not in self._app.keeps]:
            del self.data[key]
        if self.http is None:
            await self._open_below(security)
            return
        logons, there = self._running.logons, await self._running.logons.places.find(security, self._app.name)
        try:
            attached = there is None and await logons.attach(
                self.http, security, logon_id=self._logon_id, keeps=self._app.survives
            )
        except (SessionNotFound, SessionEnded):  # another request was faster, or it has ended
            self.data.forget()
            attached = False
        if attached:
            self._set[self._app.cookie] = str(self.http.id)
            self.data.go_on_in(self.http)
        else:
            await self._join(security)

    async def _join(self, security: Session) -> None:
        """Go on in the session that the application has below a logon, with what a visitor keeps that it has not."""
        kept = dict(self.data)
        if self.http is not None:
            await self._running.manager.end(self.http, Reason.REPLACED)
        await self._enter(security)
        for key, value in kept.items():
            self.data.setdefault(key, value)

    async def _open_below(self, security: Session) -> None:
        """Open the application's session below a logon, unless another request just has: then go on in that one."""
        self.http, opened = await self._running.logons.enter(
            security, self._app.name, self._place, logon_id=self._logon_id
        )
        if opened:
            self.data.go_on_in(self.http)
            self._set[self._app.cookie] = str(self.http.id)
        else:
            self.data.show(self.http)
            await self._follow(security, self._logon_id)

    async def _follow(self, security: Session, logon_id: str) -> None:
        """Bring the HTTP session up to date with its logon."""
        if self.http is not None and await self._running.logons.follow(
            self.http, security, logon_id=logon_id, more=self._place
        ):
            self._set[self._app.cookie] = str(self.http.id)

    def _know(self, security: Session, session_id: str) -> None:
        self.security, self._logon_id = security, session_id
        self._set[self.site.cookie] = session_id

    async def _begin(self, content: dict[str, Any]) -> Session:
        """Open a visitor's HTTP session, when there is something to keep in it."""
        self._check_not_begun()
        if self.security is not None:
            raise SessionEnded("the logon has ended")
        self.http = await self._running.logons.open_http(
            self._app.name, {**content, **self._place}, client=self.address
        )
        self._set[self._app.cookie] = str(self.http.id)
        return self.http

    def _check_not_begun(self) -> None:
        if self._began:
            raise BadInput(
                "the answer has begun: no cookie can be set any more",
                hint="Log on, and write to the session of a new visitor, before the answer begins.",
            )

    async def _forget(self, reason: Reason) -> None:
        """End the logon, or a visitor's session, without ending this request with it."""
        there = await self.of_logon()
        self.let_go()
        if there is not None:
            await self._running.logons.end(there, reason)
        elif self.http is not None:
            await self._running.manager.end(self.http, reason)
        self.security = self._logon = self._offer = None
        self._set[self.site.cookie] = None
        self._drop()

    def _drop(self) -> None:
        self.http = None
        self._set[self._app.cookie] = None
        self.data.forget()

    def _tell(self, fact: Fact, detail: str) -> None:
        manager = self._running.manager
        manager.sink.emit(
            Event(fact=fact, at=manager.clock(), kind=HTTP, client=self.address, address=self.address, detail=detail)
        )
