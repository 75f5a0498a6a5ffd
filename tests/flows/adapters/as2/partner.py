"""An AS2 partner as a process of its own: python partner.py FOLDER

It knows nothing of the adapter: messages are taken apart by hand, and `openssl cms` decrypts, verifies, and signs the
receipts. It keeps sessions, and counts logons. How it answers is told to it by POST /admin/answer:

| key | what it does |
|---|---|
| `disposition`, `id`, `mic`, `text` | says so in the receipt, instead of the truth |
| `signer` | whose key signs the receipt; empty: nobody's |
| `micalg` | by which hash the receipt tells of the content |
| `digest`, `options` | how `openssl cms -sign` signs it |
| `ber` | the signature's length is indefinite |
| `bare` | the message's id stands there without brackets |
| `extra` | there is one more end of line behind what is signed |
| `change` | two texts: the first is replaced in the receipt after it was signed |
| `raw` | `[content type, text]` instead of a receipt |
| `status`, `cut`, `hang`, `set_cookie` | another status; a connection that breaks off; no answer; no session |

An asynchronous receipt is kept until POST /admin/deliver, which gives the number of a message, sends it to where the
message said (or to `url`), and returns the status.
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
HASHES = {"sha1": "sha1", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}


class World:
    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self.sessions: list[str] = []
        self.authentications = 0
        self.requests: list[dict[str, Any]] = []
        self.receipts: list[tuple[str, dict[str, str], bytes]] = []


world = World()
never = threading.Event()


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    command = ["openssl", "cms", *arguments]
    return subprocess.run(command, input=data, cwd=FOLDER, check=True, capture_output=True).stdout


def split(entity: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = entity.partition(b"\r\n\r\n")
    return headers_of(head), body


def headers_of(head: bytes) -> dict[str, str]:
    lines = [line.partition(":") for line in head.decode().split("\r\n") if line]
    return {name.lower(): value.strip() for name, _, value in lines}


def inflated(data: bytes) -> bytes:
    """Find the zlib stream in a CompressedData: the last OCTET STRING, which ends with it."""
    at = data.index(b"\x78\x9c")
    return zlib.decompress(data[at:])


def opened(headers: dict[str, str], body: bytes, seen: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """Take off what is around the content, noting it; return the content and the bytes that the MIC is of."""
    kind, mic_of = headers["content-type"], None
    if "multipart/signed" in kind:
        boundary = kind.split('boundary="')[1].split('"')[0].encode()
        _, first, second, _ = body.split(b"--" + boundary)
        part, signature = first.removeprefix(b"\r\n").removesuffix(b"\r\n"), split(second.removeprefix(b"\r\n"))[1]
        name = f"signature-{secrets.token_hex(4)}"
        (FOLDER / name).write_bytes(base64.b64decode(signature))
        certificate = "me_ec.pem" if seen["from"] == "ec" else "me.pem"
        arguments = ("-verify", "-binary", "-inform", "DER", "-in", name, "-content", "/dev/stdin")
        content = openssl(*arguments, "-certfile", certificate, "-nointern", "-noverify", data=part)
        assert content == part
        seen["layers"].append("signed " + kind.split("micalg=")[1].split(";")[0])
        return opened(*split(part), seen)[0], part
    if "pkcs7-mime" in kind and "compressed-data" in kind:
        seen["layers"].append("compressed")
        inner = inflated(body)
        content, mic_of = opened(*split(inner), seen)
        return content, mic_of or inner
    if "pkcs7-mime" in kind:
        clear = openssl(
            "-decrypt", "-binary", "-inform", "DER", "-recip", "partner.pem", "-inkey", "partner.key", data=body
        )
        seen["layers"].append("encrypted " + kind.split("smime-type=")[1].split(";")[0])
        content, mic_of = opened(*split(clear), seen)
        return content, mic_of or clear
    seen["content_type"], seen["disposition"] = kind, headers.get("content-disposition", "")
    return body, None


def received(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = {"layers": [], "from": headers["as2-from"], "headers": headers}
    content, mic_of = opened(headers, body, seen)
    options = headers.get("disposition-notification-options", "")
    micalg = world.answer.get("micalg") or options.rpartition(",")[2].strip() or "sha1"  # its default
    digest = hashlib.new(HASHES[micalg], mic_of or content).digest()
    seen["content"] = content.decode("latin-1")
    seen["mic"] = f"{base64.b64encode(digest).decode()}, {micalg}"
    return seen


def receipt(seen: dict[str, Any]) -> tuple[str, bytes]:
    """Return content type and body."""
    answer = world.answer
    if "raw" in answer:
        return answer["raw"][0], answer["raw"][1].encode("latin-1")
    mic = answer.get("mic", seen["mic"])
    fields = [
        "Reporting-UA: partner",
        f"Original-Recipient: rfc822; {seen['headers']['as2-to']}",
        f"Final-Recipient: rfc822; {seen['headers']['as2-to']}",
        f"Original-Message-ID: {answer.get('id', seen['headers']['message-id']).strip('<>' * answer.get('bare', 0))}",
        f"Disposition: automatic-action/MDN-sent-automatically; {answer.get('disposition', 'processed')}",
        *([f"Received-Content-MIC: {mic}"] if mic else []),
    ]
    report = "\r\n".join(
        [
            "--report",
            "Content-Type: text/plain",
            "",
            answer.get("text", "The message came."),
            "--report",
            "Content-Type: message/disposition-notification",
            "",
            *fields,
            "",
            "--report--",
            "",
        ]
    ).encode()
    kind = "multipart/report; report-type=disposition-notification; boundary=report"
    signer = answer.get("signer", "partner")
    if not signer or "disposition-notification-options" not in seen["headers"]:
        return kind, report
    part = f"Content-Type: {kind}\r\n\r\n".encode() + report
    arguments = ("-sign", "-binary", "-outform", "DER", "-signer", f"{signer}.pem", "-inkey", f"{signer}.key")
    signature = openssl(*arguments, "-md", answer.get("digest", "sha256"), *answer.get("options", []), data=part)
    if answer.get("ber"):
        assert signature[:2] == b"\x30\x82"
        signature = b"\x30\x80" + signature[4:] + b"\0\0"
    for old, new in [answer["change"]] if "change" in answer else []:
        assert old.encode() in part
        part = part.replace(old.encode(), new.encode())
    end = b"\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    more = b"\r\n" if answer.get("extra") else b""
    body = b"--signed\r\n" + part + more + b"\r\n--signed" + end + base64.encodebytes(signature) + b"\r\n--signed--\r\n"
    return 'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=signed', body


def deliver(order: dict[str, Any]) -> dict[str, Any]:
    url, headers, body = world.receipts[order["number"]]
    request = urllib.request.Request(order.get("url", url), data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return {"status": answer.status}
    except urllib.error.HTTPError as exc:
        return {"status": exc.code, "body": exc.read().decode()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/admin/"):
            told = self.administer(self.path.rpartition("/")[2], json.loads(body or b"null"))
            self.say(200, "application/json", json.dumps(told).encode())
        elif (cookies := self.logged_on()) is not None:
            self.serve({name.lower(): value for name, value in self.headers.items()}, body, cookies)

    def administer(self, what: str, value: Any) -> Any:
        if what == "reset":
            world.__init__()  # type: ignore[misc]
        if what == "answer":
            world.answer = value
        if what == "deliver":
            return deliver(value)
        counts = {"sessions": len(world.sessions), "receipts": len(world.receipts)}
        return {"authentications": world.authentications, **counts, "requests": world.requests}

    def logged_on(self) -> dict[str, str] | None:
        """Return the headers of a session, if somebody is logged on, else refuse."""
        cookie = self.headers.get("cookie", "").removeprefix("JSESSIONID=")
        if cookie in world.sessions:
            return {}
        if "authorization" in self.headers:
            world.authentications += 1
        if self.headers.get("authorization") != "Basic " + base64.b64encode(b"anna:secret").decode():
            self.say(401, "text/plain", b"log on")
            return None
        world.sessions.append(secrets.token_hex(8))
        return {"Set-Cookie": f"JSESSIONID={world.sessions[-1]}; Path=/; HttpOnly"}

    def serve(self, headers: dict[str, str], body: bytes, cookies: dict[str, str]) -> None:
        seen = received(headers, body)
        world.requests.append(
            {**seen, "size": len(body), "cookie": headers.get("cookie"), "answer": dict(world.answer)}
        )
        if world.answer.get("hang"):
            never.wait(30)
        if world.answer.get("cut"):
            self.say(200, "multipart/report; boundary=report", b"--report", cookies, length=1000)
            self.close_connection = True
            return
        if "disposition-notification-to" not in headers:
            kind, text = world.answer.get("raw", ("text/plain", "thanks"))
            self.say(200, kind, text.encode(), cookies)
            return
        kind, made = receipt(seen)
        if "receipt-delivery-option" in headers:
            named = {"Content-Type": kind, "AS2-From": headers["as2-to"], "AS2-To": headers["as2-from"]}
            world.receipts.append((headers["receipt-delivery-option"], {**named, "AS2-Version": "1.2"}, made))
            kind, made = "text/plain", b""
        self.say(world.answer.get("status", 200), kind, made, cookies)

    def say(
        self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None, *, length: int | None = None
    ) -> None:
        self.send_response(status)
        fields = {"Content-Type": kind, "Content-Length": str(len(body) if length is None else length), **(more or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 128  # with 5, its default, connections of parallel messages are reset
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
