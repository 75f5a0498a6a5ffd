"""What a session costs a web application: processor time of one request, ours and its peers side by side.

python bench/web_sessions.py                      # memory, redis, postgres; a minute or two
python bench/web_sessions.py memory --rounds 15   # one of them

A request goes straight to the ASGI application, with one in flight, so no server's and no network's work is counted but
that of talking to the store. The endpoint reads a key of the session and writes it (`rw`), or reads it (`read`). A
figure is the processor time of this process for a request, less that of the same endpoint without sessions: the median
of rounds in which all take turns. Other processes on the machine hardly change it; the stores' own servers are such.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import django
import uvloop
from django.conf import settings as django_settings
from litestar import Litestar, Request, get
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.memory import MemoryStore
from litestar.stores.redis import RedisStore as LitestarRedis
from redis.asyncio import Redis
from starlette.middleware.sessions import SessionMiddleware as CookieSessions
from starsessions import InMemoryStore, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as Starsessions
from starsessions.stores.redis import RedisStore

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from store_ports import row

from holdfast._asgi import ASGIApp, Message, Receive, Scope, Send
from holdfast.config import Settings
from holdfast.core.sealing import new_key_text
from holdfast.stores.postgres import postgres_care
from holdfast.web.middleware import SessionMiddleware
from holdfast.web.site import Security
from servers.postgres import postgres_server
from servers.redis import redis_server

REQUESTS = 400
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"ok"}
Call = Callable[[], Awaitable[None]]


async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a key of the session, and write it if the path says so."""
    session = scope.get("session")
    if session is not None:
        count = session.get("count", 0)
        if scope["path"] == "/rw":
            session["count"] = count + 1
    await send(dict(START))
    await send(dict(BODY))


class Client:
    """Sends requests to an application, with the cookies that it has set."""

    def __init__(self, app: ASGIApp, path: str = "/rw") -> None:
        self._app, self._path, self._cookies = app, path, dict[bytes, bytes]()

    async def once(self) -> None:
        """Send one request."""
        cookie = b"; ".join(name + b"=" + value for name, value in self._cookies.items())
        headers = [(b"host", b"site.example"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [*headers, (b"cookie", cookie)] if cookie else headers,
            "client": ("192.0.2.1", 50000),
            "server": ("site.example", 443),
            "state": {},
        }
        await self._app(scope, request(), self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message
            for name, value in message["headers"]:
                if name.lower() == b"set-cookie":
                    name_of, _, rest = value.partition(b"=")
                    self._cookies[name_of] = rest.partition(b";")[0]


def request() -> Receive:
    """Return what gives a request without a body, and then waits for a client that stays."""
    left = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if left:
            return left.pop()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    return receive


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Callable[[str], Client]]:
    """Give clients of an application of ours on a store."""
    security = Security(url, keys=new_key_text(), settings=Settings())
    app = SessionMiddleware(endpoint, security, application="shop")
    async with security.opened.running():
        yield partial(Client, app)


def litestar(store: Any = None) -> ASGIApp:
    """Return the endpoint on Litestar, with sessions if there is a store for them."""

    @get("/rw")
    async def read_and_write(request: Request[Any, Any, Any]) -> str:
        if store is not None:
            request.session["count"] = request.session.get("count", 0) + 1
        return "ok"

    @get("/read")
    async def read(request: Request[Any, Any, Any]) -> str:
        if store is not None:
            request.session.get("count", 0)
        return "ok"

    middleware = [ServerSideSessionConfig(store="sessions").middleware] if store is not None else []
    stores = {"sessions": store} if store is not None else {}
    return Litestar([read_and_write, read], middleware=middleware, stores=stores, logging_config=None)  # type: ignore[return-value]


def django_endpoint(*middleware: str) -> ASGIApp:
    """Return the endpoint on Django, whose sessions lie in its cache in memory."""
    from django.core.handlers.asgi import ASGIHandler

    django_settings.MIDDLEWARE = list(middleware)
    return ASGIHandler()  # type: ignore[return-value]


async def django_view(request: Any) -> Any:
    from django.http import HttpResponse

    session = getattr(request, "session", None)
    if session is not None:
        count = await session.aget("count", 0)
        if request.path == "/rw":
            await session.aset("count", count + 1)
    return HttpResponse("ok")


def set_django_up() -> None:
    from django.urls import path

    sys.modules["bench_urls"] = urls = type(sys)("bench_urls")
    urls.urlpatterns = [path("rw", django_view), path("read", django_view)]  # type: ignore[attr-defined]
    django_settings.configure(
        ROOT_URLCONF="bench_urls",
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="bench",
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        LOGGING_CONFIG=None,
    )
    django.setup()


class Rounds:
    """Calls that take turns, and what each took."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._less: dict[str, str] = {}
        self._spent: dict[str, list[float]] = {}

    def add(self, name: str, call: Call, *, less: str = "") -> None:
        """Add a call; what is spent for it is counted without what is spent for `less`."""
        self._calls[name], self._less[name], self._spent[name] = call, less, []

    async def run(self, rounds: int) -> None:
        for call in self._calls.values():
            for _ in range(20):
                await call()
        for _ in range(rounds):
            for name, call in self._calls.items():
                began = time.process_time()
                for _ in range(REQUESTS):
                    await call()
                self._spent[name].append((time.process_time() - began) / REQUESTS)

    def show(self, place: str, **reaches: str) -> None:
        """Print a row for each that is none of the bases."""
        middle = {name: statistics.median(spent) for name, spent in self._spent.items()}
        bases = set(self._less.values())
        for name, spent in middle.items():
            if name not in bases:
                base = self._less[name]
                less = middle[base] if base else 0.0
                row(f"{place}: {name}", 1e6 * (spent - less), "us", reaches.get(name.replace(" ", "_"), ""))


async def memory(rounds: int) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ours("memory://"))
        turns = Rounds()
        turns.add("bare", Client(endpoint).once)
        turns.add("bare litestar", Client(litestar()).once)
        turns.add("bare django", Client(django_endpoint()).once)
        turns.add("holdfast rw", client("/rw").once, less="bare")
        turns.add("holdfast read", (reader := client("/rw")).once, less="bare")
        await reader.once()
        reader._path = "/read"
        loaded = SessionAutoloadMiddleware(endpoint)  # type: ignore[arg-type]
        turns.add("starsessions rw", Client(Starsessions(loaded, InMemoryStore())).once, less="bare")  # type: ignore[arg-type]
        cookies = CookieSessions(endpoint, secret_key="bench")  # type: ignore[arg-type]
        turns.add("starlette's signed cookie rw", Client(cookies).once, less="bare")  # type: ignore[arg-type]
        turns.add("litestar rw", Client(litestar(MemoryStore())).once, less="bare litestar")
        django_sessions = django_endpoint("django.contrib.sessions.middleware.SessionMiddleware")
        turns.add("django's cache rw", Client(django_sessions).once, less="bare django")
        await turns.run(rounds)
    turns.show("memory", holdfast_rw="<= 20", holdfast_read="<= 20")


async def redis(rounds: int) -> None:
    with redis_server() as server:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(ours(server.url))
            bare = await stack.enter_async_context(Redis.from_url(server.url))
            turns = Rounds()
            turns.add("bare", Client(endpoint).once)
            turns.add("bare litestar", Client(litestar()).once)
            turns.add("holdfast rw", client("/rw").once, less="bare")
            turns.add("holdfast read", (reader := client("/rw")).once, less="bare")
            await reader.once()
            reader._path = "/read"
            loaded = SessionAutoloadMiddleware(endpoint)  # type: ignore[arg-type]
            peer = Starsessions(loaded, RedisStore(connection=bare))  # type: ignore[arg-type]
            turns.add("starsessions rw", Client(peer).once, less="bare")  # type: ignore[arg-type]
            turns.add("litestar rw", Client(litestar(LitestarRedis(bare))).once, less="bare litestar")
            turns.add("bare GET", lambda: bare.get("session"))
            turns.add("bare GET and SETEX", partial(_get_and_set, bare))
            await bare.set("session", b"x" * 100)
            await turns.run(rounds)
        turns.show("redis", holdfast_rw="<= 100", holdfast_read="<= 50")


async def _get_and_set(bare: Any) -> None:
    await bare.get("session")
    await bare.setex("session", 1800, b"x" * 100)


async def postgres(rounds: int) -> None:
    with postgres_server(shared_buffers="64MB") as server:
        async with postgres_care(server.url, namespace="holdfast") as care:
            await care.migrate()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(ours(server.url))
            bare = await asyncpg.connect(server.url)
            await bare.execute("CREATE TABLE session (id text PRIMARY KEY, data bytea)")
            await bare.execute("SET synchronous_commit = off")
            turns = Rounds()
            turns.add("bare", Client(endpoint).once)
            turns.add("holdfast rw", client("/rw").once, less="bare")
            turns.add("holdfast read", (reader := client("/rw")).once, less="bare")
            await reader.once()
            reader._path = "/read"
            turns.add("bare SELECT and upsert", partial(_select_and_upsert, bare))
            await turns.run(rounds)
            await bare.close()
        turns.show("postgres", holdfast_rw="<= 130")


async def _select_and_upsert(bare: Any) -> None:
    await bare.fetchrow("SELECT data FROM session WHERE id = $1", "session")
    await bare.execute(
        "INSERT INTO session VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET data = excluded.data", "session", b"x" * 100
    )


PLACES = {"memory": memory, "redis": redis, "postgres": postgres}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", choices=[*PLACES, []], default=[])
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    set_django_up()
    for place in given.places or PLACES:
        anyio.run(PLACES[place], given.rounds, backend_options={"loop_factory": uvloop.new_event_loop})


if __name__ == "__main__":
    main()
