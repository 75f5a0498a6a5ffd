"""The driver of one logon: puts cookies, token and context into requests, and takes them out of answers.

It decides nothing about objects. Whoever uses it holds the node's lease, so one request runs at a time and a token is
fetched once (A21). After the logon request only cookies and token travel, never credentials (A2): a request that
arrives late meets a dead session instead of opening a new one.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from holdfast.backend.jar import Jar
from holdfast.backend.logon import Logon, Purpose
from holdfast.backend.signs import CONTEXT_COOKIE, SECURITY_COOKIES, Sign, ends_context, offered_token, sign_of
from holdfast.backend.system import System
from holdfast.backend.wire import Call, Reply
from holdfast.errors import BackendError, BackendUnavailable, LogonFailed, SessionExpiredError

CSRF: Final = "x-csrf-token"
FETCH: Final = {CSRF: "Fetch"}


class LogonGone(SessionExpiredError):
    """The logon is gone: nothing more can be sent with it. `refused`: the request was certainly not executed."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class ContextGone(SessionExpiredError):
    """The application context is gone, and with it its locks."""


class TokenInvalid(SessionExpiredError):
    """A token fetched a moment ago was refused again (A13)."""


class BackendSession:
    """One logon at one system, in use. `logon` is what has to be stored afterwards, if `changed`.

    `shield` keeps requests from being cut off once they are sent. `check` is asked right before anything is sent: who
    uses the session under a lease may no longer do so when that has run out.
    """

    def __init__(self, system: System, logon: Logon, *, shield: bool = True) -> None:
        self.system, self.logon, self._shield = system, logon, shield
        self.changed = False
        self.check: Callable[[], None] | None = None
        self._jar = Jar.load(logon.jar)

    @classmethod
    def fresh(cls, system: System, purpose: Purpose) -> "BackendSession":
        """Return a session that has not logged on yet."""
        return cls(system, Logon(system=system.name, user=system.user, purpose=purpose))

    def dump(self) -> dict[str, Any]:
        """Return the content to store."""
        self.logon.jar = self._jar.dump()
        return self.logon.dump()

    def cookie_header(self) -> str:
        """Return the cookies as they go to the system's ADT services: for `session_state` in plain form only."""
        return self._jar.header(self.system.wire.base_url + "/sap/bc/adt/", now=self.system.clock())

    # -- coming and going

    async def log_on(self) -> None:
        """Log on afresh: a new jar, a new token, no context. What was there before is forgotten, not ended.

        Raises:
            LogonFailed: The credentials were refused, or the system wants a browser.
        """
        system = self.system
        past, version = self.logon.past, self.logon.version
        self._jar = Jar()
        self.logon = Logon(system=system.name, user=system.user, purpose=self.logon.purpose, past=past, version=version)
        reply = await self._enter()
        now = system.clock()
        self.logon.version = version + 1
        self.logon.since = self.logon.used_at = now
        self.logon.idle_limit = system.door.idle_limit(reply)
        self.changed = True

    async def log_off(self) -> None:
        """End the logon and everything on it. One that is gone already is fine; silence or a refusal is an error."""
        reply = await self._exchange(self.system.door.logoff)
        if reply.status >= 400 and reply.status != 401:
            raise BackendUnavailable(f"{self.system.name} answered {reply.status} to the log-off")
        self.logon.broken, self.logon.context, self.logon.token = True, "", ""
        self._jar = Jar()
        self.changed = True

    # -- requests

    async def send(self, call: Call) -> Reply:
        """Send a request with what belongs to this logon and return its answer, whatever it says about the object.

        A refused token is fetched again in the same session and the request, which was not executed, sent once more.

        Raises:
            LogonGone, ContextGone, TokenInvalid: "Session expired", or "CSRF token invalid".
            AnswerLost, BackendUnavailable: No answer; or no free work process.
        """
        if self.logon.broken:
            raise LogonGone("Session expired: the logon has ended before this request was sent", refused=True)
        if call.changes and not self.logon.token:
            await self._fetch_token()
        reply = await self._exchange(call)
        if sign_of(reply) is Sign.TOKEN_REFUSED:
            await self._fetch_token()
            reply = await self._exchange(call)
        self._check(reply)
        return reply

    async def _fetch_token(self) -> None:
        call = self.system.door.token(bool(self.logon.context), self.system.route)
        reply = await self._exchange(with_headers(call, FETCH))
        self._check(reply)
        if not self.logon.token:
            raise TokenInvalid("CSRF token invalid: the back end hands out none in this session")

    def _check(self, reply: Reply) -> None:
        """Raise what an answer says about the session."""
        sign = sign_of(reply)
        if sign is Sign.LOGGED_OUT:
            self.logon.broken = self.changed = True
            raise LogonGone(f"Session expired: the back end asks for a new logon ({reply.status})", refused=True)
        if sign is Sign.CONTEXT_GONE:
            raise ContextGone("Session expired: the back end has ended the session that held the lock (ICMENOSESSION)")
        if sign is Sign.TOKEN_REFUSED:
            raise TokenInvalid("CSRF token invalid: the back end refused a token it had just handed out")
        if sign is Sign.OVERLOADED:
            raise BackendUnavailable(f"{self.system.name} has no free work process", hint="Try again in a minute.")

    async def _enter(self) -> Reply:
        """Go through the first door that is there; the credentials go with the first request that needs them."""
        system = self.system
        for number, call in enumerate(system.door.logon[system.route :], system.route):
            query = {"sap-client": system.settings.client, "sap-language": system.settings.language, **call.query}
            credentials = {} if self._security() else {"authorization": system.authorization()}
            reply = await self._exchange(with_headers(msgspec.structs.replace(call, query=query), credentials | FETCH))
            if sign_of(reply) is Sign.LOGGED_OUT:
                raise self._logon_failed(reply)
            self._check(reply)
            if reply.status == 200:
                system.route = number
                return reply
            if reply.status != 404:
                raise BackendError(
                    f"{system.name} answered the logon with an unexpected status ({reply.status})",
                    hint=f"Check that {system.settings.url} is the address of an ABAP system.",
                )
        raise BackendError(
            f"{system.name} has none of the ADT services one can log on with",
            hint=f"Check that {system.settings.url} is an ABAP system whose service /sap/bc/adt is active.",
        )

    def _logon_failed(self, reply: Reply) -> LogonFailed:
        system = self.system
        if reply.status == 401:
            return LogonFailed(f"{system.name} refused the logon of {system.user or 'the token'}")
        return LogonFailed(
            f"{system.name} answers the logon with a page for a browser",
            hint="Use a user with password, or a token, that may log on without a browser.",
        )

    async def _exchange(self, call: Call) -> Reply:
        """Send once and take in what the answer brings, whatever its status."""
        wire, now = self.system.wire, self.system.clock()
        headers = {"cookie": self._jar.header(wire.url(call), now=now)} if self._jar.names() else {}
        if self.logon.context:
            headers["sap-contextid"] = self.logon.context
        if call.changes:
            headers[CSRF] = self.logon.token
        before = self._security()
        reply = await wire.send(call, headers, shield=self._shield, check=self.check)
        self._absorb(call, reply)
        if before and self._security() not in ({}, before):
            self.logon.broken = True
            raise LogonGone("Session expired: the back end has opened a new security session", refused=False)
        return reply

    def _absorb(self, call: Call, reply: Reply) -> None:
        now = self.system.clock()
        changed = self._jar.absorb(self.system.wire.url(call), reply.cookies, now=now)
        if ends_context(reply) or sign_of(reply) is Sign.CONTEXT_GONE:
            self._jar.drop(CONTEXT_COOKIE)
            self.logon.context = ""
        elif context := self._jar.get(CONTEXT_COOKIE):
            self.logon.context = context
        token = offered_token(reply)
        changed |= token is not None and token != self.logon.token
        self.logon.token = token or self.logon.token
        self.logon.version += changed
        self.logon.used_at = now
        self.changed |= changed

    def _security(self) -> dict[str, str | None]:
        return {name: self._jar.get(name) for name in self._jar.names() if name.startswith(SECURITY_COOKIES)}

    def __repr__(self) -> str:
        return f"<BackendSession {self.logon!r}>"


def with_headers(call: Call, headers: dict[str, str]) -> Call:
    """Return the call with further headers."""
    return msgspec.structs.replace(call, headers={**call.headers, **headers})
