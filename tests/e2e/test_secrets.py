"""A dump of every store, the logs, the audit trail and what the commands print, searched for what must stay inside.

Agents of both eras work through a server until a hundred secrets are alive at once: session ids, lock handles and
workspace ids of ours, cookies, CSRF tokens and lock handles of the ABAP system. Then everything is searched for each of
them as it is, in hexadecimal, in base64 wherever it may begin, and as a URL or JSON has it.
"""

import base64
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import anyio
import pytest

from e2e.abap_world import CLASS, MODERN, PASSWORD, Tap, abap_world
from e2e.mcp_world import JSON_HEADERS, initialize
from e2e.test_abap_bad_input import secrets_in
from holdfast.core.events import Event, Fact
from holdfast.core.ids import mark_of
from holdfast.core.sealing import new_key_text
from holdfast.observe import Counts
from holdfast.testing.contract.base import NOW, chain, root
from stores.stores import Place

SESSIONS, LEAST = 9, 100
TOKEN = "the-token-of-this-server"
EVERYWHERE = (("store", "stats"),)  # each store has its own
ONCE = (("sessions", "list"), ("locks", "list", "--json"), ("store", "check"))  # the same for all: on SQLite


def forms(secret: str) -> set[bytes]:
    """Return how a secret may look where it is kept."""
    raw = secret.encode()
    plain = {raw, quote(secret, safe="").encode(), quote_plus(secret).encode(), json.dumps(secret).encode()[1:-1]}
    hexes = {raw.hex().encode(), raw.hex().upper().encode()}
    return plain | hexes | {form for url_safe in (False, True) for form in _base64(raw, url_safe=url_safe)}


def _base64(raw: bytes, *, url_safe: bool) -> list[bytes]:
    """Return what a text shows of a secret in its middle, for each of the three places in which it may begin."""
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    shown = []
    for before in range(3):
        text, clean = encode(b"\0" * before + raw), (before + len(raw)) // 3 * 4
        shown.append(text[(0, 2, 3)[before] : clean])
    return shown


def found(secrets: set[str], where: bytes) -> list[str]:
    """Return the secrets that are somewhere, in any form."""
    return sorted(secret for secret in secrets if any(form in where for form in forms(secret)))


def shown_by(text: bytes) -> bytes:
    """Return what is left of it without what says nothing: a server's files are mostly empty pages."""
    return b"\0\0".join(part for part in text.split(b"\0" * 64) if part)


async def fill(world: Any, mode: str, held: list[dict[str, str]], stack: AsyncExitStack) -> None:
    """Open sessions with a lock each, and stay connected."""
    agent = await stack.enter_async_context(world.agent(mode))

    async def work(name: str) -> None:
        named = await agent.locked(name)
        await agent.done("UpdateClass", **named, source_code=CLASS.source(name))
        held.append(named)

    async with anyio.create_task_group() as tasks:
        for number in range(SESSIONS):
            tasks.start_soon(work, f"ZCL_SECRET_{mode[:4].upper()}_{number}")


async def begun(world: Any) -> str:
    """Begin an MCP session of the legacy era and return its id."""
    answer = await world.http.post(world.url, json=initialize(), headers=JSON_HEADERS)
    return str(answer.headers["mcp-session-id"])


async def said_by(world: Any, *commands: tuple[str, ...]) -> bytes:
    said: list[bytes] = []

    async def run(command: tuple[str, ...]) -> None:
        done = await world.run(*command)
        assert done.returncode == 0, done
        said.extend([done.stdout, done.stderr])

    async with anyio.create_task_group() as tasks:
        for command in commands:
            tasks.start_soon(run, command)
    return b"".join(said)


async def plant(place: Place, secret: str) -> bytes:
    """Write a secret where nothing seals it, and return the dump that must have it."""
    async with place.open() as store:
        node = await chain(store, root(label=f"label {secret}", payload=b"x" * 30 + secret.encode()))
        await store.events.append(node.ref, "s", secret.encode(), now=NOW)
        return await place.dump()


async def test_no_secret_is_in_a_store_a_log_the_audit_trail_or_what_commands_print(
    shared_place: Place, tmp_path: Path
) -> None:  # E4, E5, E34
    tap, held = Tap(), list[dict[str, str]]()
    settings = {"store": shared_place.url, "namespace": shared_place.namespace, "keys": new_key_text()}
    folder = tmp_path / "world"
    folder.mkdir()
    async with abap_world(folder, count=1, tap=tap, **settings) as world:
        async with AsyncExitStack() as stack:
            begun_ids = [await begun(world) for _ in range(10)]
            for mode in ("legacy", MODERN):
                await fill(world, mode, held, stack)
            ours = {value for named in held for name, value in named.items() if name != "class_name"} | set(begun_ids)
            theirs = secrets_in(tap.heard)
            secrets = ours | theirs | {PASSWORD, settings["keys"]}
            assert len(ours | {unquote(secret) for secret in theirs}) >= LEAST
            assert len(await world.sap.locked()) == len(held), "they are alive"
            dump = shown_by(await shared_place.dump())
            printed = await said_by(world, *EVERYWHERE, *(ONCE if shared_place.sort == "sqlite" else ()))
            kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
            with anyio.fail_after(60):
                assert found(secrets, dump) == []
                assert found(secrets, kept) == []
                assert found(secrets, printed) == []
            for named in held:  # the search has seen what it was to search
                assert named["class_name"].encode() in dump
                assert shared_place.sort != "sqlite" or named["class_name"].encode() in printed
            assert world.log().count("DEBUG") > 50
            planted = "Planted-" + settings["keys"]
            assert found({planted}, shown_by(await plant(shared_place, planted))) == [planted]
            async with world.agent() as agent:
                for named in held:
                    await agent.done("CloseSession", session_id=named["session_id"])
        await world.nothing_left()


@pytest.mark.parametrize("secret", ["abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE", 'SID%3d/+ä="quoted" and more of it'])
def test_a_secret_is_found_in_every_form(secret: str) -> None:
    raw = secret.encode()
    for before in range(4):
        padded = b"." * before + raw + b".."
        for form in (
            padded,
            padded.hex().encode(),
            padded.hex().upper().encode(),
            base64.b64encode(padded),
            base64.urlsafe_b64encode(padded),
            quote(padded, safe="").encode(),
            json.dumps({"a": padded.decode()}).encode(),
        ):
            assert found({secret, "another secret"}, b"before" + form + b"after") == [secret]
            assert found({"another secret"}, form) == []


def test_metrics_count_facts_and_name_nobody() -> None:  # E34
    secret = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"
    counts = Counts()
    counts.emit(Event(fact=Fact.UNKNOWN_ID, at=1.0, mark=mark_of(secret), owner=secret, client=secret, detail=secret))
    assert dict(counts.of) == {Fact.UNKNOWN_ID: 1}
