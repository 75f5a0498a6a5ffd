"""A client for OData services that change only inside sticky sessions, SAP's or others, as their $metadata says.

async with StickyClient("https://host/svc", auth=("me", "secret")) as client:
    async with client.edit("Orders('1')") as order:
        order["Note"] = "changed"

One client is one tab: it has one session at a time, in which several entities can be new or edited. Steps that the
choreography does not allow raise before anything is sent.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx2
from anyio.abc import TaskGroup

from holdfast.backend.lanes import Lanes
from holdfast.backend.wire import Call, Reply, Wire
from holdfast.core.sealing import KeyRing
from holdfast.errors import BackendError, BadInput, HoldfastError
from holdfast.odata.choreography import Act
from holdfast.odata.client.answers import NEXT, body_of, check, etag_of, fine, good_body, if_match
from holdfast.odata.client.driver import CLOSE_S, Closed, Driver, log
from holdfast.odata.client.entity import Entity, Opening
from holdfast.odata.client.errors import Loss
from holdfast.odata.client.kept import Kept, opened, sealed
from holdfast.odata.client.line import Auth, Line, says_gone
from holdfast.odata.client.schedule import CAP_S
from holdfast.odata.client.service import Service
from holdfast.odata.client.values import from_service
from holdfast.odata.csdl import read_xml

WHOLE: Final = {"prefer": "return=representation"}


class StickyClient:
    """One client of one service. Enter it to have its session kept alive, and ended when the block is left.

    Args:
        url: The service's root.
        auth: User and password, a bearer token, or a function that returns the Authorization header of each request.
        query: Query parameters of every request, such as `{"sap-client": "100"}`.
        on_loss: Called once for each session that ends with something unsaved in it and not by `discard`.
        cap: Seconds without use after which the session is discarded; None for never.
        batch: Whether saving an entity sends what was set and the save as one $batch, instead of one after the other.
        timeout: Seconds that an answer may take.
        verify: What TLS trusts; httpx2's `verify`.
        transport: What sends, such as connections that several clients share; it is not closed with the client.
        clock: Gives Unix seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth = None,
        query: Mapping[str, str] = {},
        on_loss: Callable[[Loss], None] | None = None,
        cap: float | None = CAP_S,
        batch: bool = False,
        timeout: float = 30.0,
        verify: Any = True,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared, self.batch = transport is not None, batch
        self._wire = Wire(url, transport or Lanes(httpx2.create_ssl_context(verify=verify)), timeout=timeout)
        self._line = Line(self._wire, clock, auth=auth, query=query)
        self._driver = Driver(
            self._line,
            discard=self._discarding,
            look=lambda path: self._line.call("GET", path),
            on_loss=self._lost,
            cap=cap,
            clock=clock,
        )
        self._on_loss, self._discard = on_loss, ""
        self._service: Service | None = None
        self._entities: dict[str, Entity] = {}
        self._group: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Begin to keep sessions alive."""
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._driver.attend)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        group, self._group = self._group, None
        try:
            await self.close()
        finally:
            if group is not None:
                group.cancel_scope.cancel()
                await group.__aexit__(None, None, None)  # the block's own error needs no group around it

    def __repr__(self) -> str:
        """Name the service, and what is unsaved."""
        return f"<StickyClient {self._wire.base_url} {self._driver.standing!r}>"

    # -- where one stands

    @property
    def inside(self) -> bool:
        """Whether a session is open."""
        return self._driver.inside

    @property
    def unsaved(self) -> frozenset[str]:
        """The paths of the entities that are new or edited in the session and not saved yet."""
        return self._driver.standing.place.unsaved

    @property
    def loss(self) -> Loss | None:
        """How the session before was lost, until another one starts."""
        return self._driver.loss

    def entity(self, path: str) -> Entity | None:
        """Return the entity of this path that is open in the session."""
        return self._entities.get(path)

    async def service(self) -> Service:
        """Return what the service's $metadata says; it is read once."""
        if self._service is None:
            call = self._line.call("GET", "$metadata", headers={"accept": "application/xml"})
            reply = await self._driver.look(call, within=False)
            check(call, reply)
            self._service = Service(read_xml(reply.body))
        return self._service

    # -- the choreography

    def edit(self, path: str, *, etag: str = "") -> Opening:
        """Open an entity: `await` it for the single step, or `async with` to have it saved or discarded.

        Args:
            path: Such as `Orders('1')`, percent-encoded where a URL must be.
            etag: If given, the entity is opened only if it is still this version of it.

        Raises, when awaited or entered:
            ServiceError: The service refuses, as for a lock that another holds. EntityChanged: the ETag is stale.
            StickySessionLost, AnswerLost, BackendUnavailable: As all steps do.
        """
        return Opening(self, lambda: self._edit(path, etag))

    async def _edit(self, path: str, etag: str) -> Entity:
        service = await self.service()
        sticky = service.sticky(path, one=True)
        call = self._line.call("POST", f"{path}/{sticky.edit}", headers=if_match(etag), body={})
        return await self._open(Act.EDIT, lambda reply: path, call, sticky.discard, path)

    def new(
        self,
        collection: str,
        values: Mapping[str, Any] | None = None,
        *,
        action: str = "",
        parameters: Mapping[str, Any] | None = None,
        path: str = "",
    ) -> Opening:
        """Create an entity in the session; `await` or `async with` as for `edit`.

        Args:
            collection: Such as `Orders`.
            values: Properties to set; they are sent when the entity is flushed or saved.
            action: One of AdditionalNewActions by its qualified name, instead of the NewAction.
            parameters: What the action is called with.
            path: Where the new entity is found, for a service whose action does not return it.
        """
        return Opening(self, lambda: self._new(collection, values or {}, action, parameters or {}, path))

    async def _new(
        self, collection: str, values: Mapping[str, Any], action: str, parameters: Mapping[str, Any], path: str
    ) -> Entity:
        service = await self.service()
        sticky = service.sticky(collection, one=False)
        name = action or sticky.new
        if name not in (sticky.new, *sticky.more_new) or not name:
            raise BadInput(f"{collection} has no new action {name}".rstrip())
        place = f"{collection}/{name}"
        call = self._line.call("POST", place, body=service.body(place, parameters))

        def named(reply: Reply) -> str:
            return path or self._path_in(reply, collection) or collection

        entity = await self._open(Act.NEW, named, call, sticky.discard, collection)
        for key, value in values.items():
            entity[key] = value
        return entity

    async def _open(self, act: Act, named: Callable[[Reply], str], call: Call, discard: str, collection: str) -> Entity:
        reply = await self._driver.step(act, named, call)
        if self.inside and fine(reply):
            self._discard = discard
        body = good_body(call, reply)
        if not self.inside:
            raise BackendError("the service has begun no session: its answer has no SAP-ContextId")
        path = named(reply)
        entity = self._entities[path] = Entity(self, path, self._values(collection, body), etag_of(body, reply))
        return entity

    async def patch(self, path: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change properties of an entity, now. Return what the service says of it, or what was sent if it says nothing.

        In a sticky set that needs a session.
        """
        service = await self.service()
        call = self._patching(service, path, changes)
        reply = await self._driver.step(Act.OTHER, path, call, within=service.is_sticky(path))
        said = good_body(call, reply)
        values = self._values(path, said) or dict(changes)
        if entity := self.entity(path):
            entity.learn(values, etag_of(said, reply))
        return values

    def _patching(self, service: Service, path: str, changes: Mapping[str, Any]) -> Call:
        return self._line.call("PATCH", path, headers=WHOLE | self._version(path), body=service.body(path, changes))

    def _version(self, path: str) -> dict[str, str]:
        entity = self.entity(path)
        return if_match(entity.etag if entity else "")

    async def save(self, path: str, changes: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Save an entity that is open. Return what the service saved.

        With `changes`, they are sent before in the same request, a $batch: if the save is refused, neither counts.
        """
        service = await self.service()
        sticky, entity = service.sticky(path, one=True), self.entity(path)
        call = self._line.call("POST", f"{path}/{sticky.save}", headers=self._version(path), body={})
        if changes:
            patch = self._patching(service, path, changes)
            call = self._line.batch([patch, call], self._driver.standing.context_id)
        reply = await self._driver.step(Act.SAVE, path, call)
        body = good_body(call, reply)
        values = self._values(path, body)
        self._entities.pop(path, None)
        if entity is not None:
            entity.learn(values, etag_of(body, reply))
        return values

    async def discard(self) -> None:
        """Discard everything that is new or edited in the session; by the vocabulary, that ends the session."""
        call = self._discarding()
        reply = await self._driver.step(Act.DISCARD, "", call)
        if not self.inside:
            self._forget()
        if self.inside or not says_gone(reply):
            check(call, reply)

    def _discarding(self) -> Call:
        return self._line.call("POST", self._discard, body={})  # servers exist that cannot do without a body

    async def abandon(self, entity: Entity) -> None:
        """Discard because the work on an entity has failed; what fails now is logged, and `close` tries again."""
        entity.changes.clear()
        if not entity.is_open:
            return
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await self.discard()
            except HoldfastError as exc:
                log.warning("%s could not be discarded: %s", entity.path, exc.code)

    # -- everything else

    async def read(self, path: str) -> Mapping[str, Any]:
        """Read an entity or a page of a collection: `Orders('1')`, `Orders?$filter=Note eq 'x'`, or a next link.

        Inside of a session one sees what is changed in it. An entity's ETag is in "@odata.etag"; a collection's
        entities are in "value", and the link to its next page in "@odata.nextLink" if there is one.
        """
        await self.service()
        call = self._line.call("GET", path)
        body, place = good_body(call, await self._driver.look(call)), self._line.relative(path)
        rows = body.get("value")
        if isinstance(rows, list):
            return body | {"value": [self._values(place, row) if isinstance(row, dict) else row for row in rows]}
        return self._values(place, body)

    async def rows(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the entities of a collection, page after page. Raises as `read`."""
        link: Any = path
        while isinstance(link, str) and link:
            page = await self.read(link)
            for row in page.get("value", []):
                yield row
            if page.get(NEXT) == link:
                raise BackendError("the service's next page is the same one again")
            link = page.get(NEXT)

    async def post(self, path: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create an entity, or call an action that is none of the choreography's. Return what the service says."""
        service = await self.service()
        if service.choreographed(path):
            raise BadInput(f"{path} begins or ends a session", hint="Use edit, new, save or discard.")
        call = self._line.call("POST", path, body=service.body(path, values))
        reply = await self._driver.step(Act.OTHER, path, call, within=service.is_sticky(path))
        return self._values(path, good_body(call, reply))

    async def delete(self, path: str, *, etag: str = "") -> None:
        """Delete an entity. In a sticky set that needs a session."""
        service = await self.service()
        call = self._line.call("DELETE", path, headers=if_match(etag))
        check(call, await self._driver.step(Act.OTHER, path, call, within=service.is_sticky(path)))

    async def keep_alive(self) -> float | None:
        """Do what is due for the session, as an entered client does by itself.

        Return when there will be something to do, in Unix seconds; None if no session is open.
        """
        return await self._driver.tend()

    async def leave(self, keys: KeyRing) -> str:
        """Send what was set, and stop without ending the session. Return a text that `resume` takes, sealed.

        The service goes on counting: after its time-out the session is gone.
        """
        for entity in list(self._entities.values()):
            await entity.flush()
        etags = {path: entity.etag for path, entity in self._entities.items()}
        kept = Kept(await self._driver.leave(), *self._line.dump(), self._discard, etags)
        await self.close()
        return sealed(kept, self._wire.base_url, keys)

    async def resume(self, left: str, keys: KeyRing) -> list[Entity]:
        """Go on with a session that another client has left, and return its unsaved entities as they stand in it.

        Raises:
            BadInput: The text is another service's, or was sealed with other keys.
            StickySessionLost: The session is gone.
        """
        kept = opened(left, self._wire.base_url, keys)
        await self.service()
        self._driver.take_up(kept.standing)
        self._line.load(kept.jar, kept.token)
        self._discard = kept.discard
        for path in sorted(self.unsaved):
            call = self._line.call("GET", path)
            body = good_body(call, await self._driver.step(Act.OTHER, path, call, within=True))
            etag = kept.etags.get(path, "")
            self._entities[path] = Entity(self, path, self._values(path, body), etag)
        return list(self._entities.values())

    async def close(self) -> Closed:
        """Discard what is unsaved and end the session; if the service cannot be told, say when it ends by itself."""
        try:
            return await self._driver.close()
        finally:
            self._forget()
            if not self._shared:
                with anyio.CancelScope(shield=True):
                    await self._wire.aclose()

    # -- answers

    def _lost(self, loss: Loss) -> None:
        for path in loss.unsaved:
            if entity := self._entities.get(path):
                entity.loss = loss
        self._entities.clear()
        if self._on_loss is not None:
            self._on_loss(loss)

    def _forget(self) -> None:
        for entity in self._entities.values():
            entity.changes.clear()
        self._entities.clear()

    def _values(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._service is None:
            return dict(body)
        return from_service(self._service.model, self._service.type_of(path), body)

    def _path_in(self, reply: Reply, collection: str) -> str:
        """Return the path of the entity that an answer holds, empty if it holds none that can be named."""
        if self._service is None or not fine(reply):
            return ""
        try:
            return self._service.entity_path(collection, self._values(collection, body_of(reply)))
        except (BackendError, BadInput):
            return ""
