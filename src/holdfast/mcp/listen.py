"""`subscriptions/listen`: one request, answered by a stream of what changes, at whichever worker it changes.

The stream begins with what is honoured of the client's filter; every message on it names the request it belongs to.
There is no replay: who was away listens again and fetches again. Source: MCP 2026-07-28, subscriptions (mcp.md §6.7).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from holdfast.mcp import jsonrpc
from holdfast.mcp.changes import Change, Changes, Ear
from holdfast.mcp.dispatch import Context
from holdfast.mcp.jsonrpc import RpcError
from holdfast.mcp.protocol import INVALID_PARAMS, META_SERVER, META_SUBSCRIPTION

ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
MOST_NAMED: Final = 1000  # resources and tasks in one filter
LISTS: Final = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}

# Returns method and params of a notification about a change, None if there is nothing to say any more.
Telling = Callable[[], Awaitable[tuple[str, dict[str, Any]] | None]]
# Returns how to tell of the tasks that are named here and are the caller's, by their ids.
TaskTellings = Callable[[Context, list[str]], Awaitable[dict[str, tuple[Change, Telling]]]]


class _Filter(msgspec.Struct, frozen=True, rename="camel"):
    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] | None = None
    task_ids: list[str] | None = None


class _Listen(msgspec.Struct, frozen=True):
    notifications: _Filter


_LISTEN: Final = msgspec.json.Decoder(_Listen)


class Listening:
    """The listen streams of this process.

    Args:
        changes: Where changes are heard.
        lists: Which lists may change here; where resources do, single resources may be subscribed to.
        tasks: Tells of tasks; None where there are none.
        info: What the server says about itself.
    """

    def __init__(
        self, changes: Changes, *, lists: frozenset[str], tasks: TaskTellings | None, info: Mapping[str, Any]
    ) -> None:
        self._changes, self._lists, self._tasks = changes, lists, tasks
        self._meta = {META_SERVER: dict(info)} if info else {}
        self._open: set[Ear] = set()
        self._closed = False

    def close(self) -> None:
        """End every stream in the orderly way: with the result of its request."""
        self._closed = True
        for ear in self._open:
            ear.close()

    async def serve(self, context: Context) -> bytes:
        """Serve one stream until the client leaves or the server stops."""
        honoured, tellings = await self._honoured(context, _filter(context))
        mark = {META_SUBSCRIPTION: context.id}
        ear = Ear(frozenset(tellings))
        self._open.add(ear)
        try:
            with self._changes.heard_by(ear.hear):
                await context.line.tell(ACKNOWLEDGED, {"notifications": honoured, "_meta": mark})
                if self._closed:
                    ear.close()
                async for change in ear.changes():
                    told = await tellings[change]()
                    if told is not None:
                        await context.line.tell(told[0], {**told[1], "_meta": mark})
        finally:
            self._open.discard(ear)
        return jsonrpc.encoded({"resultType": "complete", "_meta": {**self._meta, **mark}})

    async def _honoured(self, context: Context, asked: _Filter) -> tuple[dict[str, Any], dict[Change, Telling]]:
        """Return what is honoured of a filter, and what to say when it changes."""
        honoured: dict[str, Any] = {}
        tellings: dict[Change, Telling] = {}
        wanted = (asked.tools_list_changed, asked.prompts_list_changed, asked.resources_list_changed)
        for (what, word), wish in zip(LISTS.items(), wanted, strict=True):
            if wish and what in self._lists:
                honoured[word] = True
                tellings[Change(what)] = _telling(f"notifications/{what}/list_changed")  # type: ignore[arg-type]
        if asked.resource_subscriptions and "resources" in self._lists:
            honoured["resourceSubscriptions"] = asked.resource_subscriptions
            for uri in asked.resource_subscriptions:
                tellings[Change("resource", uri)] = _telling("notifications/resources/updated", uri=uri)
        if asked.task_ids and self._tasks is not None:
            found = await self._tasks(context, asked.task_ids)
            honoured["taskIds"] = list(found)
            tellings |= dict(found.values())
        return honoured, tellings


def _telling(method: str, **params: Any) -> Telling:
    async def tell() -> tuple[str, dict[str, Any]]:
        return method, params

    return tell


def _filter(context: Context) -> _Filter:
    try:
        asked = _LISTEN.decode(context.params).notifications
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RpcError(INVALID_PARAMS, f"params of subscriptions/listen: {exc}") from None
    named = len(asked.resource_subscriptions or ()) + len(asked.task_ids or ())
    if named > MOST_NAMED:
        raise RpcError(INVALID_PARAMS, f"the filter names {named} resources and tasks; the limit is {MOST_NAMED}")
    return asked
