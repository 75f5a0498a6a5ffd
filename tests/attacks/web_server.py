"""The web application under attack: `web_server.py PORT FOLDER OPTIONS`; see web_world."""

import json
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.config import load_settings
from holdfast.core.events import LogLines, Sinks
from holdfast.engine import open_engine
from holdfast.observe import AuditTrail
from holdfast.web import site as composition
from holdfast.web.middleware import SessionMiddleware, csrf_token, current, login, logout, require, visit_of
from holdfast.web.site import Security


async def show(request: Request) -> Response:
    logon = current(request)
    return JSONResponse({"who": logon.subject if logon else None, "data": dict(request.session)})


async def me(request: Request) -> Response:
    return JSONResponse((await require(request)).subject)


async def write(request: Request) -> Response:
    request.session.update(request.query_params)
    return await show(request)


async def token(request: Request) -> Response:
    return JSONResponse(await csrf_token(request))


async def count(request: Request) -> Response:
    """Count one more, whoever counts at the same time."""

    def more(data: dict[str, Any]) -> int:
        data["count"] = data.get("count", 0) + 1
        return int(data["count"])

    return JSONResponse(await visit_of(request).data.change(more))


async def log_on(request: Request) -> Response:
    await login(request, request.path_params["who"], level=int(request.query_params.get("level", 1)))
    return await show(request)


async def log_off(request: Request) -> Response:
    await logout(request)
    return await show(request)


async def end_all(request: Request) -> Response:
    """End all of somebody's logons, as an administrator does, or after a change of password all but this one."""
    visit = visit_of(request)
    there = await visit.of_logon()
    if "others" in request.query_params and there is not None:
        return JSONResponse(await visit.services.logons.end_others(there))
    return JSONResponse(await visit.services.logons.end_all(request.path_params["who"]))


async def slow(request: Request) -> Response:
    """Wait until the test lets it go on, whatever else happens, and write."""
    with anyio.CancelScope(shield=True):
        await anyio.Path(request.query_params["began"]).touch()
        with anyio.fail_after(20):
            while not await anyio.Path(request.query_params["go"]).exists():
                await anyio.sleep(0.02)
        request.session["late"] = True
        visit = visit_of(request)
        try:
            await visit.save()
        except Exception as exc:
            await anyio.Path(request.query_params["began"]).write_text(type(exc).__name__)
            raise
        await anyio.Path(request.query_params["began"]).write_text("written")
    return await show(request)


port, folder, options = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
logging.basicConfig(filename=folder / f"log.{port}", level=logging.INFO, format="%(levelname)s %(name)s %(message)s")


def later() -> float:
    """Return the time, and the seconds that the test has put on top for all servers."""
    ahead = folder / "seconds_ahead"
    return time.time() + (float(ahead.read_text()) if ahead.exists() else 0.0)


composition.open_engine = partial(open_engine, clock=later)  # type: ignore[attr-defined]
settings = load_settings()
sink = Sinks(LogLines(), AuditTrail(folder / "audit.jsonl"))
security = Security(settings.store, settings=settings, sink=sink)
routes = [
    Route("/", show),
    Route("/me", me),
    Route("/token", token),
    Route("/write", write, methods=["POST", "PUT", "DELETE"]),
    Route("/count", count, methods=["POST"]),
    Route("/login/{who}", log_on, methods=["POST"]),
    Route("/logout", log_off, methods=["POST"]),
    Route("/end/{who}", end_all, methods=["POST"]),
    Route("/slow", slow, methods=["POST"]),
]
apps = {
    name: Starlette(
        routes=routes, middleware=[Middleware(SessionMiddleware, security=security, application=name, **options)]
    )
    for name in ("shop", "bank")
}


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Serve the shop, and the bank below /bank."""
    if scope["type"] != "lifespan" and scope["path"].startswith("/bank/"):
        path = scope["path"].removeprefix("/bank")
        await apps["bank"]({**scope, "path": path, "raw_path": path.encode()}, receive, send)
    else:
        await apps["shop"](scope, receive, send)


if __name__ == "__main__":
    uvicorn.run(site, host="127.0.0.1", port=port, log_config=None, access_log=False, proxy_headers=False)
