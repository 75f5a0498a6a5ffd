"""Batches: their requests one after the other, in one session; change sets whole or not at all (Part 1 §11.7).

Only the headers of the batch itself tell of session and token; those of its parts were written when the parts were
queued, and may be old (sticky OData §6).
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from holdfast.odata import batch
from holdfast.odata.errors import BadRequest, MethodNotAllowed, UnsupportedType
from holdfast.odata.server.request import Answer, Request, failed, told
from holdfast.odata.server.resources import VERSION, Resources
from holdfast.odata.server.stay import Stay

JSON: Final = "application/json"
MULTIPART: Final = "multipart/mixed"
SESSION_HEADERS: Final = frozenset({"sap-contextid", "x-csrf-token", "sap-terminate"})
Told = batch.Answer | batch.ChangeSetAnswer


class FailedDependency(BadRequest):
    """A request that this one depends on has failed, so it was not carried out."""

    code = "failed_dependency"
    status = 424


class PartFailed(Exception):
    """A request of a change set has failed; `answer` tells how."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Batches:
    """What a service answers to batches of at most `max_parts` requests."""

    def __init__(self, resources: Resources, *, max_parts: int) -> None:
        self._resources, self._limits = resources, batch.Limits(requests=max_parts)

    async def answer(self, stay: Stay, request: Request) -> Answer:
        """Carry out a batch; raise what is wrong with it as a whole, before anything of it is done."""
        request.check()
        if request.method != "POST":
            raise MethodNotAllowed(f"{request.method} is not for $batch")
        kind = request.content_type.partition(";")[0].strip().lower()
        if kind == MULTIPART:
            items = batch.read_multipart(request.content_type, request.body, self._limits)
        elif kind == JSON:
            items = batch.read_json(request.body, self._limits)
        else:
            raise UnsupportedType(f"a batch is multipart/mixed or application/json, not {kind[:60]!r}")
        answers = await _Run(self._resources, stay, request).all(items, as_json=kind == JSON)
        return _whole(answers, request.headers.get("accept", ""), kind)


class _Run:
    """One batch on its way."""

    def __init__(self, resources: Resources, stay: Stay, outer: Request) -> None:
        self._resources, self._stay, self._outer = resources, stay, outer
        self._places: dict[str, str] = {}  # of entities that requests with an id were about
        self._failed: set[str] = set()

    async def all(self, items: Sequence[batch.Part | batch.ChangeSet], *, as_json: bool) -> list[Told]:
        """Return the answers, up to the first failure unless the client prefers to go on."""
        goes_on = "continue-on-error" in self._outer.headers.get("prefer", "").lower()
        answers: list[Told] = []
        for item in items:
            done = await (self._set(item) if isinstance(item, batch.ChangeSet) else self._one(item))
            answers.append(done)
            if isinstance(done, batch.Answer) and done.status >= 400:
                self._failed |= _ids(item)
                if not goes_on:
                    break
        if as_json:
            answers += [_not_done(part) for item in items[len(answers) :] for part in _parts(item)]
        return answers

    async def _one(self, part: batch.Part) -> batch.Answer:
        return _told(await self._done(part), part.id)

    async def _set(self, item: batch.ChangeSet) -> Told:
        """Carry out a change set; of one that fails nothing stays, and one answer tells of it."""
        places = dict(self._places)
        answers: list[batch.Answer] = []
        try:
            async with self._stay.unit():
                for part in item.parts:
                    done = await self._done(part)
                    if done.status >= 400:
                        self._failed.add(part.id)
                        raise PartFailed(done)
                    answers.append(_told(done, part.id))
        except PartFailed as exc:
            self._places = places
            failing = item.parts[len(answers)]
            return _told(exc.answer, failing.id)
        except Exception as exc:  # noqa: BLE001 - what a unit of work raises when it is to be committed
            self._places = places
            return _told(told(exc), item.parts[-1].id)
        return batch.ChangeSetAnswer(answers=tuple(answers), id=item.id)

    async def _done(self, part: batch.Part) -> Answer:
        if self._failed.intersection(part.depends_on):
            return failed(FailedDependency("a request that this one depends on has failed"))
        try:
            answer = await self._resources.answer(self._stay, self._request(part))
        except Exception as exc:  # noqa: BLE001 - one request of several
            return told(exc)
        if part.id:
            place = dict(answer.headers).get(b"location", b"").decode() or batch.referred(part.url, self._places)
            self._places[part.id] = place
        return answer

    def _request(self, part: batch.Part) -> Request:
        path, query = self._address(batch.referred(part.url, self._places))
        given = {name: value for name, value in part.headers.items() if name not in SESSION_HEADERS}
        return Request(method=part.method, path=path, query=query, headers=given, body=part.body, root=self._outer.root)

    def _address(self, url: str) -> tuple[str, str]:
        """Return path and query below the service root: of a relative address, an absolute path, or a whole URL."""
        if "://" in url.partition("?")[0]:
            split = urlsplit(url)
            url = f"{split.path}?{split.query}" if split.query else split.path
        path, _, query = url.partition("?")
        if path.startswith("/"):
            if not f"{path}/".startswith(self._outer.root):
                raise BadRequest("the request is for another service")
            path = path[len(self._outer.root) :]
        if path.strip("/") in ("$batch", "$metadata"):
            raise BadRequest(f"{path.strip('/')} cannot stand in a batch")
        return path.strip("/"), query


# -- inside


def _whole(answers: Sequence[Told], accept: str, kind: str) -> Answer:
    """Return the answer to the batch, in the format of the request unless the client accepts only the other."""
    accepted = accept.lower()
    as_json = kind == JSON
    if as_json and MULTIPART in accepted and JSON not in accepted:
        as_json = False
    elif not as_json and JSON in accepted and MULTIPART not in accepted:
        as_json = True
    if as_json:
        return Answer(body=batch.write_json(answers), headers=((b"content-type", JSON.encode()), VERSION))
    content_type, body = batch.write_multipart(answers)
    return Answer(body=body, headers=((b"content-type", content_type.encode()), VERSION))


def _told(answer: Answer, name: str) -> batch.Answer:
    headers = {_title(each): value.decode("latin-1") for each, value in answer.headers}
    return batch.Answer(status=answer.status, headers=headers, body=answer.body, id=name)


def _title(name: bytes) -> str:
    return {b"odata-version": "OData-Version", b"etag": "ETag", b"odata-entityid": "OData-EntityId"}.get(
        name, name.decode("latin-1").title()
    )


def _not_done(part: batch.Part) -> batch.Answer:
    answer = failed(FailedDependency("a request before this one has failed"))
    return _told(msgspec.structs.replace(answer, status=424), part.id)


def _parts(item: batch.Part | batch.ChangeSet) -> tuple[batch.Part, ...]:
    return item.parts if isinstance(item, batch.ChangeSet) else (item,)


def _ids(item: batch.Part | batch.ChangeSet) -> set[str]:
    return {item.id, *(part.id for part in _parts(item))} - {""}
