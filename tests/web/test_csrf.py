"""Requests that other sites' pages make browsers send, and tokens (R58, R59)."""

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._asgi import Message, Receive, Scope, Send
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.web.address import Proxies
from holdfast.web.body import read_body
from holdfast.web.csrf import comes_from_here, is_token_of, new_token, token_in
from holdfast.web.middleware import SessionMiddleware, check_csrf, csrf_token, login, logout
from web.test_middleware import HOST, Browser, Site, site
from web.test_visit import answered, copy, serve

__all__ = ["site"]

SAME = {"sec_fetch_site": "same-origin"}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """A shop with a form: what is posted is counted, and the body's size told."""
    data = scope["session"]
    if scope["path"] == "/login":
        await login(scope, "ann")
    elif scope["path"] == "/token":
        await answered(send, await csrf_token(scope))
        return
    elif scope["path"] == "/logon-form":
        try:
            await check_csrf(scope)
        except HoldfastError as exc:
            await answered(send, exc.code, status=exc.status)
            return
    elif scope["method"] != "GET":
        data["orders"] = data.get("orders", 0) + 1
    body = await read_body(receive, 10_000_000)
    await answered(send, {"orders": data.get("orders", 0), "bytes": len(body)})


async def shopper(site: Site, **options: Any) -> Browser:
    serve(site, application, **options)
    browser = Browser(site, httpx2.Cookies())
    await browser.get("shop", "/login")
    return browser


async def orders(browser: Browser) -> int:
    return int((await browser.get("shop")).json()["orders"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-site", "origin": "https://sister.site.example"}, 403),
        ({"origin": HOST}, 200),
        ({"origin": HOST + ":443"}, 403),  # browsers leave the port out
        ({"origin": "http://site.example"}, 403),
        ({"origin": "https://sister.site.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://friend.example", "sec_fetch_site": "cross-site"}, 200),
        ({}, 403),
        ({"referer": HOST + "/"}, 403),
        ({"x_http_method_override": "GET"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_changes_something_must_come_from_this_sites_pages(
    site: Site, method: str, headers: dict[str, str], status: int
) -> None:  # R58
    site.security.settings = site.security.settings.model_copy(update={"allowed_origins": ["https://friend.example"]})
    browser = await shopper(site)
    answer = await browser.send(method, "shop", "/", **headers)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error"]["code"] == "cross_site"
    assert await orders(browser) == (status == 200)


@pytest.mark.parametrize("carrier", ["header", "form", "multipart"])
async def test_a_token_stands_in_for_headers_that_a_browser_does_not_send(site: Site, carrier: str) -> None:  # S11
    browser = await shopper(site)

    async def order(token: str, by: Browser = browser, **headers: str) -> int:
        if carrier == "header":
            return (await by.send("POST", "shop", x_csrf_token=token, **headers)).status_code
        if carrier == "form":
            return (await by.send("POST", "shop", data={"n": "1", "csrf_token": token}, **headers)).status_code
        head = "--x\r\nContent-Disposition: form-data; name="
        parts = f'{head}"n"\r\n\r\n1\r\n{head}"csrf_token"\r\n\r\n{token}\r\n--x--\r\n'
        kind = "multipart/form-data; boundary=x"
        return (await by.send("POST", "shop", data=parts, content_type=kind, **headers)).status_code

    token = (await browser.get("shop", "/token")).json()
    assert await order(token) == 200
    assert await order((await browser.get("shop", "/token")).json()) == 200, "each page has another one"
    for bad in ("", "x", token[:-1], token[:-2] + ("aa" if token[-2:] != "aa" else "bb"), "é" * 64):
        if not (carrier == "header" and not bad.isascii()):
            assert await order(bad) == 403, bad
    other = await shopper(site)
    assert await order((await other.get("shop", "/token")).json()) == 403, "another session's"
    assert await order(token, origin="https://evil.example") == 403, "a token does not excuse another site"
    await browser.get("shop", "/login")
    assert await order(token) == 403, "from before the ids were renewed"
    assert await orders(browser) == 2


async def test_a_wrong_token_in_the_header_is_refused_whatever_the_browser_says(site: Site) -> None:  # R58
    browser, other = await shopper(site), await shopper(site)
    token = (await other.get("shop", "/token")).json()
    assert (await browser.send("POST", "shop", x_csrf_token=token, **SAME)).status_code == 403


async def test_an_application_may_ask_for_a_token_in_any_case_or_exempt_paths(site: Site) -> None:  # S11
    browser = await shopper(site, csrf="token", csrf_exempt=["/hooks/", "/ping"])
    assert (await browser.send("POST", "shop", **SAME)).status_code == 403
    token = (await browser.get("shop", "/token")).json()
    assert (await browser.send("POST", "shop", data={"csrf_token": token}, **SAME)).status_code == 200
    for path, status in (("/hooks/a", 200), ("/ping", 200), ("/hooks", 403), ("/ping/a", 403), ("/xhooks/", 403)):
        assert (await browser.send("POST", "shop", path)).status_code == status, path
    browser = await shopper(site, csrf="off")
    assert (await browser.send("POST", "shop", origin="https://evil.example")).status_code == 200
    with pytest.raises(ConfigurationError):
        SessionMiddleware(application, site.security, application="shop", csrf="sometimes")  # type: ignore[arg-type]


async def test_who_has_no_session_has_nothing_to_be_abused(site: Site) -> None:
    serve(site, application)
    for headers in ({}, {"sec_fetch_site": "cross-site"}):
        async with site.browser() as nobody:
            assert (await nobody.send("POST", "shop", **headers)).status_code == 200


async def test_a_form_that_begins_a_logon_asks_by_itself(site: Site) -> None:  # R59
    serve(site, application)
    async with site.browser() as browser:
        for headers, status in (({}, 403), ({"sec_fetch_site": "cross-site"}, 403), (SAME, 200)):
            assert (await browser.send("POST", "shop", "/logon-form", **headers)).status_code == status
        token = (await browser.get("shop", "/token")).json()
        assert (await browser.send("POST", "shop", "/logon-form", x_csrf_token=token)).status_code == 200
        await browser.get("shop", "/login")
        assert (await browser.send("POST", "shop", "/logon-form", x_csrf_token=token)).status_code == 403


async def test_the_application_gets_the_whole_body_although_the_token_was_looked_for(site: Site) -> None:
    browser = await shopper(site)
    token = (await browser.get("shop", "/token")).json()
    answer = await browser.send("POST", "shop", data={"csrf_token": token, "text": "x" * 300_000})
    assert answer.json()["bytes"] > 300_000
    assert (await copy(browser).send("POST", "shop", data={"text": "x" * 10})).status_code == 403


async def test_of_a_form_only_so_much_is_read_for_its_token() -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"a=" + b"x" * 100, "more_body": True},
        {"type": "http.request", "body": b"&csrf_token=y", "more_body": False},
    ]
    coming = iter(messages)

    async def receive() -> Message:
        return next(coming)

    scope = {"headers": [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")]}
    token, again = await token_in(scope, receive, 50)
    assert token is None
    assert [await again(), await again()] == messages


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_bytes_are_a_token_but_those_that_were_given_out(junk: bytes, session_id: str) -> None:
    assert not is_token_of(junk.decode("latin-1"), [session_id])
    token = new_token(session_id)
    assert is_token_of(token, ["other", session_id])
    assert not is_token_of(token, [session_id + "x"])
    assert not is_token_of(token, [])


def test_behind_a_proxy_the_origin_is_that_of_the_public_side() -> None:  # R51, T32
    headers = [(b"host", b"site.example"), (b"x-forwarded-proto", b"https"), (b"origin", b"https://site.example")]
    scope = {"scheme": "http", "client": ("10.0.0.1", 1), "headers": headers}
    assert comes_from_here(scope, Proxies(["10.0.0.0/8"])) is True
    assert comes_from_here(scope, Proxies()) is False


async def test_a_logout_is_a_post_from_here(site: Site) -> None:  # R49, T10
    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await logout(scope)
        await answered(send, "bye")

    browser = await shopper(site)
    serve(site, leaving)
    assert (await browser.send("POST", "shop", sec_fetch_site="cross-site")).status_code == 403
    assert len(await site.running.logons.listed("ann")) == 1
    assert (await browser.send("POST", "shop", **SAME)).status_code == 200
    assert await site.running.logons.listed("ann") == []
