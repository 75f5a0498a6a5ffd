"""Listen streams: what changes at any worker reaches each of them once, and nothing that was not asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.server import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.subscriptions import ToolsListChanged

from core.outage import switched
from e2e.mcp_world import META, MODERN, call, modern, request, world
from e2e.wire import PATIENCE, Exchange, Wire
from holdfast.mcp import dispatcher_for
from holdfast.mcp.changes import MOST_WAITING, Change, Changes, Ear
from holdfast.stores.memory import memory_store

MARK = "io.modelcontextprotocol/subscriptionId"
ALL = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
    "resourceSubscriptions": ["shop://a"],
}


def changing() -> MCPServer[Any]:
    server = MCPServer("shop")

    @server.tool()
    async def change(what: str, ctx: Context) -> str:
        """Tell of a change."""
        match what:
            case "tools":
                await ctx.notify_tools_changed()
            case "prompts":
                await ctx.notify_prompts_changed()
            case "resources":
                await ctx.notify_resources_changed()
            case uri:
                await ctx.notify_resource_updated(uri)
        return what

    return server


@asynccontextmanager
async def listening(wire: Wire, asked: object, number: int | str = "l1") -> AsyncIterator[Exchange]:
    """Hold a listen stream open; it has been acknowledged when the block begins."""
    body = request("subscriptions/listen", {"notifications": asked, "_meta": META}, number)
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen"}
    async with anyio.create_task_group() as tasks:
        exchange = wire.begin(tasks, "POST", body, headers=headers)
        await exchange.until(lambda seen: seen.messages or seen.ended)
        yield exchange
        exchange.leave()
        await exchange.until(lambda seen: seen.ended)


def told(exchange: Exchange) -> list[tuple[str, str | None]]:
    """Return what came after the acknowledgement."""
    return [(one["method"], one["params"].get("uri")) for one in exchange.messages[1:]]


async def change(wire: Wire, what: str) -> None:
    assert (await modern(wire, call("change", what=what))).status == 200


@pytest.mark.parametrize(
    ("what", "method", "uri"),
    [
        ("tools", "notifications/tools/list_changed", None),
        ("prompts", "notifications/prompts/list_changed", None),
        ("resources", "notifications/resources/list_changed", None),
        ("shop://a", "notifications/resources/updated", "shop://a"),
    ],
)
async def test_a_change_at_any_worker_reaches_every_stream_once(what: str, method: str, uri: str | None) -> None:
    # M19
    async with world() as made:
        first, second = [await made.add(dispatcher_for(changing())) for _ in range(2)]
        async with listening(first.wire, ALL) as here, listening(second.wire, ALL, 7) as there:
            for worker in (first, second):
                before = len(here.messages)
                await change(worker.wire, what)
                for stream in (here, there):
                    await stream.until(lambda seen, count=before: len(seen.messages) > count)
            assert told(here) == told(there) == [(method, uri)] * 2
            assert {one["params"]["_meta"][MARK] for one in here.messages} == {"l1"}
            assert {one["params"]["_meta"][MARK] for one in there.messages} == {7}


async def test_nothing_is_told_that_was_not_asked_for() -> None:
    # M19
    async with world(1, dispatcher_for(changing())) as made:
        wire = made.workers[0].wire
        async with listening(wire, {"promptsListChanged": True, "resourceSubscriptions": ["shop://b"]}) as stream:
            for what in ("tools", "resources", "shop://a", "shop://b"):
                await change(wire, what)
            await stream.until(lambda seen: len(seen.messages) == 2)
            assert told(stream) == [("notifications/resources/updated", "shop://b")]


@pytest.mark.parametrize(
    ("asked", "honoured"),
    [
        ({}, {}),
        ({"toolsListChanged": False, "resourceSubscriptions": []}, {}),
        ({"toolsListChanged": None, "promptsListChanged": True, "unknown": 1}, {"promptsListChanged": True}),
        ({**ALL, "taskIds": ["t"]}, ALL),  # this server has no tasks
    ],
)
async def test_the_stream_begins_with_what_is_honoured(asked: object, honoured: object) -> None:
    # M19
    async with world(1, dispatcher_for(changing())) as made, listening(made.workers[0].wire, asked) as stream:
        [first] = stream.messages
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"] == {"notifications": honoured, "_meta": {MARK: "l1"}}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "notifications"),
        ({"notifications": {"taskIds": "x"}}, "taskIds"),
        ({"notifications": {"resourceSubscriptions": [f"a:{n}" for n in range(1001)]}}, "1001"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_by_name(params: object, named: str) -> None:
    async with world(1, dispatcher_for(changing())) as made:
        seen = await modern(made.workers[0].wire, request("subscriptions/listen", params))
    assert (seen.status, seen.json["error"]["code"]) == (400, -32602)
    assert named in seen.json["error"]["message"]


async def test_a_server_whose_lists_never_change_serves_no_listening() -> None:
    async with world() as made:
        seen = await modern(made.workers[0].wire, request("subscriptions/listen", {"notifications": {}}))
    assert (seen.status, seen.json["error"]["code"]) == (404, -32601)


async def test_a_server_that_stops_ends_its_streams_with_their_results() -> None:
    # M18, M19
    async with world(1, dispatcher_for(changing())) as made, listening(made.workers[0].wire, ALL) as stream:
        made.workers[0].endpoint.stop()
        await stream.until(lambda seen: seen.ended)
        assert stream.messages[-1]["result"]["resultType"] == "complete"
        assert stream.messages[-1]["result"]["_meta"][MARK] == "l1"
        assert stream.messages[-1]["id"] == "l1"


async def test_a_handler_of_the_servers_own_serves_listening_itself() -> None:
    async def own(ctx: object, params: object) -> dict[str, Any]:
        return {"resultType": "complete", "_meta": {MARK: "own"}}

    server: Server[Any] = Server("own", on_subscriptions_listen=own)  # type: ignore[arg-type]
    async with world(1, dispatcher_for(server)) as made:
        seen = await modern(made.workers[0].wire, request("subscriptions/listen", {"notifications": ALL}))
    assert seen.result["_meta"][MARK] == "own"


class Shared:
    """A bus of the server's own that reaches all workers by itself."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    async def publish(self, event: object) -> None:
        for listener in self.listeners:
            listener(event)

    def subscribe(self, listener: Any) -> Any:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)


async def test_a_bus_that_reaches_all_workers_by_itself_is_not_doubled() -> None:
    # M19
    bus = Shared()
    async with world() as made:
        for _ in range(2):
            server = MCPServer("shop", subscriptions=bus)  # type: ignore[arg-type]
            await made.add(dispatcher_for(server))
        async with listening(made.workers[1].wire, ALL) as stream:
            await bus.publish(ToolsListChanged())
            await stream.until(lambda seen: len(seen.messages) > 1)
            await anyio.wait_all_tasks_blocked()
            assert told(stream) == [("notifications/tools/list_changed", None)]
    assert bus.listeners == []


async def test_what_could_not_be_told_during_an_outage_is_told_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # M19, E26
    monkeypatch.setattr("holdfast.mcp.changes.STORE_DOWN_S", 0.01)
    store = memory_store()
    cut_off, switch = switched(store)
    here, there = Changes(cut_off.channel), Changes(store.channel)  # only the one who tells is cut off
    ear = Ear(frozenset({Change("tools"), Change("prompts")}))
    async with here.open(), there.open():
        with there.heard_by(ear.hear), anyio.fail_after(PATIENCE):
            switch.set("down")
            here.announce(Change("tools"))
            while not switch.refused:
                await anyio.sleep(0)
            switch.set("up")
            assert await anext(ear.changes()) == Change("tools")


async def test_who_listened_through_an_outage_is_told_of_everything_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # M19, E26
    monkeypatch.setattr("holdfast.core.together.STORE_DOWN_S", 0.01)
    store, switch = switched(memory_store())
    changes, ear = Changes(store.channel), Ear(frozenset({Change("tools")}))
    async with changes.open():
        with changes.heard_by(ear.hear), anyio.fail_after(PATIENCE):
            await anyio.wait_all_tasks_blocked()
            switch.set("down")
            while not switch.refused:
                await anyio.sleep(0)
            switch.set("up")
            assert await anext(ear.changes()) == Change("tools")


async def test_who_may_have_missed_something_is_told_of_everything_asked_for() -> None:
    # M19
    changes = Changes(memory_store().channel)
    wanted = [Change("prompts"), Change("resource", "a:1"), Change("tools")]
    ear = Ear(frozenset(wanted))
    with changes.heard_by(ear.hear):
        changes.tell_here(None)
        ear.close()
    assert [heard async for heard in ear.changes()] == wanted


async def test_more_changes_than_can_wait_are_not_remembered_one_by_one() -> None:
    changes = Changes(memory_store().channel)
    for number in range(2 * MOST_WAITING):
        changes.announce(Change("resource", str(number)))
    assert len(changes._waiting) == MOST_WAITING
