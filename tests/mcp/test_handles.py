"""Handles: opened at one worker, used at another, bound to the principal, expiring; a dead one says what to call."""

from typing import Any

import anyio
import msgspec
import pytest
from mcp.server.mcpserver import MCPServer

from e2e.mcp_world import Nothing, Text, World, call, handshake, modern, texts, world
from e2e.wire import Exchange
from holdfast.core.model import Reason
from holdfast.errors import BadInput, ConfigurationError, SessionConflict
from holdfast.mcp import Context, Handles, NativeDispatcher, ServerInfo, dispatcher_for, tool
from holdfast.mcp.dispatch import Dispatcher
from holdfast.mcp.handles import HANDLE, HandleGone
from holdfast.web.bearer import StaticBearer


class Item(msgspec.Struct, forbid_unknown_fields=True):
    basket: str
    item: str


def native(baskets: Handles, others: Handles) -> Dispatcher:
    @tool()
    async def open_basket(arguments: Text, context: Context) -> str:
        """Open a basket; it is kept for 100 seconds after its last use."""
        return await baskets.open({"customer": arguments.text, "items": []}, ttl=100.0)

    @tool()
    async def add_item(arguments: Item, context: Context) -> str:
        """Put something into a basket."""

        def add(content: dict[str, Any]) -> str:
            content["items"].append(arguments.item)
            return f"{content['customer']}: {' '.join(content['items'])}"

        return await baskets.update(arguments.basket, add)

    @tool()
    async def close_basket(arguments: Text, context: Context) -> str:
        """Close a basket."""
        await baskets.close(arguments.text)
        return "closed"

    @tool()
    async def list_baskets(arguments: Nothing, context: Context) -> str:
        """List one's baskets."""
        return " ".join(one.handle for one in await baskets.list())

    @tool()
    async def other(arguments: Text, context: Context) -> str:
        """Take the handle for one of another collection."""
        return str((await others.load(arguments.text)).content)

    return NativeDispatcher(
        [open_basket, add_item, close_basket, list_baskets, other], ServerInfo(name="shop", version="1")
    )


def sdk(baskets: Handles, others: Handles) -> Dispatcher:
    server = MCPServer("shop")

    @server.tool()
    async def open_basket(text: str) -> str:
        """Open a basket; it is kept for 100 seconds after its last use."""
        return await baskets.open({"customer": text, "items": []}, ttl=100.0)

    @server.tool()
    async def add_item(basket: str, item: str) -> str:
        """Put something into a basket."""

        def add(content: dict[str, Any]) -> str:
            content["items"].append(item)
            return f"{content['customer']}: {' '.join(content['items'])}"

        return await baskets.update(basket, add)

    @server.tool()
    async def close_basket(text: str) -> str:
        """Close a basket."""
        await baskets.close(text)
        return "closed"

    @server.tool()
    async def list_baskets() -> str:
        """List one's baskets."""
        return " ".join(one.handle for one in await baskets.list())

    @server.tool()
    async def other(text: str) -> str:
        """Take the handle for one of another collection."""
        return str((await others.load(text)).content)

    return dispatcher_for(server)


class Shop:
    """Two workers, and callers with tokens."""

    def __init__(self, made: World, make: Any) -> None:
        self.made, self.make = made, make
        self.baskets, self.others = Handles("basket", opened_by="open_basket"), Handles("cart")

    async def staff(self, principal: str = "ann") -> None:
        self.made.workers.clear()
        bearer = StaticBearer("t", principal=principal) if principal else None
        for _ in range(2):
            await self.made.add(self.make(self.baskets, self.others), bearer=bearer)

    async def call(self, name: str, number: int = 0, **arguments: object) -> Exchange:
        return await modern(self.made.workers[number].wire, call(name, **arguments), authorization="Bearer t")

    async def text(self, name: str, number: int = 0, **arguments: object) -> str:
        [text] = texts((await self.call(name, number, **arguments)).result)
        return text


@pytest.fixture(params=[native, sdk])
async def shop(request: pytest.FixtureRequest) -> Any:
    async with world() as made:
        shop = Shop(made, request.param)
        await shop.staff()
        yield shop


async def test_what_is_kept_at_one_worker_is_found_at_another(shop: Shop) -> None:
    # M20
    basket = await shop.text("open_basket", 0, text="Ann")
    assert await shop.text("add_item", 1, basket=basket, item="tea") == "Ann: tea"
    assert await shop.text("add_item", 0, basket=basket, item="milk") == "Ann: tea milk"


async def test_changes_at_the_same_time_are_all_kept(shop: Shop) -> None:
    # M20, E24
    basket = await shop.text("open_basket", 0, text="Ann")
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(lambda n: shop.call("add_item", n % 2, basket=basket, item=str(n)), number)
    last = await shop.text("add_item", 0, basket=basket, item="x")
    assert sorted(last.removeprefix("Ann: ").split()) == sorted([*map(str, range(10)), "x"])


@pytest.mark.parametrize("wrong", ["unknown", "malformed", "closed", "expired", "ended", "other collection", "foreign"])
async def test_a_dead_handle_is_an_error_of_the_tool_that_says_what_to_call(shop: Shop, wrong: str) -> None:
    # M20
    basket = await shop.text("open_basket", 0, text="Ann")
    name, arguments = "add_item", {"basket": basket, "item": "tea"}
    if wrong == "unknown":
        arguments["basket"] = shop.made.workers[0].manager.ids.generate()
    elif wrong == "malformed":
        arguments["basket"] = "no handle"
    elif wrong == "closed":
        assert await shop.text("close_basket", 1, text=basket) == "closed"
    elif wrong == "expired":
        shop.made.clock.advance(100.0)
    elif wrong == "ended":
        manager = shop.made.workers[1].manager
        [record] = [one async for one in manager.each("kind", HANDLE)]
        await manager.end(record.ref, Reason.ADMIN)
    elif wrong == "foreign":
        await shop.staff("bob")
    else:
        name, arguments = "other", {"text": basket}
    seen = await shop.call(name, 1, **arguments)
    assert seen.status == 200
    assert seen.result["isError"] is True
    [text] = texts(seen.result)
    if wrong == "other collection":
        assert "the cart" in text
        assert "Open a new one" in text
    else:
        assert "the basket" in text
        assert "Call open_basket for a new one" in text
    assert basket not in text


async def test_a_handle_lives_on_with_every_use(shop: Shop) -> None:
    # M20
    basket = await shop.text("open_basket", 0, text="Ann")
    for item in ("a", "b", "c"):
        shop.made.clock.advance(99.0)
        assert item in await shop.text("add_item", 1, basket=basket, item=item)


async def test_one_can_have_ones_own_handles_listed(shop: Shop) -> None:
    # M20
    first = await shop.text("open_basket", 0, text="Ann")
    shop.made.clock.advance(1.0)
    second = await shop.text("open_basket", 1, text="Ann")
    await shop.text("close_basket", 0, text=await shop.text("open_basket", 0, text="Ann"))
    assert await shop.text("list_baskets", 1) == f"{first} {second}"
    shop.made.clock.advance(99.5)
    assert await shop.text("list_baskets", 1) == second
    await shop.staff("bob")
    assert await shop.text("list_baskets") == ""


async def test_who_is_not_known_has_handles_but_none_listed(shop: Shop) -> None:
    # M20: without authentication a handle is all that shows whose it is
    await shop.staff("")
    basket = await shop.text("open_basket", 0, text="?")
    assert await shop.text("add_item", 1, basket=basket, item="tea") == "?: tea"
    assert await shop.text("list_baskets") == ""


async def test_both_eras_find_the_same_handles(shop: Shop) -> None:
    # M20
    basket = await shop.text("open_basket", 0, text="Ann")
    wire = shop.made.workers[1].wire
    named = await handshake(wire, authorization="Bearer t")
    seen = await wire.post(call("add_item", basket=basket, item="tea"), **named)
    assert texts(seen.result) == ["Ann: tea"]


async def test_a_handle_may_end_with_the_session_it_was_opened_in(shop: Shop) -> None:
    # M20
    shop.baskets._with_session = True
    wire = shop.made.workers[0].wire
    named = await handshake(wire, authorization="Bearer t")
    [basket] = texts((await wire.post(call("open_basket", text="Ann"), **named)).result)
    assert await shop.text("add_item", 1, basket=basket, item="tea") == "Ann: tea"
    assert (await wire.send("DELETE", headers=named)).status == 204
    assert "the basket" in await shop.text("add_item", 1, basket=basket, item="milk")


async def test_the_store_holds_neither_handle_nor_content_in_the_clear(shop: Shop) -> None:
    # E4, E5
    basket = await shop.text("open_basket", 0, text="hunter2")
    raw = msgspec.msgpack.encode([one async for one in shop.made.workers[0].manager.each("all", b"")])
    assert basket.encode() not in raw
    assert b"hunter2" not in raw


async def test_saving_says_when_another_call_was_faster_or_the_handle_has_gone() -> None:
    # M20
    seen: list[str] = []
    notes = Handles("note")

    @tool()
    async def race(arguments: Nothing, context: Context) -> str:
        """Write twice, then after the end."""
        handle = await notes.open({"n": 1})
        first, second = await notes.load(handle), await notes.load(handle)
        first.content["n"] = 2
        await notes.save(first)
        try:
            await notes.save(second)
        except SessionConflict as error:
            seen.append(error.code)
        await notes.close(handle)
        try:
            await notes.save(first)
        except (HandleGone, SessionConflict) as error:
            seen.append(error.code)
        try:
            await notes.open(ttl=1.0)
        except BadInput as error:
            seen.append(str(error))
        return "raced"

    async with world() as made:
        worker = await made.add(NativeDispatcher([race], ServerInfo(name="n")))
        assert texts((await modern(worker.wire, call("race"))).result) == ["raced"]
    assert seen == ["session_conflict", "handle_gone", "the ttl of a handle is 1.0 s; it must be 10 s at least"]


async def test_handles_need_a_request_and_a_name() -> None:
    with pytest.raises(ConfigurationError, match="no request"):
        await Handles("x").open()
    with pytest.raises(ConfigurationError, match="name"):
        Handles("")
