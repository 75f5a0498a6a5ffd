"""A25: objects outlive the process in SQLite; sessions, contexts and locks do not."""

from pathlib import Path

from holdfast.simulator import Simulator
from simulator.wire import GREETER, PROGRAM, Build


async def test_objects_in_both_versions_survive_and_sessions_do_not(build: Build, tmp_path: Path) -> None:
    first = build(store=tmp_path / "deep" / "system.db")
    caller = await first.caller()
    active = await caller.source()
    handle = await caller.lock()
    await caller.put(handle, "* inactive")
    etag = (await caller.call("GET", f"{GREETER}/source/main", "stateful")).headers["etag"]
    first.sim.close()

    second = build(store=tmp_path / "deep" / "system.db")
    assert (await second.sm04(), await second.sm05(), await second.sm12()) == ([], [], [])
    again = await second.caller()
    assert await again.source(version="active") == active
    assert await again.source() == "* inactive"
    assert (await again.call("GET", f"{GREETER}/source/main")).headers["etag"] == etag
    assert (await again.put(handle, "* no")).status_code == 423


async def test_what_was_deleted_stays_deleted(build: Build, tmp_path: Path) -> None:
    first = build(store=tmp_path / "system.db")
    caller = await first.caller()
    handle = await caller.lock(PROGRAM)
    await caller.call("DELETE", f"{PROGRAM}?lockHandle={handle}", "stateful")
    count = len(first.sim.repository)
    first.sim.close()
    assert len(build(store=tmp_path / "system.db").sim.repository) == count


async def test_memory_forgets(build: Build) -> None:
    caller = await build().caller()
    await caller.put(await caller.lock(), "* changed")
    assert await (await build().caller()).source() != "* changed"


def test_a_system_without_seed_is_empty_and_stays_so(tmp_path: Path) -> None:
    for _ in range(2):
        system = Simulator(store=tmp_path / "system.db", seed=False)
        assert len(system.repository) == 0
        system.close()


async def test_versions_survive_and_the_oldest_give_way(build: Build, tmp_path: Path) -> None:
    first = build(store=tmp_path / "system.db")
    caller = await first.caller()
    target = first.sim.repository.at_uri(PROGRAM)
    assert target is not None
    for number in range(25):
        first.sim.repository.write(target[0], "main", f"REPORT z_hf_hello. * {number}", user="BOB", now=1.0)
        first.sim.repository.activate([target[0]], user="BOB", now=1.0)
    feed = (await caller.call("GET", f"{PROGRAM}/source/main/versions")).text
    first.sim.close()
    second = build(store=tmp_path / "system.db")
    assert feed.count("<atom:entry>") == 20
    assert (await (await second.caller()).call("GET", f"{PROGRAM}/source/main/versions")).text == feed
    oldest = feed.split('src="')[-1].split('"')[0]
    assert (await (await second.caller()).call("GET", oldest)).text == "REPORT z_hf_hello. * 5"
