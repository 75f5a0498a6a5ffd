"""How long a logout takes that ends much: a logon with a thousand HTTP sessions, and a person with many logons.

python bench/logout.py                    # memory, sqlite, redis, postgres; a minute
python bench/logout.py redis --rounds 9   # one of them

Of the logon are measured the time until none of its sessions loads any more, which is when `Logons.end` returns and is
then looked at, and the time until all rows are gone, which the engine's keeper sees to. Of the person's logons, with
one HTTP session each, the time until none of them loads, and until all rows are gone. Last, 200 requests of one logon
wait at another worker on the same store when it is ended: the time until all are answered 401. Medians of rounds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from store_ports import row

from holdfast._asgi import Message, Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.kinds import Limits
from holdfast.core.manager import Manager
from holdfast.core.ports import Store
from holdfast.core.sealing import KeyRing, new_key_text
from holdfast.core.session import Session
from holdfast.core.together import together
from holdfast.engine import Engine, open_engine
from holdfast.stores.postgres import postgres_care
from holdfast.web.kinds import KINDS
from holdfast.web.middleware import SessionMiddleware, login
from holdfast.web.reply import reply
from holdfast.web.security import Logon, Logons
from holdfast.web.site import Security
from servers.postgres import postgres_server
from servers.redis import redis_server

SESSIONS = 1000
LOGONS = 500
REQUESTS = 200
KEYS = KeyRing.parse(new_key_text())
WAIT_S = 60.0
LOOK_S = 0.005
PLACES = ("memory", "sqlite", "redis", "postgres")
Times = tuple[float, float]


@contextmanager
def place(name: str) -> Iterator[str]:
    """Have a store of a kind."""
    with ExitStack() as stack:
        if name == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield f"sqlite:///{folder}/logout.db"
        elif name == "redis":
            yield stack.enter_context(redis_server()).url
        elif name == "postgres":
            yield stack.enter_context(postgres_server(shared_buffers="64MB")).url
        else:
            yield "memory://"


@asynccontextmanager
async def logons_at(url: str) -> AsyncIterator[tuple[Manager, Logons]]:
    """Open an engine on a store, with limits that leave room."""
    if url.startswith("postgres"):
        async with postgres_care(url, namespace="holdfast") as care:
            await care.migrate()
    async with worker(url) as engine:
        yield engine.manager, Logons(engine.manager)


def worker(store: str | Store) -> AbstractAsyncContextManager[Engine]:
    """Open an engine whose kinds have no limits."""
    kinds = [msgspec.structs.replace(kind, limits=Limits()) for kind in KINDS]
    return open_engine(store, kinds=kinds, keys=KEYS, settings=Settings())


async def opened(logons: Logons, subject: str, sessions: int) -> list[Session]:
    """Return a new logon and the HTTP sessions below it, one for each of so many applications."""
    security = await logons.begin(Logon(subject=subject, method="password", at=time.time()))
    tree = [security]

    async def open_one(number: int) -> None:
        tree.append(await logons.open_http(f"app{number}", below=security))

    await together(open_one, range(sessions))
    return tree


async def timed(manager: Manager, tree: list[Session], end: Callable[[], Awaitable[object]]) -> Times:
    """End all of these; return the milliseconds until none of them loads any more, and until all rows are gone."""
    began = time.perf_counter()
    assert await end()
    marked = time.perf_counter()
    for session in (tree[0], tree[len(tree) // 2], tree[-1]):
        assert await manager.store.sessions.load(session.ref, now=manager.clock()) is None
    with anyio.fail_after(WAIT_S):
        while await manager.store.sessions.find("owner", tree[0].owner, count=1):
            await anyio.sleep(LOOK_S)
    return 1e3 * (marked - began), 1e3 * (time.perf_counter() - began)


class Waiting:
    """An application whose requests wait, once somebody has logged on."""

    def __init__(self, engine: Engine) -> None:
        self._served = SessionMiddleware(self._serve, Security(engine=engine), application="shop")
        self._cookies: list[bytes] = []
        self.waiting, self.refused = 0, 0

    async def ask(self, path: str) -> None:
        """Send a request with the cookies that were set."""
        headers = [(b"host", b"site.example"), (b"cookie", b"; ".join(self._cookies))]
        scope = {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "query_string": b"",
            "headers": headers,
        }
        await self._served({**scope, "client": ("192.0.2.1", 50000)}, anyio.sleep_forever, self._take)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/logon":
            await login(scope, "cara")
            await reply(send, 200)
        else:
            self.waiting += 1
            await anyio.sleep_forever()

    async def _take(self, message: Message) -> None:
        self.refused += message.get("status") == 401
        set_now = [value for name, value in message.get("headers", ()) if name == b"set-cookie"]
        self._cookies += [value.partition(b";")[0] for value in set_now]


async def cut_off(engine: Engine, logons: Logons) -> float:
    """End a logon whose requests wait at a worker; return the milliseconds until all have been refused."""
    app = Waiting(engine)
    await app.ask("/logon")
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(REQUESTS):
                tasks.start_soon(app.ask, "/wait")
            while app.waiting < REQUESTS:
                await anyio.sleep(LOOK_S)
            began = time.perf_counter()
            assert await logons.end_all("cara") == 1
    assert app.refused == REQUESTS
    return 1e3 * (time.perf_counter() - began)


async def measure(name: str, url: str, rounds: int) -> None:
    """Print the figures of one store."""
    async with logons_at(url) as (manager, logons):
        one, many = list[Times](), list[Times]()
        for turn in range(rounds):
            tree = await opened(logons, f"ann {turn}", SESSIONS)
            one.append(await timed(manager, tree, partial(logons.end, tree[0])))
        for turn in range(rounds):
            all_of_them = list[Session]()
            for _ in range(LOGONS):
                all_of_them += await opened(logons, f"bob {turn}", 1)
            end = partial(logons.end_all, all_of_them[0].owner)
            many.append(await timed(manager, all_of_them, end))
        async with worker(manager.store if name == "memory" else url) as other:
            cut = [await cut_off(other, logons) for _ in range(rounds)]
    row(f"{name}: {REQUESTS} waiting requests are refused after", statistics.median(cut), "ms", "<= 1000")
    show(f"{name}: a logon with {SESSIONS} HTTP sessions", one, "<= 5", "<= 100")
    show(f"{name}: {LOGONS} logons with one HTTP session each", many)


def show(what: str, times: list[Times], loads: str = "", gone: str = "") -> None:
    """Print the medians of rounds."""
    row(f"{what}: none loads after", statistics.median(marked for marked, _ in times), "ms", loads)
    row(f"{what}: all rows gone after", statistics.median(gone for _, gone in times), "ms", gone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", choices=[*PLACES, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for name in given.places or PLACES:
        with place(name) as url:
            anyio.run(measure, name, url, given.rounds, backend_options={"loop_factory": uvloop.new_event_loop})


if __name__ == "__main__":
    main()
