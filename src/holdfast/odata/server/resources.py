"""One request for one resource: from its path to a handler, and from what that says to an answer (O11)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from holdfast.core.remembered import Remembered
from holdfast.odata.errors import BadRequest, MethodNotAllowed, NoSuchResource, NotSupported
from holdfast.odata.query import Call, Key, Options, Path, Root, Special, aliases_of, parse_options, parse_path
from holdfast.odata.query.options import pairs
from holdfast.odata.server import acts, calls, ways
from holdfast.odata.server.body import is_ieee754, read_entity, read_object
from holdfast.odata.server.entities import Found, find, matches
from holdfast.odata.server.entity_set import EntitySet
from holdfast.odata.server.listing import Record, counted, listed
from holdfast.odata.server.payload import Writer
from holdfast.odata.server.request import Answer, Form, Request, form_of
from holdfast.odata.server.service import Service
from holdfast.odata.server.stay import Stay
from holdfast.web.reply import Header

VERSION: Final[Header] = (b"odata-version", b"4.0")
TEXT: Final[Header] = (b"content-type", b"text/plain;charset=utf-8")
PATHS: Final = 2000
NOTHING: Final = Answer(status=204, headers=(VERSION,))


class Resources:
    """What a service answers to requests that are no batch."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._paths = Remembered[str, Path](PATHS)

    async def answer(self, stay: Stay, request: Request) -> Answer:
        """Do what a request asks; raise what is wrong with it."""
        request.check()
        path = self._path(request)
        options = parse_options(self.service.model, path, request.query) if request.query else Options()
        form = form_of(request.headers.get("accept", ""), options.format or None)
        task = _Task(self.service, stay, request, path, options, form)
        return await task.run()

    def _path(self, request: Request) -> Path:
        """Return the path resolved; those without aliases are remembered."""
        known = self._paths.get(request.path)
        if known is not None:
            return known
        aliases = aliases_of(request.query) if "@" in request.path else {}
        path = parse_path(self.service.model, request.path, aliases)
        if not aliases:
            self._paths[request.path] = path
        return path


class _Task:
    """One request, resolved."""

    def __init__(
        self, service: Service, stay: Stay, request: Request, path: Path, options: Options, form: Form
    ) -> None:
        self.service, self.stay, self.request, self.path, self.options = service, stay, request, path, options
        self.form = form
        self.writer = Writer(service, form, request.root)

    async def run(self) -> Answer:
        method, segments = self.request.method, self.path.segments
        if not segments:
            self._only("GET", "HEAD")
            return self._json(self.service.described.service_document(self.request.root))
        first, last = segments[0], segments[-1]
        if isinstance(last, Special) and last.name == "$ref":
            raise NotSupported("$ref is not supported")
        if isinstance(last, Call):
            return await self._call(last)
        if not isinstance(first, Root):
            raise NoSuchResource(f"{self.request.path} cannot be asked for")
        handler = self.service.sets[first.resource.name]
        if len(segments) == 1:
            return await self._set(handler)
        if isinstance(segments[1], Special):
            self._only("GET", "HEAD")
            return self._text(str(await counted(self.stay, handler, self.options)))
        if isinstance(segments[1], Key) and len(segments) == 2:
            return await self._entity(handler, _key(handler, segments[1]))
        if method in ("GET", "HEAD"):
            return await self._below(handler)
        return await self._change_below(handler)

    # -- entity sets and entities

    async def _set(self, handler: EntitySet[Any]) -> Answer:
        if self.request.method == "POST":
            changes = self._body(handler)
            return await self._written(await acts.create(self.stay, handler, changes), status=201)
        self._only("GET", "HEAD")
        page = await listed(self.stay, handler, self.options, page=_preferred_page(self.request.headers))
        found = self.writer.context(handler.name, self.options)
        if page.count is not None:
            found["@odata.count"] = page.count
        found["value"] = await self.writer.entities(handler.shape, page.records, self.options, handler)
        if page.following is not None:
            found["@odata.nextLink"] = self._next(page.following)
        return self._json(found)

    async def _entity(self, handler: EntitySet[Any], key: tuple[Any, ...]) -> Answer:
        method, if_match = self.request.method, self.request.headers.get("if-match")
        if method in ("GET", "HEAD"):
            found = await find(self.stay, handler, key)
            known = self.request.headers.get("if-none-match")
            if known is not None and matches(known, found.etag):
                return Answer(status=304, headers=(VERSION, *_etag(found)))
            return await self._shown(found)
        if method == "DELETE":
            await acts.delete(self.stay, handler, key, if_match)
            return NOTHING
        if method not in ("PATCH", "PUT"):
            raise MethodNotAllowed(f"{method} is not for entities")
        changes = self._body(handler)
        if method == "PUT":
            changes = acts.whole(handler, changes)
        return await self._written(await acts.patch(self.stay, handler, key, changes, if_match))

    async def _written(self, found: Found, *, status: int = 200) -> Answer:
        """Return an entity that was changed, or nothing of it if the client prefers that."""
        prefer = self.request.headers.get("prefer", "").replace(" ", "").lower()
        where = (b"location", f"{self.request.root}{found.name}".encode()) if status == 201 else None
        if "return=minimal" in prefer:
            more: list[Header] = [(b"preference-applied", b"return=minimal"), *_etag(found)]
            more += [where, (b"odata-entityid", where[1])] if where else []
            return Answer(status=204, headers=(VERSION, *more))
        return await self._shown(found, status=status, more=(where,) if where else ())

    async def _shown(self, found: Found, *, status: int = 200, more: tuple[Header, ...] = ()) -> Answer:
        told = self.writer.context(found.handler.name, self.options, entity=True)
        record = Record(found.row, found.etag)
        told |= await self.writer.entity(found.handler.shape, record, self.options, found.handler)
        return self._json(told, status=status, more=(*_etag(found), *more))

    # -- what is below an entity

    async def _below(self, handler: EntitySet[Any]) -> Answer:
        key = self.path.segments[1]
        if not isinstance(key, Key):
            raise NoSuchResource(f"{self.request.path} cannot be asked for")
        found = await find(self.stay, handler, _key(handler, key))
        there = await ways.walked(self.service, found, self.path.segments[2:], self.options)
        if there.raw:
            return self._text(there.raw)
        if there.shape is None:
            if there.value is None and not there.collection:
                return NOTHING
            name = f"{found.name}/{there.way}"
            return self._json({**self.writer.context(name), "value": self.writer.value(there.slot, there.value)})
        target = self.service.set_of(there.shape)
        what = target.name if target is not None else f"{found.name}/{there.way}"
        if not there.collection:
            if there.value is None:
                return NOTHING
            told = self.writer.context(what, self.options, entity=True)
            return self._json(told | await self.writer.entity(there.shape, Record(there.value), self.options, target))
        rows = [Record(one) for one in there.value]
        told = self.writer.context(what, self.options)
        if self.options.count:
            told["@odata.count"] = there.count
        told["value"] = await self.writer.entities(there.shape, rows, self.options, target)
        return self._json(told)

    async def _change_below(self, handler: EntitySet[Any]) -> Answer:
        """Change a property, or what an entity contains: a change of the entity itself."""
        key = self.path.segments[1]
        if not isinstance(key, Key):
            raise MethodNotAllowed(f"{self.request.method} is not for {self.request.path}")
        values = _key(handler, key)
        found = await find(self.stay, handler, values)
        given = read_object(self.request.body, self.request.content_type)
        changes = ways.change(
            found, self.path.segments[2:], self.request.method, given, ieee754=is_ieee754(self.request.content_type)
        )
        written = await acts.patch(self.stay, handler, values, changes.changes, self.request.headers.get("if-match"))
        if changes.made is None or changes.shape is None:
            return NOTHING
        told = self.writer.context(f"{written.name}/{changes.way}", entity=True)
        made = await self.writer.entity(changes.shape, Record(changes.made), self.options)
        return self._json(told | made, status=changes.status)

    # -- actions and functions

    async def _call(self, last: Call) -> Answer:
        is_action = last.name in self.service.actions
        self._only(*(("POST",) if is_action else ("GET", "HEAD")))
        result = await calls.run(self.service, self.stay, self.path, self.request)
        if isinstance(result, Found):
            return await self._shown(result)
        if result is None or result.slot is None or (result.value is None and not result.slot.collection):
            return NOTHING
        slot, value = result.slot, result.value
        if slot.shape is None or not slot.shape.key:
            kind = f"{self.service.name}.{slot.shape.name}" if slot.shape is not None else slot.edm
            told = self.writer.context(f"Collection({kind})" if slot.collection else kind)
            if slot.shape is not None and not slot.collection:
                return self._json(told | self.writer.plain(slot.shape, value))
            return self._json({**told, "value": self.writer.value(slot, value)})
        target = self.service.set_of(slot.shape)
        what = target.name if target is not None else f"{self.service.name}.{slot.shape.name}"
        told = self.writer.context(what, self.options, entity=not slot.collection)
        if not slot.collection:
            record = calls.recorded(slot.shape, value)
            return self._json(told | await self.writer.entity(slot.shape, record, self.options, target))
        records = [calls.recorded(slot.shape, one) for one in value]
        told["value"] = await self.writer.entities(slot.shape, records, self.options, target)
        return self._json(told)

    # -- inside

    def _body(self, handler: EntitySet[Any]) -> dict[str, Any]:
        given = read_object(self.request.body, self.request.content_type)
        return read_entity(handler.shape, given, ieee754=is_ieee754(self.request.content_type))

    def _only(self, *methods: str) -> None:
        if self.request.method not in methods:
            raise MethodNotAllowed(f"{self.request.method} is not for {self.request.path or 'the service root'}")

    def _json(self, told: Mapping[str, Any], *, status: int = 200, more: tuple[Header, ...] = ()) -> Answer:
        return Answer(status=status, body=msgspec.json.encode(told), headers=(self.form.content_type, VERSION, *more))

    def _text(self, text: str) -> Answer:
        return Answer(body=text.encode(), headers=(TEXT, VERSION))

    def _next(self, following: int) -> str:
        """Return the address of the next page: the same request, but for how many have been told."""
        kept = [
            (name, text)
            for name, text in pairs(self.request.query)
            if name.removeprefix("$").lower() not in ("skiptoken", "top")
        ]
        done = following - skipped_before(self.options)
        if self.options.top is not None:
            kept.append(("$top", str(self.options.top - done)))
        kept.append(("$skiptoken", str(following)))
        query = "&".join(f"{quote(name, safe='$@')}={quote(text, safe=_SAFE)}" for name, text in kept)
        return f"{self.request.root}{self.request.path}?{query}"


def _etag(found: Found) -> tuple[Header, ...]:
    return ((b"etag", found.etag.encode()),) if found.etag else ()


_SAFE: Final = "$(),'/:;*@ ".strip()


def skipped_before(options: Options) -> int:
    """Return how many entities earlier pages of the same list have told."""
    return int(options.skiptoken) if options.skiptoken else 0


def _key(handler: EntitySet[Any], key: Key) -> tuple[Any, ...]:
    return tuple(key.values[name] for name in handler.shape.key)


def _preferred_page(headers: Mapping[str, str]) -> int | None:
    """Return `odata.maxpagesize` of `Prefer`; one that is no number above 0 is not heard."""
    for part in headers.get("prefer", "").replace(" ", "").split(","):
        name, _, value = part.partition("=")
        if name.lower() in ("odata.maxpagesize", "maxpagesize"):
            if not (value.isascii() and value.isdigit() and 0 < len(value) < 10):
                raise BadRequest("odata.maxpagesize is no number", target="Prefer")
            return int(value) or None
    return None
