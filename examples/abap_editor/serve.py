"""A page that edits ABAP objects through a sticky session, and the server behind it.

    npm install --prefix examples/abap_editor @openui5/sap.ui.core
    python examples/abap_editor/serve.py                              # http://127.0.0.1:8765/

Without a configured SAP system it works on the simulated one. OpenUI5 is Apache-2.0 and not part of this package.
"""

import argparse
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast._asgi import ASGIApp, Receive, Scope, Send
from holdfast.app import Application
from holdfast.config import load_settings
from holdfast.web.http1 import BoundedHttp

HERE = Path(__file__).parent
OPENUI5 = HERE / "node_modules" / "@openui5" / "sap.ui.core" / "src"
PAGE = ("editor.js", "style.css")


def page(openui5: Path) -> Starlette:
    """Return the page and OpenUI5's files as an application."""
    files = [Route(f"/{name}", lambda _, name=name: FileResponse(HERE / name)) for name in PAGE]  # type: ignore[misc]
    index = Route("/", lambda _: FileResponse(HERE / "index.html"))
    return Starlette(routes=[index, *files, Mount("/resources", StaticFiles(directory=openui5))])


def beside(server: ASGIApp, page: Starlette) -> ASGIApp:
    """Return one application: the page, and for everything else the server."""
    paths = {"/", *(f"/{name}" for name in PAGE)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and (scope["path"] in paths or scope["path"].startswith("/resources/"))
        await (page if is_page else server)(scope, receive, send)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openui5", type=Path, default=OPENUI5, help="the folder `src` of @openui5/sap.ui.core")
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args()
    if not (given.openui5 / "ui5loader.js").is_file():
        parser.error(f"OpenUI5 is not in {given.openui5}: install @openui5/sap.ui.core with npm, or name its `src`")
    app = beside(Application(load_settings()), page(given.openui5))
    uvicorn.run(app, port=given.port, http=BoundedHttp, proxy_headers=False, log_level="warning")


if __name__ == "__main__":
    main()
