"""A shop whose people log on at an OpenID provider; any number of processes serve it, on one store.

python oidc_shop.py PORT [STORE]

The provider is that of `[oidc]` in holdfast.toml, or of the environment: HOLDFAST_OIDC__ISSUER,
HOLDFAST_OIDC__CLIENT_ID, HOLDFAST_OIDC__CLIENT_SECRET, and HOLDFAST_OIDC__URL, such as http://127.0.0.1:8000/oidc.
"""

import sys
from html import escape

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from holdfast.web.administration import Administration
from holdfast.web.middleware import SessionMiddleware, current, require
from holdfast.web.oidc import Oidc
from holdfast.web.site import Security


async def start(request: Request) -> HTMLResponse:
    logon = current(request)
    if logon is None:
        return HTMLResponse('<p id="who">nobody</p><a id="orders" href="/orders?page=2">Orders</a>')
    return HTMLResponse(f'<p id="who">{escape(logon.subject)}</p><a id="logout" href="/oidc/logout">Log out</a>')


async def orders(request: Request) -> HTMLResponse:
    logon = await require(request, role="clerk")
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HTMLResponse(
        f'<p id="who">{escape(logon.subject)}</p><p id="name">{escape(logon.name)}</p>'
        f'<p id="seen">{request.session["seen"]}</p><a id="logout" href="/oidc/logout">Log out</a>'
    )


def shop(store: str) -> Starlette:
    """Return the shop on a store."""
    security = Security(store)
    return Starlette(
        routes=[
            Route("/", start),
            Route("/orders", orders),
            Mount("/oidc", Oidc(security)),
            Mount("/admin", Administration(security)),  # holdfast logons --server http://127.0.0.1:8000/admin
        ],
        middleware=[Middleware(SessionMiddleware, security=security, application="shop", logon_path="/oidc/login")],
    )


if __name__ == "__main__":
    port, store = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "sqlite:///shop.db"
    uvicorn.run(shop(store), host="127.0.0.1", port=port, proxy_headers=False, log_level="warning")
