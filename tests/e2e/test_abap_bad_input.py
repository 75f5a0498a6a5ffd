"""Bad input and wrong set-up: each a clear error with a stable code and a next step; nothing left, no secret told."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest

from e2e.abap_world import (
    CLASS,
    PASSWORD,
    USER,
    AbapWorld,
    Refused,
    Tap,
    Wire,
    abap_world,
    call_of,
)
from e2e.cluster import free_port

MIB = 1024 * 1024
TOKEN, OTHER_TOKEN = "a-long-random-text", "another-long-random-text"
WRONG_PASSWORD = "Wrong-Passw0rd"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def tap() -> Tap:
    return Tap()


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, tap: Tap) -> AsyncIterator[AbapWorld]:
    """A system that is listened in on, and two servers that ask for a token and take bodies of 6 MiB."""
    settings = {"token": TOKEN, "max_body_bytes": str(6 * MIB)}
    async with abap_world(tmp_path_factory.mktemp("bad_input"), tap=tap, **settings) as opened:
        yield opened


@pytest.fixture
async def wire(world: AbapWorld) -> AsyncIterator[Wire]:
    """A client; after the test nothing may be left in the system."""
    yield world.wire()
    await world.nothing_left()


async def opened(wire: Wire) -> dict[str, Any]:
    return {"session_id": (await wire.done("GetSession"))["session_id"]}


async def locked(wire: Wire, name: str) -> dict[str, Any]:
    """Create and lock a class; return the arguments that name it, its session and its lock."""
    named = {**await opened(wire), "class_name": name}
    await wire.done("CreateClass", **named)
    return {**named, "lock_handle": (await wire.done("LockClass", **named))["lock_handle"]}


async def closed(wire: Wire, held: dict[str, Any]) -> None:
    await wire.done("CloseSession", session_id=held["session_id"])


def is_clear(error: Refused, code: str, said: str, next_step: str) -> None:
    assert error.code == code
    assert said in error.message
    assert next_step in error.hint


# -- the set-up


async def test_a_wrong_url_and_a_wrong_password_are_said_and_nothing_is_opened(world: AbapWorld, wire: Wire) -> None:
    systems = {
        "closed": {"url": f"http://127.0.0.1:{free_port()}"},
        "unknown": {"url": "http://nowhere.invalid:8000"},
        "nonsense": {"url": "no url at all"},
        "elsewhere": {"url": world.workers.url},
        "stranger": {"url": world.sap.url, "password": WRONG_PASSWORD},
        "mandant": {"url": world.sap.url, "client": "999"},
    }
    whole = {name: {"user": USER, "password": PASSWORD, **given} for name, given in systems.items()}
    lines = [f"[systems.{name}]\n" + "\n".join(f'{k} = "{v}"' for k, v in s.items()) for name, s in whole.items()]
    config = world.folder / "systems.toml"
    config.write_text("\n".join(lines))
    async with world.server(config=str(config), store=f"sqlite:///{world.folder / 'systems.db'}") as url:
        there = world.wire(url)
        for name in ("closed", "unknown", "nonsense"):
            error = await there.refused("GetSession", system=name)
            is_clear(error, "backend_unavailable", systems[name]["url"], "Check the system's URL")
        error = await there.refused("GetSession", system="elsewhere")
        is_clear(error, "backend_error", "none of the ADT services", "")
        for name in ("stranger", "mandant"):
            error = await there.refused("GetSession", system=name)
            is_clear(error, "logon_failed", f"refused the logon of {USER}", "Check user, password and client")
        error = await there.refused("GetSession", system="absent")
        is_clear(error, "bad_input", "'absent'", "closed")
        assert (await there.done("ListSessions"))["sessions"] == []


async def test_a_wrong_token_gets_no_further_than_the_door(world: AbapWorld, wire: Wire) -> None:
    before = await world.sap.sent()
    for token in ("", OTHER_TOKEN):
        answer = await world.wire(token=token).body(call_of("GetSession"), "GetSession")
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["www-authenticate"]
        assert "token" in answer.json()["error"]["message"]
    assert await world.sap.sent() == before


# -- sessions


async def test_a_made_up_session_is_refused(wire: Wire) -> None:
    for session in ("x", "A" * 43, "0" * 4096, "", "'; DROP TABLE nodes; --"):
        error = await wire.refused("ReadClass", class_name=CLASS.other, session_id=session)
        is_clear(error, "session_expired", "Session expired", "GetSession")
        assert len(error.message) < 100


async def test_a_closed_session_is_refused_and_its_lock_handle_with_it(wire: Wire) -> None:
    # A13: a new session tells that nothing is held any more
    held = await locked(wire, "ZCL_BAD_CLOSED")
    await closed(wire, held)
    error = await wire.refused("UpdateClass", **held, source_code="x")
    is_clear(error, "session_expired", "Session expired", "GetSession")
    other = await opened(wire)
    error = await wire.refused("UpdateClass", **{**held, **other}, source_code="x")
    is_clear(error, "lock_lost", "session has ended", "Lock the object again")
    await closed(wire, other)


async def test_the_session_and_lock_of_another_principal_are_as_unknown_as_made_up_ones(
    world: AbapWorld, wire: Wire
) -> None:
    # E3, A10: another token on the same store, and the same token in another namespace
    held = await locked(wire, "ZCL_BAD_FOREIGN")
    for elsewhere in ({"token": OTHER_TOKEN}, {"namespace": "other"}):
        async with world.server(**elsewhere) as url:
            thief = world.wire(url, elsewhere.get("token"))
            for tool, given in (("ReadClass", {}), ("UpdateClass", {"source_code": "x"}), ("UnlockClass", {})):
                stolen = held if tool != "ReadClass" else {**held, "lock_handle": None}
                stolen = {name: value for name, value in stolen.items() if value is not None}
                is_clear(await thief.refused(tool, **stolen, **given), "session_expired", "Session expired", "Get")
            is_clear(
                await thief.refused("CloseSession", session_id=held["session_id"]), "session_expired", "Session", "Get"
            )
            own = await opened(thief)
            error = await thief.refused("UpdateClass", **{**held, **own}, source_code="x")
            assert error.code in ("bad_lock_handle", "lock_lost")
            assert [(await thief.done("ListLocks"))["locks"], await world.sap.locked()] == [[], ["ZCL_BAD_FOREIGN"]]
            await closed(thief, own)
    assert (await wire.done("UpdateClass", **held, source_code=CLASS.source("ZCL_BAD_FOREIGN")))["success"]
    await closed(wire, held)


async def test_the_three_mistakes_of_the_source_are_told_apart(wire: Wire, world: AbapWorld) -> None:
    # A11
    old = await wire.done("GetSession")
    named = {"class_name": "ZCL_BAD_MISTAKES", "session_id": old["session_id"]}
    await wire.done("CreateClass", **named)
    lock = await wire.done("LockClass", **named)
    held, source = {**named, "lock_handle": lock["lock_handle"]}, CLASS.source("ZCL_BAD_MISTAKES")

    stale = await wire.done("UpdateClass", **held, session_state=old["session_state"], source_code=source)
    assert [warned["code"] for warned in stale["warnings"]] == ["stale_session_state"]
    fresh = await wire.done("UpdateClass", **held, session_state=lock["session_state"], source_code=source + '\n"2')
    assert "warnings" not in fresh

    before = await world.sap.sent()
    other = await opened(wire)
    sent = await world.sap.sent()
    error = await wire.refused("UpdateClass", **{**held, **other}, source_code=source)
    is_clear(error, "session_mismatch", "another session", "the Lock answer gave")
    error = await wire.refused("UnlockClass", **{**held, **other})
    is_clear(error, "session_mismatch", "another session", "the Lock answer gave")
    lost = {name: value for name, value in held.items() if name != "session_id"}
    is_clear(
        await wire.refused("UpdateClass", **lost, source_code=source), "session_missing", "session_id", "Lock answer"
    )
    is_clear(await wire.refused("UnlockClass", **lost), "session_missing", "session_id", "Lock answer")
    assert await world.sap.sent() == sent >= before  # caught before SAP is asked

    error = await wire.refused("CheckClass", **named, session_state={"cookies": "MYSAPSSO2=x", "csrf_token": "x"})
    is_clear(error, "foreign_session_state", "does not belong", "leave it out")
    assert (await wire.done("UnlockClass", **held, session_state=fresh["session_state"]))["outcome"] == "applied"
    for session in (held, other):
        await closed(wire, session)


async def test_a_strict_server_refuses_a_stale_state_instead_of_warning(world: AbapWorld, wire: Wire) -> None:
    # A11
    async with world.server(strict="true") as url:
        strict = world.wire(url)
        old = await strict.done("GetSession")
        named = {"class_name": "ZCL_BAD_STRICT", "session_id": old["session_id"]}
        await strict.done("CreateClass", **named)
        held = {**named, "lock_handle": (await strict.done("LockClass", **named))["lock_handle"]}
        error = await strict.refused("UpdateClass", **held, session_state=old["session_state"], source_code="x")
        is_clear(error, "stale_session_state", "before the Lock", "last answer")
        await closed(strict, held)


# -- arguments


async def test_wrong_arguments_are_named_and_sap_is_not_asked(world: AbapWorld, wire: Wire) -> None:
    held = await locked(wire, "ZCL_BAD_ARGUMENTS")
    named = {name: value for name, value in held.items() if name != "lock_handle"}
    session = {"session_id": held["session_id"]}
    before = await world.sap.sent()
    for tool, given, code, said, next_step in (
        ("SearchObjects", {**session, "query": "Z*", "object_type": "NOPE"}, "bad_input", "'NOPE'", "CLAS"),
        ("SearchObjects", {**session, "query": " "}, "bad_input", "query is empty", "ZCL_*"),
        ("CreateClass", {**session, "class_name": "Z" * 31}, "bad_input", "31 characters", "Shorten"),
        ("LockInterface", {**session, "interface_name": "Z" * 31}, "bad_input", "31 characters", "Shorten"),
        ("ReadProgram", {**session, "program_name": "Z" * 41}, "bad_input", "41 characters", "Shorten"),
        ("ReadClass", {**session, "class_name": "../../logoff"}, "bad_input", "not an ABAP name", "letter"),
        ("ReadClass", {**session, "class_name": 5}, "bad_input", "class_name", "Correct the argument"),
        ("ReadClass", {**session}, "bad_input", "class_name is missing", "name of the class"),
        ("ReadClass", {**session, "klass": "X"}, "bad_input", "klass", "Correct the argument"),
        ("ReadClass", {**named, "object_name": "ZCL_B"}, "two_names", "ZCL_B", "once"),
        ("ReadClass", {**named, "include": "nothing"}, "bad_input", "'nothing'", "testclasses"),
        ("UpdateClass", held, "bad_input", "source_code", "Correct the argument"),
        ("UpdateClass", {**held, "source_code": "x", "lock_handle": "x"}, "bad_lock_handle", "lock_handle", "Lock"),
        ("UpdateClass", {**held, "source_code": "x", "class_name": CLASS.other}, "bad_input", "lock_handle is of", ""),
        ("UpdateClass", {**held, "source_code": "x" * 5_000_000}, "bad_input", "5000000 bytes", "Split"),
        ("CheckClass", {**named, "source_code": "x" * 5_000_000}, "bad_input", "5000000 bytes", "Split"),
    ):
        is_clear(await wire.refused(tool, **given), code, said, next_step)
    assert await world.sap.sent() == before
    assert await world.sap.locked() == ["ZCL_BAD_ARGUMENTS"]  # and the lock has not suffered
    assert (await wire.done("UpdateClass", **held, source_code=CLASS.source("ZCL_BAD_ARGUMENTS")))["success"]
    await closed(wire, held)


async def test_what_sap_refuses_comes_with_saps_reason(world: AbapWorld, wire: Wire) -> None:
    held = await locked(wire, "ZCL_BAD_REFUSED")
    named = {name: value for name, value in held.items() if name != "lock_handle"}
    error = await wire.refused("ReadClass", session_id=held["session_id"], class_name="ZCL_BAD_ABSENT")
    is_clear(error, "not_found", "ZCL_BAD_ABSENT", "search")
    again = await wire.call("CreateClass", **named)
    assert again["structuredContent"]["success"] is False
    assert "ZCL_BAD_REFUSED" in again["structuredContent"]["messages"][0]["text"]
    await world.sap.fault("foreign_lock", action="LOCK", user="ALICE")
    error = await wire.refused("LockClass", session_id=held["session_id"], class_name=CLASS.other)
    is_clear(error, "object_locked", "ALICE", "Wait")
    await wire.done("UpdateClass", **held, source_code="CLASS zcl_bad_refused DEFINITION. NONSENSE.")
    await wire.done("UnlockClass", **held)
    activation = (await wire.call("ActivateClass", **named))["structuredContent"]
    assert (activation["success"], activation["outcome"]) == (False, "not_applied")
    assert activation["messages"]
    await closed(wire, held)
    for row in await world.sap.rows("sm12"):  # what the fault has made ALICE hold
        await world.http.delete(f"{world.sap.url}/_sim/sm12/{row['id']}")


# -- the protocol


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe{}", -32700),
        (call_of("ReadClass", class_name="X").replace(b'"X"', b'"\\ud800"'), -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b'"text"', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"tools/call"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"tools/call"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', -32600),
        (call_of("ReadClass").replace(b'"name": "ReadClass"', b'"name": "NoSuchTool"'), -32602),
    ],
    ids=range(11),
)
async def test_malformed_json_rpc_is_answered_with_its_code_and_what_is_wrong(
    wire: Wire, body: bytes, number: int
) -> None:
    answer = await wire.body(body, "NoSuchTool" if b"NoSuchTool" in body else "ReadClass")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == number
    assert len(answer.json()["error"]["message"]) > 10


async def test_invalid_utf_8_in_an_argument_is_told(wire: Wire) -> None:
    held = await locked(wire, "ZCL_BAD_UTF8")
    body = call_of("UpdateClass", **held, source_code="@@").replace(b"@@", b"\xff\xfe")
    answer = await wire.body(body, "UpdateClass")
    if answer.status_code == 200:
        error = Refused(**answer.json()["result"]["structuredContent"]["error"])
        is_clear(error, "bad_input", "utf-8", "Correct")
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)
    assert (await wire.done("UpdateClass", **held, source_code=CLASS.source("ZCL_BAD_UTF8")))["outcome"] == "applied"
    await closed(wire, held)


async def test_a_body_over_the_limit_is_refused_with_both_sizes(world: AbapWorld, wire: Wire) -> None:
    answer = await wire.body(b" " * (7 * MIB), "ReadClass")
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["data"]["code"] == "body_too_large"
    assert str(7 * MIB) in error["message"]
    assert str(6 * MIB) in error["message"]
    assert "max_body_bytes" in error["data"]["hint"]


# -- secrets


async def test_neither_answers_nor_logs_nor_the_store_hold_a_secret(world: AbapWorld, wire: Wire, tap: Tap) -> None:
    # A10, E3, E5: whatever the tests before this one did counts as well
    name = "ZCL_BAD_SECRETS"
    held = await locked(wire, name)
    source = CLASS.source(name)
    for effect in ("cut_after", "rotate_token", "csrf_required", "dump", "not_authorized", "delete_lock"):
        await world.sap.fault(effect, method="PUT")
        await wire.call("UpdateClass", **held, source_code=f"{source}\n* {effect}")
    await wire.done("ListSessions")
    await wire.done("ListLocks")
    await closed(wire, held)

    secrets = secrets_in(tap.heard) | {PASSWORD, WRONG_PASSWORD, TOKEN, OTHER_TOKEN}
    ours = {held["session_id"], held["lock_handle"]}
    files = [path for path in world.folder.rglob("*") if path.is_file() and path.name != "systems.toml"]
    assert {"holdfast.db", "audit.jsonl"} <= {path.name for path in files}
    kept = b"".join(path.read_bytes() for path in files)
    assert world.log().count("DEBUG") > 5
    assert found(secrets, b"".join(world.heard)) == []
    assert found(secrets | ours, kept) == []
    assert found({source.splitlines()[0]}, world.log().encode()) == []


def secrets_in(heard: bytes) -> set[str]:
    """Return cookies, tokens, handles and credentials that went between the servers and the system."""
    patterns = {
        "cookies": rb"(?i)set-cookie: (?:SAP_SESSIONID_\w+|sap-contextid|sap-XSRF\w*)=([^;\r\n]{9,})",
        "tokens": rb"(?i)x-csrf-token: ([\w%+/=-]{9,})",
        "handles": rb"<LOCK_HANDLE>([^<]+)</LOCK_HANDLE>",
        "credentials": rb"(?i)authorization: Basic ([\w+/=]+)",
    }
    groups = {kind: {match.decode() for match in re.findall(pattern, heard)} for kind, pattern in patterns.items()}
    assert all(groups.values()), [kind for kind, group in groups.items() if not group]
    return {form for group in groups.values() for secret in group for form in (secret, unquote(secret))}


def found(secrets: set[str], where: bytes) -> list[str]:
    return sorted(secret for secret in secrets if any(form in where for form in _forms(secret)))


def _forms(secret: str) -> list[bytes]:
    return [secret.encode(), json.dumps(secret).encode()[1:-1]]
