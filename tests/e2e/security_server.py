"""A shop, a bank, the ready-made account pages and the console, as a process; what it keeps is in the store alone.

python security_server.py PORT PEOPLE; everything else comes from the environment.
"""

import os
import sys
from html import escape
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from holdfast.config import load_settings
from holdfast.identity.passwords import Cost, Passwords
from holdfast.web.account import Account
from holdfast.web.administration import Administration, Console
from holdfast.web.methods import Basic, Form
from holdfast.web.middleware import SessionMiddleware, require
from holdfast.web.passwords import PasswordLogon
from holdfast.web.site import Security

settings = load_settings()
security = Security(settings.store, settings=settings)
passwords = PasswordLogon(Passwords(Path(sys.argv[2]), cost=Cost(passes=1, memory=1024, lanes=1)))


async def orders(request: Request) -> Response:
    """Show what somebody looked for, and how often they did."""
    logon = await require(request)
    request.session["visits"] = request.session.get("visits", 0) + 1
    said = f"{logon.name} looks for {request.query_params} at {request.scope['root_path']}"
    return HTMLResponse(
        f"<!doctype html><title>Orders</title><h1>{escape(said)}</h1><p id=visits>{request.session['visits']}</p>"
        f"<p id=process>{os.getpid()}</p><p><a id=leave href='/account/logout'>Log out</a></p>"
    )


def application(name: str) -> BaseRoute:
    """Return an application of its own."""
    ways = [Form("/account/logon"), Basic(passwords)]
    return Mount(
        f"/{name}",
        SessionMiddleware(Starlette(routes=[Route("/orders", orders)]), security, application=name, logon=ways),
    )


app = Starlette(
    routes=[
        application("shop"),
        application("bank"),
        Mount("/admin", Administration(security)),
        Mount("/console", Console(security, home="/shop/orders")),
        Mount("/account", Account(security, passwords, landing="/shop/orders")),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
