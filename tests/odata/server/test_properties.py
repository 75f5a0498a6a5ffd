"""Whatever a client calls in whatever order, the server stands where the choreography says (O3, O4)."""

from typing import Final

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata.choreography import OUTSIDE, Act, Outcome, Place, check, decide
from holdfast.odata.server.kind import STICKY
from odata.server.world import World, opened

ORDERS: Final = ("1", "2", "9")  # the last one is not there
CALLS: Final = st.lists(
    st.tuples(st.sampled_from([Act.NEW, Act.EDIT, Act.SAVE, Act.DISCARD, Act.OTHER]), st.sampled_from(ORDERS)),
    max_size=12,
)
PATHS: Final = {Act.EDIT: "Orders('{}')/Demo.Edit", Act.SAVE: "Orders('{}')/Demo.Save", Act.OTHER: "Orders('{}')/Note"}


async def called(world: World, calls: list[tuple[Act, str]]) -> None:
    """Make the calls in one tab, and compare what follows with the table."""
    tab, place = world.tab(), OUTSIDE
    manager = (await world.app.opened.get())._sessions.manager
    for act, number in calls:
        path = {Act.NEW: "Orders/Demo.Create", Act.DISCARD: "Discard"}.get(act) or PATHS[act].format(number)
        name = "Orders('')" if act is Act.NEW else f"Orders('{number}')"
        answer = await tab.send("GET" if act is Act.OTHER else "POST", path, None if act is Act.OTHER else {})
        outcome = Outcome.OK if answer.is_success else Outcome.FAILED
        if outcome is Outcome.OK:
            check(place, act, name)
        place = decide(place, act, outcome, name).place
        assert place == Place(inside=tab.id is not None, unsaved=place.unsaved)
        nodes = [record async for record in manager.each("kind", STICKY)]
        assert len(nodes) == (1 if place.inside else 0)
        held = {name.split("'")[1] for name in place.unsaved if name != "Orders('')"}
        assert world.orders.locks.keys() == held


@given(CALLS)
@settings(max_examples=60, deadline=None)
def test_the_server_stands_where_the_table_says(calls: list[tuple[Act, str]]) -> None:
    async def run() -> None:
        with anyio.fail_after(30):
            async with opened() as world:
                await called(world, calls)

    anyio.run(run)
