"""A web application with logons, as a process of its own: python web_server.py PORT STORE"""

import sys

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.web.middleware import SessionMiddleware, current, login, logout
from holdfast.web.site import Security


async def who(request: Request) -> Response:
    logon = current(request)
    return JSONResponse({"who": logon.subject if logon else None})


async def slow(request: Request) -> Response:
    await anyio.sleep(30.0)
    return await who(request)


async def log_in(request: Request) -> Response:
    await login(request, request.path_params["who"])
    return await who(request)


async def log_out(request: Request) -> Response:
    await logout(request)
    return await who(request)


if __name__ == "__main__":
    port, store = sys.argv[1:]
    security = Security(store)
    routes = [Route("/", who), Route("/slow", slow), Route("/login/{who}", log_in), Route("/logout", log_out)]
    middleware = [Middleware(SessionMiddleware, security=security, application="shop")]
    app = Starlette(routes=routes, middleware=middleware)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", proxy_headers=False)
