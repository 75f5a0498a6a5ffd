"""T26: the session of an open stream is ended elsewhere: the stream is closed in time, even if nobody was told."""

from pathlib import Path
from typing import Final

import anyio
import pytest

from attacks.world import target
from e2e.mcp_world import request
from holdfast.core.model import Reason
from stores.stores import Place

ANN: Final = {"authorization": "Bearer ann.1"}
TOLD_S: Final = 3.0
KEEP_ALIVE_S: Final = 2.0  # whenever it shows that a stream is alive, a worker looks whether its session is
UNTOLD_S: Final = KEEP_ALIVE_S + TOLD_S
EVENTS: Final = {"session_events": "on"}


async def test_the_end_of_a_session_at_one_worker_closes_its_streams_at_all(
    shared_place: Place, tmp_path: Path
) -> None:
    # E18
    async with target(shared_place, tmp_path, **EVENTS) as attacked:
        for _ in range(4):  # whichever worker ends it, and whichever serves it
            named = await attacked.session(**ANN)
            async with attacked.reading(**named) as stream:
                await stream.until(lambda seen: seen.events)
                assert (await attacked.send("DELETE", **named)).status_code == 204
                with anyio.fail_after(TOLD_S):
                    await stream.until(lambda seen: seen.ended)
                assert len(stream.told("session-expired")) == 1
        assert await attacked.records("stream") == []


async def test_a_stream_that_was_come_back_for_is_closed_like_any_other(sqlite: Place, tmp_path: Path) -> None:
    async with target(sqlite, tmp_path) as attacked:
        named = await attacked.session(**ANN)
        async with attacked.reading(**named) as stream:
            await stream.until(lambda seen: seen.events)
        async with attacked.reading(**named, last_event_id=str(stream.events[0].id)) as back:
            assert (await attacked.send("DELETE", **named)).status_code == 204
            with anyio.fail_after(TOLD_S):
                await back.until(lambda seen: seen.ended)
        gone = {**named, "last_event_id": str(stream.events[0].id)}
        answer = await attacked.send("GET", **{**gone, "accept": "text/event-stream"})
        assert answer.status_code == 404


@pytest.mark.parametrize("how", ["ended", "removed"])
async def test_a_session_that_is_ended_past_the_servers_loses_its_streams_too(
    shared_place: Place, tmp_path: Path, how: str
) -> None:
    # E18: a message between workers is a hint, and may be lost
    async with target(shared_place, tmp_path, settings={"KEEP_ALIVE": str(KEEP_ALIVE_S)}) as attacked:
        named = await attacked.session(**ANN)
        async with attacked.reading(**named) as stream:
            await stream.until(lambda seen: seen.events)
            [record] = await attacked.records()
            async with shared_place.open() as store:
                if how == "ended":
                    assert await store.sessions.end(record.ref, Reason.ADMIN, now=record.created_at) is not None
                else:
                    below = await store.sessions.find("parent", record.key)
                    assert await store.sessions.delete([*(node.ref for node in below), record.ref]) == 2
            with anyio.fail_after(UNTOLD_S):
                await stream.until(lambda seen: seen.ended)
        assert (await attacked.post(request("ping"), **named)).status_code == 404
