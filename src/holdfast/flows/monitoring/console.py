"""Flows in the administrator's console: what they are at, what became of messages, and their log level (F10, F18, F20).

Console(security, sections=[FlowPages(engine.manager, flows.flows)])

GET  /flows                                    each flow: what it is at, its log level
POST /flows                                    sets a flow's log level: `flow`, `level`, `hours`
GET  /flows/messages?flow=…&outcome=…&after=…  messages, the newest first
GET  /flows/message?flow=…&id=…                one message: what was done, and the cookies, by name and hash
POST /flows/message                            sends one again that has failed: `flow`, `id`
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from holdfast.core.manager import Manager
from holdfast.errors import BadInput, HoldfastError, NotFound
from holdfast.flows.message import Message
from holdfast.flows.monitoring.book import running
from holdfast.flows.monitoring.console_pages import (
    AtWork,
    again_page,
    flows_page,
    level_page,
    message_page,
    messages_page,
)
from holdfast.flows.monitoring.entries import INFO, Entry, merged
from holdfast.flows.monitoring.levels import Levels
from holdfast.flows.monitoring.messagelog import MessageLog
from holdfast.web.account.form import Form
from holdfast.web.notice import Notice
from holdfast.web.query import Query

SHOWN: Final = 50  # messages of a page
HOUR_S: Final = 3600.0


class Sends(Protocol):
    """A deployed flow."""

    async def resend(self, message: str) -> Message | None:
        """Process a message anew that has failed."""
        ...


class FlowPages:
    """The section.

    Args:
        manager: Of an engine that was opened with `flow_kinds()`.
        flows: Those that this process can send messages through again, by name; of others, the log is shown.
    """

    path, title = "/flows", "Integration flows"

    def __init__(self, manager: Manager, flows: Mapping[str, Sends] | None = None) -> None:
        self._manager, self._flows = manager, flows or {}
        self._log, self._levels = MessageLog(manager), Levels(manager)

    async def show(self, root: str, path: str, query: Query, proof: str) -> Notice:
        """Return a page."""
        here = root + self.path
        match path:
            case "" | "/":
                return flows_page(here, root, await self._at_work(), self._manager.clock(), proof)
            case "/messages":
                return await self._messages(here, root, query)
            case "/message":
                return await self._message(here, root, query, proof)
        raise NotFound("there is nothing at this address")

    async def do(self, root: str, path: str, form: Form, by: str) -> Notice:
        """Set a log level, or send a message again."""
        here = root + self.path
        match path:
            case "" | "/":
                flow, level = _said(form, "flow"), _said(form, "level")
                until = await self._levels.set(flow, level, _hours(form) * HOUR_S)
                return level_page(here, root, flow, level, until)
            case "/message":
                return await self._again(here, root, _said(form, "flow"), _said(form, "id"))
        raise NotFound("there is nothing at this address")

    # -- looking

    async def _at_work(self) -> list[AtWork]:
        """Return the flows that workers run or ran lately, and what they are at."""
        found: dict[str, list[Entry]] = {name: [] for name in self._flows}
        for entry in await running(self._manager):
            found.setdefault(entry.flow, []).append(entry)
        for entry in (await self._log.list(count=SHOWN)).entries:
            found.setdefault(entry.flow, [])
        return [AtWork(name, entries, await self._levels.until(name)) for name, entries in sorted(found.items())]

    async def _messages(self, here: str, root: str, query: Query) -> Notice:
        flow, outcome = query.get("flow", "").strip(), query.get("outcome", "").strip()
        listed = await self._log.list(flow, outcome, after=query.get("after", ""), count=SHOWN)
        return messages_page(here, root, listed, flow=flow, outcome=outcome)

    async def _message(self, here: str, root: str, query: Query, proof: str) -> Notice:
        flow = query.get("flow", "")
        entry = await self._found(_said(query, "id"), flow)
        return message_page(here, root, entry, proof if self._sendable(entry) else "")

    async def _found(self, id: str, flow: str) -> Entry:  # noqa: A002
        """Return a message: what the log has of it, and what it is at now."""
        now = next((entry for entry in await running(self._manager, flow) if entry.id == id), None)
        if now is None:
            return await self._log.get(id, flow)
        with suppress(NotFound):
            return merged(await self._log.get(id, now.flow), now)
        return now

    def _sendable(self, entry: Entry) -> bool:
        return entry.outcome == "failed" and entry.kept is not None and entry.flow in self._flows

    # -- doing

    async def _again(self, here: str, root: str, flow: str, id: str) -> Notice:  # noqa: A002
        deployed = self._flows.get(flow)
        if deployed is None:
            raise NotFound(f"the flow {flow!r} does not run in this process", hint="Use `holdfast flow resend`.")
        try:
            await deployed.resend(id)
        except HoldfastError as exc:
            return again_page(here, root, flow, id, f"{exc}")
        return again_page(here, root, flow, id)


def _said(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "").strip()
    if not value:
        raise BadInput(f"{name!r} is missing")
    return value


def _hours(form: Form) -> float:
    if form.get("level") == INFO:
        return 1.0
    try:
        return float(form.get("hours") or 1)
    except ValueError:
        raise BadInput("`hours` is no number") from None
