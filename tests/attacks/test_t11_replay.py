"""T11: an id is used again after its session was ended, killed, replaced or rotated, after a restart, and after the
store was restored from a backup (R32, R35; E14, E20).

A backup brings rows back that had been ended, and nothing in it can know that. What can stands outside it: the setting
`not_before`, an instant before which no session counts, set when a store is restored (docs/security.md).
"""

import shutil
import time
from pathlib import Path

from attacks.world import DIALECT, STREAM, Target, target
from e2e.mcp_world import call, initialize, request
from holdfast.core.manager import Manager
from holdfast.core.model import Reason
from holdfast.core.sealing import KeyRing
from holdfast.mcp.kinds import KINDS, SESSION
from stores.stores import Place

ANN = {"authorization": "Bearer ann.1"}


async def dead_everywhere(attacked: Target, *ids: str) -> None:
    for session_id in ids:
        named = {"mcp_session_id": session_id, **ANN}
        for _ in range(3):
            for method, body in (("POST", call("write", key="again")), ("DELETE", None), ("GET", None)):
                accept = STREAM if method == "GET" else {}
                assert (await attacked.send(method, body, **named, **accept)).status_code == 404
        opened = await attacked.post(initialize(), **named)
        assert opened.headers["mcp-session-id"] not in ids


async def killed(attacked: Target, session_id: str) -> None:
    async with attacked.place.open() as store:
        manager = Manager(store, KeyRing.parse(attacked.key), KINDS, worker="administrator")
        session = await manager.load(session_id, kind=SESSION, touch=False)
        assert await manager.end(session, Reason.ADMIN)


async def test_what_has_ended_stays_so_at_every_worker_and_after_their_restart(
    shared_place: Place, tmp_path: Path
) -> None:
    # R32: the end, an administrator's, another session in its place
    settings = {"KINDS": '{"mcp": {"per_client": 3, "policy": "replace_oldest"}}'}
    async with target(shared_place, tmp_path, settings=settings) as attacked:
        replaced, ended, victim = [(await attacked.session(**ANN))["mcp_session_id"] for _ in range(3)]
        assert (await attacked.send("DELETE", mcp_session_id=ended, **ANN)).status_code == 204
        await killed(attacked, victim)
        for _ in range(3):
            await attacked.session(**ANN)
        await dead_everywhere(attacked, ended, victim)
        assert await attacked.used(replaced) == 404
        for number in (0, 1):
            await attacked.workers.kill(number)
        for number in (0, 1):
            await attacked.workers.start(number)
        await dead_everywhere(attacked, ended, victim, replaced)


async def test_the_id_before_a_logon_is_dead(sqlite: Place, tmp_path: Path) -> None:  # R8, E20
    async with target(sqlite, tmp_path, **DIALECT) as attacked:
        old = (await attacked.session())["mcp_session_id"]
        fresh = (await attacked.post(request("ping"), x_session_id=old, **ANN)).headers["mcp-session-id"]
        for who in ({}, ANN, {"authorization": "Bearer bob.1"}):
            assert (await attacked.post(request("ping"), x_session_id=old, **who)).status_code == 404
        assert await attacked.used(fresh) == 200


async def test_a_backup_brings_ended_sessions_back_unless_it_is_told_from_when_on_they_count(
    sqlite: Place, tmp_path: Path
) -> None:  # R35: the epoch beats the backup
    file, settings = Path(sqlite.url.removeprefix("sqlite:///")), dict[str, str]()
    folders = [tmp_path / name for name in ("before", "restored", "told")]
    for folder in folders:
        folder.mkdir()
    async with target(sqlite, folders[0]) as attacked:
        ended, lived = [(await attacked.session(**ANN))["mcp_session_id"] for _ in range(2)]
        settings["KEYS"] = attacked.key
    backup = file.with_suffix(".backup")
    shutil.copy(file, backup)
    async with target(sqlite, folders[0], settings=settings) as attacked:
        assert (await attacked.send("DELETE", mcp_session_id=ended, **ANN)).status_code == 204
        assert [await attacked.used(one) for one in (ended, lived)] == [404, 200]
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()
    shutil.copy(backup, file)
    async with target(sqlite, folders[1], settings=settings) as attacked:
        assert await attacked.used(ended) == 200, "this is what a backup is, and why there is a setting"
    async with target(sqlite, folders[2], settings={**settings, "NOT_BEFORE": f"{time.time()}"}) as attacked:
        assert [await attacked.used(one) for one in (ended, lived)] == [404, 404]
        assert {event["mark"] for event in attacked.told("unknown_id")} == {ended[:8], lived[:8]}
        fresh = (await attacked.session(**ANN))["mcp_session_id"]
        assert await attacked.used(fresh) == 200
