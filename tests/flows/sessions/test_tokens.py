"""CSRF tokens: kept with their session, fetched where there is none, renewed where one is refused."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.engine import open_engine
from holdfast.flows import Channel, Deployment, ReusingTransport, flow_kinds
from holdfast.flows.sessions.tokens import TOKEN_FROM, UNSENT

SERVICE = "http://erp/svc/"


class Server:
    """Wants credentials for a session, and a token of the session for each change."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}  # by living session
        self.begun = self.given = 0
        self.done: list[str] = []
        self.methods: list[str] = []
        self.fails = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.methods.append(request.method)
        session, fields = request.headers.get("cookie", "").removeprefix("S="), {}
        if session not in self.tokens:
            if "authorization" not in request.headers:
                return httpx2.Response(401)
            self.begun += 1
            session = f"session{self.begun}"
            self.tokens[session], fields = "", {"set-cookie": f"S={session}; Path=/"}
        asked = request.headers.get("x-csrf-token", "")
        if request.method in ("GET", "HEAD"):
            if asked == "Fetch":
                self.given += 1
                fields["x-csrf-token"] = self.tokens[session] = f"secret-{session}-{self.given}"
            return httpx2.Response(200, headers=fields)
        if not asked or asked != self.tokens[session]:
            return httpx2.Response(403, headers={**fields, "x-csrf-token": "Required"})
        self.done.append(request.content.decode())
        return httpx2.Response(204, headers=fields)

    @asynccontextmanager
    async def client(self, reuse: str, store: str = "memory://", **channel: bool) -> AsyncIterator[httpx2.AsyncClient]:
        """Return a client whose calls are those of one exchange."""
        async with open_engine(store, kinds=flow_kinds()) as engine:
            deployment = Deployment(engine.manager, "orders", reuse)
            transport = ReusingTransport(deployment, Channel(name="erp", **channel), httpx2.MockTransport(self))
            async with deployment.exchange(), httpx2.AsyncClient(transport=transport, auth=("a", "b")) as client:
                yield client


async def change(client: httpx2.AsyncClient, what: str = "x") -> httpx2.Response:
    return await client.post(SERVICE + "Orders", content=what.encode(), extensions={TOKEN_FROM: SERVICE})


events = st.lists(st.sampled_from(["change", "together", "read", "expire", "forget"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["none", "on_exchange", "on_integration_flow"]), events)
def test_each_change_is_carried_out_once_whatever_becomes_of_sessions_and_tokens(reuse: str, played: list[str]) -> None:
    # F2, F7, statement 28
    server = Server()

    async def play() -> None:
        async with server.client(reuse) as client:
            for number, event in enumerate(played):
                match event:
                    case "change":
                        assert (await change(client, f"{number}")).status_code == 204
                    case "together":
                        async with anyio.create_task_group() as tasks:
                            for part in "abc":
                                tasks.start_soon(change, client, f"{number}{part}")
                    case "read":
                        assert (await client.get(SERVICE)).status_code == 200
                    case "expire":
                        server.tokens.clear()
                    case "forget":
                        server.tokens = dict.fromkeys(server.tokens, "")

    anyio.run(play)
    wanted = [
        f"{n}{part}" for n, event in enumerate(played) for part in {"change": [""], "together": "abc"}.get(event, [])
    ]
    assert sorted(server.done) == sorted(wanted)
    if reuse != "none":
        assert server.begun <= 1 + played.count("expire")
        assert server.given <= 1 + played.count("expire") + played.count("forget")


async def test_parallel_changes_wait_for_one_token() -> None:
    server = Server()
    async with server.client("on_exchange") as client, anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(change, client, f"{number}")
    assert (server.begun, server.given, len(server.done)) == (1, 1, 5)


async def test_workers_share_a_token_as_they_share_its_session(tmp_path: Path) -> None:
    # F13
    server, store = Server(), f"sqlite:///{tmp_path}/sessions.db"
    async with (
        server.client("on_integration_flow", store) as first,
        server.client("on_integration_flow", store) as second,
    ):
        for client in (first, second, first):
            assert (await change(client)).status_code == 204
        server.tokens = dict.fromkeys(server.tokens, "")
        for client in (second, first):
            assert (await change(client)).status_code == 204
    assert (server.begun, server.given, len(server.done)) == (1, 2, 5)
    assert b"secret-session" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_a_token_that_is_refused_twice_is_the_receivers_answer() -> None:
    server = Server()
    server_of_no_mercy = lambda request: (  # noqa: E731
        server(request) if request.method == "HEAD" else httpx2.Response(403, headers={"x-csrf-token": "Required"})
    )
    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        deployment = Deployment(engine.manager, "orders", "none")
        inner = httpx2.MockTransport(server_of_no_mercy)
        transport = ReusingTransport(deployment, Channel(name="erp"), inner)
        async with httpx2.AsyncClient(transport=transport, auth=("a", "b")) as client:
            assert (await change(client)).status_code == 403
    assert server.given == 2


async def test_what_has_no_sessions_gets_no_token() -> None:
    server = Server()
    async with server.client("on_exchange", reuses=False) as client:
        assert (await change(client)).status_code == 403
    assert server.methods == ["POST"]


async def test_a_change_whose_token_cannot_be_renewed_has_not_been_carried_out() -> None:
    # F17
    server, answers = Server(), iter([200, 403, 503])

    def answer(request: httpx2.Request) -> httpx2.Response:
        server.methods.append(request.method)
        return httpx2.Response(next(answers), headers={"x-csrf-token": "Required" if server.methods[1:] else "first"})

    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        transport = ReusingTransport(
            Deployment(engine.manager, "orders", "none"), Channel(name="erp"), httpx2.MockTransport(answer)
        )
        async with httpx2.AsyncClient(transport=transport) as client:
            answered = await change(client)
    assert (answered.status_code, UNSENT in answered.extensions) == (503, True)
    assert server.methods == ["HEAD", "POST", "HEAD"]


@pytest.mark.parametrize("raised", [httpx2.ReadError("cut"), httpx2.RemoteProtocolError("cut")])
async def test_a_change_whose_token_was_cut_off_was_never_sent(raised: Exception) -> None:
    # F17
    def cut(request: httpx2.Request) -> httpx2.Response:
        raise raised

    async with open_engine("memory://", kinds=flow_kinds()) as engine:
        deployment = Deployment(engine.manager, "orders", "none")
        transport = ReusingTransport(deployment, Channel(name="erp"), httpx2.MockTransport(cut))
        async with httpx2.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx2.ConnectError, match="no token"):
                await change(client)


async def test_no_log_shows_a_token(caplog: pytest.LogCaptureFixture) -> None:
    # statement 32
    caplog.set_level(logging.DEBUG)
    server = Server()
    async with server.client("on_exchange") as client:
        await change(client)
        wire = logging.getLogger("httpcore2.http11")
        wire.debug("receive_response_headers.complete return_value=%r", [(b"X-CSRF-Token", b"secret-session1-1")])
    assert "X-CSRF-Token" in caplog.text
    assert "secret-session1" not in caplog.text
