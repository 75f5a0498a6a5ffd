"""T24: a thousand streams are opened and not read: memory stays flat, nobody is held up, and they may come back."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio

from attacks.world import DIALECT, STREAM, Target, head, target
from e2e.mcp_world import call
from e2e.wire import Event
from stores.stores import Place

STREAMS: Final = 1000
SOME: Final = 20  # of them are sent more than a connection takes
TEXT: Final = "x" * 40_000
TIMES: Final = 12  # 480 KB for each
MOST_GROWTH: Final = 50 * 1024 * 1024
SOON_S: Final = 2.0
SETTINGS: Final = {"SLOW_READER_TIMEOUT": "1", "KINDS": json.dumps({"mcp": {"per_client": 2 * STREAMS}})}


@contextmanager
def unread(attacked: Target, number: int) -> Iterator[list[Event]]:
    """Open sessions by their streams, over connections with small windows; read the first event of each only."""
    with ExitStack() as stack:
        yield [_begun(stack, attacked.workers.ports[place % 2]) for place in range(number)]


def _begun(stack: ExitStack, port: int) -> Event:
    made = stack.enter_context(socket.socket())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(20)
    made.connect(("127.0.0.1", port))
    made.sendall(head(*(f"{name}: {value}" for name, value in STREAM.items()), method="GET"))
    text = ""
    while "event: endpoint" not in text:
        text += made.recv(512).decode()
    return Event(text[text.index("id: ") :].partition("\n\n")[0])


async def told(attacked: Target, session_id: str, text: str) -> bool:
    """Have something said on a session's stream; say whether one took it."""
    answer = await attacked.post(call("tell", text=text), x_session_id=session_id)
    assert answer.status_code == 200, answer.text
    return "True" in answer.text


async def test_streams_that_nobody_reads_cost_little_hold_nobody_up_and_may_be_come_back_for(
    sqlite: Place, tmp_path: Path
) -> None:
    # M17
    async with target(sqlite, tmp_path, settings=SETTINGS, **DIALECT) as attacked, attacked.reading() as swift:
        await swift.until(lambda seen: seen.told("session"))
        mine, delays = swift.told("session")[0]["session_id"], list[float]()
        with unread(attacked, STREAMS) as begun:
            ids = [event.message["session_id"] for event in begun]
            taken: dict[str, list[str]] = {session_id: [] for session_id in ids[:SOME]}
            before = attacked.resident()

            async def flood(session_id: str) -> None:
                for number in range(TIMES):
                    if await told(attacked, session_id, f"{number} {TEXT}"):
                        taken[session_id].append(f"{number} {TEXT}")

            async def look() -> None:
                while True:
                    began = anyio.current_time()
                    if await told(attacked, mine, f"{len(delays)} to somebody who reads"):
                        await swift.until(lambda stream: len(stream.told("news")) > len(delays))
                        delays.append(anyio.current_time() - began)

            async with anyio.create_task_group() as looking:
                looking.start_soon(look)
                async with anyio.create_task_group() as tasks:
                    for session_id in taken:
                        tasks.start_soon(flood, session_id)
                looking.cancel_scope.cancel()
            assert attacked.resident() - before < MOST_GROWTH
            assert sorted(delays)[len(delays) // 2] < SOON_S
            while len(await attacked.records("stream")) > STREAMS + 1 - SOME:
                await anyio.sleep(0.1)  # those that were behind are closed; the others have missed nothing
        for place in range(2):
            all_of, last = taken[ids[place]], str(begun[place].id)
            async with attacked.reading(x_session_id=ids[place], last_event_id=last) as back:
                await back.until(lambda seen, all_of=all_of: len(seen.told("news")) >= len(all_of))
                assert [one["text"] for one in back.told("news")] == all_of
        assert b"Traceback" not in attacked.log()
        assert b"without completing" not in attacked.log()
