"""The engine as one async context: keys, settings, what runs in the background, what is left at its end."""

import re
import secrets
import stat
from collections.abc import Callable, Collection
from pathlib import Path

import anyio
import pytest

from holdfast.config import KindSettings, Settings
from holdfast.core.duty import Duty
from holdfast.core.events import Event, Silence, Sinks, attended
from holdfast.core.ids import make_ids
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.model import Policy, Reason
from holdfast.core.ports import Store
from holdfast.core.sealing import new_key_text
from holdfast.engine import end_all, every, open_engine
from holdfast.errors import ConfigurationError, SessionEnded, SessionNotFound, StoreUnavailable
from holdfast.testing.sink import RecordingSink

SECRET = "hunter2"
HTTP = Kind(name="http", clocks=Clocks(idle=100.0))


async def test_what_fails_inside_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with open_engine(kinds=[HTTP]):
            raise ValueError("mine")


async def test_a_store_in_memory_closes_its_sessions_when_the_process_ends() -> None:  # A4
    closed: list[Reason | None] = []

    async def close(duty: Duty) -> None:
        closed.append(duty.session.record.reason)

    with anyio.fail_after(10):
        async with open_engine(kinds=[Kind(name="backend", closer=close, outside=True)]) as engine:
            await engine.manager.open("backend", named=False)
    assert closed == [Reason.SHUTDOWN]


async def test_what_is_repeated_goes_on_after_a_mistake(caplog: pytest.LogCaptureFixture) -> None:  # E26
    turns: list[int] = []

    async def stumble(turns: list[int]) -> None:
        turns.append(len(turns))
        raise ZeroDivisionError("secret")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(every, 0.001, stumble, turns)
            while len(turns) < 3:
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
    [record] = caplog.records
    assert "stumble every 0.0 s: ZeroDivisionError" in record.getMessage()


async def test_ending_everything_is_bounded() -> None:  # A4
    async def hang(duty: Duty) -> None:
        await anyio.sleep_forever()

    kinds = [Kind(name="backend", closer=hang, outside=True)]
    with anyio.fail_after(10):
        async with open_engine(kinds=kinds, settings=Settings(closer_timeout=0.01)) as engine:
            node = await engine.manager.open("backend", named=False)
            assert not await end_all(engine.manager, timeout=0.05)
            await engine.manager.store.sessions.delete([node.ref])


async def test_an_embedded_store_makes_its_own_key_that_only_its_owner_can_read(tmp_path: Path) -> None:  # E5
    url = f"sqlite:///{tmp_path}/holdfast.db"
    async with open_engine(url, kinds=[HTTP]) as engine:
        session = await engine.manager.open("http", {"a": 1})
    key = tmp_path / "holdfast.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    async with open_engine(url, kinds=[HTTP]) as engine:
        assert session.id is not None
        assert (await engine.manager.load(session.id, kind="http")).content == {"a": 1}
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        async with open_engine(url, kinds=[HTTP]):
            pass


async def test_who_dies_while_the_key_file_is_made_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E5
    def die() -> str:
        raise KeyboardInterrupt

    url = f"sqlite:///{tmp_path}/holdfast.db"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("holdfast.engine.new_key_text", die)
        async with open_engine(url, kinds=[HTTP]):
            pass
    async with open_engine(url, kinds=[HTTP]):
        assert {path.suffix for path in tmp_path.iterdir()} >= {".db", ".key"}


async def test_of_two_that_make_the_key_file_at_once_one_key_holds_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E5
    url, keys = f"sqlite:///{tmp_path}/holdfast.db", [new_key_text(), new_key_text()]

    def late() -> str:
        (tmp_path / "holdfast.key").write_text(keys[0])
        (tmp_path / "holdfast.key").chmod(0o600)
        return keys[1]

    monkeypatch.setattr("holdfast.engine.new_key_text", late)
    async with open_engine(url, kinds=[HTTP]) as engine:
        session = await engine.manager.open("http", {"a": 1})
    async with open_engine(url, kinds=[HTTP], keys=keys[0]) as engine:
        assert (await engine.manager.get(session.ref)).content == {"a": 1}
    assert [path.name for path in tmp_path.glob("*.key*")] == ["holdfast.key"]


async def test_configured_keys_rule_over_the_key_file_and_a_lost_key_makes_sessions_absent(
    tmp_path: Path,
) -> None:  # E5, E6
    url = f"sqlite:///{tmp_path}/holdfast.db"
    old, new = new_key_text(), new_key_text()
    async with open_engine(url, kinds=[HTTP], keys=old) as engine:
        session = await engine.manager.open("http", {"a": 1})
    assert session.id is not None
    assert not (tmp_path / "holdfast.key").exists()
    async with open_engine(url, kinds=[HTTP], keys=f"{new},{old}") as engine:
        found = await engine.manager.load(session.id, kind="http")
        await engine.manager.save(found)  # re-sealed under the new key
    async with open_engine(url, kinds=[HTTP], keys=new) as engine:
        assert (await engine.manager.load(session.id, kind="http")).content == {"a": 1}
    async with open_engine(url, kinds=[HTTP], keys=old) as engine:
        with pytest.raises(SessionNotFound):
            await engine.manager.load(session.id, kind="http")


@pytest.mark.parametrize("url", ["redis://192.0.2.1:6379/0", "postgresql://ann@192.0.2.1/db", "rediss://192.0.2.1"])
async def test_a_shared_store_without_a_key_is_refused_before_anything_is_connected(url: str) -> None:  # E5
    with anyio.fail_after(1), pytest.raises(ConfigurationError) as refused:
        async with open_engine(url, kinds=[HTTP]):
            pass
    assert "holdfast keys new" in refused.value.hint


async def test_every_clock_and_limit_can_be_set_per_kind_and_per_application() -> None:  # E31
    clocks = {"idle": 1.0, "sliding": 2.0, "slides_after": 3.0, "absolute": 4.0, "linger": 5.0}
    clocks |= {"linger_after": 6.0, "touch_interval": 7.0}
    limits = {"per_client": 1, "per_principal": 2, "per_parent": 3, "total": 4, "policy": "reject"}
    everything = KindSettings(**clocks, **limits)  # type: ignore[arg-type]
    assert set(clocks) == set(Clocks.__struct_fields__)
    assert set(limits) == set(Limits.__struct_fields__)
    for settings, app in ((Settings(kinds={"http": everything}), ""), (Settings(apps={"shop": everything}), "shop")):
        async with open_engine(kinds=[HTTP], settings=settings, keeper=False) as engine:
            mine, theirs = engine.manager.rules("http", app), engine.manager.rules("http", "another")
            assert mine == (Clocks(**clocks), Limits(**{**limits, "policy": Policy.REJECT}))  # type: ignore[arg-type]
            assert (theirs == mine) == (app == "")


async def test_an_application_narrows_what_its_kind_says_and_a_child_never_outlives_its_parent() -> None:  # E31
    settings = Settings(
        kinds={"http": KindSettings(idle=50.0, absolute=500.0)}, apps={"shop": KindSettings(absolute=5000.0)}
    )
    async with open_engine(kinds=[HTTP], settings=settings, keeper=False) as engine:
        parent = await engine.manager.open("http")
        child = await engine.manager.open("http", parent=parent, app="shop")
        assert child.record.idle == 50.0
        assert child.record.ends_at == parent.record.ends_at


async def test_kinds_and_applications_are_set_in_the_settings_and_the_narrowest_wins() -> None:  # E31
    settings = Settings(
        kinds={"http": KindSettings(idle=50.0)},
        apps={"shop": KindSettings(absolute=9.0, per_client=1, policy="reject")},
    )
    async with open_engine(kinds=[HTTP], settings=settings) as engine:
        shop = await engine.manager.open("http", app="shop", client="c")
        other = await engine.manager.open("http")
        assert (shop.record.idle, shop.record.ends_at - shop.record.created_at) == (50.0, 9.0)
        assert other.record.idle == 50.0


async def test_a_shorter_idle_clock_is_fed_as_often_as_it_needs() -> None:  # E7, E8, E31
    now = [1000.0]
    slow = Kind(name="http", clocks=Clocks(idle=600.0, touch_interval=60.0))
    settings = Settings(kinds={"http": KindSettings(idle=300.0)}, apps={"shop": KindSettings(idle=20.0)})
    async with open_engine(kinds=[slow], clock=lambda: now[0], settings=settings, keeper=False) as engine:
        assert engine.manager.rules("http")[0].touch_after == 30.0
        session = await engine.manager.open("http", app="shop")
        assert session.id is not None
        for _ in range(10):
            now[0] += 19.0
            await engine.manager.load(session.id, kind="http", app="shop")


async def test_settings_for_a_kind_that_does_not_exist_are_refused() -> None:  # E31
    with pytest.raises(ConfigurationError, match=r"\[kinds.htp\] is no kind; known are http"):
        async with open_engine(kinds=[HTTP], settings=Settings(kinds={"htp": KindSettings()})):
            pass


async def test_a_call_at_one_worker_is_cancelled_when_its_session_ends_at_another(tmp_path: Path) -> None:  # E18
    url = f"sqlite:///{tmp_path}/holdfast.db"
    with anyio.fail_after(10):
        async with open_engine(url, kinds=[HTTP]) as one, open_engine(url, kinds=[HTTP]) as two:
            session = await one.manager.open("http")
            entered = anyio.Event()

            async def call() -> None:
                with pytest.raises(SessionEnded):
                    async with one.manager.running(session):
                        entered.set()
                        await anyio.sleep_forever()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await entered.wait()
                await two.manager.end(session.ref, Reason.LOGOUT)


async def test_leases_are_renewed_in_the_background() -> None:  # E15
    async with open_engine(kinds=[HTTP], settings=Settings(lease_ttl=0.06)) as engine:
        session = await engine.manager.open("http")
        async with engine.manager.hold(session.ref) as held:
            first = held.lease.until
            with anyio.fail_after(5):
                while held.lease.until == first:
                    await anyio.sleep(0.01)


async def test_what_an_outage_has_left_undone_is_done_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:  # E26
    async def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr("holdfast.engine.STORE_DOWN_S", 0.01)
    with anyio.fail_after(5):
        async with open_engine(kinds=[HTTP], keeper=False) as engine:
            session = await engine.manager.open("http")
            with monkeypatch.context() as patch:
                patch.setattr(engine.store.leases, "release", down)
                patch.setattr(engine.store.sessions, "load", down)
                with pytest.raises(StoreUnavailable):
                    async with engine.manager.hold(session.ref):
                        pass
                with pytest.raises(StoreUnavailable):
                    await engine.manager.get(session.ref, touch=True)
            while engine.manager.leaving or engine.manager.missed:
                await anyio.sleep(0.01)
            async with engine.manager.hold(session.ref, wait=0.0):
                pass


async def test_a_store_that_is_down_for_a_while_costs_no_running_call(monkeypatch: pytest.MonkeyPatch) -> None:  # E26
    asked = 0

    async def down(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise StoreUnavailable("down")

    with anyio.fail_after(5):
        async with open_engine(kinds=[HTTP], settings=Settings(lease_ttl=0.03), keeper=False) as engine:
            session = await engine.manager.open("http")
            with monkeypatch.context() as patch:
                patch.setattr(engine.store.sessions, "find", down)
                async with engine.manager.running(session):
                    while asked < 2:
                        await anyio.sleep(0.005)
            assert await engine.manager.get(session.ref)


async def test_the_form_of_ids_is_set_in_the_settings_and_a_weak_generator_is_named_at_start(
    caplog: pytest.LogCaptureFixture,
) -> None:  # E1, E2
    async with open_engine(kinds=[HTTP], settings=Settings(id_format="alnum")) as engine:
        session = await engine.manager.open("http")
        assert session.id is not None
        assert re.fullmatch("[A-Z0-9]{32}", session.id)
    weak = make_ids(generator=lambda: f"170000-{secrets.token_hex(12)}", validation="lenient")
    async with open_engine(kinds=[HTTP], ids=weak):
        assert "96 bits" in caplog.text


class Laboured:
    """A sink whose work fails at first."""

    def __init__(self) -> None:
        self.tries, self.works = 0, anyio.Event()

    def emit(self, event: Event) -> None:
        """Forget it."""

    async def attend(self, store: Store, kinds: Collection[str], clock: Callable[[], float]) -> None:
        self.tries += 1
        if self.tries == 1:
            raise ValueError(SECRET)
        self.works.set()
        assert tuple(kinds) == ("plain",)


async def test_an_engine_lets_sinks_do_their_work_and_survives_their_mistakes(
    caplog: pytest.LogCaptureFixture,
) -> None:  # M24
    sink = Laboured()
    assert attended(Sinks(Silence(), Sinks(sink))) == [sink]
    async with open_engine("memory://", kinds=[Kind(name="plain")], sink=Sinks(RecordingSink(), sink)):
        with anyio.fail_after(5):
            await sink.works.wait()
    assert "the work of Laboured: ValueError" in caplog.text
    assert SECRET not in caplog.text
