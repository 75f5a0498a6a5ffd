"""A back end with sessions, which counts what it costs: python examples/flows/server.py [PORT]

Whoever comes without a session logs on with user and password, which takes 50 ms, and gets one by a cookie.

| GET /blocks       | the next four of twelve orders: the session knows which of them were read |
| GET /prices/bolt  | a price, the same for everybody |
| POST /orders      | for the user `clerk` alone |
| POST /approvals   | for the user `chief` alone |
| GET /counted      | authentications, sessions and requests since the start |
"""

import base64
import secrets
import sys

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PASSWORDS = {"reader": "r-secret", "clerk": "c-secret", "chief": "b-secret"}
ORDERS = list(range(1, 13))
BLOCK = 4
LOGON_S = 0.05

sessions: dict[str, dict[str, object]] = {}  # by the cookie's value: the user, and how many orders were read
counted = {"authentications": 0, "sessions": 0, "requests": 0}


async def logged_on(request: Request) -> tuple[str, dict[str, object]]:
    """Return the request's session, begun if there is none. Raises HTTPException: nobody knows who calls."""
    counted["requests"] += 1
    cookie = request.cookies.get("JSESSIONID", "")
    if cookie in sessions:
        return cookie, sessions[cookie]
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    user, _, password = base64.b64decode(rest if scheme == "Basic" else "").decode().partition(":")
    await anyio.sleep(LOGON_S)
    if not password or PASSWORDS.get(user) != password:
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})
    counted["authentications"] += 1
    counted["sessions"] += 1
    cookie = secrets.token_hex(16)
    sessions[cookie] = {"user": user, "read": 0}
    return cookie, sessions[cookie]


def answered(cookie: str, values: dict[str, object]) -> Response:
    response = JSONResponse(values)
    response.set_cookie("JSESSIONID", cookie, httponly=True)
    return response


async def blocks(request: Request) -> Response:
    cookie, session = await logged_on(request)
    begin = int(str(session["read"]))
    session["read"] = begin + BLOCK
    return answered(cookie, {"orders": ORDERS[begin : begin + BLOCK], "more": begin + BLOCK < len(ORDERS)})


async def prices(request: Request) -> Response:
    cookie, _ = await logged_on(request)
    return answered(cookie, {"item": request.path_params["item"], "price": 2})


def only(user: str) -> object:
    async def page(request: Request) -> Response:
        cookie, session = await logged_on(request)
        if session["user"] != user:
            raise HTTPException(403, f"not {session['user']}'s business")
        return answered(cookie, {"done by": user})

    return page


async def numbers(request: Request) -> Response:
    return JSONResponse(counted)


app = Starlette(
    routes=[
        Route("/blocks", blocks),
        Route("/prices/{item}", prices),
        Route("/orders", only("clerk"), methods=["POST"]),
        Route("/approvals", only("chief"), methods=["POST"]),
        Route("/counted", numbers),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int((*sys.argv[1:], "8437")[0]), log_level="warning")
