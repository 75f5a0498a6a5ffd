"""What the shops of these examples show, and whom they know. See web_starlette.py, web_fastapi.py, web_litestar.py."""

import hmac
import sys
from collections.abc import Sequence
from html import escape

import uvicorn

from holdfast._asgi import ASGIApp
from holdfast.errors import BadInput
from holdfast.web.returns import local_path
from holdfast.web.site import Security

PEOPLE = {"ann": "tea-at-five", "bob": "coffee-at-ten"}  # a real shop has `holdfast.identity.passwords`


def knows(name: str, password: str) -> bool:
    """Say whether that is somebody's password."""
    return hmac.compare_digest(PEOPLE.get(name, "").encode(), password.encode()) and name in PEOPLE


def way_on(wanted: str) -> str:
    """Return where to go after a logon: to the page first asked for, if that is one of ours."""
    try:
        return local_path(wanted)
    except BadInput:
        return "/"


def front_page(who: str, basket: Sequence[str], token: str) -> str:
    """Return the page with the basket."""
    leave = f'<form method="post" action="/logout">{hidden(token)}<button id="logout">Log out</button></form>'
    return (
        f'<!doctype html><title>Shop</title><p id="who">{escape(who or "nobody")}</p>'
        f'<p id="basket">{escape(", ".join(basket))}</p>'
        f'<form method="post" action="/basket">{hidden(token)}<input name="article">'
        '<button id="add">Add</button></form>'
        f'<a id="orders" href="/orders">Orders</a>{leave if who else ""}'
    )


def logon_page(token: str, wanted: str) -> str:
    """Return the page that asks who it is."""
    return (
        f'<!doctype html><title>Log on</title><form method="post" action="/logon">{hidden(token)}'
        f'<input type="hidden" name="next" value="{escape(wanted)}"><input name="name">'
        '<input name="password" type="password"><button id="logon">Log on</button></form>'
    )


def orders_page(who: str, count: int) -> str:
    """Return the page that needs a logon."""
    return f'<!doctype html><title>Orders</title><p id="who">{escape(who)}</p><p id="seen">{count}</p>'


def hidden(token: str) -> str:
    """Return the field that shows that a form is ours."""
    return f'<input type="hidden" name="csrf_token" value="{token}">'


def security_from_arguments() -> tuple[int, Security]:
    """Return the port and the sessions that the command line names: `PORT [STORE]`."""
    return int(sys.argv[1]), Security(sys.argv[2] if len(sys.argv) > 2 else "sqlite:///shop.db")


def serve(app: ASGIApp, port: int) -> None:
    """Serve a shop on this machine."""
    uvicorn.run(app, host="127.0.0.1", port=port, proxy_headers=False, log_level="warning")
