"""The way in: logon, contexts, CSRF, faults. What the ICM and the ICF do before and after ADT (ADT §2, §3, §5).

Order of a request: faults on demand, log-off, security session, context, token, then the resource in its context.
The table of ADT §3.1 is `_enter` (which context) and `_leave` (what becomes of it).
"""

import base64
import binascii
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from holdfast.simulator import answers
from holdfast.simulator.answers import LONG_AGO, Answer, Refused
from holdfast.simulator.call import Call, Receive, Scope, Send, read_body
from holdfast.simulator.cutting import ConnectionCut, wire_of
from holdfast.simulator.disturbances import disturb
from holdfast.simulator.faults import Rule

if TYPE_CHECKING:
    from holdfast.simulator.sessions import Context
    from holdfast.simulator.system import Simulator

LOGOFF: Final = "/sap/public/bc/icf/logoff"
SESSIONS: Final = "/sap/bc/adt/core/http/sessions"


class Gate:
    """The ASGI application of the ABAP system."""

    def __init__(self, system: "Simulator") -> None:
        self._system = system
        self._cookie = system.session_cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _accept_lifespan(scope, receive, send)
            return
        system, body = self._system, await read_body(receive)
        if body is None:
            return  # half a request is none
        call = Call(system, scope, body, system.clock())
        met = list(system.faults.take(call)) if system.faults.rules else []
        effects = [rule.effect for rule in met]
        answer: Answer | None = None
        try:
            if "cut_before" not in effects:
                answer = await self.answer(call, met)
        finally:
            cut = not {"cut_before", "cut_after"}.isdisjoint(effects)
            system.journal.record(call, None if cut else answer, faults=[*effects])
        if cut or answer is None:
            self._cut(scope)
        else:
            await _send(call, answer, scope, send)

    async def answer(self, call: Call, met: list[Rule]) -> Answer:
        """Return the answer to a request that meets these faults; Set-Cookie lines stay in the call."""
        system = self._system
        try:
            for rule in met:
                await disturb(system, rule, call)
            system.sweep(call.now)
            if call.path == LOGOFF:
                return await self._log_off(call)
            self._log_on(call)
            presented = self._find_context(call)
            self._check_token(call)
            if call.method == "DELETE" and call.path == f"{SESSIONS}/{call.session.resource_id}":
                await self._drain(call, spare=call.context if presented else None)
            answer = await self._run(call, presented)
        except Refused as refusal:
            answer = refusal.answer
        session = getattr(call, "session", None)
        if call.wants_token and session is not None and (call.method != "HEAD" or system.profile.head_status == 200):
            answer.headers.append(("x-csrf-token", session.token))
        return answer

    # Security session

    def _log_on(self, call: Call) -> None:
        """Find the security session by its cookie, or open one with the credentials sent along."""
        system = self._system
        session = system.sessions.find_session(call.cookies.get(self._cookie))
        if session is None:
            user = self._authenticate(call)
            listed = self._keeps_session(call)
            language = _language(call.query.get("sap-language", "")) or system.language
            limit = system.switches.sessions_per_user
            session = system.sessions.log_on(user, language, call.now, limit=limit, listed=listed)
            if listed:
                call.set_cookies.append(f"{self._cookie}={session.cookie}; path=/; HttpOnly")
            else:
                system.xsrf.adopt(session, call.cookies, call.set_cookies)
            context = f"sap-client={system.client}&sap-language={language}"
            call.set_cookies.append(f"sap-usercontext={context}; path=/")
        session.used_at = call.now
        call.session = session

    def _keeps_session(self, call: Call) -> bool:
        if not self._system.profile.session_must_be_created:
            return True
        return call.path == SESSIONS and call.headers.get("x-sap-security-session", "").lower() == "create"

    def _authenticate(self, call: Call) -> str:
        system = self._system
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        user, password = _basic(encoded) if scheme.lower() == "basic" else ("", "")
        if call.query.get("sap-client", system.client) != system.client:
            raise Refused(answers.logon_failed(system.system_id, system.client, "Client is not available"))
        if user and system.users.get(user.upper()) == password:
            return user.upper()
        if system.switches.html_logon_page:
            raise Refused(answers.logon_page())
        raise Refused(answers.logon_failed(system.system_id, system.client))

    async def _log_off(self, call: Call) -> Answer:
        """End the security session of the cookie; no token, no new session (ADT §4.1)."""
        system = self._system
        session = system.sessions.find_session(call.cookies.get(self._cookie))
        if session is not None:
            call.session = session
            await self._drain(call)
            system.sessions.end_session(session, call.now)
        for name in (self._cookie, "sap-usercontext"):
            call.set_cookies.append(f"{name}=deleted; expires={LONG_AGO}; path=/")
        call.set_cookies += answers.expired_context_cookies()
        page = b"<html><head><title>Logged Off</title></head><body>Logged Off Successfully</body></html>"
        return Answer(200, page, "text/html; charset=utf-8")

    async def _drain(self, call: Call, spare: "Context | None" = None) -> None:
        """Let the running requests of the session finish first, if closing is serialised."""
        if self._system.switches.serialise_close:
            self._system.sessions.withdraw(call.session)
            for context in [found for found in call.session.contexts.values() if found is not spare]:
                async with context.queue:
                    self._system.sessions.end_context(context, call.now)

    def _check_token(self, call: Call) -> None:
        if not call.changes or call.headers.get("x-csrf-token") == call.session.token:
            return
        if self._system.switches.stale_token_status == 401:
            page = answers.logon_page(401)
            page.headers.append(answers.realm(self._system.system_id, self._system.client))
            raise Refused(page)
        raise Refused(answers.csrf_required())

    # Context

    def _mode(self, call: Call) -> str:
        """Return stateful, stateless or keep (ADT §3.1)."""
        system = self._system
        if not (system.profile.header_honoured or system.switches.stateful_backport):
            return "stateless"
        mode = call.session_type
        if mode in ("stateful", "stateless"):
            return mode
        return "stateless" if mode and system.switches.unknown_session_type == "end" else "keep"

    def _find_context(self, call: Call) -> bool:
        """Put the presented context into the call and tell whether there is one; refuse one that is not ours."""
        key = call.context_id
        if key is None:
            return False
        context = self._system.sessions.find_context(key)
        if context is None or context.session is not call.session:
            raise Refused(answers.session_timed_out())
        call.context = context
        return True

    async def _run(self, call: Call, presented: bool) -> Answer:
        system = self._system
        mode = self._mode(call)
        closing = call.headers.get("sap-adt-purpose", "").lower() == "close-session"
        if presented and closing and not system.profile.session_resource:
            raise answers.no_resource()  # and the context stays: ADT §4.2
        if presented and closing and mode == "stateless" and not system.switches.serialise_close:
            self._end_presented(call)
            return system.router.dispatch(call)
        if not presented:
            self._enter(call, mode)
        answer = await self._in_turn(call, mode, presented=presented)
        if presented and mode == "stateless" and system.profile.stateless_transition_status != 200:
            return answers.session_timed_out()
        return answer

    def _enter(self, call: Call, mode: str) -> None:
        """Open a context for a request that presented none: a lasting one only if it says `stateful`."""
        call.context = self._system.sessions.open_context(
            call.session, call.now, kept=mode == "stateful" and call.session.listed
        )

    async def _in_turn(self, call: Call, mode: str, *, presented: bool) -> Answer:
        """Run the request when the context is free, and do afterwards to the context what the mode says."""
        context = call.context
        async with AsyncExitStack() as turn:
            if context.kept:
                await turn.enter_async_context(context.queue)
            self._still_there(call)
            context.running += 1
            try:
                await self._work(call, turn)
                self._still_there(call)
                call.now = self._system.clock()
                return self._system.router.dispatch(call)
            finally:
                context.running -= 1
                self._leave(call, mode, presented=presented)

    async def _work(self, call: Call, turn: AsyncExitStack) -> None:
        """Take a work process for as long as the turn lasts, and take the time a request takes."""
        system = self._system
        if system.switches.work_processes:
            limiter = system.work_processes()
            if system.switches.busy_answers_503 and limiter.available_tokens < 1:
                raise Refused(answers.overloaded())
            await turn.enter_async_context(limiter)
        if system.switches.delay_s:
            await system.pause(system.switches.delay_s)

    def _still_there(self, call: Call) -> None:
        if not call.context.alive:
            raise Refused(answers.session_timed_out())

    def _leave(self, call: Call, mode: str, *, presented: bool) -> None:
        context = call.context
        context.used_at = call.session.used_at = self._system.clock()
        if not context.kept:
            self._system.sessions.end_context(context, call.now)
        elif mode == "stateless":
            self._end_presented(call)
        elif not presented and context.alive:
            path = self._system.switches.context_cookie_path
            call.set_cookies.append(f"sap-contextid={context.key}; path={path}")

    def _end_presented(self, call: Call) -> None:
        self._system.sessions.end_context(call.context, self._system.clock())
        call.set_cookies += answers.expired_context_cookies()

    def _cut(self, scope: Scope) -> None:
        wire = wire_of(scope)
        if wire is None:
            raise ConnectionCut("the simulator closed the connection")
        wire.cut()


def _language(given: str) -> str:
    return given.upper() if given.isascii() and given.isalpha() and len(given) <= 2 else ""


def _basic(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


async def _send(call: Call, answer: Answer, scope: Scope, send: Send) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())] if answer.status != 304 else []
    if answer.media:
        headers.append((b"content-type", answer.media.encode("latin-1")))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers += [(b"set-cookie", line.encode("latin-1")) for line in call.set_cookies]
    wire = wire_of(scope) if answer.reason else None
    if wire is not None and answer.reason:
        wire.reason(answer.status, answer.reason)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else answer.body})


async def _accept_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Say yes to start and stop; nothing but HTTP is served."""
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
