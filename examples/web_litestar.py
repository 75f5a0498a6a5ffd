"""A shop on Litestar: a basket, a logon, and orders that need one. Any number of processes may serve it.

python web_litestar.py PORT [STORE]
"""

from typing import Any

import web_pages as pages
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.response import Redirect

from holdfast.web.middleware import SessionMiddleware, check_csrf, csrf_token, current, login, logout, require

Asked = Request[Any, Any, Any]


def html(text: str, status: int = 200) -> Response[str]:
    return Response(text, media_type=MediaType.HTML, status_code=status)


@get("/")
async def front(request: Asked) -> Response[str]:
    logon, basket = current(request), request.session.get("basket", [])
    token = await csrf_token(request) if logon or basket else ""
    return html(pages.front_page(logon.subject if logon else "", basket, token))


@post("/basket")
async def put(request: Asked) -> Redirect:
    article = (await request.form())["article"]
    request.session["basket"] = [*request.session.get("basket", []), article]
    return Redirect("/", status_code=303)


@get("/logon")
async def ask(request: Asked) -> Response[str]:
    return html(pages.logon_page(await csrf_token(request), request.query_params.get("next", "/")))


@post("/logon")
async def log_on(request: Asked) -> Response[Any]:
    form = await request.form()
    await check_csrf(request, form.get("csrf_token"))
    if not pages.knows(form["name"], form["password"]):
        return html(pages.logon_page(await csrf_token(request), form["next"]), 401)
    await login(request, form["name"], roles=("customer",))
    return Redirect(pages.way_on(form["next"]), status_code=303)


@post("/logout")
async def log_out(request: Asked) -> Redirect:
    await logout(request)
    return Redirect("/", status_code=303)


@get("/orders")
async def orders(request: Asked) -> Response[str]:
    logon = await require(request, role="customer")
    request.session["seen"] = request.session.get("seen", 0) + 1
    return html(pages.orders_page(logon.subject, request.session["seen"]))


if __name__ == "__main__":
    port, security = pages.security_from_arguments()
    shop = Litestar([front, put, ask, log_on, log_out, orders], logging_config=None)
    pages.serve(
        SessionMiddleware(
            shop,  # type: ignore[arg-type]
            security,
            application="shop",
            keeps=["basket"],
            logon_path="/logon",
        ),
        port,
    )
