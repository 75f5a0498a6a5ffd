"""What a batch is made of, whichever format it came in, and how a bad one is refused.

* BadBatch                 400 bad_batch: it cannot be read
  - BrokenBoundary         400 broken_boundary: its multipart delimiters are missing or do not fit
  - NestedChangeSet        400 nested_change_set: a change set or batch in a change set
  - ReadInChangeSet        400 read_in_change_set: a request in a change set that changes nothing
  - MissingContentId       400 missing_content_id: requests of a change set that nobody could tell apart
  - BatchTooLarge          413 batch_too_large: too many bytes or too many requests

A batch that is refused was not begun: reading is done before anything is carried out.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec

from holdfast.odata.errors import BadRequest

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"))
READS: Final = frozenset(("GET", "HEAD"))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one batch may be: bytes in all, requests (those in change sets count), headers of one part in bytes."""

    size: int = 10 * 1024 * 1024
    requests: int = 1000
    headers: int = 16 * 1024


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Header names are in lower case; `url` is as it was sent: relative, absolute, or `$id/…`.

    `id` is the Content-ID or the JSON id, "" if there is none; `depends_on` names requests and groups (JSON only).
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes = b""
    id: str = ""
    depends_on: tuple[str, ...] = ()


class ChangeSet(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that succeed or fail together; `id` is the atomicity group of JSON."""

    parts: tuple[Part, ...]
    id: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one part, whose `id` it repeats; that to a failed change set is one of these too."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    id: str = ""


class ChangeSetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to a change set that has succeeded."""

    answers: tuple[Answer, ...]
    id: str = ""


class BadBatch(BadRequest):
    """The batch cannot be read."""

    code: ClassVar[str] = "bad_batch"
    default_hint = "Correct the batch; nothing of it was carried out."


class BrokenBoundary(BadBatch):
    """Its delimiters are missing, do not fit the Content-Type, or the closing one is not there."""

    code = "broken_boundary"


class NestedChangeSet(BadBatch):
    """A change set stands in a change set."""

    code = "nested_change_set"


class ReadInChangeSet(BadBatch):
    """A change set has a request that changes nothing."""

    code = "read_in_change_set"
    default_hint = "Put the GET beside the change set; nothing of the batch was carried out."


class MissingContentId(BadBatch):
    """Several requests of a change set have no Content-ID, or the same."""

    code = "missing_content_id"
    default_hint = "Give each request of the change set a Content-ID of its own; nothing was carried out."


class BatchTooLarge(BadBatch):
    """It has too many bytes or requests; the message names the limit."""

    code = "batch_too_large"
    status = 413
    default_hint = "Divide it into several; nothing of it was carried out."


def check_size(body: bytes, limits: Limits) -> None:
    """Raise `BatchTooLarge` if a body has more bytes than allowed."""
    if len(body) > limits.size:
        raise BatchTooLarge(f"the batch has more than {limits.size} bytes")


def check_count(items: Iterable[Part | ChangeSet], limits: Limits) -> None:
    """Raise `BatchTooLarge` if there are more requests than allowed."""
    count = sum(len(item.parts) if isinstance(item, ChangeSet) else 1 for item in items)
    if count > limits.requests:
        raise BatchTooLarge(f"the batch has more than {limits.requests} requests")


def change_set(parts: tuple[Part, ...], name: str = "") -> ChangeSet:
    """Return parts as a change set, if they can be one: all change something, and answers to them can be told apart.

    A single one needs no Content-ID, as some clients wrap every change in a change set of its own.
    """
    if not parts:
        raise BadBatch("a change set has no requests")
    reading = next((part for part in parts if part.method in READS), None)
    if reading is not None:
        raise ReadInChangeSet(f"a change set has a {reading.method}")
    if len(parts) > 1 and (not all(part.id for part in parts) or len({part.id for part in parts}) < len(parts)):
        raise MissingContentId("requests of a change set have no Content-ID, or the same")
    return ChangeSet(parts=parts, id=name)


def referred(url: str, locations: Mapping[str, str]) -> str:
    """Return a URL with the location of an earlier request's entity for `$id` at its begin.

    `locations` are those of requests that have been carried out, by id; other `$…` stay, such as `$metadata`.
    """
    head, slash, rest = url.partition("/")
    known = locations.get(head[1:]) if head.startswith("$") else None
    return url if known is None else known.rstrip("/") + slash + rest
