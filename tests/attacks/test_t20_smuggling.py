"""T20: one request that names two sessions, and bytes that one hop reads as one request, another as two (R11, R10)."""

import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from attacks.world import DIALECT, UNKNOWN, Target, head, raw_post, statuses, target
from e2e.mcp_world import call, notification, request
from e2e.wire import JSON_HEADERS
from stores.stores import Place

QUERY = "session_id"
CARRIERS = tuple(product(("Mcp-Session-Id", "X-Session-ID", QUERY), repeat=2))
PARSERS = ("", "h11")  # ours, and uvicorn's other one, which takes what CL.TE hides as a request: docs/security.md


def parser(name: str) -> dict[str, str]:
    return {"http": name} if name else {}


async def test_exactly_one_id_decides_whatever_carries_it(sqlite: Place, tmp_path: Path) -> None:
    # R11: the matrix of header, other header and query
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        mine, other = [(await attacked.session())["mcp_session_id"] for _ in range(2)]
        refused = 0
        for one, two, carriers in product((None, mine, UNKNOWN, "x"), (None, mine, other, "y"), CARRIERS):
            named = {value for value in (one, two) if value is not None}
            both = len(named) == 2
            lines, query = naming(zip(carriers, (one, two), strict=True))
            data = json.dumps(call("whoami")).encode()
            start = head(*lines, f"Content-Length: {len(data)}", "Connection: close", target=f"/mcp?{query}")
            answer = await attacked.raw(start + data)
            assert statuses(answer) == [400 if both else 404 if named & {UNKNOWN, "x", "y"} else 200], (named, carriers)
            refused += both
        assert len(attacked.told("two_ids")) == refused


def naming(pairs: Iterable[tuple[str, str | None]]) -> tuple[list[str], str]:
    """Return the lines of a head and the query that carry these ids."""
    given = [(carrier, value) for carrier, value in pairs if value is not None]
    lines = [f"{carrier}: {value}" for carrier, value in given if carrier != QUERY]
    plain = [f"{name}: {value}" for name, value in JSON_HEADERS.items()]
    return [*plain, *lines], "&".join(f"{QUERY}={value}" for carrier, value in given if carrier == QUERY)


@pytest.mark.parametrize("http", PARSERS)
async def test_a_list_a_folded_line_and_an_underscore_are_no_way_to_name_a_session(
    http: str, sqlite: Place, tmp_path: Path
) -> None:  # R11
    async with target(sqlite, tmp_path, **parser(http)) as attacked:
        mine, other = [(await attacked.session())["mcp_session_id"] for _ in range(2)]
        expected = {
            (f"X-Session-ID: {mine}, {other}",): [404],
            (f"X-Session-ID: {mine},{mine}",): [404],
            (f"X-Session-ID: {mine}", f"X-Session-ID: {other}"): [400],
            (f"Mcp-Session-Id: {mine}", f"X-Session-ID: {other}"): [400],
            (f"X_Session_ID: {mine}",): [400],
            (f"Mcp_Session_Id: {mine}", f"Mcp-Session-Id: {UNKNOWN}"): [404],
            (f"Cookie: session_id={mine}; mcp-session-id={mine}",): [400],
            ("X-Session-ID:", f" {mine}"): [400, 404, 200],  # a fold: refused, or a space (RFC 9112 §5.2)
            (f"X-Session-ID: {mine}", f" {other}"): [400, 404],
        }
        for lines, allowed in expected.items():
            for worker in (None, 0, 1):
                answer = await attacked.raw(
                    raw_post(call("write", key="hit"), *lines, "Connection: close"), worker=worker
                )
                assert len(statuses(answer)) == 1, (lines, answer)
                assert statuses(answer)[0] in allowed, (lines, answer)


def smuggled(session_id: str) -> bytes:
    return raw_post(call("write", key="smuggled"), f"Mcp-Session-Id: {session_id}")


def ambiguous(session_id: str) -> dict[str, bytes]:
    """Return requests of which it may be disputed where they end; what is smuggled is a request of its own."""
    inner, body = smuggled(session_id), json.dumps(request("ping")).encode()
    lines = [f"{name}: {value}" for name, value in JSON_HEADERS.items()]
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    both = ["Transfer-Encoding: chunked"]
    return {
        "CL.TE": head(*lines, f"Content-Length: {len(chunk) + len(inner)}", *both) + chunk + inner,
        "TE.CL": head(*lines, *both, f"Content-Length: {len(body)}") + chunk + inner,
        "two lengths": head(*lines, f"Content-Length: {len(body)}", f"Content-Length: {len(body) + len(inner)}")
        + body
        + inner,
        "a list of lengths": head(*lines, f"Content-Length: {len(body)}, {len(body) + 9}") + body + inner,
        "a signed length": head(*lines, f"Content-Length: +{len(body)}") + body + inner,
        "TE.TE": head(*lines, "Transfer-Encoding: identity, chunked, identity") + chunk + inner,
        "unknown coding": head(*lines, "Transfer-Encoding: xchunked", f"Content-Length: {len(body)}") + body + inner,
        "spaced name": head(*lines, "Transfer-Encoding : chunked", f"Content-Length: {len(body)}") + chunk + inner,
        "odd chunk size": head(*lines, *both) + b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + inner,
        "chunk of too many digits": head(*lines, *both) + b"f" * 20 + b"\r\n" + body + inner,
        "bare CR in the head": head(*lines, f"X: a\rContent-Length: {len(body)}\r") + body + inner,
    }


async def test_nothing_that_is_hidden_in_a_disputed_body_is_served(sqlite: Place, tmp_path: Path) -> None:
    # one answer per request, and no effect of what was hidden
    async with target(sqlite, tmp_path) as attacked:
        victim = (await attacked.session())["mcp_session_id"]
        for name, data in ambiguous(victim).items():
            for worker in (None, 0):
                answer = await attacked.raw(data, worker=worker, wait=0.5)
                assert len(statuses(answer)) <= 1, (name, answer)
                assert b"written" not in answer, (name, answer)
        assert await unharmed(attacked, victim)


async def unharmed(attacked: Target, session_id: str) -> bool:
    """Say whether nothing has written into a session but its own handshake."""
    [record] = [one for one in await attacked.records() if one.mark == session_id[:8]]
    seen = await attacked.post(request("ping"), mcp_session_id=session_id)
    return record.version == 1 and seen.status_code == 200


async def test_a_trailer_is_no_header(sqlite: Place, tmp_path: Path) -> None:
    # RFC 9110 §6.5.1: neither a session nor a logon nor an address comes in behind the body
    async with target(sqlite, tmp_path, settings={"TRUSTED_PROXIES": '["127.0.0.0/8"]'}, **DIALECT) as attacked:
        victim = (await attacked.session(authorization="Bearer ann.1"))["mcp_session_id"]
        body = json.dumps(call("write", key="smuggled")).encode()
        lines = [f"{name}: {value}" for name, value in JSON_HEADERS.items()]
        trailer = f"Mcp-Session-Id: {victim}\r\nAuthorization: Bearer ann.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
        chunked = b"%x\r\n%b\r\n0\r\n" % (len(body), body) + trailer.encode()
        for worker in (None, 0, 1):
            answer = await attacked.raw(
                head(*lines, "Transfer-Encoding: chunked", "Connection: close") + chunked, worker=worker
            )
            assert len(statuses(answer)) == 1
            assert b"written" not in answer
            spoofed = await attacked.raw(
                head(*lines, "X-Session-ID: x", "Transfer-Encoding: chunked", "Connection: close") + chunked,
                worker=worker,
            )
            assert statuses(spoofed) == [404]
        assert {event["address"] for event in attacked.told("unknown_id")} == {"127.0.0.1"}
        [record] = await attacked.records()
        assert record.version == 1


async def test_requests_behind_one_another_get_one_answer_each_in_their_order(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path) as attacked:
        named = f"Mcp-Session-Id: {(await attacked.session())['mcp_session_id']}"
        wanted = [raw_post(call("echo", n, text=f"answer {n}"), named) for n in range(1, 6)]
        accepted = raw_post(notification("notifications/x"), named)
        answer = await attacked.raw(
            b"".join([*wanted, accepted, raw_post(request("ping"), "X-Session-ID: x")]), worker=0, wait=1.0
        )
        assert statuses(answer) == [200] * 5 + [202, 404]
        places = [answer.find(b"answer %d" % n) for n in range(1, 6)]
        assert places == sorted(places)
        assert -1 not in places
