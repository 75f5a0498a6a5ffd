"""T30: forged, replayed and endless logout tokens, and issuers' keys that are too many, too slow or elsewhere (R46)."""

import base64
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from holdfast.identity.oidc import Asked
from holdfast.web.fetch import open_fetch
from identity.issuer import Signer, rsa_key
from identity.oidc.provider import id_claims, id_token, logout_claims, logout_token
from web.oidc_world import SIGNER, Browser, World, oidc_world

MALLORY = Signer("mallory", key=rsa_key(1))
NAMESAKE = Signer("k1", key=rsa_key(1))  # another key under the name of the issuer's
GOOD = logout_token(SIGNER, logout_claims())
CERTIFICATE = base64.b64encode(b"not even one").decode()
Serve = Callable[[str, SocketStream], Awaitable[None]]


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    parts = [{"typ": "logout+jwt", **header}, claims]
    written = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{'.'.join(written)}."


def spliced(token: str, **changed: Any) -> str:
    """Return a good token's head and signature around other claims."""
    head, _, signature = token.split(".")
    _, payload, _ = unsigned(logout_claims(**changed)).split(".")
    return f"{head}.{payload}.{signature}"


FORGED = {
    "signed by nobody": unsigned(logout_claims(), alg="none"),
    "signed by nobody, in capitals": unsigned(logout_claims(), alg="NONE"),
    "signed with the public key as a secret": unsigned(logout_claims(), alg="HS256", kid="k1") + "AAAA",
    "signed with a key of its own": logout_token(MALLORY, logout_claims()),
    "signed with another key of the same name": logout_token(NAMESAKE, logout_claims()),
    "with its key in the head": logout_token(MALLORY, logout_claims(), jwk=MALLORY.jwk()),
    "with an address of its keys": logout_token(NAMESAKE, logout_claims(), jku="https://mallory.example/keys"),
    "with an address of its certificate": logout_token(NAMESAKE, logout_claims(), x5u="https://mallory.example/x5"),
    "with a certificate": logout_token(NAMESAKE, logout_claims(), x5c=[CERTIFICATE]),
    "with an extension": logout_token(SIGNER, logout_claims(), crit=["exp"]),
    "with a path for a key": logout_token(MALLORY, logout_claims(), kid="../../dev/null"),
    "with other claims under a good signature": spliced(GOOD, sub="bob"),
    "without its signature": f"{GOOD.rpartition('.')[0]}.",
    "an ID token": id_token(SIGNER, id_claims(Asked.fresh())),
    "an access token": SIGNER.sign(logout_claims()),
}


async def logged_on(world: World) -> Browser:
    browser = world.browser()
    await browser.logs_on()
    assert await browser.who() == "ann"
    return browser


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_token_logs_nobody_off_and_asks_nobody_but_the_issuer(forgery: str) -> None:  # R46, R48
    async with oidc_world(2) as world:
        browser = await logged_on(world)
        for worker in (0, 1):
            answer = await world.tell(FORGED[forgery], worker)
            assert (answer.status_code, answer.headers["cache-control"]) == (400, "no-store")
            assert FORGED[forgery] not in answer.text
        assert await browser.who() == "ann"
        assert all(url.startswith("https://login.example/") for url in world.provider.fetched)


async def test_a_recorded_token_ends_no_later_logon_at_any_worker() -> None:  # R46, T11
    async with oidc_world(2) as world:
        browser, recorded = await logged_on(world), world.logout_token(sid=None)
        assert (await world.tell(recorded, 0)).status_code == 200
        assert await browser.who() is None
        again = await logged_on(world)
        for worker in (0, 1):
            assert (await world.tell(recorded, worker)).status_code == 400
        world.clock.now += 3600.0
        assert (await world.tell(recorded, 1)).status_code == 400  # when its name may be forgotten, it is too old
        world.clock.now -= 3600.0
        assert await again.who() == "ann"


async def test_a_flood_of_garbage_costs_the_store_nothing_and_the_issuer_one_request() -> None:  # R75
    async with oidc_world() as world:
        await world.tell(GOOD[:-5])
        asked = list(world.provider.fetched)
        tracemalloc.start()
        try:
            for number in range(300):
                assert (await world.tell(f"{GOOD[:-5]}{number:05}")).status_code == 400
                assert (await world.tell("x" * 16_000)).status_code == 400
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert world.provider.fetched == asked
        assert grown < 4_000_000
        assert [record async for record in world.workers[0].running.manager.each("all", b"")] == []


# -- an issuer's keys over a real connection


async def say(stream: SocketStream, body: bytes, head: str = "200 OK\r\ncontent-type: application/json") -> None:
    await stream.send(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)


@asynccontextmanager
async def issuer(serve: Serve) -> AsyncIterator[tuple[str, list[str]]]:
    """Listen as an issuer whose keys `serve` gives; yield its name, and the paths that were asked for."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    name = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    said = {"issuer": name, "jwks_uri": f"{name}/keys", "authorization_endpoint": f"{name}/a"}
    paths: list[str] = []

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                path = (await stream.receive()).split(b" ")[1].decode()
                paths.append(path)
                if path.endswith("/openid-configuration"):
                    await say(stream, json.dumps(said).encode())
                elif path.startswith("/keys"):
                    await serve(path, stream)
                else:
                    await say(stream, b"", "404 Not Found")
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield name, paths
        tasks.cancel_scope.cancel()


async def answers(serve: Serve, *, count: int = 1, **settings: Any) -> tuple[list[int], float, list[str]]:
    """Send good tokens of such an issuer at once; return the answers, the seconds they took and what it was asked."""
    async with (
        issuer(serve) as (name, paths),
        open_fetch() as fetch,
        oidc_world(fetch=fetch, issuer=name, **settings) as world,
    ):
        found: list[int] = []

        async def tell(number: int) -> None:
            found.append((await world.tell(world.logout_token(iss=name, jti=f"j{number}"))).status_code)

        began = time.monotonic()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(tell, number)
        return found, time.monotonic() - began, paths


def jwks(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk() for signer in signers]}).encode()


async def test_keys_over_a_connection_are_read_and_tokens_counted() -> None:
    async def serve(path: str, stream: SocketStream) -> None:
        await say(stream, jwks(SIGNER))

    found, _, paths = await answers(serve, count=20)
    assert found == [200] * 20
    assert paths.count("/keys") == 1


async def test_ten_thousand_keys_are_refused_and_bounded() -> None:
    small = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
    many = json.dumps({"keys": [SIGNER.jwk(), *({**small, "kid": f"x{n}"} for n in range(10_000))]}).encode()

    async def serve(path: str, stream: SocketStream) -> None:
        await say(stream, many)

    found, seconds, paths = await answers(serve, count=20)
    assert found == [503] * 20
    assert paths.count("/keys") == 1
    assert seconds < 5


async def test_keys_that_come_byte_by_byte_hold_up_all_who_wait_no_longer_than_one() -> None:
    async def serve(path: str, stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.02)

    found, seconds, paths = await answers(serve, count=50, timeout=0.5)
    assert found == [503] * 50
    assert paths.count("/keys") == 1
    assert seconds < 10  # 50 of them one after the other would take 25 s at the least


async def test_keys_without_end_are_cut_off() -> None:
    sent = 0

    async def serve(path: str, stream: SocketStream) -> None:
        nonlocal sent
        await stream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await stream.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            sent += 65_536

    found, _, _ = await answers(serve)
    assert found == [503]
    assert sent < 16_000_000  # what fits into the buffers of both sides and no more


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_keys_that_are_said_to_be_elsewhere_are_not_fetched_there(status: int) -> None:
    async def serve(path: str, stream: SocketStream) -> None:
        number = path.rpartition("/")[2].removeprefix("keys") or "0"
        if number == "3":
            await say(stream, jwks(SIGNER))
        else:
            await say(stream, b"", f"{status} Elsewhere\r\nlocation: /keys{int(number) + 1}")

    found, _, paths = await answers(serve)
    assert found == [503]
    assert [path for path in paths if path.startswith("/keys")] == ["/keys"]
