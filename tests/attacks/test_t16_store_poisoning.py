"""T16: bytes written straight into the store's server or file while two processes serve from it (R63, R64).

What a worker makes of each damage by itself is in tests/stores (test_poison.py, test_damage.py); here it is asked for.
"""

from pathlib import Path

import pytest

from attacks.behind import nothing_executed, put_payload, row_damages
from attacks.world import Target, target
from e2e.mcp_world import call, request
from holdfast.core.model import Record
from stores import test_poison
from stores.stores import Place


async def one(attacked: Target) -> tuple[dict[str, str], Record]:
    """Open a session; return how it is named, and its record."""
    named = await attacked.session()
    [record] = [r for r in await attacked.records() if r.mark == named["mcp_session_id"][:8]]
    return named, record


async def test_a_poisoned_session_is_no_session_at_any_worker_and_nothing_is_executed(
    shared_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R63, R64
    monkeypatch.chdir(tmp_path)  # where the servers would leave what a bomb makes
    async with target(shared_place, tmp_path) as attacked:
        monkeypatch.setattr(test_poison, "OLD", attacked.key)  # somebody who even has the key
        sound, other = await one(attacked)
        marks = []
        for name, forge in test_poison.POISONS.items():
            named, record = await one(attacked)
            marks.append(record.mark)
            await put_payload(shared_place, record, forge(record, other))
            for _ in range(4):  # each of the two may be asked
                assert (await attacked.post(call("whoami"), **named)).status_code == 404, name
            assert (await attacked.send("GET", **named, accept="text/event-stream")).status_code == 404, name
        told = [event["mark"] for event in attacked.told("unreadable_payload")]
        assert set(told) == set(marks)
        assert len(told) <= 2 * len(marks), "once at each worker"
        assert (await attacked.post(request("ping"), **sound)).status_code == 200
        assert nothing_executed(tmp_path)


async def test_a_damaged_row_takes_nobody_else_with_it(shared_place: Place, tmp_path: Path) -> None:  # R63
    async with target(shared_place, tmp_path) as attacked:
        sound, _ = await one(attacked)
        for name, damage in row_damages(shared_place).items():
            named, record = await one(attacked)
            await damage(record.key)
            for _ in range(3):
                assert (await attacked.post(call("whoami"), **named)).status_code in (200, 404), name
                assert (await attacked.post(call("whoami"), **sound)).status_code == 200, name
        assert (await attacked.session())["mcp_session_id"]
        assert b"Traceback" not in attacked.log()
        assert nothing_executed(tmp_path)


async def test_of_a_row_only_an_older_state_of_its_own_opens(sqlite: Place, tmp_path: Path) -> None:
    # R64 asks for the version in what is bound; E4 and E5 rule: key and kind are. Who can write into the store can so
    # take a session back to what it was, and to nothing else.
    async with target(sqlite, tmp_path) as attacked:
        (named, record), (_, other) = await one(attacked), await one(attacked)
        assert (await attacked.post(call("write", key="later"), **named)).status_code == 200
        assert "later" in await attacked.content_of(named)
        await put_payload(sqlite, record, record.payload)
        assert "later" not in await attacked.content_of(named)
        assert (await attacked.post(request("ping"), **named)).status_code == 200
        await put_payload(sqlite, record, other.payload)
        assert (await attacked.post(request("ping"), **named)).status_code == 404
