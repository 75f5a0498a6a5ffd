"""An engine: store, keys, manager and keeper as one async context. Every face composes on it."""

import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

import anyio
import msgspec
from anyio.abc import TaskStatus

from holdfast.config import KindSettings, Settings, load_settings, refuse_readable_by_others
from holdfast.core.chores import catch_up, renew_held, touch_running
from holdfast.core.events import Attended, Sink, attended
from holdfast.core.ids import Ids, make_ids
from holdfast.core.keeper import Keeper
from holdfast.core.kinds import Clocks, Kind, Limits
from holdfast.core.manager import ENDED_TOPIC, Manager
from holdfast.core.mistakes import Mistakes
from holdfast.core.model import Message, Policy, Reason
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.together import STORE_DOWN_S, listen
from holdfast.core.tuning import Tuning
from holdfast.errors import ConfigurationError
from holdfast.stores import POSTGRES, REDIS, file_of, open_store

T = TypeVar("T")
DRAIN_S: Final = 10.0
LOOK_S: Final = 1.0  # how late a worker may learn, that nobody could tell, that all sessions were ended
log = logging.getLogger(__name__)


class Engine(msgspec.Struct, frozen=True):
    """What a face needs: the manager, the keeper, and the settings they were made from."""

    manager: Manager
    keeper: Keeper
    settings: Settings

    @property
    def store(self) -> Store:
        """The five ports."""
        return self.manager.store


@asynccontextmanager
async def open_engine(
    url: str | Store = "memory://",
    *,
    kinds: Sequence[Kind],
    keys: KeyRing | str | None = None,
    settings: Settings | None = None,
    clock: Callable[[], float] = time.time,
    ids: Ids | None = None,
    sink: Sink | None = None,
    worker: str | None = None,
    keeper: bool = True,
) -> AsyncIterator[Engine]:
    """Open a store and run an engine on it until the block ends. A store that is open already stays so.

    With `keeper`, what is due is done in the background: closing, keep-alive, sweeping. A store in memory goes with
    the process, so its sessions are ended first, for 10 s at most; any other store keeps them for the next worker.

    Raises:
        ConfigurationError: The URL is wrong, or no key is configured for a store that others share.
    """
    settings = settings or load_settings()
    given = keys or settings.keys.get_secret_value()
    if not given and (url.shared if isinstance(url, Store) else url.partition("://")[0] in (*REDIS, *POSTGRES)):
        raise ConfigurationError(
            "a shared store needs a configured sealing key",
            hint="Set HOLDFAST_KEYS to what `holdfast keys new` prints.",
        )
    async with _store(url, settings, clock) as store:
        manager = Manager(
            store,
            _ring(given, None if isinstance(url, Store) else file_of(url)),
            kinds,
            worker=worker or f"{os.getpid()}-{secrets.token_hex(4)}",
            clock=clock,
            ids=_checked(ids, settings),
            sink=sink,
            tuning=_tuning(settings),
            overrides=_overrides(settings, kinds),
        )
        engine = Engine(manager, Keeper(manager), settings)
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen_for_ends, manager)
            tasks.start_soon(every, settings.lease_ttl / 3, renew_held, manager)
            tasks.start_soon(every, settings.lease_ttl / 3, touch_running, manager)
            tasks.start_soon(every, STORE_DOWN_S, catch_up, manager)
            await manager.look()
            tasks.start_soon(every, LOOK_S, Manager.look, manager)
            for part in attended(manager.sink):
                tasks.start_soon(attend, part, manager)
            if keeper:
                tasks.start_soon(engine.keeper.run)
                tasks.start_soon(engine.keeper.run_sweeper)
            failure: BaseException | None = None
            try:
                yield engine
            except BaseException as exc:  # noqa: BLE001 - raised again below, not wrapped in the group of our own tasks
                failure = exc
            with anyio.CancelScope(shield=True):
                if keeper and not store.shared:
                    await end_all(manager)
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure


def _store(url: str | Store, settings: Settings, clock: Callable[[], float]) -> AbstractAsyncContextManager[Store]:
    if isinstance(url, Store):
        return nullcontext(url)
    return open_store(url, namespace=settings.namespace, clock=clock, timeout=settings.store_timeout)


async def end_all(manager: Manager, timeout: float = DRAIN_S) -> bool:
    """End every tree and wait until all are closed; False if that took longer than `timeout` seconds."""
    with anyio.move_on_after(timeout):
        roots = [record async for record in manager.each("all", b"") if record.parent is None]
        for record in roots:
            await manager.end(record.ref, Reason.SHUTDOWN)
        for record in roots:
            await manager.gone(record.ref, timeout=timeout)
        return True
    return False


async def listen_for_ends(manager: Manager, *, task_status: TaskStatus[None]) -> None:
    """Let the manager hear what other workers have ended, until cancelled."""

    async def hear(message: Message) -> None:
        if message.data:
            manager.hear(message)
        else:
            await manager.look()

    await listen(manager.store.channel, [ENDED_TOPIC], hear, task_status=task_status)


async def every(seconds: float, do: Callable[[T], Awaitable[None]], what: T) -> None:
    """Do a chore again and again; one turn that takes long, or fails, is followed by the next of its own kind."""
    mistakes = Mistakes(f"{do.__name__} every {seconds:.1f} s")
    while True:
        await anyio.sleep(seconds)
        try:
            await do(what)
        except Exception as exc:  # noqa: BLE001 - what one turn left undone the next one does
            mistakes.note(exc)


async def attend(sink: Attended, manager: Manager) -> None:
    """Let a sink do the work it has of its own, whatever it stumbles over, until cancelled."""
    mistakes = Mistakes(f"the work of {type(sink).__name__}")
    while True:
        try:
            await sink.attend(manager.store, tuple(manager.kinds), manager.clock)
            return
        except Exception as exc:  # noqa: BLE001 - what observes sessions must not end them
            mistakes.note(exc)
        await anyio.sleep(STORE_DOWN_S)


def _checked(ids: Ids | None, settings: Settings) -> Ids:
    """Return the id maker and log what is weak about it (E2)."""
    made = ids or make_ids(id_format=settings.id_format, id_bits=settings.id_bits, validation=settings.validation)
    for warning in made.warnings:
        log.warning("%s", warning)
    return made


def _ring(keys: KeyRing | str, file: Path | None) -> KeyRing:
    """Return the keys that were given, else those beside the store's file, else new ones."""
    if isinstance(keys, KeyRing):
        return keys
    return KeyRing.parse(keys or (new_key_text() if file is None else _key_file(file.with_suffix(".key"))))


def _key_file(path: Path) -> str:
    """Return the key beside an embedded store, made with mode 0600 if it is not there (E5)."""
    if not path.exists():
        _make_key_file(path)
    refuse_readable_by_others(path, path.stat().st_mode)
    return path.read_text()


def _make_key_file(path: Path) -> None:
    """Make the file appear with its whole content, once, whoever else starts or dies at the same time."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_key_text())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: its key holds
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _tuning(settings: Settings) -> Tuning:
    return Tuning(
        lease_ttl=settings.lease_ttl,
        closer_timeout=settings.closer_timeout,
        closing_patience=settings.closing_patience,
        cleanup_interval=settings.cleanup_interval,
        gc_threshold=settings.gc_threshold,
        max_payload_bytes=settings.max_payload_bytes,
        serializer=settings.serializer,
        not_before=settings.not_before,
    )


def _overrides(settings: Settings, kinds: Sequence[Kind]) -> Mapping[tuple[str, str], tuple[Clocks, Limits]]:
    """Return clocks and limits by (application, kind): an application's on top of the kind's on top of the default."""
    named = {kind.name: kind for kind in kinds}
    unknown = sorted(set(settings.kinds) - set(named))
    if unknown:
        raise ConfigurationError(f"[kinds.{unknown[0]}] is no kind; known are {', '.join(sorted(named))}")
    per_kind = {name: _narrowed(kind.clocks, kind.limits, settings.kinds.get(name)) for name, kind in named.items()}
    rules = {("", name): rule for name, rule in per_kind.items()}
    for app, given in settings.apps.items():
        rules |= {(app, name): _narrowed(*rule, given) for name, rule in per_kind.items()}
    return rules


def _narrowed(clocks: Clocks, limits: Limits, given: KindSettings | None) -> tuple[Clocks, Limits]:
    values = given.model_dump(exclude_none=True) if given else {}
    if "policy" in values:
        values["policy"] = Policy(values["policy"])
    mine = {name: value for name, value in values.items() if name in Clocks.__struct_fields__}
    if not mine.keys().isdisjoint(("idle", "sliding")):
        mine.setdefault("touch_interval", None)  # one that suits the new clock, not the old one (E8)
    return (
        msgspec.structs.replace(clocks, **mine),
        msgspec.structs.replace(limits, **{name: value for name, value in values.items() if name not in mine}),
    )
