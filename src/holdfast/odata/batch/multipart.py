"""Batches as multipart/mixed: bytes to parts, answers to bytes (OData Part 1 §11.7; RFC 2046 §5.1, RFC 9112).

Read as clients really write: no space after a header's colon, lines that end with LF, requests without a body and
without its blank line, text behind the closing delimiter. Each byte is looked at a fixed number of times.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

from holdfast.odata.batch.parts import (
    METHODS,
    Answer,
    BadBatch,
    BatchTooLarge,
    BrokenBoundary,
    ChangeSet,
    ChangeSetAnswer,
    Limits,
    NestedChangeSet,
    Part,
    change_set,
    check_count,
    check_size,
)

_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_LINE_END: Final = re.compile(rb"\r?\n")
_REST_OF_LINE: Final = re.compile(rb"[ \t]*(?=\r?\n|\Z)")
_BLANK: Final = re.compile(rb"\r?\n\r?\n")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS: Final = re.compile(r"HTTP/\d(?:\.\d)? +(\d{3})(?: .*)?")
_VERSION: Final = re.compile(r"HTTP/\d(?:\.\d)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f]+")
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_DEFAULT: Final = Limits()

Headers = dict[str, str]


def read_multipart(content_type: str, body: bytes, limits: Limits = _DEFAULT) -> list[Part | ChangeSet]:
    """Return the requests of a batch in their order.

    Args:
        content_type: The header of the request, which names the boundary.
        body: All of the body.
        limits: How much a batch may be.
    Raises:
        BadBatch: it cannot be read, is too large, or is put together as none may be; see `parts.py` for which.
    """
    check_size(body, limits)
    found: list[Part | ChangeSet] = []
    for headers, content in _sections(content_type, body, limits):
        if _is_multipart(headers):
            found.append(_change_set(headers["content-type"], content, limits))
        else:
            found.append(_part(headers, content, limits))
    check_count(found, limits)
    return found


def _is_multipart(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/")


def _change_set(content_type: str, body: bytes, limits: Limits) -> ChangeSet:
    parts = []
    for headers, content in _sections(content_type, body, limits):
        if _is_multipart(headers):
            raise NestedChangeSet("a change set stands in a change set")
        parts.append(_part(headers, content, limits))
    return change_set(tuple(parts))


def _sections(content_type: str, body: bytes, limits: Limits) -> list[tuple[Headers, bytes]]:
    """Return headers and content of what is between the delimiters; what is before and behind them does not count."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or boundary is None:
        raise BrokenBoundary("the Content-Type is not multipart/mixed with a boundary")
    sections: list[tuple[Headers, bytes]] = []
    begin: int | None = None
    for start, end, closes in _delimiters(body, b"--" + (boundary[1] or boundary[2]).encode()):
        if begin is not None:
            sections.append(_headers_and_content(body[begin:start], limits))
        if closes:
            return sections
        begin = end
        if len(sections) > limits.requests:
            raise BatchTooLarge(f"the batch has more than {limits.requests} requests")
    raise BrokenBoundary("the batch has no delimiter" if begin is None else "the closing delimiter is missing")


def _delimiters(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield where each delimiter begins, with the line end before it, and ends, and whether it is the closing one."""
    at = body.find(delimiter)
    while at >= 0:
        end = at + len(delimiter)
        closes = body.startswith(b"--", end)
        rest = _REST_OF_LINE.match(body, end + 2 * closes)
        if rest and (at == 0 or body.startswith(b"\n", at - 1)):
            yield max(at - 1 - body.startswith(b"\r\n", at - 2), 0), rest.end(), closes
        at = body.find(delimiter, end)


def _headers_and_content(section: bytes, limits: Limits) -> tuple[Headers, bytes]:
    """Divide what follows a delimiter, beginning with the end of its line."""
    first = _LINE_END.match(section)
    section = section[first.end() :] if first else section
    head, content = _divided(section, limits)
    return _headers(head.split("\n") if head else []), content


def _divided(section: bytes, limits: Limits) -> tuple[str, bytes]:
    """Divide at the first blank line, if there is one: into lines of text, ended by LF alone, and the rest."""
    leading = _LINE_END.match(section)
    blank = None if leading else _BLANK.search(section, 0, limits.headers + 4)
    head, content = (b"", section[leading.end() :]) if leading else (section, b"")
    if blank is not None:
        head, content = section[: blank.start()], section[blank.end() :]
    if len(head) > limits.headers:
        raise BadBatch(f"the headers of a part have more than {limits.headers} bytes")
    return _decoded(head).replace("\r\n", "\n").rstrip("\n"), content


def _decoded(head: bytes) -> str:
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _headers(lines: Iterable[str]) -> Headers:
    headers: Headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or "\r" in value or "\x00" in value:
            raise BadBatch("a part has a header line that is none")
        key = name.lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers


def _part(headers: Headers, content: bytes, limits: Limits) -> Part:
    _must_be_http(headers)
    line, inner, body = _message(content, limits)
    method, _, rest = line.rstrip().partition(" ")
    url, _, version = rest.rpartition(" ")  # a space within the address is wrong, and clients send some
    if method.upper() not in METHODS or not url.strip() or not _VERSION.fullmatch(version):
        raise BadBatch("a part does not begin with a method, an address and a version of HTTP")
    name = headers.get("content-id") or inner.pop("content-id", "")
    return Part(method=method.upper(), url=url.strip(), headers=inner, body=body, id=name)


def _must_be_http(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/http":
        raise BadBatch("a part is neither application/http nor a change set")


def _message(content: bytes, limits: Limits) -> tuple[str, Headers, bytes]:
    """Return first line, headers and body of an HTTP message."""
    head, body = _divided(content.lstrip(b"\r\n"), limits)
    line, *lines = head.split("\n")
    headers = _headers(lines)
    return line, headers, _of_length(headers, body)


def _of_length(headers: Headers, body: bytes) -> bytes:
    length = headers.get("content-length")
    if length is None:
        return b"" if not body.strip() else body
    if not re.fullmatch(r"\d{1,12}", length, re.ASCII) or int(length) > len(body) or body[int(length) :].strip():
        raise BadBatch("the Content-Length of a part is not that of its body")
    return body[: int(length)]


def write_multipart(answers: Sequence[Answer | ChangeSetAnswer]) -> tuple[str, bytes]:
    """Return the Content-Type and the body that answer a batch. The boundaries are in none of the answers."""
    return _written([_written_item(item) for item in answers], "batchresponse")


def _written_item(item: Answer | ChangeSetAnswer) -> bytes:
    if isinstance(item, Answer):
        return _http_part(f"HTTP/1.1 {item.status} {_PHRASES.get(item.status, '')}", item.headers, item.body, item.id)
    return _nested([_written_item(answer) for answer in item.answers], "changesetresponse")


def write_requests(items: Sequence[Part | ChangeSet]) -> tuple[str, bytes]:
    """Return the Content-Type and the body of a batch, for clients; the inverse of `read_multipart`."""
    return _written([_written_request(item) for item in items], "batch")


def _written_request(item: Part | ChangeSet) -> bytes:
    if isinstance(item, Part):
        return _http_part(f"{item.method} {item.url} HTTP/1.1", item.headers, item.body, item.id)
    return _nested([_written_request(part) for part in item.parts], "changeset")


def _nested(parts: list[bytes], name: str) -> bytes:
    content_type, body = _written(parts, name)
    return b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body


def _written(parts: list[bytes], name: str) -> tuple[str, bytes]:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    boundary = f"{name}_{digest.hexdigest()[:32]}"
    delimiter = b"--" + boundary.encode()
    lines = [line for part in parts for line in (delimiter, part)]
    return f"multipart/mixed; boundary={boundary}", b"\r\n".join([*lines, delimiter + b"--", b""])


def _http_part(line: str, headers: Headers, body: bytes, name: str) -> bytes:
    outer = {"Content-Type": "application/http", "Content-Transfer-Encoding": "binary"}
    inner = headers | ({"Content-Length": str(len(body))} if body else {})
    outer |= {"Content-ID": name} if name else {}
    return (_lines(outer) + f"\r\n{line}\r\n" + _lines(inner) + "\r\n").encode() + body


def _lines(headers: Headers) -> str:
    return "".join(f"{name}: {_CONTROL.sub(' ', value)}\r\n" for name, value in headers.items())


def read_answers(content_type: str, body: bytes, limits: Limits = _DEFAULT) -> list[Answer | ChangeSetAnswer]:
    """Return what a batch was answered, for clients; raise `BadBatch` if it cannot be read."""
    check_size(body, limits)
    found: list[Answer | ChangeSetAnswer] = []
    for headers, content in _sections(content_type, body, limits):
        if _is_multipart(headers):
            inner = _sections(headers["content-type"], content, limits)
            found.append(ChangeSetAnswer(answers=tuple(_answer(*one, limits) for one in inner)))
        else:
            found.append(_answer(headers, content, limits))
    return found


def _answer(headers: Headers, content: bytes, limits: Limits) -> Answer:
    _must_be_http(headers)
    line, inner, body = _message(content, limits)
    status = _STATUS.fullmatch(line)
    if status is None:
        raise BadBatch("an answer does not begin with a status")
    return Answer(status=int(status[1]), headers=inner, body=body, id=headers.get("content-id", ""))
