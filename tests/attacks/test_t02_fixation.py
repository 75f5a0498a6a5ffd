"""T2: an attacker gets an anonymous session, plants its id with a victim, who logs on with it (R8; M13)."""

from pathlib import Path

import anyio

from attacks.world import DIALECT, target
from e2e.mcp_world import call, request, texts
from stores.stores import Place

VICTIM = {"authorization": "Bearer ann.1"}


async def test_who_logs_on_gets_a_fresh_id_and_the_attackers_copy_is_dead(each_place: Place, tmp_path: Path) -> None:
    # R8
    async with target(each_place, tmp_path, **DIALECT) as attacked:
        planted = (await attacked.session())["mcp_session_id"]
        seen = await attacked.post(call("whoami"), query=f"?session_id={planted}", **VICTIM)
        fresh = seen.headers["mcp-session-id"]
        assert texts(seen.json()["result"]) == ["ann"]
        assert fresh != planted
        for attempt in (
            {"x_session_id": planted},
            {"x_session_id": planted, "authorization": "Bearer bob.1"},
            {"x_session_id": planted, **VICTIM},
            {"x_session_id": fresh},
            {"x_session_id": fresh, "authorization": "Bearer bob.1"},
        ):
            assert (await attacked.post(request("ping"), **attempt)).status_code == 404
        assert (await attacked.post(request("ping"), x_session_id=fresh, **VICTIM)).status_code == 200
        [record] = await attacked.records()
        assert (record.owner, record.mark) == ("ann", fresh[:8])
        assert [event["mark"] for event in attacked.told("rotated")] == [fresh[:8]]


async def test_a_stream_that_the_attacker_has_open_hears_nothing_of_the_victim(
    each_place: Place, tmp_path: Path
) -> None:
    # R8, R61: neither the fresh id nor anything that is sent from then on
    async with target(each_place, tmp_path, **DIALECT) as attacked:
        async with attacked.reading() as spy:
            await spy.until(lambda seen: seen.told("session"))
            planted = spy.told("session")[0]["session_id"]
            seen = await attacked.post(call("whoami"), x_session_id=planted, **VICTIM)
            fresh = seen.headers["mcp-session-id"]
            await spy.until(lambda seen: seen.ended)
            async with attacked.reading(x_session_id=fresh, **VICTIM) as own:
                await own.until(lambda seen: seen.told("session-resumed"))
                seen = await attacked.post(call("tell", text="for ann alone"), x_session_id=fresh, **VICTIM)
                assert texts(seen.json()["result"]) == ["True"]
                await own.until(lambda seen: seen.told("news"))
        assert [one["session_id"] for one in spy.told("session-expired")] == [planted]
        assert fresh not in spy.text
        assert "for ann alone" not in spy.text


async def test_outside_the_dialect_nobody_can_log_on_to_an_anonymous_session(each_place: Place, tmp_path: Path) -> None:
    # M13
    async with target(each_place, tmp_path) as attacked:
        planted = await attacked.session()
        assert (await attacked.post(call("whoami"), **planted, **VICTIM)).status_code == 404
        [record] = await attacked.records()
        assert record.owner == ""
        assert attacked.told("rotated") == []


async def test_a_call_that_the_attacker_has_running_is_cut_off(each_place: Place, tmp_path: Path) -> None:  # R8, E18
    began, go = tmp_path / "began", tmp_path / "go"
    async with target(each_place, tmp_path, **DIALECT) as attacked:
        planted = await attacked.session()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: attacked.post(call("slowly", began=str(began), go=str(go)), **planted))
            with anyio.fail_after(20):
                while not began.exists():
                    await anyio.sleep(0.01)
            named = {"x_session_id": planted["mcp_session_id"], **VICTIM}
            fresh = (await attacked.post(call("whoami"), **named)).headers["mcp-session-id"]
            go.touch()
        assert began.read_text() != "written"
        assert "late" not in await attacked.content_of({"mcp_session_id": fresh})
