"""T12: a slow request has read the session, it is ended meanwhile, and then the slow one writes (R38; E18)."""

from pathlib import Path

import anyio

from attacks.world import PATIENCE, target
from e2e.mcp_world import call, request
from stores.stores import Place


async def there(path: Path) -> None:
    with anyio.fail_after(PATIENCE):
        while not path.exists():
            await anyio.sleep(0.01)


async def test_what_was_ended_elsewhere_is_not_written_to_life_again(shared_place: Place, tmp_path: Path) -> None:
    await race(shared_place, tmp_path, ender=1)  # R38, E18


async def test_what_was_ended_here_is_not_written_to_life_again(sqlite: Place, tmp_path: Path) -> None:
    await race(sqlite, tmp_path, ender=0)  # R38, E18


async def race(place: Place, folder: Path, *, ender: int) -> None:
    """Let a slow request run at the first worker, end its session at one, and let it write."""
    began, go = folder / "began", folder / "go"
    async with target(place, folder) as attacked:
        named = await attacked.session()
        answers = []

        async def slow() -> None:
            url = f"http://127.0.0.1:{attacked.workers.ports[0]}/mcp"
            headers = {name.replace("_", "-"): value for name, value in named.items()}
            headers |= {"accept": "application/json", "content-type": "application/json"}
            body = call("slowly", began=str(began), go=str(go))
            answers.append(await attacked.http.post(url, json=body, headers=headers))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow)
            await there(began)
            url = f"http://127.0.0.1:{attacked.workers.ports[ender]}/mcp"
            ended = await attacked.http.delete(url, headers={"mcp-session-id": named["mcp_session_id"]})
            assert ended.status_code == 204
            go.touch()
        assert "session_ended" in answers[0].text or "session_not_found" in answers[0].text
        assert began.read_text() in ("SessionEnded", "SessionConflict", "SessionNotFound")
        assert (await attacked.post(request("ping"), **named)).status_code == 404
        assert await attacked.records() == []
