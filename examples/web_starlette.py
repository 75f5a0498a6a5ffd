"""A shop on Starlette: a basket, a logon, and orders that need one. Any number of processes may serve it.

python web_starlette.py PORT [STORE]
"""

import web_pages as pages
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdfast.web.middleware import SessionMiddleware, check_csrf, csrf_token, current, login, logout, require
from holdfast.web.site import Security


async def front(request: Request) -> Response:
    logon, basket = current(request), request.session.get("basket", [])
    token = await csrf_token(request) if logon or basket else ""
    return HTMLResponse(pages.front_page(logon.subject if logon else "", basket, token))


async def put(request: Request) -> Response:
    article = str((await request.form())["article"])
    request.session["basket"] = [*request.session.get("basket", []), article]
    return RedirectResponse("/", 303)


async def ask(request: Request) -> Response:
    return HTMLResponse(pages.logon_page(await csrf_token(request), request.query_params.get("next", "/")))


async def log_on(request: Request) -> Response:
    form = {name: str(value) for name, value in (await request.form()).items()}
    await check_csrf(request, form.get("csrf_token"))
    if not pages.knows(form["name"], form["password"]):
        return HTMLResponse(pages.logon_page(await csrf_token(request), form["next"]), 401)
    await login(request, form["name"], roles=("customer",))
    return RedirectResponse(pages.way_on(form["next"]), 303)


async def log_out(request: Request) -> Response:
    await logout(request)
    return RedirectResponse("/", 303)


async def orders(request: Request) -> Response:
    logon = await require(request, role="customer")
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HTMLResponse(pages.orders_page(logon.subject, request.session["seen"]))


def shop(security: Security) -> Starlette:
    routes = [
        Route("/", front),
        Route("/basket", put, methods=["POST"]),
        Route("/logon", ask),
        Route("/logon", log_on, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Route("/orders", orders),
    ]
    sessions = Middleware(
        SessionMiddleware, security=security, application="shop", keeps=["basket"], logon_path="/logon"
    )
    return Starlette(routes=routes, middleware=[sessions])


if __name__ == "__main__":
    port, security = pages.security_from_arguments()
    pages.serve(shop(security), port)
