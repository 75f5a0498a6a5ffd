"""Legacy sessions: opened, used at any worker, bound to their owner, limited, ended."""

from typing import Any

import anyio
import pytest

from e2e.mcp_world import (
    LEGACY,
    call,
    handshake,
    initialize,
    notification,
    request,
    texts,
    world,
)
from e2e.wire import PATIENCE, Wire
from holdfast.core.events import Fact
from holdfast.mcp.kinds import SESSION
from holdfast.web.bearer import StaticBearer


async def test_a_session_goes_on_at_a_worker_that_never_saw_it() -> None:
    # M6, M7
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        seen = await second.post(call("whoami"), **named)
        assert texts(seen.result) == [f"nobody test legacy {LEGACY} True"]


async def test_a_session_outlives_all_workers() -> None:
    # M6
    async with world(1) as made:
        named = await handshake(made.workers[0].wire)
        made.workers[0].endpoint.stop()
        fresh = await made.add()
        assert (await fresh.wire.post(call("echo", text="still here"), **named)).status == 200


async def test_what_a_worker_must_know_stands_in_the_node() -> None:
    # M6
    async with world(2) as made:
        first, second = made.workers
        named = await handshake(first.wire)
        await second.wire.post(request("logging/setLevel", {"level": "error"}), **named)
        session = await first.manager.load(named["mcp-session-id"], kind=SESSION)
    assert session.content["version"] == LEGACY
    assert session.content["client"] == {"name": "test", "version": "1"}
    assert session.content["initialized"] is True
    assert session.content["log_level"] == "error"
    assert session.record.label == "test 1"


async def test_the_id_is_visible_ascii_of_256_bits_and_stands_only_in_the_answer_to_initialize() -> None:
    # M7, R62
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        later = await wire.post(call("echo", text="x"), **named)
    assert len(named["mcp-session-id"]) == 43
    assert all("\x21" <= symbol <= "\x7e" for symbol in named["mcp-session-id"])
    assert "mcp-session-id" not in later.headers


async def test_the_sources_header_is_the_same_header() -> None:
    # M7
    async with world() as made:
        wire = made.workers[0].wire
        session_id = (await handshake(wire))["mcp-session-id"]
        alone = await wire.post(request("ping"), x_session_id=session_id)
        both = await wire.post(request("ping"), x_session_id=session_id, mcp_session_id=session_id)
        two = await wire.post(request("ping"), x_session_id=session_id, mcp_session_id="b" * 43)
    assert [alone.status, both.status, two.status] == [200, 200, 400]
    assert made.sink.of(Fact.TWO_IDS)


async def test_a_last_event_id_is_never_an_id() -> None:
    # M7
    async with world() as made:
        wire = made.workers[0].wire
        session_id = (await handshake(wire))["mcp-session-id"]
        seen = await wire.post(request("ping"), last_event_id=session_id)
    assert seen.status == 400


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ],
)
async def test_the_revision_asked_for_is_given_or_the_newest_of_this_era(asked: str, given: str) -> None:
    async with world() as made:
        opened = await made.workers[0].wire.post(initialize(asked))
    assert opened.result["protocolVersion"] == given


@pytest.mark.parametrize("params", [{}, {"protocolVersion": LEGACY}, {"protocolVersion": 1, "capabilities": {}}])
async def test_a_bad_initialize_opens_nothing(params: dict[str, Any]) -> None:
    async with world() as made:
        seen = await made.workers[0].wire.post(request("initialize", params))
        assert (seen.status, seen.json["error"]["code"]) == (400, -32602)
        assert "mcp-session-id" not in seen.headers
        assert not made.sink.of(Fact.OPENED)


async def test_unknown_expired_foreign_malformed_and_ended_ids_get_one_and_the_same_answer() -> None:
    # M1, M12, E3, R62
    async with world(2, bearer=StaticBearer("mine")) as made:
        mine = made.workers[0].wire
        theirs = (await made.add(bearer=StaticBearer("theirs"))).wire
        foreign = (await handshake(theirs, authorization="Bearer theirs"))["mcp-session-id"]
        expired = (await handshake(mine, authorization="Bearer mine"))["mcp-session-id"]
        ended = (await handshake(mine, authorization="Bearer mine"))["mcp-session-id"]
        await mine.send("DELETE", headers={"authorization": "Bearer mine", "mcp-session-id": ended})
        made.clock.advance(1800)
        answers = []
        for session_id in ("a" * 43, expired, foreign, "../etc/passwd", "", "x" * 5000, ended):
            seen = await mine.post(call("echo", text="x"), authorization="Bearer mine", mcp_session_id=session_id)
            answers.append((seen.status, seen.body, seen.headers))
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)


async def test_a_session_ends_at_the_instant_its_idle_clock_runs_out_and_use_prolongs_it() -> None:
    # M6, E7
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        for _ in range(3):
            made.clock.advance(1799)
            assert (await wire.post(request("ping"), **named)).status == 200
        made.clock.advance(1800)
        assert (await wire.post(request("ping"), **named)).status == 404


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used() -> None:
    # M6, E7
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        statuses = []
        for _ in range(25):
            made.clock.advance(1728)
            statuses.append((await wire.post(request("ping"), **named)).status)
    assert statuses == [200] * 24 + [404]


async def test_delete_ends_a_session_for_ever_and_everywhere() -> None:
    # M6, R62
    async with world(2) as made:
        first, second = (worker.wire for worker in made.workers)
        named = await handshake(first)
        assert (await second.send("DELETE", headers=named)).status == 204
        for wire in (first, second):
            assert (await wire.post(request("ping"), **named)).status == 404
            assert (await wire.send("DELETE", headers=named)).status == 404
            assert (await wire.send("GET", headers={**named, "accept": "text/event-stream"})).status == 404


async def test_one_session_too_many_of_a_client_ends_the_one_used_longest_ago() -> None:
    # E11, E12
    async with world() as made:
        wire = made.workers[0].wire
        sessions = []
        for _ in range(100):
            sessions.append(await handshake(wire))
            made.clock.advance(1)
        made.clock.advance(200)
        await wire.post(request("ping"), **sessions[0])
        sessions.append(await handshake(wire))
        states = [
            (await wire.post(request("ping"), **named)).status for named in (sessions[0], sessions[1], sessions[-1])
        ]
        other = Wire(made.workers[0].endpoint, client="198.51.100.9")
        assert (await other.post(initialize())).status == 200
    assert states == [200, 404, 200]
    assert len(made.sink.of(Fact.REPLACED)) == 1


async def test_a_refreshed_connection_of_the_same_principal_keeps_the_session_and_another_principal_gets_404() -> None:
    # M12
    async with world(bearer=StaticBearer("a", principal="alice")) as made:
        rotated = (await made.add(bearer=StaticBearer("b", principal="alice"))).wire
        stranger = (await made.add(bearer=StaticBearer("c", principal="bob"))).wire
        named = await handshake(made.workers[0].wire, authorization="Bearer a")
        same = await rotated.post(call("whoami"), **{**named, "authorization": "Bearer b"})
        other = await stranger.post(call("whoami"), **{**named, "authorization": "Bearer c"})
        owner = await made.workers[0].wire.post(call("whoami"), **named)
    assert texts(same.result)[0].startswith("alice")
    assert other.status == 404
    assert owner.status == 200


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Basic c2VjcmV0", "secret"])
async def test_without_the_token_there_is_401_and_nothing_is_looked_up(sent: str | None) -> None:
    # M12
    async with world(bearer=StaticBearer("secret")) as made:
        wire = made.workers[0].wire
        named = await handshake(wire, authorization="Bearer secret")
        made.sink.clear()
        headers = {**named, "authorization": sent} if sent else {k: v for k, v in named.items() if k != "authorization"}
        for method in ("GET", "DELETE"):
            assert (await wire.send(method, headers=headers)).status == 401
        seen = await wire.post(request("ping"), **headers)
    assert seen.status == 401
    assert seen.headers["www-authenticate"].startswith("Bearer")
    assert "secret" not in seen.body.decode()
    assert set(made.sink.facts()) == {Fact.LOGON_FAILED}


async def test_a_batch_is_served_in_the_one_revision_that_has_batches() -> None:
    # mcp.md §3, §8 point 4
    batch = [call("echo", 1, text="a"), notification("notifications/x"), call("add", 2, left=1), call("nobody", 3)]
    async with world() as made:
        wire = made.workers[0].wire
        old, new = await handshake(wire, "2025-03-26"), await handshake(wire)
        served = await wire.post(batch, **old)
        accepted = await wire.post([notification("notifications/x")], **old)
        refused = await wire.post(batch, **new)
    assert [answer["id"] for answer in served.json] == [1, 2, 3]
    assert served.json[2]["error"]["code"] == -32602
    assert (accepted.status, accepted.body) == (202, b"")
    assert (refused.status, refused.json["error"]["code"]) == (400, -32600)


async def test_without_sessions_legacy_requests_stand_alone_where_that_is_configured() -> None:
    async with world(stateless=True) as made:
        wire = made.workers[0].wire
        opened = await wire.post(initialize())
        seen = await wire.post(call("whoami"))
    assert "mcp-session-id" not in opened.headers
    assert texts(seen.result) == ["nobody ? legacy 2025-03-26 False"]


async def test_a_bad_log_level_is_refused_and_not_remembered() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(request("logging/setLevel", {"level": "loud"}), **named)
        session = await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION)
    assert seen.json["error"]["code"] == -32602
    assert "log_level" not in session.content


async def test_a_request_of_a_batch_that_is_withdrawn_has_no_answer_and_the_others_have() -> None:
    # mcp.md §3
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire, "2025-03-26")
        async with anyio.create_task_group() as tasks:
            exchange = wire.begin(tasks, "POST", [call("wait", 8), call("echo", 9, text="x")], headers=named)
            with anyio.fail_after(PATIENCE):
                await made.gate.entered.wait()
                await wire.post(notification("notifications/cancelled", {"requestId": 8}), **named)
            await exchange.until(lambda seen: seen.ended)
    assert exchange.status == 200
    assert [answer["id"] for answer in exchange.json] == [9]


async def test_integers_no_store_can_keep_are_refused_or_passed_over() -> None:
    async with world(2) as made:
        wire = made.workers[0].wire
        opened = await wire.post(initialize(LEGACY, sampling=10**30))
        named = await handshake(wire)
        withdrawn = await wire.post(notification("notifications/cancelled", {"requestId": 10**30}), **named)
    assert (opened.status, opened.json["error"]["code"]) == (400, -32602)
    assert withdrawn.status == 202


async def test_a_member_that_does_not_concern_a_setting_may_be_anything() -> None:
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire)
        seen = await wire.post(request("logging/setLevel", {"level": "error", "uri": 4}), **named)
        session = await made.workers[0].manager.load(named["mcp-session-id"], kind=SESSION)
    assert seen.result == {}
    assert session.content["log_level"] == "error"


async def test_a_batch_of_more_messages_than_anyone_needs_is_refused() -> None:
    # 4 MiB of small requests would be answered with forty times that, while everybody else waits
    async with world() as made:
        wire = made.workers[0].wire
        named = await handshake(wire, "2025-03-26")
        most = await wire.post([request("ping")] * 100, **named)
        more = await wire.post([request("ping")] * 101, **named)
    assert (most.status, len(most.json)) == (200, 100)
    assert (more.status, more.json["error"]["code"]) == (400, -32600)
    assert "100" in more.json["error"]["message"]
