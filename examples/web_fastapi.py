"""A shop on FastAPI: a basket, a logon, and orders that need one. Any number of processes may serve it.

python web_fastapi.py PORT [STORE]
"""

from typing import Annotated

import web_pages as pages
from fastapi import Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from holdfast.web.middleware import SessionMiddleware, check_csrf, csrf_token, current, login, logout, require
from holdfast.web.security import Logon

port, security = pages.security_from_arguments()
app = FastAPI()
app.add_middleware(SessionMiddleware, security=security, application="shop", keeps=["basket"], logon_path="/logon")
Text = Annotated[str, Form()]


async def customer(request: Request) -> Logon:
    return await require(request, role="customer")


@app.get("/")
async def front(request: Request) -> Response:
    logon, basket = current(request), request.session.get("basket", [])
    token = await csrf_token(request) if logon or basket else ""
    return HTMLResponse(pages.front_page(logon.subject if logon else "", basket, token))


@app.post("/basket")
async def put(request: Request, article: Text) -> Response:
    request.session["basket"] = [*request.session.get("basket", []), article]
    return RedirectResponse("/", 303)


@app.get("/logon")
async def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - so the query calls it
    return HTMLResponse(pages.logon_page(await csrf_token(request), next))


@app.post("/logon")
async def log_on(
    request: Request,
    name: Text,
    password: Text,
    next: Text = "/",  # noqa: A002
    csrf: Annotated[str | None, Form(alias="csrf_token")] = None,
) -> Response:
    await check_csrf(request, csrf)
    if not pages.knows(name, password):
        return HTMLResponse(pages.logon_page(await csrf_token(request), next), 401)
    await login(request, name, roles=("customer",))
    return RedirectResponse(pages.way_on(next), 303)


@app.post("/logout")
async def log_out(request: Request) -> Response:
    await logout(request)
    return RedirectResponse("/", 303)


@app.get("/orders")
async def orders(request: Request, logon: Annotated[Logon, Depends(customer)]) -> Response:
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HTMLResponse(pages.orders_page(logon.subject, request.session["seen"]))


if __name__ == "__main__":
    pages.serve(app, port)
