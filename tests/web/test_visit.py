"""What happens when sessions end, are renewed or change hands while requests are served, in process."""

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.core.events import Fact
from holdfast.core.model import Reason
from holdfast.errors import BadInput, ConfigurationError, HoldfastError
from holdfast.web.middleware import SessionMiddleware, current, login, logout, require, visit_of
from web.test_middleware import HOST, Browser, Site, rows, site

__all__ = ["site"]

Handler = Callable[[Scope, Receive, Send], Any]


async def answered(send: Send, what: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": json.dumps(what).encode()})


def serve(site: Site, handler: Handler, name: str = "shop", **options: Any) -> None:
    """Let an ASGI function be the application of that name."""
    site.apps[name] = SessionMiddleware(handler, site.security, application=name, **options)  # type: ignore[assignment]


def copy(browser: Browser) -> Browser:
    return Browser(browser.site, httpx2.Cookies(browser.jar))


async def logged_on(site: Site, *apps: str, who: str = "ann") -> Browser:
    browser = Browser(site, httpx2.Cookies())
    for app in apps or ("shop",):
        await browser.get(app, f"/login/{who}" if app == (apps or ("shop",))[0] else "/")
    return browser


async def raw(site: Site, app: str, browser: Browser, *, kind: str = "http", **scope: Any) -> list[Message]:
    """Send one request past any client library; return all that is answered."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.jar.items()).encode()
    sent: list[Message] = []

    async def receive() -> Message:
        await anyio.sleep(0)
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    whole = {
        "type": kind,
        "method": "GET",
        "scheme": "wss" if kind == "websocket" else "https",
        "path": "/",
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "headers": [(b"host", b"site.example"), (b"cookie", cookie)],
        **scope,
    }
    await site.apps[app](whole, receive, send)
    return sent


# -- two cookies


async def test_the_logons_cookie_rules_over_a_session_that_hangs_below_another_logon(site: Site) -> None:  # R11
    ann, bob = await logged_on(site, "shop"), await logged_on(site, "bank", who="bob")
    await ann.get("shop", "/put?a=1")
    mixed = copy(ann)
    mixed.jar.set("__Host-holdfast-logon", bob.jar["__Host-holdfast-logon"], domain="site.example")
    assert await mixed.seen("shop") == {"who": "bob", "data": {}}
    assert await mixed.seen("shop") == {"who": "bob", "data": {}}
    assert await Browser(site, httpx2.Cookies({"__Host-shop": ann.jar["__Host-shop"]})).seen("shop") == {
        "who": None,
        "data": {},
    }, "the session that no browser would log off any more has ended"
    assert (await bob.seen("bank"))["who"] == "bob"


async def test_an_application_where_nothing_is_kept_holds_the_logon_as_well(site: Site) -> None:  # S4, S21
    browser = await logged_on(site, "shop")
    site.clock.now += 120.0
    for _ in range(3):
        await site.running.engine.keeper.turn()
    assert (await browser.seen("shop"))["who"] == "ann"
    assert (await browser.seen("bank"))["who"] == "ann"


async def test_of_the_first_requests_of_an_application_all_get_one_session(site: Site) -> None:  # T15
    browser = await logged_on(site, "shop")
    other = copy(browser)
    await browser.get("bank", "/put?a=1")
    await other.get("bank", "/put?b=2")  # sent before the first one's answer had come
    assert (await browser.seen("bank"))["data"] == {"a": "1", "b": "2"}


# -- renewed


async def test_after_a_renewal_the_other_applications_ids_are_new_as_well_and_the_old_ones_dead(
    site: Site,
) -> None:  # R8, R57
    browser = await logged_on(site, "shop", "bank")
    await browser.get("bank", "/put?b=2")
    old = copy(browser)
    site.clock.now += 700.0
    await browser.get("shop", "/login/ann")
    assert (await old.get("bank", "/orders")).status_code == 401, "knows the old ids alone"
    assert (await browser.get("bank", "/orders")).json() == "ann"
    assert (await browser.seen("bank"))["data"] == {"b": "2"}
    assert browser.jar["__Host-bank"] != old.jar["__Host-bank"]
    assert (await old.seen("bank"))["who"] is None


async def test_requests_sent_together_with_the_one_that_got_the_new_id_are_served(site: Site) -> None:  # R9, T14
    browser = await logged_on(site, "shop", "bank")
    await browser.get("bank", "/put?b=2")
    await browser.get("shop", "/login/ann")
    together = [copy(browser) for _ in range(20)]
    seen: list[Any] = []
    async with anyio.create_task_group() as tasks:
        for one in together:
            tasks.start_soon(lambda one=one: _see(one, seen))
    assert seen == [{"who": "ann", "data": {"b": "2"}}] * 20
    new = {one.jar["__Host-bank"] for one in together} - {browser.jar["__Host-bank"]}
    assert len(new) == 1, "one new id"
    assert len(await site.running.manager.children(await _logon_of(site), "http")) == 2, "no second session"


async def _see(browser: Browser, seen: list[Any]) -> None:
    seen.append(await browser.seen("bank"))


async def _logon_of(site: Site) -> Any:
    [ref] = [one.ref async for one in site.running.manager.each("kind", "security")]
    return ref


async def test_what_was_written_while_ids_were_renewed_is_kept(site: Site) -> None:  # T14, T15
    browser = await logged_on(site, "shop")

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            scope["session"]["slow"] = 1
            started.set()
            await go_on.wait()
        else:
            await login(scope, "ann")
        await answered(send, current(scope).subject)  # type: ignore[union-attr]

    started, go_on = anyio.Event(), anyio.Event()
    serve(site, handler)
    answers: list[httpx2.Response] = []

    async def slow() -> None:
        answers.append(await copy(browser).get("shop", "/slow"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow)
        await started.wait()
        await browser.get("shop", "/login")
        go_on.set()
    assert answers[0].status_code == 200
    serve(site, _show)
    assert (await browser.get("shop")).json() == {"slow": 1}


async def _show(scope: Scope, receive: Receive, send: Send) -> None:
    await answered(send, dict(scope["session"]))


# -- ended while a request is served


@pytest.mark.parametrize("writes", [True, False])
async def test_a_slow_request_of_a_logon_that_has_ended_ends_with_401_and_revives_nothing(
    site: Site, writes: bool
) -> None:  # R38, T12
    browser = await logged_on(site, "shop")

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope(shield=True):
            await site.running.logons.end_all("ann", Reason.ADMIN)
            if writes:
                scope["session"]["late"] = 1
            await answered(send, "late")
        await anyio.sleep(0)

    serve(site, handler, logon_path="/logon")
    answer = await copy(browser).get("shop")
    assert answer.status_code == (401 if writes else 200)
    if writes:
        assert answer.json()["error"]["code"] == "not_logged_on"
    assert await site.running.logons.listed("ann") == []
    serve(site, _show)
    assert (await browser.get("shop")).json() == {}


async def test_a_page_whose_logon_ends_while_it_waits_leads_to_the_logon(site: Site) -> None:  # R32, E18
    browser = await logged_on(site, "shop")

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await site.running.logons.end_all("ann", Reason.ADMIN)
        await anyio.sleep_forever()

    serve(site, handler, logon_path="/logon")
    with anyio.fail_after(5):
        answer = await browser.get("shop", "/report?a=1", accept="text/html")
    assert (answer.status_code, answer.headers["location"]) == (303, "/logon?next=%2Freport%3Fa%3D1")


async def test_who_logs_on_while_the_logon_ends_gets_a_new_one(site: Site) -> None:  # S10
    browser = await logged_on(site, "shop")

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        visit = visit_of(scope)
        assert visit.call is not None
        visit.call.let_go()
        await site.running.logons.end_all("ann", Reason.ADMIN)
        await login(scope, "ann")
        scope["session"]["new"] = 1
        await answered(send, current(scope).subject)  # type: ignore[union-attr]

    serve(site, handler)
    assert (await browser.get("shop")).json() == "ann"
    serve(site, _show)
    assert (await browser.get("shop")).json() == {"new": 1}


async def test_a_visitors_slow_request_does_not_write_into_the_session_of_who_has_logged_on_in_it(
    site: Site,
) -> None:  # T2, S3
    async with site.browser() as browser:
        await browser.get("shop", "/put?basket=tea")
        attacker = copy(browser)

        async def handler(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/login":
                await login(scope, "ann")
            else:
                await browser.get("shop", "/login")
                scope["session"]["basket"] = "poison"
            await answered(send, dict(scope["session"]))

        serve(site, handler, keeps=["basket"])
        answer = await attacker.get("shop", "/slow")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "session_conflict")
        serve(site, _show)
        assert (await browser.get("shop")).json() == {"basket": "tea"}


async def test_two_that_log_on_in_one_visitors_session_at_once_are_both_logged_on(site: Site) -> None:  # a double click
    async with site.browser() as browser:
        await browser.get("shop", "/put?basket=tea")
        second = copy(browser)

        async def handler(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/first":
                await second.get("shop", "/second")
            await login(scope, "ann")
            await answered(send, dict(scope["session"]))

        serve(site, handler, keeps=["basket"])
        assert (await browser.get("shop", "/first")).status_code == 200
        serve(site, _whose)
        assert (await browser.get("shop")).json() == (await second.get("shop")).json() == "ann"


async def _whose(scope: Scope, receive: Receive, send: Send) -> None:
    logon = current(scope)
    await answered(send, logon and logon.subject)


# -- after the first byte


async def test_after_the_first_byte_a_session_is_still_written_but_none_is_begun(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:  # S16
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        scope["session"]["late"] = 1
        await send({"type": "http.response.body", "body": b"2"})

    async with site.browser() as browser:
        serve(site, handler)
        said = await raw(site, "shop", browser)
        assert [message.get("body") for message in said] == [None, b"1"], "the client sees that it is not whole"
        assert await rows(site) == 0
        assert "the answer had begun" in caplog.text
        serve(site, _show)
        site.apps["shop"] = site.apps["bank"]
    browser = await logged_on(site, "bank")
    serve(site, handler, "bank")
    assert (await browser.get("bank")).text == "12"
    serve(site, _show, "bank")
    assert (await browser.get("bank")).json() == {"late": 1}


async def test_nobody_is_logged_on_after_the_first_byte(site: Site) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(BadInput):
            await login(scope, "ann")
        await send({"type": "http.response.body", "body": b"no"})

    async with site.browser() as browser:
        serve(site, handler)
        assert (await browser.get("shop")).text == "no"
    assert await rows(site) == 0


# -- what the application does


@pytest.mark.parametrize("new", [{"b": 2}, None, object()], ids=["a mapping", "nothing", "something else"])
async def test_what_an_application_puts_in_the_place_of_the_session_is_what_is_kept(site: Site, new: Any) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = new
        await answered(send, "ok")

    async with site.browser() as browser:
        await browser.get("shop", "/put?a=1")
        serve(site, handler)
        await browser.get("shop")
        serve(site, _show)
        assert (await browser.get("shop")).json() == (new if isinstance(new, dict) else {})


async def test_headers_of_the_application_and_ours_go_together(site: Site) -> None:  # R13, T37
    said: list[tuple[bytes, bytes]] = [(b"Cache-Control", b"public, max-age=3600"), (b"Vary", b"Accept, cookie")]

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/write":
            scope["session"]["a"] = scope["session"].get("a", 0) + 1
        await answered(send, "", *(said if scope["path"] != "/plain" else ()))

    async with site.browser() as browser:
        serve(site, handler)
        first = await browser.get("shop", "/write")
        assert first.headers.get_list("cache-control") == ["no-store"], "it sets a cookie"
        assert first.headers.get_list("vary") == ["Accept, cookie"]
        again = await browser.get("shop", "/write")
        assert again.headers.get_list("cache-control") == ["public, max-age=3600"], "the application knows"
        plain = await browser.get("shop", "/plain")
        assert (plain.headers["cache-control"], plain.headers["vary"]) == ("no-store", "Cookie")
    async with site.browser() as nobody:
        assert "cache-control" not in (await nobody.get("shop", "/plain")).headers


async def test_a_framework_that_makes_500_of_every_exception_does_not_hide_what_was_refused(site: Site) -> None:  # S17
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await require(scope, role=None if scope["path"] == "/" else "boss")
        except HoldfastError:
            await answered(send, "Internal Server Error", status=500)
        else:
            await answered(send, "fine")

    serve(site, handler, logon_path="/logon")
    async with site.browser() as browser:
        assert (await browser.get("shop")).json()["error"]["code"] == "not_logged_on"
        assert (await browser.get("shop", accept="text/html")).status_code == 303
    browser = await logged_on(site, "bank")
    assert (await browser.get("shop")).json() == "fine"
    assert (await browser.get("shop", "/x")).json()["error"]["code"] == "forbidden"


async def test_what_an_application_raises_is_answered_unless_it_is_a_fault(site: Site) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["lost"] = 1
        raise BadInput("no such article") if scope["path"] == "/bad" else ConfigurationError("broken")

    serve(site, handler)
    async with site.browser() as browser:
        answer = await browser.get("shop", "/bad")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_input")
        with pytest.raises(ConfigurationError):
            await browser.get("shop", "/broken")
    assert await rows(site) == 0


# -- WebSockets


async def test_a_websocket_that_is_refused_is_closed_as_a_matter_of_policy(site: Site) -> None:  # R61
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await require(scope)
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    serve(site, handler)
    async with site.browser() as nobody:
        [closed] = await raw(site, "shop", nobody, kind="websocket")
    assert (closed["type"], closed["code"], closed["reason"]) == ("websocket.close", 1008, "not_logged_on")
    browser = await logged_on(site, "bank")
    foreign = [(b"host", b"site.example"), (b"origin", b"https://evil.example")]
    cookie = ("; ".join(f"{name}={value}" for name, value in browser.jar.items())).encode()
    [closed] = await raw(site, "shop", browser, kind="websocket", headers=[*foreign, (b"cookie", cookie)])
    assert (closed["code"], closed["reason"]) == (1008, "cross_site")
    own = [(b"host", b"site.example"), (b"origin", b"https://site.example"), (b"cookie", cookie)]
    said = await raw(site, "shop", browser, kind="websocket", headers=own)
    assert [message["type"] for message in said] == ["websocket.accept", "websocket.close"]


# -- activity


async def test_background_traffic_is_no_activity(site: Site) -> None:  # R25
    serve(site, _whose, background=["/poll", "/events/"])
    browser = await logged_on(site, "bank")
    await browser.get("shop")
    ends_at = site.clock.now + 1800.0
    for path in ("/poll", "/events/news", "/poll"):
        site.clock.now += 500.0
        assert (await browser.get("shop", path)).json() == "ann"
    site.clock.now = ends_at
    assert (await Browser(site, httpx2.Cookies({"__Host-shop": browser.jar["__Host-shop"]})).get("shop")).json() is None


# -- the lifespan


async def lifespan(app: ASGIApp) -> list[Message]:
    """Start and stop an application; return what it told the server."""
    told: list[Message] = []
    coming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(coming)

    async def send(message: Message) -> None:
        told.append(message)

    await app({"type": "lifespan"}, receive, send)
    return told


async def test_an_application_that_knows_no_lifespan_gets_one(site: Site) -> None:
    async def unwilling(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only HTTP")

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    for app in (unwilling, silent):
        told = await lifespan(SessionMiddleware(app, site.security, application="shop"))
        assert [message["type"] for message in told] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_store_that_cannot_be_opened_fails_the_start_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down() -> None:
        raise ConfigurationError("no store")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await send({"type": "lifespan.startup.complete"})
        except ConfigurationError:
            await send({"type": "lifespan.startup.failed", "message": "again"})
            raise

    monkeypatch.setattr(site.security.opened, "get", down)
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        told.append(message)

    with pytest.raises(ConfigurationError):
        await SessionMiddleware(app, site.security, application="shop")({"type": "lifespan"}, receive, send)
    assert told == [{"type": "lifespan.startup.failed", "message": "no store"}]


# -- where and with what (S12)


def bound(site: Site, policy: str) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/login":
            await login(scope, "ann")
        elif scope["path"] == "/orders":
            await require(scope)
        await _whose(scope, receive, send)

    serve(site, handler, binding=policy)


FIREFOX, NEWER, CURL = "Mozilla/5.0 Firefox/140.0", "Mozilla/5.0 Firefox/141.0.2", "curl/8.1"


@pytest.mark.parametrize(
    ("policy", "seen", "orders", "told"),
    [
        ("off", "ann", 200, 0),
        ("warn", "ann", 200, 1),
        ("step_up", None, 401, 4),
        ("reject", None, 401, 4),
    ],
)
async def test_a_session_used_with_another_program_is_treated_as_the_application_chose(
    site: Site, policy: str, seen: str | None, orders: int, told: int
) -> None:  # S12, R50, T4
    bound(site, policy)
    async with site.browser() as browser:
        await browser.get("shop", "/login", user_agent=FIREFOX)
        thief = copy(browser)
        assert (await thief.get("shop", user_agent=CURL)).json() == seen
        assert (await thief.get("shop", "/orders", user_agent=CURL)).status_code == orders
        assert (await browser.get("shop", "/orders", user_agent=NEWER)).json() == "ann", "the victim notices nothing"
    mismatches = [event for event in site.sink.events if event.fact is Fact.FINGERPRINT]
    assert len(mismatches) == (2 if policy == "warn" else told)
    for event in mismatches:
        assert "user agent " in event.detail
        assert " -> " in event.detail
        assert event.detail.endswith(f": {policy}")


async def test_who_moves_goes_on_after_a_new_logon_where_a_step_up_is_asked_for(site: Site) -> None:  # S12, S14
    bound(site, "step_up")
    async with site.browser() as browser:
        await browser.get("shop", "/login", user_agent=FIREFOX)
        site.apps["bank"], step_up = site.apps["shop"], (await browser.get("shop", "/orders", user_agent=CURL)).json()
        assert step_up["error"]["code"] == "step_up_needed"
        old = copy(browser)
        await browser.get("shop", "/login", user_agent=CURL)
        assert (await browser.get("shop", "/orders", user_agent=CURL)).json() == "ann"
        assert len([one async for one in site.running.manager.each("kind", "security")]) == 1, "the same logon"
        assert (await old.get("shop", user_agent=FIREFOX)).json() is None, "under new ids"


# -- limits


async def test_who_may_not_log_on_stays_who_they_are(site: Site) -> None:  # S13
    browser = await logged_on(site, "shop")

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        from holdfast.errors import LimitReached

        visit = visit_of(scope)
        visit.services.logons.begin = full  # type: ignore[method-assign]
        with pytest.raises(LimitReached):
            await login(scope, "bob")
        del visit.services.logons.begin
        await _whose(scope, receive, send)

    async def full(*_: Any, **__: Any) -> Any:
        from holdfast.errors import LimitReached

        raise LimitReached("as often as they may")

    serve(site, handler)
    assert (await browser.get("shop")).json() == "ann"


async def test_a_logout_clears_what_the_browser_has_whoever_is_logged_on(site: Site) -> None:  # R20
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await logout(scope)
        await logout(scope)
        await answered(send, current(scope))

    browser = await logged_on(site, "shop")
    serve(site, handler)
    answer = await browser.get("shop")
    assert [line.partition(";")[0] for line in answer.headers.get_list("set-cookie")] == [
        "__Host-holdfast-logon=",
        "__Host-shop=",
    ]
    assert HOST.startswith("https")
