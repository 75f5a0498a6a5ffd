"""What OpenUI5 1.152.0 sent in a recording of ours, a line for each request, and a page's requests in the same terms.

    batch fetch cancel | GET Orders('1')
    batch token id | change set: PATCH Orders('1') [token id etag] {"Note":"p1"} & PATCH …

Behind the way it was sent stand the headers that matter; ids, tokens and ETags, which differ from run to run, are only
named. All other headers and lines are the same in every request of a way, and are compared here: one that is not is
told in full, and so is in no recording.
"""

import re
from collections.abc import Mapping
from typing import Final

from playwright.async_api import Page, Request

COMMON: Final = {"accept-language": "en", "x-requested-with": "XMLHttpRequest"}
DATA: Final = {**COMMON, "odata-version": "4.0", "odata-maxversion": "4.0"}
JSON: Final = "application/json;odata.metadata=minimal;IEEE754Compatible=true"
JSON_BODY: Final = "application/json;charset=UTF-8;IEEE754Compatible=true"
WAYS: Final = {
    "batch": {**DATA, "accept": "multipart/mixed", "mime-version": "1.0", "content-type": "multipart/mixed"},
    "direct": {**DATA, "accept": JSON, "content-type": JSON_BODY},
    "plain": {**COMMON, "accept": "*/*"},
    "ping": {"x-requested-with": "XMLHttpRequest", "accept": "*/*"},
}
FLAGS: Final = {"x-csrf-token": "token", "sap-cancel-on-close": "cancel", "sap-contextid": "id", "if-match": "etag"}
PART: Final = ("Content-Type:application/http", "Content-Transfer-Encoding:binary")
MANNERS: Final = {"Accept": JSON, "Accept-Language": "en", "Content-Type": JSON_BODY}


def line(method: str, path: str, headers: Mapping[str, str], body: str) -> str:
    """Return a request as a line. `path` is relative to the service."""
    told = {name.lower(): value for name, value in headers.items()}
    known = {name for way in WAYS.values() for name in way}
    rest = {name: value for name, value in told.items() if name in known}
    boundary = ""
    if told.get("content-type", "").startswith("multipart/mixed; boundary="):
        rest["content-type"], _, boundary = told["content-type"].partition("; boundary=")
    way = next((name for name, manner in WAYS.items() if manner == rest), f"{rest}")
    flags = _flags(told)
    if boundary:
        parts = _parts(body.split("\r\n"), boundary)
        return f"{way}{flags} | {' & '.join(parts)}"
    return f"{way}{flags} | {method} {path}{f' {body}' if body else ''}"


def _flags(headers: Mapping[str, str]) -> str:
    told = ["fetch" if headers[name] == "Fetch" else flag for name, flag in FLAGS.items() if name in headers]
    return "".join(f" {flag}" for flag in told)


def _parts(lines: list[str], boundary: str) -> list[str]:
    """Return the parts of a batch or change set. What follows the last of them is an epilogue."""
    body = "\n".join(lines).partition(f"--{boundary}--")[0]
    parts = [part.removeprefix("\n").removesuffix("\n") for part in body.split(f"--{boundary}")[1:]]
    return [_part(part.split("\n")) for part in parts]


def _part(lines: list[str]) -> str:
    inner = re.fullmatch(r"Content-Type: multipart/mixed;boundary=(\S+)", lines[0])
    if inner:
        return f"change set: {' + '.join(_parts(lines[1:], inner[1]))}"
    number = ""
    if tuple(lines[:2]) != PART:
        return f"{lines}"
    rest = lines[2:]
    if rest[0].startswith("Content-ID:"):
        number = f"{rest.pop(0).removeprefix('Content-ID:')}: "
    head = rest[1 : rest.index("", 1)]
    request, headers = head[0], dict(one.split(":", 1) for one in head[1:])
    constant = {name: headers.pop(name, "") for name in MANNERS}
    flags = _flags({name.lower(): value for name, value in headers.items()})
    odd = f" {constant} {headers}" if constant != MANNERS or any(n.lower() not in FLAGS for n in headers) else ""
    content = "".join(rest[rest.index("", 1) + 1 :])
    text = f"{number}{request.removesuffix(' HTTP/1.1')}{f' [{flags.strip()}]' if flags else ''}{odd}"
    return f"{text} {content}" if content else text


class Recorder:
    """The requests of a page to a service, from the moment it is made."""

    def __init__(self, page: Page, root: str = "/svc/") -> None:
        self._root, self._requests = root, list[Request]()
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if self._root in request.url:
            self._requests.append(request)

    async def lines(self) -> list[str]:
        """Return what was sent since the last call, a line each. `$metadata` comes first: it runs beside the others."""
        requests, self._requests[:] = list(self._requests), []
        found = [
            line(one.method, one.url.partition(self._root)[2], await one.all_headers(), one.post_data or "")
            for one in requests
        ]
        return sorted(found, key=lambda text: "$metadata" not in text)
