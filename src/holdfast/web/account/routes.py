"""The routes of the ready-made pages, relative to where they are mounted.

    GET  /logon?next=…      the form; POST logs on, and goes on to `next`, a page of this site (S20, T31)
    GET  /logout            asks; POST logs out (R49)
    GET  /sessions          somebody's logons; POST ends one of them (`end`), or all others (`others`) (S13, R34, R36)
    GET  /password          asks for the old password and a new one; POST sets it, and ends all other logons (R34)
    GET  /style.css         how it looks

Inside the sessions of an application they belong to it; else they are an application of their own, which keeps nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from holdfast._asgi import Receive, Scope, Send
from holdfast.errors import BadInput, HoldfastError, NotFound, NotLoggedOn, StepUpNeeded
from holdfast.identity.attempts import TooManyAttempts
from holdfast.identity.passwords import TooManyLogons
from holdfast.web.account.elsewhere import Elsewhere
from holdfast.web.account.form import Form, read_form
from holdfast.web.account.markup import CSS, STYLE
from holdfast.web.account.pages import error_page, left_page, logon_page, logons_page, logout_page, password_page
from holdfast.web.body import ClientGone
from holdfast.web.csrf import FIELD
from holdfast.web.federation import told, told_each
from holdfast.web.middleware import VISIT, SessionMiddleware, check_csrf, csrf_token, login, require, visit_of
from holdfast.web.notice import Notice, onward
from holdfast.web.passwords import PASSWORD, PasswordLogon, WrongPassword, password_logon
from holdfast.web.query import below, number_in, query_of
from holdfast.web.reply import come_back
from holdfast.web.returns import local_path
from holdfast.web.security import Logon
from holdfast.web.site import Security
from holdfast.web.visit import Visit

APPLICATION: Final = "holdfast-account"
FRESH_S: Final = 600.0
FAILED: Final = 403  # of a wrong password: 401 would have to name a scheme of HTTP authentication (RFC 9110 §15.5.2)

Page = Callable[[Visit, Form], Awaitable[Notice]]


class Account:
    """The pages of one site.

    Args:
        security: What the applications of the process share.
        passwords: Checks names and passwords; left out, as `[passwords]` says, and without a file there is no form.
        elsewhere: Other ways to log on, which the form names.
        landing: Where people go who did not come from a page.
        fresh: Seconds for which a logon counts as fresh: to end another logon takes a fresh one.

    Raises:
        ConfigurationError: The password file cannot be read.
    """

    def __init__(
        self,
        security: Security,
        passwords: PasswordLogon | None = None,
        *,
        elsewhere: Sequence[Elsewhere] = (),
        landing: str = "/",
        fresh: float = FRESH_S,
    ) -> None:
        self._security, self._elsewhere, self._fresh = security, tuple(elsewhere), fresh
        self._landing = local_path(landing)
        self._passwords = passwords
        if passwords is None and security.settings.passwords.file is not None:
            self._passwords = password_logon(security.settings.passwords)
        self._sessions = SessionMiddleware(self._with_visit, security, application=APPLICATION)
        self._pages: dict[tuple[str, str], Page] = {
            ("GET", ""): self._home,
            ("GET", "/"): self._home,
            ("GET", "/logon"): self._ask_who,
            ("POST", "/logon"): self._log_on,
            ("GET", "/logout"): self._ask_to_leave,
            ("POST", "/logout"): self._log_out,
            ("GET", "/password"): self._ask_for_passwords,
            ("POST", "/password"): self._change_password,
            ("GET", "/sessions"): self._list,
            ("POST", "/sessions"): self._end,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http" and VISIT in scope:
            await self._with_visit(scope, receive, send)
        else:
            await self._sessions(scope, receive, send)

    # -- serving

    async def _with_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the account pages know nothing of {scope['type']}")
        try:
            notice = await self._answer(scope, receive)
        except ClientGone:
            return
        await notice.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Notice:
        method, path = scope["method"].replace("HEAD", "GET"), below(scope)
        if (method, path) == ("GET", "/style.css"):
            return Notice(200, STYLE, CSS)
        page, visit = self._pages.get((method, path)), visit_of(scope)
        if page is None:
            status = 405 if any(path == known for _, known in self._pages) else 404
            return error_page(root_of(visit), "Not here", status=status, home=self._landing)
        try:
            form = await self._form_of(visit, receive) if method == "POST" else {}
            return await page(visit, form)
        except (NotLoggedOn, StepUpNeeded) as exc:
            anew = "&anew=1" if isinstance(exc, StepUpNeeded) else ""
            return onward(f"{root_of(visit)}/logon?next={root_of(visit)}/sessions{anew}")
        except HoldfastError as exc:
            shown = error_page(
                root_of(visit), "That did not work", f"{exc}.", exc.hint, status=exc.status, home=self._landing
            )
            return waiting(shown, exc)

    async def _form_of(self, visit: Visit, receive: Receive) -> Form:
        """Return the fields of a form that a page of this site has sent (R59)."""
        form = await read_form(visit.scope, receive)
        await check_csrf(visit.scope, form.get(FIELD))
        return form

    async def _home(self, visit: Visit, form: Form) -> Notice:
        return onward(f"{root_of(visit)}/sessions")

    # -- logging on

    async def _ask_who(self, visit: Visit, form: Form) -> Notice:
        query = query_of(visit.scope)
        return await self._form(visit, to=self._next(query.get("next", "")), level=number_in(query, "level") or 1)

    async def _log_on(self, visit: Visit, form: Form) -> Notice:
        to, name = self._next(form.get("next", "")), form.get("name", "")
        if self._passwords is None:
            raise BadInput("nobody logs on with a password here")
        try:
            logon = await self._passwords.logon(visit.services, name, form.get("password", ""), address=visit.address)
        except (WrongPassword, TooManyAttempts, TooManyLogons) as exc:
            status = FAILED if isinstance(exc, WrongPassword) else exc.status
            again = await self._form(visit, to=to, name=name, wrong=_words(exc), status=status)
            return waiting(again, exc)
        await login(visit.scope, logon)
        return onward(to)

    async def _form(
        self, visit: Visit, *, to: str, level: int = 1, name: str = "", wrong: str = "", status: int = 200
    ) -> Notice:
        here = visit.logon
        return logon_page(
            root_of(visit),
            to=to,
            level=level,
            name=name or (here.subject if here and not here.issuer else ""),
            again=here is not None,
            wrong=wrong,
            status=status,
            elsewhere=self._elsewhere,
            passwords=self._passwords is not None and level == 1,
            proof=await _proof(visit),
        )

    def _next(self, wanted: str) -> str:
        """Return where to go on: what was wanted if it is of this site, else the landing page."""
        try:
            return local_path(wanted) if wanted else self._landing
        except BadInput:
            return self._landing

    # -- logging out

    async def _ask_to_leave(self, visit: Visit, form: Form) -> Notice:
        if visit.logon is None:
            return left_page(root_of(visit), home=self._landing)
        theirs = next((one for one in self._elsewhere if one.ends(visit.logon)), None)
        action = theirs.logout if theirs else f"{root_of(visit)}/logout"
        return logout_page(root_of(visit), visit.logon, action=action, home=self._landing, proof=await _proof(visit))

    async def _log_out(self, visit: Visit, form: Form) -> Notice:
        """Log off here first, then tell who vouched for the logon (R45)."""
        logon = visit.logon
        await visit.log_out()
        stays = await told(self._security.federations, logon) if logon else []
        return (
            left_page(root_of(visit), home=self._landing, stays=stays) if stays else onward(f"{root_of(visit)}/logout")
        )

    # -- one's own logons

    async def _list(self, visit: Visit, form: Form) -> Notice:
        return await self._listed(visit, await require(visit.scope))

    async def _listed(self, visit: Visit, logon: Logon, *, stays: Iterable[str] = ()) -> Notice:
        logons = await visit.services.logons.listed(logon.principal)
        here, own = await handle_of(visit), self._has_password(logon)
        return logons_page(root_of(visit), logon, logons, here, proof=await _proof(visit), password=own, stays=stays)

    async def _end(self, visit: Visit, form: Form) -> Notice:
        """End one logon or all others here first, then tell who vouched for them (R45)."""
        logon = await require(visit.scope, max_age=self._fresh)
        if "others" not in form and form.get("end", "") == await handle_of(visit):
            return await self._log_out(visit, form)
        ended = await self._end_others(visit, logon, None if "others" in form else form.get("end", ""))
        stays = await told_each(self._security.federations, ended)
        return await self._listed(visit, logon, stays=stays) if stays else onward(f"{root_of(visit)}/sessions")

    async def _end_others(self, visit: Visit, logon: Logon, handle: str | None) -> list[Logon]:
        """End the logon with a handle, or all others if it is None; return those that were ended."""
        logons, here = visit.services.logons, await visit.of_logon()
        own = "" if here is None else here.key.hex()
        others = [one for one in await logons.listed(logon.principal) if one.handle != own]
        if handle is None:
            if here is not None:
                await logons.end_others(here)
            return [one.logon for one in others]
        if not await logons.end_listed(logon.principal, handle):
            raise NotFound("you have no such session", hint="It may have ended already.")
        return [one.logon for one in others if one.handle == handle]

    # -- one's own password

    async def _ask_for_passwords(self, visit: Visit, form: Form) -> Notice:
        if not self._has_password(await require(visit.scope)):
            raise NotFound("you have no password here", hint="Change it where you log on.")
        return password_page(root_of(visit), proof=await _proof(visit))

    async def _change_password(self, visit: Visit, form: Form) -> Notice:
        """Set another password: the ids of this logon are new, and all others end (R8, R34)."""
        logon = await require(visit.scope)
        if self._passwords is None or not self._has_password(logon):
            raise NotFound("you have no password here", hint="Change it where you log on.")
        try:
            if form.get("fresh") != form.get("again"):
                raise BadInput("the new password was typed in two ways", hint="Type it once more.")
            fresh = await self._passwords.change(
                visit.services, logon.subject, form.get("password", ""), form.get("fresh", ""), address=visit.address
            )
        except (BadInput, WrongPassword, TooManyAttempts, TooManyLogons) as exc:
            status = FAILED if isinstance(exc, WrongPassword) else exc.status
            again = password_page(root_of(visit), wrong=_words(exc), status=status, proof=await _proof(visit))
            return waiting(again, exc)
        await login(visit.scope, fresh)
        here = await visit.of_logon()
        if here is not None:
            await visit.services.logons.end_others(here)
        return onward(f"{root_of(visit)}/sessions")

    def _has_password(self, logon: Logon) -> bool:
        return self._passwords is not None and not logon.issuer and logon.method == PASSWORD


def _words(error: HoldfastError) -> str:
    return f"{str(error).capitalize()}. {error.hint}"


async def _proof(visit: Visit) -> str:
    """Return the token for forms of this session; empty without one: no session is begun to ask for a password."""
    return await csrf_token(visit.scope) if visit.ids else ""


async def handle_of(visit: Visit) -> str:
    """Return the handle of the logon that a request belongs to; empty for a visitor."""
    here = await visit.of_logon()
    return here.key.hex() if here else ""


def root_of(visit: Visit) -> str:
    """Return where the pages are mounted that a request is for."""
    return str(visit.scope.get("root_path", ""))


def waiting(notice: Notice, error: HoldfastError) -> Notice:
    """Return a page with when to come back, if that helps."""
    seconds = getattr(error, "retry_after", 2.0)
    return Notice(notice.status, notice.body, (*notice.headers, *come_back(error.status, seconds)))
