"""Security sessions and application contexts, and how each of them ends (ADT §2.1, §3, §4, §5).

A security session is one logon: user, CSRF token, cookie. A context lives inside exactly one security session,
owns locks and runs one request at a time. Nothing here knows HTTP; `now` is always passed in.
"""

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

import anyio

MAX_TOKENS: Final = 10_000
"""Tokens of logons without a session that are remembered; the oldest goes first."""


class Context:
    """An application context: one row of SM04, the owner of locks."""

    def __init__(self, key: str, session: "SecuritySession", now: float, *, kept: bool) -> None:
        self.key = key
        self.session = session
        self.created_at = self.used_at = now
        self.kept = kept
        """False: made for one request, ends with it."""
        self.alive = True
        self.running = 0
        self.queue = anyio.Lock()
        """Requests of one context run one after another, in the order they came (ADT §3.1)."""


class SecuritySession:
    """One logged-on user: one row of SM05."""

    def __init__(self, cookie: str, user: str, language: str, now: float, *, listed: bool = True) -> None:
        self.cookie = cookie
        self.user = user
        self.language = language
        self.listed = listed
        """False: made for one request, no cookie names it."""
        self.resource_id = secrets.token_hex(16).upper()
        self.token = new_token()
        self.created_at = self.used_at = now
        self.alive = True
        self.contexts: dict[str, Context] = {}


class SessionTable:
    """All sessions of the system. `on_context_end` is told of every context that ends: its locks go."""

    def __init__(self, system_id: str, on_context_end: Callable[[Context, float], None]) -> None:
        self._system_id = system_id
        self._on_context_end = on_context_end
        self._sessions: dict[str, SecuritySession] = {}
        self._contexts: dict[str, Context] = {}
        self._next_expiry = float("inf")
        self.logons = 0

    def sessions(self) -> Iterator[SecuritySession]:
        """Yield the living security sessions."""
        yield from list(self._sessions.values())

    def contexts(self) -> Iterator[Context]:
        """Yield the contexts that outlive a request."""
        yield from list(self._contexts.values())

    def find_session(self, cookie: str | None) -> SecuritySession | None:
        """Return the session this cookie value names, byte for byte."""
        return self._sessions.get(cookie) if cookie else None

    def find_context(self, key: str) -> Context | None:
        """Return the living context of this id."""
        return self._contexts.get(key)

    def log_on(self, user: str, language: str, now: float, *, limit: int = 0, listed: bool = True) -> SecuritySession:
        """Open a security session; over `limit` sessions of the user the longest idle one ends.

        `listed=False` makes one for a single request, as cloud systems do before a session was created.
        """
        session = SecuritySession(new_cookie(), user, language, now, listed=listed)
        if not listed:
            return session
        own = sorted((s for s in self._sessions.values() if s.user == user), key=lambda s: s.used_at)
        for oldest in own[: len(own) + 1 - limit] if limit else ():
            self.end_session(oldest, now)
        self._sessions[session.cookie] = session
        self._next_expiry = 0.0
        self.logons += 1
        return session

    def rotate_token(self, session: SecuritySession) -> None:
        """Give the session another CSRF token; the old one fits no longer."""
        session.token = new_token()

    def open_context(self, session: SecuritySession, now: float, *, kept: bool) -> Context:
        """Open a context in the session; one that is not kept shows up nowhere."""
        context = Context(new_context_id(self._system_id), session, now, kept=kept)
        if kept:
            self._contexts[context.key] = session.contexts[context.key] = context
            self._next_expiry = 0.0
        return context

    def end_context(self, context: Context, now: float) -> None:
        """End the context and with it everything it owns. Ending twice is ending once."""
        if not context.alive:
            return
        context.alive = False
        self._contexts.pop(context.key, None)
        context.session.contexts.pop(context.key, None)
        self._on_context_end(context, now)

    def withdraw(self, session: SecuritySession) -> None:
        """Let nobody in any more; what runs in the session goes on until `end_session`."""
        self._sessions.pop(session.cookie, None)

    def end_session(self, session: SecuritySession, now: float) -> None:
        """End the security session and all its contexts."""
        session.alive = False
        self._sessions.pop(session.cookie, None)
        for context in list(session.contexts.values()):
            self.end_context(context, now)

    def end_all(self, now: float) -> None:
        """End everything, as a restart of the application server does."""
        for session in self.sessions():
            self.end_session(session, now)

    def sweep(self, now: float, *, context_timeout_s: float, session_timeout_s: float) -> None:
        """End what has been idle for its time-out or longer. A context with a running request is not idle."""
        if now < self._next_expiry:
            return
        for session in self.sessions():
            busy = any(context.running for context in session.contexts.values())
            if not busy and now >= session.used_at + session_timeout_s:
                self.end_session(session, now)
        for context in self.contexts():
            if not context.running and now >= context.used_at + context_timeout_s:
                self.end_context(context, now)
        self._next_expiry = min(
            [s.used_at + session_timeout_s for s in self._sessions.values()]
            + [c.used_at + context_timeout_s for c in self._contexts.values()],
            default=float("inf"),
        )

    def forget_schedule(self) -> None:
        """Look at every session again at the next sweep: a time-out was changed."""
        self._next_expiry = 0.0


class XsrfTable:
    """CSRF tokens of logons without a session, kept by the `sap-XSRF_*` cookie (cloud, ADT §2.4)."""

    def __init__(self, cookie: str) -> None:
        self._cookie = cookie
        self._tokens: dict[str, str] = {}

    def adopt(self, session: SecuritySession, cookies: Mapping[str, str], set_cookies: list[str]) -> None:
        """Give a one-request session the token its cookie stands for, or a new cookie."""
        known = self._tokens.get(cookies.get(self._cookie, ""))
        if known is not None:
            session.token = known
            return
        value = new_cookie()
        self._tokens[value] = session.token
        if len(self._tokens) > MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        set_cookies.append(f"{self._cookie}={value}; path=/; HttpOnly")


def new_token() -> str:
    """Return a CSRF token in the shape SAP uses: base64 of 16 bytes."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def new_cookie() -> str:
    """Return a session cookie value: base64-like and percent-encoded, to be sent back byte for byte (ADT §2.1)."""
    return quote(base64.b64encode(secrets.token_bytes(34)).decode(), safe="")


def new_context_id(system_id: str) -> str:
    """Return a context id: 77 characters ending in `-ATT`, percent-encoded colons (ADT §2.1)."""
    head = f"SID%3aANON%3aholdfast_{system_id}_00%3a"
    body = base64.b64encode(secrets.token_bytes(48)).decode().translate({43: "-", 47: "_"})
    return head + body[: 77 - len(head) - len("-ATT")] + "-ATT"
