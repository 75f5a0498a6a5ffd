"""Draws requests that are nearly right, as the bytes a client sends: the same seed, the same bytes.

A request is a good one with up to three things wrong in its message, two in its head, one in its text and one in how
its body is framed. `Word`s in it, and `LENGTH`, are filled in when it is sent.
"""

import copy
import json
from random import Random
from typing import Any, Final, NamedTuple

from bench.fuzz import messages
from bench.fuzz.messages import SESSIONS, Word

from e2e.mcp_world import LEGACY, META, MODERN

LENGTH: Final = b"@length@"
PATHS: Final = ("/mcp", "/mcp", "/dialect", "/dialect", "/sdk", "/stateless")
HTTP_METHODS: Final = ("PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "post", "G\xebT", "", "A" * 300)
ODD: Final = (
    *(None, True, False, 0, -1, 1.0, 1.5, 1e308, -0.0, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**40, 10**400),
    *("", " ", "\x00", "\r\n", "ä", "\U0001f980", "=?base64?w6Q=?=", "=?base64?!?=", "x" * 3000, "2025-06-18"),
    *(
        [],
        {},
        [[]],
        {"": {}},
        [1, "a"],
        {"_meta": None},
        {"name": "echo"},
        MODERN,
        LEGACY,
        META,
        "\ud800",
        "\u200b",
        "__proto__",
    ),
)
NAMES: Final = ("id", "jsonrpc", "method", "params", "result", "error", "_meta", "name", "arguments", "uri", "level")
VALUES: Final = (
    *("", " ", "\t", "0", "-1", "9" * 400, "1e3", "null", "*/*", "text/*;q=0", ",", ";", "=?base64?w6Q=?="),
    *("=?base64?=?=", "\xe4\xff", "x" * 5000, "\x01", "a\x00b", "a\rb", MODERN, LEGACY, "2025-03-26", "2024-11-05"),
    *("echo", "tools/call", "application/json", "text/event-stream", "application/json; charset=utf-16", "close"),
    *("0123456789abcdef.0", "0123456789abcdef.999999999999", f"{Word.CURSOR}9", f"0{Word.CURSOR}", "a" * 43),
    *(
        Word.CURSOR,
        *SESSIONS,
        "http://evil.example",
        "null",
        "127.0.0.1",
        "Bearer x",
        "gzip",
        "100-continue",
        "x" * 70_000,
    ),
)
HEADERS: Final = (
    *("mcp-protocol-version", "mcp-session-id", "x-session-id", "mcp-method", "mcp-name", "mcp-param-region"),
    *("mcp-param-size", "accept", "content-type", "content-length", "last-event-id", "origin", "host", "authorization"),
    *(
        "transfer-encoding",
        "connection",
        "user-agent",
        "x-forwarded-for",
        "expect",
        "upgrade",
        "cookie",
        "mcp-param-",
        "",
    ),
)
FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "upgrade"})
HEAD_BYTES: Final = 60_000  # the server takes 64 KiB
QUERIES: Final = (
    *(f"session_id={SESSIONS[2]}", "session_id=", "session_id=x&session_id=y", f"session_id={Word.SESSION_1}&a=b"),
    *("session_id=%00%ff", "session_id=" + "x" * 20_000, "%", "&&==", "session_id=%E4%B8", "#", "a" * 9000),
)
TEXTS: Final = (
    *(b"", b"\xff", b"\x00", b'"', b"{", b"[" * 5000, b'{"a":' * 3000, b"\\ud800", b"9" * 5000, b"\n", b",", b"]"),
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"\xef\xbb\xbf",
        b"/* */",
        b'"id":2,',
        b'"method":"ping",',
        b"\\u0000",
        b"\xed\xa0\x80",
    ),
)


class Drawn(NamedTuple):
    """A request.

    `whole` says that it is complete, so that there has to be an answer; `parts` how many writes it takes; `patience`
    after how many seconds of silence a stream of events is left, which may have no end.
    """

    data: bytes
    whole: bool = True
    parts: int = 1
    patience: float = 0.15


class Draw:
    """Draws requests from a seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def __call__(self) -> Drawn:
        """Return the next one."""
        draw = self._random
        path, sort = draw.choice(PATHS), draw.random()
        if sort < 0.1:
            return self._sent("GET", path, self._stream_head(), None)
        if sort < 0.12:
            return self._sent("DELETE", path, {"mcp-session-id": draw.choice((*SESSIONS, "a" * 43))}, None)
        message, named = messages.modern(draw) if sort < 0.56 else (messages.legacy(draw), self._session_head(path))
        for _ in range(draw.choice((0, 0, 0, 1, 1, 2))):
            message = self._damaged(message)
        head = {"accept": "application/json, text/event-stream", "content-type": "application/json", **named}
        return self._sent("POST", path, head, self._text(message))

    # -- head

    def _session_head(self, path: str) -> dict[str, str]:
        draw = self._random
        if path == "/stateless" or draw.random() < 0.1:
            return {}
        number = draw.randrange(3)
        name = "x-session-id" if path == "/dialect" and draw.random() < 0.5 else "mcp-session-id"
        return {name: SESSIONS[number], "mcp-protocol-version": messages.VERSIONS[number]}

    def _stream_head(self) -> dict[str, str]:
        draw = self._random
        head = {"accept": "text/event-stream", **({} if draw.random() < 0.2 else self._session_head("/dialect"))}
        return {**head, "last-event-id": Word.CURSOR} if draw.random() < 0.5 else head

    def _damaged_head(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Drop, double, change or add a header."""
        draw = self._random
        name, sort = draw.choice((*HEADERS, *(name for name, _ in pairs))), draw.random()
        if sort < 0.15:
            return [pair for pair in pairs if pair[0] != name]
        if sort < 0.3 and pairs:
            return [*pairs, draw.choice(pairs)]
        if sort < 0.35:
            return [*pairs, *((f"x-{number}", "y") for number in range(300))]
        if sort < 0.4:
            return [(key.title(), f" \t{value}\t ") for key, value in pairs]
        kept = [pair for pair in pairs if pair[0] != name] if draw.random() < 0.7 else pairs
        return [*kept, (name, draw.choice(VALUES))]

    # -- message

    def _damaged(self, node: Any) -> Any:
        """Replace, add or drop something at a random place."""
        draw = self._random
        if isinstance(node, dict) and node and draw.random() < 0.9:
            deeper = [name for name, value in node.items() if isinstance(value, dict | list) and value]
            name = draw.choice(deeper if deeper and draw.random() < 0.7 else (*node, *node, draw.choice(NAMES)))
            if draw.random() < 0.15:
                return {key: value for key, value in node.items() if key != name}
            return {**node, name: self._damaged(node.get(name))}
        if isinstance(node, list) and node and draw.random() < 0.8:
            place = draw.randrange(len(node))
            return [*node[:place], self._damaged(node[place]), *node[place + 1 :]]
        return copy.deepcopy(draw.choice(ODD))

    def _text(self, message: Any) -> bytes:
        """Return a message as JSON, which it may be no more: cut, or with something put in."""
        draw = self._random
        text = json.dumps(message, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
        sort, place = draw.random(), draw.randrange(len(text) + 1)
        if sort < 0.9:
            return text
        if sort < 0.93:
            return text[:place]
        if sort < 0.94:
            return text.decode("utf-8", "replace").encode("utf-16")
        start = 1 if sort < 0.96 else place
        return text[:start] + draw.choice(TEXTS) + text[start + draw.randrange(3) :]

    # -- bytes

    def _sent(self, method: str, path: str, head: dict[str, str], body: bytes | None) -> Drawn:
        draw = self._random
        pairs = [("host", "127.0.0.1"), *head.items()]
        for _ in range(draw.choice((0, 0, 0, 1, 2))):
            pairs = self._damaged_head(pairs)
        proper = is_http(pairs)
        if draw.random() < 0.02:
            method, proper = draw.choice(HTTP_METHODS), False
        if draw.random() < (0.3 if path == "/dialect" else 0.03):
            path = f"{path}?{draw.choice(QUERIES)}"
        elif draw.random() < 0.02:
            proper, path = (
                False,
                draw.choice(
                    ("", "//mcp", "*", "/mcp/", "/mcp/../sdk", "http://x/mcp", "/mcp%00", "/\xe4", "/x" * 5000)
                ),
            )
        version = "HTTP/1.1"
        if draw.random() < 0.02:
            proper, version = False, draw.choice(("HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "", "HTTP/1.1 x"))
        lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in pairs)]
        drawn = self._framed("\r\n".join(lines).encode("latin-1", "replace"), body)
        return drawn._replace(whole=drawn.whole and proper)

    def _framed(self, head: bytes, body: bytes | None) -> Drawn:
        """Put head and body together, mostly as HTTP wants it."""
        draw = self._random
        sort = draw.random()
        if body is None:
            return Drawn(head + b"\r\n\r\n", parts=draw.choice((1, 1, 3)))
        if sort < 0.8:
            return Drawn(head + b"\r\ncontent-length: %b\r\n\r\n" % LENGTH + body, parts=draw.choice((1, 1, 1, 2, 5)))
        if sort < 0.9 and not any(word.value.encode() in body for word in Word):
            return Drawn(
                head + b"\r\ntransfer-encoding: chunked\r\n\r\n" + self._chunked(body), parts=draw.choice((1, 4))
            )
        return draw.choice(
            (
                Drawn(head + b"\r\ncontent-length: %d\r\n\r\n" % (len(body) + 10) + body, whole=False),
                Drawn(head + b"\r\ncontent-length: %d\r\n\r\n" % (len(body) // 2) + body, whole=False),
                Drawn(
                    head + b"\r\ncontent-length: %b\r\ntransfer-encoding: chunked\r\n\r\n" % LENGTH + body, whole=False
                ),
                Drawn(head + b"\r\ntransfer-encoding: chunked\r\n\r\n" + self._chunked(body)[:-7], whole=False),
                Drawn(head + b"\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + body, whole=False),
                Drawn(head + b"\r\ntransfer-encoding: gzip, chunked, x\r\n\r\n" + body, whole=False),
                Drawn(head + b"\ncontent-length: %b\n\n" % LENGTH + body, whole=False),
                Drawn(head + b"\r\n folded\r\ncontent-length: %b\r\n\r\n" % LENGTH + body, whole=False),
                Drawn(head + b"\r\nno colon\r\ncontent-length: %b\r\n\r\n" % LENGTH + body, whole=False),
                Drawn(head[: draw.randrange(len(head) + 1)], whole=False),
                Drawn(bytes(draw.randrange(256) for _ in range(200)), whole=False),
            )
        )

    def _chunked(self, body: bytes) -> bytes:
        draw, pieces = self._random, b""
        while body:
            size = draw.choice((1, 7, 100, 10_000))
            piece, body = body[:size], body[size:]
            pieces += b"%x%b\r\n%b\r\n" % (len(piece), draw.choice((b"", b"", b";a=b")), piece)
        return pieces + b"0\r\n\r\n"


def is_http(pairs: list[tuple[str, str]]) -> bool:
    """Say whether these are headers that a server has to answer; others it may close the connection for."""
    return sum(len(value) for _, value in pairs) < HEAD_BYTES and all(
        name and name.lower() not in FRAMING and all(symbol == "\t" or symbol >= " " for symbol in value)
        for name, value in pairs
    )
