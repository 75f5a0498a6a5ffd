"""An application that logs on by SAML, as a process of its own: python site.py PORT.

The environment says the rest: HOLDFAST_SAML__* what it is and who the identity provider, HOLDFAST_STORE and
HOLDFAST_KEYS where and how sessions are kept.
"""

import os
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from holdfast.config import load_settings
from holdfast.web.administration import Administration
from holdfast.web.middleware import SessionMiddleware, current
from holdfast.web.saml import Saml
from holdfast.web.site import Security


async def show(request: Request) -> Response:
    logon = current(request)
    request.session["seen"] = request.session.get("seen", 0) + 1
    said = {"who": logon.subject, "roles": logon.roles, "sid": logon.sid} if logon else {"who": None}
    return JSONResponse({**said, "seen": request.session["seen"], "by": os.getpid()})


settings = load_settings()
security = Security(settings.store, settings=settings, keys=settings.keys.get_secret_value())
saml = Saml(security, landing="/app/")
app = Starlette(
    routes=[
        Mount("/saml", saml),
        Mount("/admin", Administration(security)),
        Mount(
            "/app",
            Starlette(
                routes=[Route("/", show)],
                middleware=[
                    Middleware(SessionMiddleware, security=security, application="app", logon_path="/saml/logon")
                ],
            ),
        ),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", proxy_headers=False)
