"""One host with several receivers behind it, as a process of its own: python sap_gateway.py /PATH=PORT …

It prints its port. Users log on here, by Basic or by a bearer token, and the sessions are those of `sap_system`, whose
`/admin/…` there is too. What arrives in a session goes on to the receiver of its path, in a session there which no
other has; of the cookies that receivers set nobody hears but the gateway.
"""

import base64
import json
import sys
from typing import Final

import httpx2
import sap_system

RECEIVERS: Final = dict(argument.split("=") for argument in sys.argv[1:])
BASIC: Final = "Basic " + base64.b64encode(b"anna:secret").decode()
OWN: Final = frozenset({"authorization", "cookie", "connection", "accept-encoding", "content-length"})
HIDDEN: Final = frozenset(
    {"set-cookie", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "date"}
)
network = httpx2.HTTPTransport()
behind: dict[tuple[str, str], httpx2.Client] = {}  # by session and port


class Handler(sap_system.Handler):
    """One connection."""

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        if self.path.startswith("/admin/"):
            told = sap_system.administer(self.path.removeprefix("/admin/"))
            self.answer(200, "application/json", json.dumps(told).encode())
            return
        given = self.headers["authorization"]
        about = {"path": self.path, "cookie": self.headers["cookie"], "authorization": given}
        if given == "Bearer secret":
            self.headers.replace_header("authorization", BASIC)
        with sap_system.lock:
            user, cookie = self.logged_on(False)
            session = (cookie.get("Set-Cookie") or self.headers["cookie"] or "").partition(";")[0]
            sap_system.system.requests.append({**about, "user": user, "session": session})
        if not user:
            self.answer(401, "text/html", b"log on", {"WWW-Authenticate": 'Basic realm="SAP"'})
            return
        self.pass_on(session, body, cookie)

    do_GET = do_HEAD = do_POST = do_PUT = do_MERGE = do_PATCH = do_DELETE = serve

    def pass_on(self, session: str, body: bytes, cookie: dict[str, str]) -> None:
        port = next(port for path, port in RECEIVERS.items() if self.path.startswith(path))
        with sap_system.lock:
            client = behind.setdefault((session, port), httpx2.Client(transport=network, auth=("anna", "secret")))
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in OWN]
        url = f"http://127.0.0.1:{port}{self.path}"
        answer = client.request(self.command, url, headers=headers, content=body)
        told = {name: value for name, value in answer.headers.items() if name not in HIDDEN}
        kind = answer.headers.get("content-type", "application/octet-stream")
        self.answer(answer.status_code, kind, answer.content, {**told, **cookie})


if __name__ == "__main__":
    sap_system.serve(Handler)
