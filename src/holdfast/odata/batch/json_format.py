"""Batches as JSON: bytes to parts, answers to bytes (OData JSON Format 4.01 §19).

Requests of one atomicity group stand side by side and become a change set. Bodies that are no JSON stand as text, or
as base64url where they are no text either.
"""

import base64
import binascii
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from holdfast.odata.batch.parts import (
    METHODS,
    Answer,
    BadBatch,
    ChangeSet,
    ChangeSetAnswer,
    Limits,
    Part,
    change_set,
    check_count,
    check_size,
)
from holdfast.odata.errors import NotSupported

_DEFAULT: Final = Limits()


class _Request(msgspec.Struct, rename="camel"):
    id: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    atomicity_group: str | None = None
    depends_on: list[str] = []
    condition: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="if")


class _Batch(msgspec.Struct):
    requests: list[_Request]


_DECODER: Final = msgspec.json.Decoder(_Batch)


def read_json(body: bytes, limits: Limits = _DEFAULT) -> list[Part | ChangeSet]:
    """Return the requests of a batch in their order.

    Raises:
        BadBatch: it cannot be read, is too large, or is put together as none may be; see `parts.py` for which.
        NotSupported: a request has an `if`.
    """
    check_size(body, limits)
    try:
        requests = _DECODER.decode(body).requests
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBatch(f"the batch cannot be read: {error}") from None
    items = [_item(group, list(members)) for group, members in groupby(requests, lambda one: one.atomicity_group)]
    found = [item for part in items for item in part]
    check_count(found, limits)
    _check_order(requests)
    return found


def _item(group: str | None, members: list[_Request]) -> Sequence[Part | ChangeSet]:
    parts = tuple(_part(one) for one in members)
    return parts if group is None else (change_set(parts, group),)


def _part(request: _Request) -> Part:
    method = request.method.upper()
    if method not in METHODS or not request.id or not request.url:
        raise BadBatch("a request needs an id, a method and a url", target=request.id)
    if bytes(request.condition):
        raise NotSupported("`if` in a batch is not supported", target=request.id)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Part(
        method=method,
        url=request.url,
        headers=headers,
        body=_body(headers, bytes(request.body), request.id),
        id=request.id,
        depends_on=tuple(request.depends_on),
    )


def _body(headers: dict[str, str], body: bytes, name: str) -> bytes:
    kind = headers.get("content-type", "application/json")
    if not body or _is_json(kind):
        return body
    try:
        text = msgspec.json.decode(body, type=str)
        return text.encode() if kind.startswith("text/") else _from_base64(text)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        raise BadBatch(f"the body of request {name} is not as its Content-Type says", target=name) from None


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _is_json(kind: str) -> bool:
    bare = kind.partition(";")[0].strip().lower()
    return bare == "application/json" or bare.endswith("+json")


def _check_order(requests: Sequence[_Request]) -> None:
    """Let ids be unique, groups stand together, and dependencies be on what comes before."""
    before: set[str] = set()
    last: str | None = None
    for one in requests:
        group = one.atomicity_group
        if one.id in before or one.id == group or (group is not None and group != last and group in before):
            raise BadBatch("an id is there twice, or a group does not stand together", target=one.id)
        if not set(one.depends_on) <= before - {group}:
            raise BadBatch(f"request {one.id} depends on what does not come before it", target=one.id)
        before |= {one.id} | ({group} if group is not None else set())
        last = group


def write_json(answers: Sequence[Answer | ChangeSetAnswer]) -> bytes:
    """Return the body that answers a batch."""
    told = [each for item in answers for each in _told_item(item)]
    return msgspec.json.encode({"responses": told})


def _told_item(item: Answer | ChangeSetAnswer) -> list[dict[str, Any]]:
    if isinstance(item, Answer):
        return [_told(item)]
    return [_told(answer) | {"atomicityGroup": item.id} for answer in item.answers]


def _told(answer: Answer) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    told: dict[str, Any] = {"id": answer.id, "status": answer.status, "headers": headers}
    return told | ({"body": _told_body(headers.get("content-type", ""), answer.body)} if answer.body else {})


def _told_body(kind: str, body: bytes) -> Any:
    if _is_json(kind):
        return msgspec.Raw(body)
    if kind.startswith("text/"):
        return body.decode(errors="replace")
    return base64.urlsafe_b64encode(body).decode()
