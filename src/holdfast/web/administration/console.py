"""The administrator's console: pages over the same `Administrator` as the API's, relative to where it is mounted.

    GET  /logons?user=…&application=…&after=…       who is logged on, page by page (S5, R73)
    GET  /logons/HANDLE?after=…                     one logon, with the tree of what hangs below it
    GET  /end?logon=… | user=… | application=… | all=yes    says what will happen; POST does it
    GET  /style.css                                 how it looks
    GET, POST  /SECTION/…                           what another face adds: a `Section`

It is an application of its own, with sessions of its own below its administrators' logons. Who looks needs the role;
who ends something has logged on a short while ago as well, and its form brings the session's token. No id of a session
is on any page. Each end is in the audit trail, with who did it.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from holdfast._asgi import Receive, Scope, Send
from holdfast.errors import ConfigurationError, HoldfastError, NotFound, NotLoggedOn, SessionNotFound, StepUpNeeded
from holdfast.web.account.form import Form, read_form
from holdfast.web.account.markup import CSS
from holdfast.web.account.pages import error_page
from holdfast.web.account.routes import handle_of, root_of, waiting
from holdfast.web.administration.administrator import Administrator, Page
from holdfast.web.administration.aim import YES, Aim, aim_of, end
from holdfast.web.administration.api import FRESH_S, LOGONS, ROLE, MethodNotAllowed
from holdfast.web.administration.console_pages import (
    LOOK,
    Asked,
    confirm_page,
    ended_page,
    logon_page,
    logons_page,
    way_to_end,
)
from holdfast.web.administration.tree import Tree, counted
from holdfast.web.body import ClientGone
from holdfast.web.middleware import VISIT, SessionMiddleware, csrf_token, require, visit_of
from holdfast.web.notice import Notice, onward
from holdfast.web.query import Query, below, query_of
from holdfast.web.returns import local_path
from holdfast.web.security import Logon
from holdfast.web.site import Security
from holdfast.web.visit import Visit

APPLICATION: Final = "holdfast-console"
END: Final = "/end"
SHOWN: Final = 20  # logons on a page
FORBIDDEN: Final = 403

Shown = Callable[[Visit, Logon, Query], Awaitable[Notice]]


class Section(Protocol):
    """Pages that another face adds to the console, below `path`, such as `/flows`; `title` is what the link says."""

    path: str
    title: str

    async def show(self, root: str, path: str, query: Query, proof: str) -> Notice:
        """Return a page. `path` is what comes after the section's own, `proof` goes into its forms (`proof_field`)."""
        ...

    async def do(self, root: str, path: str, form: Form, by: str) -> Notice:
        """Do what a form asks for, in the name of a freshly logged on administrator."""
        ...


class Console:
    """The console of one site.

    Args:
        security: What the applications of the process share; its federations are told of logons that are ended.
        logon_path: The page where people log on; it leads back here.
        role: What an administrator is.
        fresh: Seconds for which a logon counts as fresh: to end something takes a fresh one.
        level: How strong the logon must be.
        home: Where people go who may not be here.
        sections: More pages.
    """

    def __init__(
        self,
        security: Security,
        *,
        logon_path: str = "/account/logon",
        role: str = ROLE,
        fresh: float = FRESH_S,
        level: int = 1,
        home: str = "/",
        sections: Iterable[Section] = (),
    ) -> None:
        self._security, self._role, self._fresh, self._level = security, role, fresh, level
        self._home = local_path(home)
        self._sections = tuple(sections)
        self._sessions = SessionMiddleware(
            self._with_visit,
            security,
            application=APPLICATION,
            logon_path=logon_path,
            same_site="strict",
            csrf="token",
        )
        self._pages: dict[tuple[str, str], Shown] = {
            ("GET", ""): self._begin,
            ("GET", "/"): self._begin,
            ("GET", LOGONS): self._list,
            ("GET", END): self._ask,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if VISIT in scope:
            raise ConfigurationError(
                "the console has sessions of its own",
                hint="Mount it beside the applications, not within their SessionMiddleware.",
            )
        await self._sessions(scope, receive, send)

    # -- serving

    async def _with_visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the console knows nothing of {scope['type']}")
        try:
            notice = await self._answer(visit_of(scope), receive)
        except ClientGone:
            return
        await notice.send(send)

    async def _answer(self, visit: Visit, receive: Receive) -> Notice:
        """Return a page. Whose logon does not do is sent to where they log on, by the middleware, and comes back."""
        scope = visit.scope
        method, path = scope["method"].replace("HEAD", "GET"), below(scope)
        if (method, path) == ("GET", "/style.css"):
            return Notice(200, LOOK, CSS)
        try:
            logon = await require(scope, role=self._role, level=self._level)
            if (method, path) == ("POST", END):
                return await self._end(visit, receive)
            if (section := self._section(path)) is not None:
                return await self._in_section(section, method, visit, receive)
            return await self._page(method, path)(visit, logon, query_of(scope))
        except (NotLoggedOn, StepUpNeeded):
            if method == "GET":
                raise
            return _once_more(visit, f"{root_of(visit)}{LOGONS}")
        except HoldfastError as exc:
            return self._refused(visit, exc)

    def _refused(self, visit: Visit, exc: HoldfastError) -> Notice:
        home, link = (self._home, "Go on") if exc.status == FORBIDDEN else (root_of(visit) + LOGONS, "All logons")
        words = (f"{exc}.", exc.hint)
        shown = error_page(root_of(visit), "That did not work", *words, status=exc.status, home=home, link=link)
        return waiting(shown, exc)

    def _page(self, method: str, path: str) -> Shown:
        shown = self._pages.get((method, path))
        if shown is None and method == "GET" and path.startswith(LOGONS + "/"):
            shown = self._show
        if shown is None:
            if path.startswith(LOGONS) or path == END:
                raise MethodNotAllowed(f"{method} does nothing here")
            raise NotFound("there is nothing at this address")
        return shown

    # -- sections

    def _section(self, path: str) -> Section | None:
        return next((one for one in self._sections if path == one.path or path.startswith(one.path + "/")), None)

    async def _in_section(self, section: Section, method: str, visit: Visit, receive: Receive) -> Notice:
        root, path = root_of(visit), below(visit.scope).removeprefix(section.path)
        if method == "GET":
            return await section.show(root, path, query_of(visit.scope), await csrf_token(visit.scope))
        if method != "POST":
            raise MethodNotAllowed(f"{method} does nothing here")
        form = await read_form(visit.scope, receive)
        try:
            logon = await self._require_fresh(visit)
        except StepUpNeeded:
            return _once_more(visit, f"{root}{section.path}{path}")
        return await section.do(root, path, form, logon.principal)

    # -- looking

    async def _begin(self, visit: Visit, logon: Logon, query: Query) -> Notice:
        return onward(f"{root_of(visit)}{LOGONS}")

    async def _list(self, visit: Visit, logon: Logon, query: Query) -> Notice:
        user, application = (query.get(name, "").strip() for name in ("user", "application"))
        who = self._administrator(visit, logon)
        page = await who.page(user=user, application=application, after=query.get("after", ""), count=SHOWN)
        links = [(one.title, one.path) for one in self._sections]
        return logons_page(root_of(visit), page, await handle_of(visit), links, user=user, application=application)

    async def _show(self, visit: Visit, logon: Logon, query: Query) -> Notice:
        who, handle = self._administrator(visit, logon), below(visit.scope).removeprefix(LOGONS + "/")
        one, tree = await who.show(handle), await who.below(handle, after=query.get("after", ""))
        return logon_page(root_of(visit), one, tree, here=handle == await handle_of(visit))

    # -- ending

    async def _ask(self, visit: Visit, logon: Logon, query: Query) -> Notice:
        await self._require_fresh(visit)
        aim, who = aim_of(query), self._administrator(visit, logon)
        page, own = await self._ending(who, aim), await handle_of(visit)
        tree = await who.below(aim.name) if aim.what == "logon" else Tree()
        asked = Asked(
            aim=aim,
            logons=page.logons,
            more=bool(page.after or tree.after),
            below=counted(tree.nodes),
            stays=await who.stays(page.logons),
            own=aim.what == "all" or aim in (Aim("logon", own), Aim("user", logon.principal)),
        )
        return confirm_page(root_of(visit), asked, proof=await csrf_token(visit.scope))

    async def _ending(self, who: Administrator, aim: Aim) -> Page:
        """Return the logons that would end, or the first of them."""
        if aim.what == "application":
            return Page(())
        if aim.what == "logon":
            return Page((await who.show(aim.name),))
        page = await who.page(user=aim.name if aim.what == "user" else "", count=SHOWN)
        if aim.what == "user" and page == Page(()):
            raise NotFound("nobody is logged on under this name")
        return page

    async def _end(self, visit: Visit, receive: Receive) -> Notice:
        """End what the form names; the administrator's own session may be among it."""
        form = await read_form(visit.scope, receive)
        aim, local = aim_of(query_of(visit.scope)), form.get("local") == YES
        try:
            logon = await self._require_fresh(visit)
        except StepUpNeeded:
            return _once_more(visit, way_to_end(root_of(visit), aim))
        here = await visit.of_logon()
        visit.let_go()
        ended = await end(self._administrator(visit, logon, local=local), aim)
        own = here is None
        try:
            if here is not None:
                await visit.services.manager.get(here.ref)
        except SessionNotFound:
            own = True
        if own:
            await visit.log_out()
        return ended_page(root_of(visit), aim, ended, own=own, local=local)

    async def _require_fresh(self, visit: Visit) -> Logon:
        return await require(visit.scope, role=self._role, max_age=self._fresh, level=self._level)

    def _administrator(self, visit: Visit, logon: Logon, *, local: bool = False) -> Administrator:
        return Administrator(visit.services.manager, self._security.federations, by=logon.principal, local=local)


def _once_more(visit: Visit, to: str) -> Notice:
    """Return what answers a form that came too late: no redirect, as a browser lets none lead from a form elsewhere."""
    words = "Nothing was done: that asks for a fresh proof that it is you."
    return error_page(root_of(visit), "Once more", words, status=401, home=to)
