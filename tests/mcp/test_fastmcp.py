"""FastMCP 4 servers on our transport: what runs unchanged, and their state in our store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_access_token, get_session
from fastmcp.server.middleware import Middleware
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from fastmcp.server.sessions import SessionId, SessionProvider, UserSession
from key_value.aio.stores.memory import MemoryStore

from e2e.mcp_world import call, handshake, initialize, modern, notification, request, texts, world
from e2e.wire import Wire
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.session import Session
from holdfast.errors import Busy
from holdfast.mcp import Context as Request
from holdfast.mcp import fastmcp_state
from holdfast.mcp.calling import CALL, Calling
from holdfast.mcp.fastmcp_state import StateStore, share_state
from holdfast.mcp.kinds import SESSION, STATE
from holdfast.mcp.sdk import SdkDispatcher
from holdfast.web.bearer import StaticBearer

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


class Counting(Middleware):
    """Says in the request's state that it was there."""

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        await context.fastmcp_context.set_state("through", "middleware")
        return await call_next(context)


def kitchen() -> FastMCP[Any]:  # noqa: C901 - one tool after the other
    """Return a server that uses what FastMCP offers beside tools."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[dict[str, str]]:
        yield {"oven": "hot"}

    server: FastMCP[Any] = FastMCP("kitchen", lifespan=lifespan, middleware=[Counting()])
    server.add_provider(SessionProvider())

    @server.tool
    async def count(ctx: Context) -> str:
        """Count the calls of this session."""
        await ctx.set_state("count", (await ctx.get_state("count") or 0) + 1)
        return f"{await ctx.get_state('count')} {await ctx.get_state('through')} {ctx.lifespan_context['oven']}"

    @server.tool
    async def forget(ctx: Context) -> str:
        """Forget the count."""
        await ctx.delete_state("count")
        return str(await ctx.get_state("count"))

    @server.tool
    async def note(text: str, session_id: SessionId) -> list[str]:
        """Write something down in a session of FastMCP's own."""
        session = await get_session(session_id)
        await session.set("notes", [*await session.get("notes", []), text])
        return list(await session.get("notes"))

    @server.tool
    async def mine(text: str, session: UserSession) -> list[str]:
        """Write something down for a user."""
        await session.set("notes", [*await session.get("notes", []), text])
        return list(await session.get("notes"))

    @server.tool
    async def hide(ctx: Context) -> str:
        """Hide a tool from this session."""
        await ctx.disable_components(names={"forget"})
        return "hidden"

    @server.tool
    async def elicit(ctx: Context) -> str:
        """Ask the user."""
        answer = await ctx.elicit("A word?", str)
        return answer.data if answer.action == "accept" else answer.action

    @server.tool
    async def talk(ctx: Context) -> str:
        """Report and log."""
        await ctx.report_progress(1, 2)
        await ctx.info("hello")
        return "talked"

    @server.tool
    async def who() -> str:
        """Say who calls."""
        token = get_access_token()
        return f"{token.subject} {token.token}" if token else "nobody"

    @server.resource("recipe://{name}")
    def recipe(name: str) -> str:
        return f"recipe {name}"

    @server.prompt
    def cook(dish: str) -> str:
        return f"Cook {dish}"

    cellar: FastMCP[Any] = FastMCP("cellar")

    @cellar.tool
    async def bottles(ctx: Context) -> int:
        """Count in a mounted server."""
        await ctx.set_state("count", (await ctx.get_state("count") or 0) + 1)
        return int(await ctx.get_state("count"))

    server.mount(cellar, namespace="cellar")
    return server


async def told(wire: Wire, name: str, headers: dict[str, str], **arguments: object) -> str:
    """Call a tool in a session and return its text."""
    [text] = texts((await wire.post(call(name, **arguments), **headers)).result)
    return str(text)


async def test_a_fastmcp_server_runs_unchanged_in_both_eras_and_at_any_worker() -> None:
    # M2
    async with world(2, SdkDispatcher(kitchen())) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        read = (await second.post(request("resources/read", {"uri": "recipe://soup"}), **named)).result
        assert read["contents"][0]["text"] == "recipe soup"
        asked = request("prompts/get", {"name": "cook", "arguments": {"dish": "soup"}})
        assert (await second.post(asked, **named)).result["messages"][0]["content"]["text"] == "Cook soup"
        said = [message.get("method") for message in (await second.post(call("talk", token=3), **named)).messages]
        assert said == ["notifications/progress", "notifications/message", None]
        assert texts((await modern(second, call("count"))).result) == ["1 middleware hot"]


async def test_what_a_session_keeps_is_there_at_every_worker_and_for_that_session_only() -> None:
    # M2, M6: ctx.set_state
    async with world(0) as made:
        for _ in range(2):  # each with a server of its own, as processes have
            await made.add(SdkDispatcher(kitchen()))
        first, second = (worker.wire for worker in made.workers)
        named, other = await handshake(first), await handshake(second)
        seen = [await told(wire, "count", named) for wire in (first, second, second, first)]
        assert seen == [f"{number} middleware hot" for number in (1, 2, 3, 4)]
        assert await told(first, "count", other) == "1 middleware hot"
        assert await told(first, "cellar_bottles", named) == "1"  # mounted servers have state of their own
        assert await told(second, "cellar_bottles", named) == "2"
        assert await told(second, "forget", named) == "None"
        assert await told(first, "count", named) == "1 middleware hot"


async def test_what_a_session_keeps_ends_with_it() -> None:
    async with world(1, SdkDispatcher(kitchen())) as made:
        worker = made.workers[0]
        named = await handshake(worker.wire)
        await told(worker.wire, "count", named)
        [kept, *_] = [record async for record in worker.manager.each("kind", STATE)]
        assert kept.parent is not None
        assert (await worker.wire.send("DELETE", headers=named)).status == 204
        assert await worker.manager.store.sessions.load(kept.ref, now=made.clock()) is None


async def test_requests_of_the_modern_era_share_no_state() -> None:
    async with world(1, SdkDispatcher(kitchen())) as made:
        wire = made.workers[0].wire
        for _ in range(2):
            assert texts((await modern(wire, call("count"))).result) == ["1 middleware hot"]
            assert texts((await modern(wire, call("count"), mcp_session_id="chosen")).result) == ["1 middleware hot"]
        assert [one async for one in made.workers[0].manager.each("kind", STATE)] == []


async def test_sessions_of_fastmcp_are_found_at_every_worker_and_by_their_principal_only() -> None:
    # M2, M12: SessionProvider and UserSession, in the modern era
    async with world(0) as made:
        for token, principal in (("a", "alice"), ("a", "alice"), ("b", "bob")):
            await made.add(SdkDispatcher(kitchen()), bearer=StaticBearer(token, principal=principal))
        here, there, bob = (worker.wire for worker in made.workers)
        [opened] = texts((await modern(here, call("create_session"), authorization="Bearer a")).result)

        async def note(wire: Wire, tool: str, token: str, **arguments: str) -> Any:
            result = (await modern(wire, call(tool, **arguments), authorization=f"Bearer {token}")).result
            return result["isError"] or result["structuredContent"]["result"]

        assert await note(here, "note", "a", text="one", session_id=opened) == ["one"]
        assert await note(there, "note", "a", text="two", session_id=opened) == ["one", "two"]
        assert await note(bob, "note", "b", text="mine", session_id=opened) is True
        assert await note(here, "mine", "a", text="x") == ["x"]
        assert await note(there, "mine", "a", text="y") == ["x", "y"]
        assert await note(bob, "mine", "b", text="z") == ["z"]
        assert await note(there, "end_session", "a", session_id=opened) == "session ended"
        assert await note(here, "note", "a", text="three", session_id=opened) is True


async def test_a_tool_hidden_from_a_session_is_hidden_at_every_worker() -> None:
    async with world(0) as made:
        for _ in range(2):
            await made.add(SdkDispatcher(kitchen()))
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        assert await told(first, "hide", named) == "hidden"
        tools = (await second.post(request("tools/list"), **named)).result["tools"]
        assert "count" in {tool["name"] for tool in tools}
        assert "forget" not in {tool["name"] for tool in tools}


async def test_what_the_server_asks_is_answered_at_another_worker() -> None:
    # M16
    async with world(2, SdkDispatcher(kitchen())) as made:
        first, second = (worker.wire for worker in made.workers)
        opened = await first.post(initialize(elicitation={}))
        named = {"mcp-session-id": opened.headers["mcp-session-id"]}
        assert (await first.post(notification("notifications/initialized"), **named)).status == 202
        async with first.open("POST", call("elicit"), headers=named) as stream:
            await stream.until(lambda seen: seen.messages)
            answer = {"action": "accept", "content": {"value": "yes"}}
            await second.post({"jsonrpc": "2.0", "id": stream.messages[0]["id"], "result": answer}, **named)
            await stream.until(lambda seen: seen.ended)
            assert texts(stream.result) == ["yes"]


async def test_what_middleware_caches_for_one_principal_no_other_gets() -> None:
    # M12: FastMCP keeps cached answers apart by the token of the caller
    server: FastMCP[Any] = FastMCP("bank", middleware=[ResponseCachingMiddleware()])

    @server.tool
    def balance() -> str:
        """Say whose balance this is."""
        token = get_access_token()
        return f"the balance of {token.subject if token else 'nobody'}"

    dispatcher = SdkDispatcher(server)
    async with world(0) as made:
        for token, principal in (("a", "alice"), ("b", "bob")):
            await made.add(dispatcher, bearer=StaticBearer(token, principal=principal))
        alice, bob = (worker.wire for worker in made.workers)
        for wire, token, principal in ((alice, "a", "alice"), (bob, "b", "bob"), (alice, "a", "alice")):
            answered = await modern(wire, call("balance"), authorization=f"Bearer {token}")
            assert texts(answered.result) == [f"the balance of {principal}"]


async def test_a_tool_sees_the_token_of_its_request() -> None:
    async with world(1, SdkDispatcher(kitchen()), bearer=StaticBearer("t0ken", principal="alice")) as made:
        seen = await modern(made.workers[0].wire, call("who"), authorization="Bearer t0ken")
    assert texts(seen.result) == ["alice t0ken"]


async def test_two_calls_that_write_at_once_both_get_through() -> None:
    async with world(2, SdkDispatcher(kitchen())) as made:
        named = await handshake(made.workers[0].wire)
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(told, made.workers[number % 2].wire, "count", named)
        assert 1 < int((await told(made.workers[0].wire, "count", named)).split()[0]) <= 9
        counts = [one async for one in made.workers[0].manager.each("kind", STATE)]
        assert len(counts) == 2  # the count, and what the middleware has left


class Caller:
    """Of a request, what the state store looks at."""

    def __init__(self, session: Session) -> None:
        self.principal, self.session = session.owner, session


async def calling_in(manager: Manager) -> str:
    """Let the test be a tool that runs in a session; return the beginning of the session's keys."""
    session = await manager.open(SESSION, owner="alice")
    CALL.set(Calling(manager, cast("Request", Caller(session))))
    return f"{session.id}:"


async def test_state_that_has_run_out_is_gone_and_may_be_written_again() -> None:
    async with world(1) as made:
        prefix, store = await calling_in(made.workers[0].manager), StateStore()
        await store.put(f"{prefix}a", {"value": 1}, ttl=60)
        assert await store.ttl(f"{prefix}a") == ({"value": 1}, 60.0)
        made.clock.advance(30)
        await store.put(f"{prefix}a", {"value": 2}, ttl=60)
        made.clock.advance(59)
        assert await store.get(f"{prefix}a") == {"value": 2}
        made.clock.advance(1)
        assert await store.get(f"{prefix}a") is None
        await store.put(f"{prefix}a", {"value": 3}, ttl=60)  # though nobody has cleaned up yet
        assert await store.get(f"{prefix}a") == {"value": 3}
        assert [await store.delete(f"{prefix}a") for _ in range(2)] == [True, False]


async def test_several_values_are_kept_as_each_would_be() -> None:
    async with world(1) as made:
        prefix, store = await calling_in(made.workers[0].manager), StateStore()
        keys = [f"{prefix}a", "a request's own:a", "user:abc:a"]
        await store.put_many(keys, [{"value": number} for number in range(3)], collection="c", ttl=60)
        assert await store.get_many([*keys, "none"], collection="c") == [*({"value": n} for n in range(3)), None]
        assert [seconds for _, seconds in await store.ttl_many(keys, collection="c")][::2] == [60.0, 60.0]
        assert await store.get_many(keys) == [None] * 3  # of another collection
        assert len([one async for one in made.workers[0].manager.each("kind", STATE)]) == 2
        assert await store.delete_many([*keys, "none"], collection="c") == 3


async def test_a_place_that_does_not_become_free_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastmcp_state, "PAUSES", (0.0, 0.0))
    async with world(1) as made:
        manager = made.workers[0].manager
        prefix, store = await calling_in(manager), StateStore()
        await store.put(f"{prefix}a", {"value": 1})
        await manager.end((await anext(manager.each("kind", STATE))).ref, Reason.ADMIN)  # and no keeper closes it
        with pytest.raises(Busy, match="state"):
            await store.put(f"{prefix}a", {"value": 2})


async def test_a_store_of_the_servers_own_is_left_alone() -> None:
    own = MemoryStore()
    server: FastMCP[Any] = FastMCP("own", session_state_store=own)
    share_state(server)
    assert server._state_storage is own
    other: FastMCP[Any] = FastMCP("none")
    share_state(other)
    assert isinstance(other._state_storage, StateStore)
