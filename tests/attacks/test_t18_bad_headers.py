"""T18: heads that are too long, too many, without end, or not allowed at all, as bytes over a socket (R4, R17, R67).

The seed's table says it of cookies; this face reads its ids from other headers, and web cookies come with S10.
"""

import time
from pathlib import Path

import anyio

from attacks.world import UNKNOWN, Target, raw_post, statuses, target
from e2e.mcp_world import call, request
from holdfast.mcp.head import Head
from holdfast.web.http1 import HEAD_BYTES
from stores.stores import Place

MEGABYTE = 2**20
NAMES = ("X-Session-ID", "Cookie", "X-Forwarded-For", "Accept", "User-Agent", "Last-Event-ID", "Origin")
SPENT_S = 0.25  # for a head of 64 kB, parsing and answer, on a machine that does other things


async def still_serves(attacked: Target, named: dict[str, str]) -> None:
    for _ in range(4):
        assert (await attacked.post(call("echo", text="a"), **named)).status_code == 200


def headers_of(named: dict[str, str]) -> list[str]:
    return [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]


async def test_a_header_without_end_is_cut_off_and_leaves_no_memory_behind(
    sqlite: Place, tmp_path: Path
) -> None:  # R67
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session()
        await still_serves(attacked, named)
        before = attacked.resident()
        for begun in (b"X-Long: ", b"X-Session-ID: ", b"Cookie: a=", b"Authorization: Bearer ", b""):
            start = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n" + begun
            piece = b"a" * 1000 if begun else b"X-Many: a\r\n" * 100
            answer = await attacked.raw(start + piece * 16_000, worker=0)
            assert statuses(answer) in ([431], []), answer  # a peer that goes on sending may see a reset only
        assert attacked.resident() - before < 8 * MEGABYTE
        await still_serves(attacked, named)
        assert len(await attacked.records()) == 1


async def test_trailers_and_chunk_extensions_without_end_are_cut_off_as_well(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session()
        chunked = "\r\n".join(
            ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", *headers_of(named), "Transfer-Encoding: chunked", "", ""]
        ).encode()
        before = attacked.resident()
        for begun in (b"0\r\nX-Trailer: ", b"1;x="):
            answer = await attacked.raw(chunked + begun + b"a" * 16 * MEGABYTE, worker=0)
            assert 200 not in statuses(answer)
        assert attacked.resident() - before < 8 * MEGABYTE
        await still_serves(attacked, named)


async def test_a_header_of_sixty_kilobytes_takes_no_time(sqlite: Place, tmp_path: Path) -> None:  # R4
    values = ["a" * 60_000, "a=b; " * 12_000, "1.2.3.4, " * 6_600, ";" * 60_000, '"' * 60_000, "=" * 60_000]
    async with target(sqlite, tmp_path, count=1, settings={"TRUSTED_PROXIES": '["127.0.0.0/8"]'}) as attacked:
        named = await attacked.session()
        for name in NAMES:
            took = []
            for value in values:
                lines = [*headers_of(named), f"{name}: {value}", "Connection: close"]
                began = time.perf_counter()
                answer = await attacked.raw(raw_post(request("ping"), *lines), worker=0)
                took.append(time.perf_counter() - began)
                assert statuses(answer)[0] in (200, 400, 403, 404, 406), (name, value[:20], answer)
            assert sorted(took)[len(took) // 2] < SPENT_S, (name, took)
        await still_serves(attacked, named)


def test_the_parts_of_a_head_that_we_read_take_linear_time() -> None:  # R4
    def spent(size: int) -> float:
        pairs = [(b"x-session-id", b"%d" % n) for n in range(size)] + [(b"cookie", b"a=b; " * size)]
        began = time.process_time()
        Head(pairs).take_query(b"session_id=a&" * size)
        return time.process_time() - began

    spent(100)
    assert spent(5_000) < 0.05


async def test_what_no_header_may_hold_is_refused_or_nobodys_id(sqlite: Place, tmp_path: Path) -> None:  # R4
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session()
        odd = [
            "\0",
            "a\0b",
            "\x7f",
            "\xe4\xff",
            "a b",
            '"' + UNKNOWN + '"',
            "=",
            "",
            "\t",
            "a" * 43 + "\x0b",
            "%00",
            "Ａ"[:0],
        ]
        for value in odd:
            for worker in (None, 0):
                answer = await attacked.raw(
                    raw_post(request("ping"), f"X-Session-ID: {value}", "Connection: close"), worker=worker
                )
                assert set(statuses(answer)) <= {400, 404}, (value, answer)
        for line in ("no colon", ": no name", "X Session ID: a", "X-Session-ID : a", "\x00: a", "X-Session-ID\x00: a"):
            answer = await attacked.raw(raw_post(request("ping"), line, "Connection: close"), worker=1)
            assert statuses(answer) == [400], (line, answer)
        await still_serves(attacked, named)
        assert len(await attacked.records()) == 1


async def test_ten_thousand_headers_are_refused_or_passed_over(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path, count=1) as attacked:
        named = await attacked.session()
        for line in ("Cookie: a=b", f"X-Session-ID: {UNKNOWN}"):
            with anyio.fail_after(10):
                answer = await attacked.raw(raw_post(request("ping"), *[line] * 10_000, "Connection: close"), worker=0)
            assert set(statuses(answer)) <= {400, 404, 431}, answer
        await still_serves(attacked, named)
    assert HEAD_BYTES == 65_536
