"""T25: somebody comes back for a stream that is not theirs, or that two come back for: the owner alone has it, once."""

from contextlib import suppress
from pathlib import Path

import anyio
import httpx2

from attacks.world import DIALECT, STREAM, Reader, Target, as_headers, target
from e2e.mcp_world import call, request
from stores.stores import Place

ANN, EVE = {"authorization": "Bearer ann.1"}, {"authorization": "Bearer eve.1"}


async def refused(attacked: Target, **headers: str) -> tuple[int, bytes]:
    answer = await attacked.http.get(attacked.url, headers={**STREAM, **as_headers(headers)})
    assert "secret" not in answer.text
    return answer.status_code, answer.content


def last_of(stream: Reader) -> str:
    return str(stream.events[-1].id)


async def test_events_are_given_to_their_session_and_principal_alone(shared_place: Place, tmp_path: Path) -> None:
    # M14; MCP security page: session hijacking
    async with target(shared_place, tmp_path) as attacked:
        ann, second, eve = (
            await attacked.session(**ANN),
            await attacked.session(**ANN),
            await attacked.session(**EVE),
        )
        async with attacked.reading(**ann) as stream:
            await stream.until(lambda seen: seen.events)
            first = last_of(stream)
            await attacked.post(call("tell", text="secret"), **ann)
            await stream.until(lambda seen: seen.told("news"))
        unknown = "s" + "0" * 16 + ".1"
        for cursor in (first, last_of(stream)):
            for named in (second, eve):  # a place in the stream of another session: like one that never was
                assert await refused(attacked, **named, last_event_id=cursor) == await refused(
                    attacked, **named, last_event_id=unknown
                )
            stolen = {**ann, **EVE, "last_event_id": cursor}  # another's session: like an id of no session
            assert await refused(attacked, **stolen) == await refused(
                attacked, **{**stolen, "mcp_session_id": "A" * 43}
            )
        async with attacked.reading(**ann, last_event_id=first) as back:
            await back.until(lambda seen: seen.told("news"))
            assert back.told("news") == [{"text": "secret"}]


async def test_a_victim_does_not_get_what_an_attacker_began(sqlite: Place, tmp_path: Path) -> None:
    # MCP security page: an event is put into a shared queue under a known id, and the victim's resumption delivers it
    async with target(sqlite, tmp_path) as attacked:
        ann = await attacked.session(**ANN)
        async with attacked.reading(**ann) as stream:
            await stream.until(lambda seen: seen.events)
        assert (await attacked.post(call("tell", text="poison"), **{**ann, **EVE})).status_code == 404
        eve = {**ann, **EVE}
        assert (await attacked.post(call("echo", text="poison"), **eve)).status_code == 404
        async with attacked.reading(**ann, last_event_id=last_of(stream)) as back:
            assert (await attacked.post(call("tell", text="good"), **ann)).status_code == 200
            await back.until(lambda seen: seen.told("news"))
            assert "poison" not in back.text


async def test_a_stream_that_two_come_back_for_is_on_one_connection(sqlite: Place, tmp_path: Path) -> None:
    # M14: the newest has it
    async with target(sqlite, tmp_path) as attacked:
        ann = await attacked.session(**ANN)
        async with attacked.reading(**ann) as one:
            await one.until(lambda seen: seen.events)
            cursor = last_of(one)
            async with attacked.reading(**ann, last_event_id=cursor) as two:
                await one.until(lambda seen: seen.ended)
                async with attacked.reading(**ann, last_event_id=cursor) as three:
                    await two.until(lambda seen: seen.ended)
                    assert "True" in (await attacked.post(call("tell", text="once"), **ann)).text
                    await three.until(lambda seen: seen.told("news"))
        assert [stream.told("news") for stream in (one, two, three)] == [[], [], [{"text": "once"}]]


async def test_a_stream_of_a_killed_worker_is_its_owners_still(sqlite: Place, tmp_path: Path) -> None:
    # M14
    async with target(sqlite, tmp_path) as attacked:
        ann, eve = await attacked.session(**ANN), await attacked.session(**EVE)
        stream, named = Reader(), {**STREAM, **as_headers(ann)}

        async def read() -> None:
            with suppress(httpx2.RemoteProtocolError):  # it is cut off
                await stream.read(attacked.http, attacked.url, named)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await stream.until(lambda seen: seen.events)
            for victim in (0, 1):  # whichever serves it
                await attacked.workers.kill(victim)
                await attacked.workers.start(victim)
        assert (await refused(attacked, **eve, last_event_id=last_of(stream)))[0] == 400
        async with attacked.reading(**ann, last_event_id=last_of(stream)) as back:
            await attacked.post(call("tell", text="on"), **ann)
            await back.until(lambda seen: seen.told("news"))


async def test_who_knew_an_anonymous_id_cannot_come_back_for_the_streams_of_who_logged_on(
    sqlite: Place, tmp_path: Path
) -> None:
    # T2, M13
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        async with attacked.reading() as planted:
            await planted.until(lambda seen: seen.told("session"))
            old = planted.told("session")[0]["session_id"]
            fresh = (await attacked.post(request("ping"), x_session_id=old, **ANN)).headers["mcp-session-id"]
            await planted.until(lambda seen: seen.ended)
        assert "True" not in (await attacked.post(call("tell", text="secret"), x_session_id=fresh, **ANN)).text
        cursor = str(planted.events[0].id)
        assert b"session_not_found" in (await refused(attacked, x_session_id=old, last_event_id=cursor))[1]
        async with attacked.reading(last_event_id=cursor) as anonymous:
            await anonymous.until(lambda seen: seen.told("session"))
            assert anonymous.told("session")[0]["session_id"] not in (old, fresh)


async def test_many_who_come_back_at_once_for_one_stream_leave_one_connection(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path) as attacked:
        ann = await attacked.session(**ANN)
        async with attacked.reading(**ann) as stream:
            await stream.until(lambda seen: seen.events)
        readers = [Reader() for _ in range(12)]
        named = {**STREAM, **as_headers({**ann, "last_event_id": last_of(stream)})}
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(reader.read, attacked.http, attacked.url, named)
            with anyio.fail_after(30):
                while sum(reader.status > 0 and not reader.ended for reader in readers) != 1 or not all(
                    reader.status for reader in readers
                ):
                    await anyio.sleep(0.02)
            assert len(await attacked.records("stream")) == 1
            assert "True" in (await attacked.post(call("tell", text="once"), **ann)).text
            with anyio.fail_after(30):
                while not any(reader.told("news") for reader in readers):
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()
        assert [reader.told("news") for reader in readers if reader.told("news")] == [[{"text": "once"}]]
