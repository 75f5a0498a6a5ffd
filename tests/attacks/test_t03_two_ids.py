"""T3: who can add a header or a query, from a sibling host or a link, adds a second id (R11, R18; M7).

The seed's table says it of two cookies; this face has headers and, in the dialect, the query.
"""

from pathlib import Path

from attacks.world import DIALECT, STREAM, Target, raw_post, statuses, target
from e2e.mcp_world import call, initialize, request
from stores.stores import Place


async def both(attacked: Target) -> tuple[str, str]:
    mine, other = [(await attacked.session())["mcp_session_id"] for _ in range(2)]
    return mine, other


async def test_two_different_ids_are_refused_whoever_put_them_where_and_told_of(sqlite: Place, tmp_path: Path) -> None:
    # R11, R18, E34
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        mine, other = await both(attacked)
        before = {(record.mark, record.version, record.used_at) for record in await attacked.records()}
        for method, body in (("POST", request("ping")), ("POST", initialize()), ("GET", None), ("DELETE", None)):
            accept = STREAM if method == "GET" else {}
            for query, headers in (
                (f"?session_id={other}", {"mcp_session_id": mine}),
                (f"?session_id={other}", {"x_session_id": mine}),
                (f"?session_id={mine}&session_id={other}", {}),
                ("", {"mcp_session_id": mine, "x_session_id": other}),
            ):
                refused = await attacked.send(method, body, query=query, **headers, **accept)
                assert refused.status_code == 400, (method, query, headers)
                assert "two different session ids" in refused.text
        told = attacked.told("two_ids")
        assert len(told) == 16
        assert {event["mark"] for event in told} <= {mine[:8], other[:8]}
        after = {(record.mark, record.version, record.used_at) for record in await attacked.records()}
        assert after == before, "neither session was used, ended or changed"


async def test_the_same_id_twice_is_one(sqlite: Place, tmp_path: Path) -> None:  # R11
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        mine, _ = await both(attacked)
        seen = await attacked.post(
            call("echo", text="a"), query=f"?session_id={mine}", mcp_session_id=mine, x_session_id=mine
        )
        assert seen.status_code == 200
        lines = [f"X-Session-ID: {mine}"] * 3
        assert statuses(await attacked.raw(raw_post(request("ping"), *lines, "Connection: close"))) == [200]
        assert attacked.told("two_ids") == []
