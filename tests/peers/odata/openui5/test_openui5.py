"""OpenUI5's ODataModel V4 in Chromium against two processes of our server: every scenario that was recorded of it.

The lines that a page must have sent are that client's own, from a recording against another server (odata-sticky.md
§7). Who plays tricks here is the network (`page.route`) or an administrator, never the server.
"""

from collections.abc import AsyncIterator

import anyio
import pytest
from playwright.async_api import Route

from peers.odata.openui5.world import Tab, World, openui5_world
from stores.stores import Servers, fresh

METADATA = "plain | GET $metadata"
READ = "GET Orders('1')"
LIST = "GET Orders?$skip=0&$top=10"
EDIT = "batch token | POST Orders('1')/Demo.Edit [token etag] {}"
SAVE = "batch token id | POST Orders('1')/Demo.Save [token id etag] {}"
DISCARD = "batch token id | POST Discard [token id] {}"
PING = "plain id | HEAD "
LOST = "HTTP request was not processed because $batch failed"


def began(read: str = READ) -> list[str]:
    """Return how a page with a new model comes to its first data: the token is fetched on the way."""
    return [METADATA, *again(read)]


def again(read: str = READ) -> list[str]:
    return [f"batch fetch cancel | {read}", "plain fetch | HEAD ", f"batch token cancel | {read}"]


def patch(note: str, key: str = "1") -> str:
    return f'batch token id | PATCH Orders(\'{key}\') [token id etag] {{"Note":"{note}"}}'


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("openui5")
    async with openui5_world(folder, fresh("redis", servers, folder).url) as world:
        yield world


@pytest.fixture
async def world(running: World) -> World:
    await running.fresh()
    return running


async def editing(world: World, root: str = "/svc/", *, clock: bool = False) -> Tab:
    """Return a tab that has begun to edit Orders('1')."""
    tab = await world.tab(root, clock=clock)
    await tab.js("s.order = await s.entity('1'); await s.edit(s.order)")
    return tab


async def changes(tab: Tab, note: str) -> None:
    await tab.js(f"await s.set(s.order, 'Note', '{note}')")


async def test_edit_patch_and_save_in_batches(world: World) -> None:  # scenario 1
    tab = await world.tab()
    await tab.js("s.order = (await s.list(10))[0]")
    assert await tab.id() is None
    await tab.js("await s.edit(s.order)")
    session = await tab.id()
    assert session is not None
    await changes(tab, "changed")
    assert await tab.id() == session
    assert world.stored()["1"] == ("one", 1)  # what is not saved is seen by nobody else
    await tab.js("await s.save(s.order)")
    assert await tab.id() is None
    assert await tab.told() == []
    assert world.stored()["1"] == ("changed", 1)
    assert await world.sessions() == 0
    assert await tab.lines() == [*began(LIST), EDIT, patch("changed"), SAVE]


async def test_edit_patch_and_save_without_batches(world: World) -> None:  # scenario 2
    tab = await world.tab()
    await tab.js("s = window.s = await holdfast.tab('/svc/', '$direct'); s.order = await s.entity('2')")
    await tab.js("await s.edit(s.order)")
    assert await tab.id() is not None
    await tab.js("await s.set(s.order, 'Amount', 99); await s.save(s.order)")
    assert await tab.id() is None
    assert world.stored()["2"] == ("two", 99)
    assert await tab.lines() == [
        METADATA,
        "direct fetch cancel | GET Orders('2')",
        "direct token etag | POST Orders('2')/Demo.Edit {}",
        "direct token id etag | PATCH Orders('2') {\"Amount\":99}",
        "direct token id etag | POST Orders('2')/Demo.Save {}",
    ]


async def test_a_new_entity_is_addressed_by_its_empty_key_until_it_is_saved(world: World) -> None:  # scenario 3
    tab = await world.tab()
    await tab.js("await s.list(10); s.order = await s.create()")
    assert await tab.js("return s.order.getPath()") == "/Orders('')"
    await changes(tab, "brand new")
    await tab.js("await s.save(s.order)")
    assert await tab.id() is None
    assert len(world.stored()) == 4
    assert ("brand new", 0) in world.stored().values()
    assert await tab.lines() == [
        *began(LIST),
        "batch token | POST Orders/Demo.Create [token] {}",
        patch("brand new", key=""),
        "batch token id | POST Orders('')/Demo.Save [token id etag] {}",
    ]


async def test_what_is_discarded_is_not_written(world: World) -> None:  # scenario 4
    tab = await editing(world)
    await tab.js("await s.discard()")
    assert (await tab.id(), await tab.told()) == (None, [])
    assert world.stored()["1"] == ("one", 1)
    assert await world.sessions() == 0
    assert await tab.lines() == [*began(), EDIT, DISCARD]


async def test_a_refused_save_leaves_the_session_as_it_is(world: World) -> None:  # scenario 5
    tab = await editing(world)
    session = await tab.id()
    await changes(tab, "BAD")
    refused = await tab.js("return holdfast.outcome(s.save(s.order))")
    assert refused["ok"] is False
    assert "BAD" in refused["message"]
    assert await tab.id() == session
    await changes(tab, "good")
    await tab.js("await s.save(s.order)")
    assert await tab.id() is None
    assert world.stored()["1"] == ("good", 1)
    assert await tab.lines() == [*began(), EDIT, patch("BAD"), SAVE, patch("good"), SAVE]


async def test_a_session_that_an_administrator_ended_is_told_to_be_lost(world: World) -> None:  # scenario 6
    tab = await editing(world)
    session = await tab.id()
    await world.end_sessions()
    lost = await tab.js("return holdfast.outcome(s.set(s.order, 'Note', 'lost'))")
    assert lost["ok"] is False
    assert LOST in lost["message"]
    assert (await tab.id(), await tab.told()) == (None, [session])
    assert world.stored()["1"] == ("one", 1)
    assert await tab.lines() == [*began(), EDIT, patch("lost")]


async def test_a_token_that_is_too_old_is_fetched_anew_and_the_session_goes_on(world: World) -> None:  # scenario 7
    tab = await editing(world)
    session = await tab.id()

    async def age(route: Route) -> None:
        await route.continue_(headers={**route.request.headers, "x-csrf-token": "too-old"})

    await tab.page.route("**/svc/$batch", age, times=1)
    await changes(tab, "csrf")
    assert await tab.id() == session
    await tab.js("await s.discard()")
    assert await tab.id() is None
    assert await tab.lines() == [*began(), EDIT, patch("csrf"), "plain fetch id | HEAD ", patch("csrf"), DISCARD]


async def test_two_models_have_two_sessions_and_one_may_be_forgotten_in_silence(world: World) -> None:  # scenario 8
    tab = await editing(world)
    await tab.js("s.other = await holdfast.tab(); await s.other.edit(await s.other.entity('1'))")
    assert await tab.js("return s.other.id()") != await tab.id()
    assert await world.sessions() == 2

    async def forget(route: Route) -> None:
        answer = await route.fetch()
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("sap-")}
        await route.fulfill(response=answer, headers=kept)

    await tab.page.route("**/svc/$batch", forget, times=1)
    await tab.js("await s.entity('2')")
    assert (await tab.id(), await tab.told()) == (None, [])  # as OpenUI5 is: the session lives on, until its time
    assert await world.sessions() == 2
    await tab.js("await s.other.discard()")
    assert await world.sessions() == 1
    assert (await tab.lines())[1:] == [
        *began(),  # and METADATA, which was told first, of the other model
        EDIT,
        *again(),
        EDIT,
        "batch token cancel id | GET Orders('2') [token id]",
        DISCARD,
    ]


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_of_a_gateway_makes_the_page_forget_the_session(world: World, status: int) -> None:  # 9, 10
    tab = await editing(world)
    session = await tab.id()

    async def refuse(route: Route) -> None:
        await route.fulfill(status=status, headers={"retry-after": "1"} if status == 503 else {}, body="no")

    await tab.page.route("**/svc/$batch", refuse, times=1)
    failed = await tab.js("return holdfast.outcome(s.entity('2'))")
    assert failed["ok"] is False
    assert (await tab.id(), await tab.told()) == (None, [session])
    assert await world.sessions() == 1  # what our server never does: each of its own errors carries the id
    assert await tab.lines() == [*began(), EDIT, "batch token cancel id | GET Orders('2') [token id]"]


async def test_reads_in_a_session_see_what_is_not_saved(world: World) -> None:  # scenario 11
    tab = await editing(world)
    await changes(tab, "mine")
    notes = await tab.js(
        "const [, orders] = await Promise.all([s.entity('2'), s.list(5)]);"
        "return orders.map(order => order.getProperty('Note'))"
    )
    assert notes == ["mine", "two", "three"]
    await tab.js("await s.discard()")
    assert await tab.lines() == [
        *began(),
        EDIT,
        patch("mine"),
        "batch token cancel id | GET Orders('2') [token id] & GET Orders?$skip=0&$top=5 [token id]",
        DISCARD,
    ]


async def test_two_changes_and_a_read_travel_in_one_batch(world: World) -> None:  # scenario A
    tab = await editing(world)
    await tab.js("s.orders = await s.list(5); await s.edit(s.orders[1])")
    session = await tab.id()
    await tab.js(
        "await Promise.all([s.set(s.orders[0], 'Note', 'p1'), s.set(s.orders[1], 'Note', 'p2'), s.entity('2')])"
    )
    assert await tab.id() == session
    await tab.js("await s.discard()")
    assert world.stored()["1"] == ("one", 1)
    assert await tab.lines() == [
        *began(),
        EDIT,
        "batch token cancel id | GET Orders?$skip=0&$top=5 [token id]",
        "batch token id | POST Orders('2')/Demo.Edit [token id etag] {}",
        'batch token id | change set: 0.0: PATCH Orders(\'1\') [token id etag] {"Note":"p1"}'
        " + 1.0: PATCH Orders('2') [token id etag] {\"Note\":\"p2\"} & GET Orders('2') [token id]",
        DISCARD,
    ]


async def test_below_a_minute_the_page_keeps_nothing_alive(world: World) -> None:  # scenario B
    tab = await editing(world, "/short/", clock=True)
    await tab.lines()
    await tab.page.clock.run_for(120_000)
    assert await tab.lines() == []
    assert await tab.id() is not None


async def test_the_page_keeps_its_session_alive_until_it_is_lost(world: World) -> None:  # scenario C
    tab = await editing(world, clock=True)
    session = await tab.id()
    await tab.lines()
    for _ in range(2):
        await pinged(tab)
    assert await tab.id() == session
    await world.end_sessions()
    await pinged(tab)
    await tab.page.wait_for_function("s.told.length === 1")
    assert (await tab.id(), await tab.told()) == (None, [session])
    assert await tab.lines() == [PING, PING, PING]


async def pinged(tab: Tab) -> None:
    """Let pass the 57 s after which the page asks, with its timeout of 62 s, and wait for the answer."""
    async with tab.page.expect_response(lambda answer: answer.request.method == "HEAD"):
        await tab.page.clock.run_for(57_000)


async def test_after_half_an_hour_without_use_the_page_gives_up(world: World) -> None:  # odata-sticky §7
    tab = await editing(world, "/long/", clock=True)
    session = await tab.id()
    await tab.lines()
    for _ in range(2):
        async with tab.page.expect_response(lambda answer: answer.request.method == "HEAD"):
            await tab.page.clock.run_for(895_000)
    assert await tab.id() == session
    await tab.page.clock.run_for(895_000)
    assert (await tab.id(), await tab.told()) == (None, [session])
    assert await tab.lines() == [PING, PING]
    assert await world.sessions() == 1  # it tells the server nothing; there the session has its time


async def test_a_page_that_is_closed_tells_nothing(world: World) -> None:  # scenario D
    tab = await editing(world)
    await tab.lines()
    await tab.page.close(run_before_unload=False)
    assert await world.sessions() == 1


async def test_a_page_that_is_loaded_again_begins_anew(world: World) -> None:  # scenario E
    tab = await editing(world)
    await tab.load(world.workers.url)
    assert await tab.id() is None
    await tab.js("s.order = await s.entity('1')")
    assert await world.sessions() == 1
    assert (await tab.lines())[-3:] == again()


async def test_a_change_and_its_save_may_travel_together(world: World) -> None:  # scenario F
    tab = await editing(world)
    await tab.js("await Promise.all([s.set(s.order, 'Note', 'same batch'), s.save(s.order)])")
    assert await tab.id() is None
    assert world.stored()["1"] == ("same batch", 1)
    assert await world.sessions() == 0
    assert await tab.lines() == [
        *began(),
        EDIT,
        'batch token id | change set: 0.0: PATCH Orders(\'1\') [token id etag] {"Note":"same batch"}'
        " + 1.0: POST Orders('1')/Demo.Save [token id etag] {}",
    ]


async def test_a_read_that_is_slow_makes_the_page_forget_the_session_in_silence(world: World) -> None:  # scenario G
    tab = await world.tab()
    await tab.js("s = window.s = await holdfast.tab('/svc/', '$direct'); s.order = await s.entity('1')")
    edited = anyio.Event()

    async def slow(route: Route) -> None:
        answer = await route.fetch()
        with anyio.fail_after(10):
            await edited.wait()
        await route.fulfill(response=answer)

    await tab.page.route("**/svc/Orders('2')", slow)
    await tab.js("s.slow = s.entity('2'); await s.edit(s.order)")
    assert await tab.id() is not None
    edited.set()
    await tab.js("await s.slow")
    assert (await tab.id(), await tab.told()) == (None, [])
    assert await world.sessions() == 1


async def test_two_tabs_with_the_same_cookies_have_two_sessions(world: World) -> None:  # O7
    one = await editing(world)
    other = await world.tab(beside=one)
    await other.js("s.order = await s.entity('2'); await s.edit(s.order)")
    await changes(one, "of one")
    await changes(other, "of the other")
    assert await one.id() != await other.id()
    await other.js("await s.discard()")
    await one.js("await s.save(s.order)")
    assert world.stored()["1"] == ("of one", 1)
    assert world.stored()["2"] == ("two", 2)


async def test_the_page_goes_on_when_the_worker_is_killed_in_the_middle(world: World) -> None:  # O10
    tab = await editing(world)
    session = await tab.id()
    await changes(tab, "through it all")
    for number in range(2):
        await world.workers.kill(number)
        try:
            read = await tab.js("return (await s.entity('1')).getObject()")
        finally:
            await world.workers.start(number)
        assert read["Note"] == "through it all"
        assert await tab.id() == session
    await tab.js("await s.save(s.order)")
    assert (await tab.id(), await tab.told()) == (None, [])
    assert world.stored()["1"] == ("through it all", 1)
