"""Whatever is put into batches in whatever order: a session holds the locks of what it edits and no others (O3, O9)."""

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.odata import batch
from holdfast.odata.server.buffer import TAKEN
from holdfast.odata.server.kind import STICKY
from odata.server.test_batches import part, posted, together, told
from odata.server.world import Order, Tab, World, opened

NUMBERS = ("1", "2", "9")  # the last one is not there
ENTITIES = st.sampled_from([f"Orders('{number}')" for number in NUMBERS])
CHANGES = st.one_of(
    ENTITIES.map(lambda name: part("POST", f"{name}/Demo.Edit", {})),
    ENTITIES.map(lambda name: part("PATCH", name, {"Note": "changed"})),
    ENTITIES.map(lambda name: part("PATCH", name, {"Nothing": 1})),
    ENTITIES.map(lambda name: part("DELETE", name)),
    st.builds(lambda: part("POST", "Discard")),
    st.builds(lambda: part("POST", "Orders/Demo.Create", {})),
    st.builds(lambda: part("PATCH", "Orders('')", {"Note": "new"})),
)
# not in change sets: what these handlers have stored and let go, they do not take back
SAVES = st.sampled_from([*NUMBERS, ""]).map(lambda number: part("POST", f"Orders('{number}')/Demo.Save", {}))
SETS = st.lists(CHANGES, min_size=1, max_size=3).map(lambda parts: together(*parts))
BATCHES = st.lists(st.lists(st.one_of(CHANGES, SAVES, SETS), min_size=1, max_size=4), min_size=1, max_size=5)


async def holds_its_locks(world: World, tab: Tab) -> None:
    """Fail unless there is a session just if the tab has an id, and the locks are those of what is edited in it."""
    manager = (await world.app.opened.get())._sessions.manager
    nodes = [record async for record in manager.each("kind", STICKY)]
    assert len(nodes) == (1 if tab.id else 0)
    edited = set()
    if tab.id:
        content = (await manager.load(tab.id, kind=STICKY, owner="")).content
        edited = {name.split("'")[1] for name, taken in content[TAKEN].items() if not taken.get("new")}
    assert world.orders.locks.keys() == edited


@given(BATCHES)
@settings(max_examples=60, deadline=None)
def test_a_session_holds_the_locks_of_what_it_edits(batches: list[list[batch.Part | batch.ChangeSet]]) -> None:
    async def run() -> None:
        with anyio.fail_after(30):
            async with opened() as world:
                tab = world.tab()
                for items in batches:
                    for answer in told(await posted(tab, *items, prefer="odata.continue-on-error")):
                        for one in answer if isinstance(answer, list) else [answer]:
                            assert one.status < 500
                    await holds_its_locks(world, tab)
                    world.orders.table.setdefault("1", Order(ID="1"))  # it may have been deleted

    anyio.run(run)
