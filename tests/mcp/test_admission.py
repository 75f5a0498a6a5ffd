"""Whose a session is, from where it is used, and when its id changes."""

import logging
import re

import pytest

from e2e.mcp_world import World, call, handshake, request, texts, world
from e2e.wire import Exchange, Wire
from holdfast.core.events import Fact
from holdfast.identity.facts import Identity
from holdfast.mcp.kinds import SESSION
from holdfast.mcp.rules import Fingerprint, SessionRules
from holdfast.web.bearer import Bearer

STREAM = {"accept": "text/event-stream"}
REJECT = SessionRules(fingerprint="reject")


class Anyone(Bearer):
    """Who sends a token is who it names; who sends none is nobody."""

    async def identity_of(self, authorization: bytes | None) -> Identity:
        return Identity(subject=(authorization or b"").removeprefix(b"Bearer ").partition(b".")[0].decode())


def wire_from(made: World, client: str, agent: str = "one/1") -> Wire:
    return Wire(made.workers[0].endpoint, client=client, user_agent=agent)


@pytest.mark.parametrize(
    ("client", "agent", "differs"),
    [
        ("198.51.100.7", "one/1", ""),
        ("198.51.100.8", "one/1", "address"),
        ("198.51.100.7", "two/2", "user agent"),
        ("2001:db8::1", "two/2", "address and user agent"),
    ],
)
@pytest.mark.parametrize("policy", ["off", "warn", "reject"])
async def test_a_session_used_from_elsewhere_is_told_of_or_refused(
    policy: Fingerprint, client: str, agent: str, differs: str
) -> None:
    # M13, E34
    async with world(rules=SessionRules(fingerprint=policy)) as made:
        named = await handshake(wire_from(made, "198.51.100.7"))
        made.sink.clear()
        seen = await wire_from(made, client, agent).post(call("whoami"), **named)
        unknown = await wire_from(made, client, agent).post(call("whoami"), **{**named, "mcp-session-id": "a" * 43})
        told = made.sink.of(Fact.FINGERPRINT)
        mine = await wire_from(made, "198.51.100.7").post(call("whoami"), **named)
    assert mine.status == 200
    if policy == "off" or not differs:
        assert (seen.status, told) == (200, [])
        return
    [event] = told
    told = re.sub(" [0-9a-f]{16} -> [0-9a-f]{16}", "", event.detail)
    assert told != event.detail, "both fingerprints are told"
    assert (told, event.mark, event.address) == (f"{differs}: {policy}", named["mcp-session-id"][:8], client)
    if policy == "warn":
        assert seen.status == 200
    else:
        assert (seen.status, seen.body, seen.headers) == (404, unknown.body, unknown.headers)


@pytest.mark.parametrize(("client", "same"), [("2001:db8:0:1::9", True), ("2001:db8:0:2::9", False)])
async def test_of_an_ipv6_address_the_network_counts(client: str, same: bool) -> None:
    # M13
    async with world(rules=REJECT) as made:
        named = await handshake(wire_from(made, "2001:db8:0:1::1"))
        assert ((await wire_from(made, client).post(request("ping"), **named)).status == 200) is same


async def test_a_change_is_warned_of_once_and_not_with_every_request() -> None:
    # M13
    async with world() as made:
        named = await handshake(wire_from(made, "198.51.100.7"))
        for _ in range(3):
            assert (await wire_from(made, "198.51.100.8").post(request("ping"), **named)).status == 200
        assert len(made.sink.of(Fact.FINGERPRINT)) == 1


async def test_a_refused_request_prolongs_nothing() -> None:
    # M12, M13: the owner notices nothing
    async with world(rules=REJECT) as made:
        named = await handshake(wire_from(made, "198.51.100.7"))
        made.clock.advance(1000)
        for method in ("POST", "GET", "DELETE"):
            thief = await wire_from(made, "198.51.100.8").send(
                method, request("ping") if method == "POST" else None,
                headers={**named, "content-type": "application/json", "accept": "text/event-stream"},
            )  # fmt: skip
            assert thief.status == 404
        session = await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION, touch=False)
        assert session.record.used_at == made.clock.now - 1000
        assert (await wire_from(made, "198.51.100.7").post(request("ping"), **named)).status == 200
        session = await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION, touch=False)
        assert session.record.used_at == made.clock.now


async def begun(wire: Wire) -> str:
    async with wire.open("GET", headers=STREAM) as stream:
        await stream.until(lambda seen: seen.events)
        return str(stream.events[0].message["session_id"])


def told(seen: Exchange, name: str) -> list[str]:
    return [event.message["session_id"] for event in seen.events if event.name == name]


async def test_in_the_dialect_the_first_principal_takes_an_anonymous_session_over_under_a_fresh_id() -> None:
    # M13: whoever knew the old id is out
    async with world(2, rules=SessionRules(dialect=True), bearer=Anyone()) as made:
        first, second = (worker.wire for worker in made.workers)
        async with first.open("GET", headers=STREAM) as stream:
            await stream.until(lambda seen: seen.events)
            old = str(stream.events[0].message["session_id"])
            seen = await second.post(call("whoami"), x_session_id=old, authorization="Bearer ann.1")
            fresh = seen.headers["mcp-session-id"]
            await stream.until(lambda seen: seen.ended)  # it was opened by whoever knew the old id
            assert told(stream, "session-expired") == [old]
            assert fresh not in stream.body.decode()
        alice = {"x_session_id": fresh, "authorization": "Bearer ann.2"}  # a refreshed token is the same principal
        later = await first.post(call("whoami"), **alice)
        refused = [
            await first.post(request("ping"), x_session_id=old),
            await first.post(request("ping"), x_session_id=old, authorization="Bearer ann.1"),
            await first.post(request("ping"), x_session_id=fresh),
            await first.post(request("ping"), x_session_id=fresh, authorization="Bearer bob.1"),
        ]
        assert [one.status for one in refused] == [404] * 4
    assert texts(seen.result)[0].startswith("ann ")
    assert (later.status, "mcp-session-id" in later.headers) == (200, False)
    assert len(made.sink.of(Fact.ROTATED)) == 1


async def test_a_notification_and_a_stream_name_the_fresh_id_as_well() -> None:
    # M13
    async with world(rules=SessionRules(dialect=True), bearer=Anyone()) as made:
        wire = made.workers[0].wire
        old = await begun(wire)
        accepted = await wire.post(
            {"jsonrpc": "2.0", "method": "notifications/x"}, x_session_id=old, authorization="Bearer ann"
        )
        assert accepted.status == 202
        assert accepted.headers["mcp-session-id"] != old
        old = await begun(wire)
        headers = {**STREAM, "x-session-id": old, "authorization": "Bearer ann"}
        async with wire.open("GET", headers=headers) as stream:
            await stream.until(lambda seen: seen.events)
            assert stream.events[0].name == "session"
            assert told(stream, "session")[0] != old


async def test_outside_the_dialect_ids_never_change_and_another_principal_gets_404() -> None:
    # M12, M13
    async with world(bearer=Anyone()) as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(request("ping"), **{**named, "authorization": "Bearer ann"})
        assert seen.status == 404
        assert (await wire.post(request("ping"), **named)).status == 200
        assert not made.sink.of(Fact.ROTATED)


async def test_each_use_is_logged_where_that_is_set_with_the_id_cut(caplog: pytest.LogCaptureFixture) -> None:
    # M10 session_debug, E4
    async with world(rules=SessionRules(debug=True)) as made:
        named = await handshake(made.workers[0].wire)
        with caplog.at_level(logging.DEBUG, "holdfast.mcp.sessions"):
            await made.workers[0].wire.post(request("ping"), **named)
    [line] = [record.getMessage() for record in caplog.records if record.name == "holdfast.mcp.sessions"]
    assert f'"session":"{named["mcp-session-id"][:8]}"' in line
    assert '"connections":0' in line
    assert '"client":{"name":"test"' in line
    assert named["mcp-session-id"] not in line
