"""T1: somebody plants an id of his choice with a victim, who then works in a session that he knows (R3, R4)."""

from pathlib import Path

from attacks.world import DIALECT, STREAM, UNKNOWN, target
from e2e.mcp_world import call, initialize, notification
from stores.stores import Place

PLANTED = (UNKNOWN, "attackers-choice", "1", "../../etc/passwd", "A" * 42, "A" * 44, "*", "{}", "' OR 1=1 --")
HEADERS = ("mcp_session_id", "x_session_id")


async def test_an_id_that_the_server_did_not_give_is_never_taken_over(sqlite: Place, tmp_path: Path) -> None:  # R3
    async with target(sqlite, tmp_path) as attacked:
        for number, planted in enumerate(PLANTED):
            named = {HEADERS[number % 2]: planted}
            opened = await attacked.post(initialize(), **named)
            assert opened.headers["mcp-session-id"] != planted
            for body in (call("whoami"), notification("notifications/initialized"), call("whoami")):
                assert (await attacked.post(body, **named)).status_code == 404
            assert (await attacked.send("GET", **named)).status_code == 404
            assert (await attacked.send("DELETE", **named)).status_code == 404
        records = await attacked.records()
        assert len(records) == len(PLANTED), "one session for each initialize, none for a planted id"
        assert not {record.mark for record in records} & {planted[:8] for planted in PLANTED}
        assert len(attacked.told("unknown_id")) == 5 * len(PLANTED)


async def test_in_the_dialect_neither_header_nor_query_nor_get_makes_a_session_of_a_planted_id(
    sqlite: Place, tmp_path: Path
) -> None:  # R3, R10
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        for number, planted in enumerate(PLANTED):
            named = (
                {"query": "?session_id=" + planted} if number % 2 and "'" not in planted else {"x_session_id": planted}
            )
            opened = await attacked.post(initialize(), **named)
            assert opened.headers["mcp-session-id"] != planted
            assert (await attacked.post(call("whoami"), **named)).status_code == 404
            async with attacked.reading(**named) as stream:
                await stream.until(lambda seen: seen.ended)
                assert [event.name for event in stream.events] == ["session-expired", "error"]
        records = await attacked.records()
        assert len(records) == len(PLANTED)
        assert not {record.mark for record in records} & {planted[:8] for planted in PLANTED}


async def test_outside_the_dialect_an_id_in_the_query_is_not_read_at_all(sqlite: Place, tmp_path: Path) -> None:  # R10
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session()
        query = f"?session_id={named['mcp_session_id']}"
        assert (await attacked.post(call("whoami"), query=query)).status_code == 400
        assert (await attacked.send("GET", query=query, **STREAM)).status_code == 400
        assert (await attacked.send("DELETE", query=query)).status_code == 400
        assert (await attacked.post(call("whoami"), query=f"?session_id={UNKNOWN}", **named)).status_code == 200
        assert len(await attacked.records()) == 1


async def test_what_names_an_event_is_never_an_id(sqlite: Place, tmp_path: Path) -> None:  # R12
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        mine = (await attacked.session())["mcp_session_id"]
        seen = await attacked.post(call("write", key="planted"), last_event_id=mine)
        assert "written" not in seen.text, "served without a session"
        async with attacked.reading(last_event_id=mine) as stream:
            await stream.until(lambda seen: seen.told("session"))
            assert stream.told("session")[0]["session_id"] != mine
        assert len(await attacked.records()) == 2
