"""The sender `successfactors_soap`: asks SFAPI every so often what has changed; each object becomes a message.

    sender:
      adapter: successfactors_soap
      url: https://api4.successfactors.com/sfapi/v1/soap
      company: ACME
      auth: {basic: sf-user}
      schedule: {every: 10m}
      query: >
        SELECT id, lastModified FROM User
        WHERE lastModified > '${properties.since}' AND lastModified <= '${properties.until}'

The store keeps until when all has been dealt with, and the end of the window that is being read. After a crash that
window is read again; an object that was through then is left out, and one that was not keeps its message's id, by which
receivers can tell what they have had. An object counts as dealt with when its message is through or has failed: then it
is in the log of messages, to be resent.
"""

import hashlib
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import anyio
import msgspec
from msgspec import Meta

from holdfast.errors import BackendUnavailable
from holdfast.flows.adapters.adapter import Means
from holdfast.flows.adapters.sfapi import Row, Sfapi, SfapiSending
from holdfast.flows.failures import StepFailed
from holdfast.flows.message import Message
from holdfast.flows.senders.post import Turn
from holdfast.flows.senders.schedule import Clockwork
from holdfast.flows.senders.sender import SenderMeans
from holdfast.flows.senders.timing import Timing

MESSAGES: Final = uuid.UUID("6c1c2f0e-5f0f-4c0e-9d53-8a1b6c9f7a10")
WEEK_S: Final = 7 * 86_400.0  # for so long a window can be open, and be read again
TIME: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
log = logging.getLogger(__name__)


class FromSuccessFactorsSoap(Sfapi, frozen=True, kw_only=True, tag_field="adapter", tag="successfactors_soap"):
    """A query that is made again and again. `retry`, `repeatable` and `stateful` are without meaning here.

    Args:
        query: In SFQL (template). `properties.since` and `properties.until` are a window of time: after the one, up to
            the other.
        schedule: When. It never overlaps: a query waits until all messages of the one before are through.
        since: Where the first window begins.
        lag: Seconds by which a window ends before now: what was changed then can be read by now.
        per: One message for each `object`, or one for each `page`, whose body is a list.
    """

    query: Annotated[str, Meta(min_length=1)]
    schedule: Timing
    since: Annotated[str, Meta(pattern=TIME)] = "1970-01-01T00:00:00Z"
    lag: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    per: Literal["object", "page"] = "object"


def reader(options: FromSuccessFactorsSoap, means: Means) -> SfapiSending:
    """Return what reads. Raises ConfigurationError: there is no user to log on."""
    return SfapiSending("the sender", options, means)


class SuccessFactorsSoapSender:
    """Makes messages of what has changed. Raises ConfigurationError: there is no user to log on."""

    def __init__(self, options: FromSuccessFactorsSoap, means: SenderMeans) -> None:
        self._options, self._means = options, means
        self._reader = reader(options, means.adapter)
        self._session = means.client(self._reader.channel)
        timing = msgspec.structs.replace(options.schedule, overlap=False)
        self._clockwork = Clockwork(timing, means, self._poll)

    async def run(self) -> None:
        """Ask, whenever it is time, until cancelled."""
        await self._clockwork.run()

    async def _poll(self, due: float, turn: Turn | None) -> None:
        """Let the flow process what has changed in the window that was left open, or else in the next one."""
        assert turn is not None  # noqa: S101 - it never overlaps
        since, until = self._window(turn)
        await turn.remember(since=since, until=until)
        seen: Counter[str] = Counter()
        asking = Message(properties={"since": since, "until": until})
        rows = self._reader.rows(self._options.query, asking, self._session)
        async with self._means.exchange(), aclosing(rows) as pages:
            while (page := await self._next(pages)) is not None:
                bodies: list[Any] = page if self._options.per == "object" else [page]
                await self._process([(_named(self._means.flow, since, body, seen), body) for body in bodies], asking)
        await turn.remember(since=until, until="")

    async def _next(self, pages: AsyncIterator[list[Row]]) -> list[Row] | None:
        """Return the next page, None behind the last. Raises BackendUnavailable: it does not come in time."""
        with anyio.move_on_after(self._options.timeout):
            return await anext(pages, None)
        raise BackendUnavailable(f"SFAPI did not answer within {self._options.timeout:g} s")

    def _window(self, turn: Turn) -> tuple[str, str]:
        """Return where the window begins and ends; a clock that was set back opens none that ends before it begins."""
        memory = turn.memory
        since = str(memory.get("since") or self._options.since)
        return since, str(memory.get("until") or max(since, _text(self._means.manager.clock() - self._options.lag)))

    async def _process(self, named: list[tuple[str, Row | list[Row]]], asking: Message) -> None:
        """Process what was not through before."""
        counters, clock = self._means.manager.store.counters, self._means.manager.clock
        marks = [_mark(name) for name, _ in named]
        through = await counters.read(marks, now=clock()) if marks else []
        for (name, body), mark, done in zip(named, marks, through, strict=True):
            if not done:
                try:
                    await self._means.process(Message(id=name, body=body, properties=asking.properties))
                except StepFailed as exc:
                    log.warning("flow %s, message %s: %s", self._means.flow, name, exc)
                await counters.add(mark, now=clock(), ttl=WEEK_S)


def _named(flow: str, since: str, body: Any, seen: Counter[str]) -> str:
    """Return a message's id: the same for the same content in the same window, whenever it is read."""
    content = hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest()
    seen[content] += 1
    return uuid.uuid5(MESSAGES, f"{flow}\0{since}\0{content}\0{seen[content]}").hex


def _mark(name: str) -> str:
    return f"flow_sender.through:{name}"


def _text(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
