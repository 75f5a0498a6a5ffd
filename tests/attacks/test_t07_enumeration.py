"""T7: ids, handles and tasks are tried out: those of others answer as those that never were (R36, R70).

There is no administrator's or user's API in this face; it comes with S5 and S13.
"""

import json
from pathlib import Path
from typing import Any

from attacks.world import Target, target
from e2e.mcp_world import META, MODERN, call, request
from stores.stores import Place

ANN, BOB = {"authorization": "Bearer ann.1"}, {"authorization": "Bearer bob.1"}
NEVER = "Z" * 43


async def modern(attacked: Target, method: str, params: dict[str, Any], **headers: str) -> Any:
    named = {"mcp_protocol_version": MODERN, "mcp_method": method, **headers}
    name = params.get("name") or params.get("taskId")
    named |= {"mcp_name": name} if name else {}
    return await attacked.post(request(method, {**params, "_meta": META}), **named)


async def test_another_users_handle_answers_as_one_that_never_was(each_place: Place, tmp_path: Path) -> None:
    # R36, M20
    async with target(each_place, tmp_path) as attacked:
        opened = await modern(attacked, "tools/call", {"name": "open_basket", "arguments": {}}, **ANN)
        handle = opened.json()["result"]["content"][0]["text"]
        named = await attacked.session(**ANN)
        seen = {}
        for name, tried, who in (
            *(("foreign", handle, BOB), ("nobody's", handle, {}), ("never", NEVER, BOB), ("malformed", "?" * 43, BOB)),
            *(("an id", named["mcp_session_id"], ANN), ("own", handle, ANN)),
        ):
            answer = await modern(attacked, "tools/call", {"name": "look_into", "arguments": {"basket": tried}}, **who)
            seen[name] = (answer.status_code, answer.text.replace(tried[:8], "…"))
        assert "isError" not in seen["own"][1] or '"isError":false' in seen["own"][1]
        assert json.loads(seen["never"][1])["result"]["isError"]
        assert len({seen[name] for name in ("foreign", "nobody's", "never", "malformed", "an id")}) == 1, seen
        assert len(await attacked.records("handle")) == 1


async def test_another_users_task_answers_as_one_that_never_was(each_place: Place, tmp_path: Path) -> None:
    # R36, M19
    async with target(each_place, tmp_path) as attacked:
        answers = []
        for method in ("tasks/get", "tasks/cancel"):
            for tried, who in ((NEVER, BOB), ("x", BOB), (NEVER, {})):
                answer = await modern(attacked, method, {"taskId": tried}, **who)
                answers.append((method, answer.status_code, answer.text.replace(tried, "…")))
        assert len(set(answers)) == 2, answers


async def test_no_tool_tells_whether_an_id_lives(each_place: Place, tmp_path: Path) -> None:  # R36
    async with target(each_place, tmp_path) as attacked:
        handle = (await attacked.session(**ANN))["mcp_session_id"]
        bodies = set()
        for tried in (handle, NEVER, "x", handle[:-1], handle[:-1] + ("A" if handle[-1] != "A" else "B")):
            answer = await attacked.post(call("whoami"), mcp_session_id=tried, **BOB)
            bodies.add((answer.status_code, answer.content, tuple(sorted(set(answer.headers) - {"date"}))))
        assert len(bodies) == 1
