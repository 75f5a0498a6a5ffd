"""The faces composed into one server."""

from pathlib import Path

import pytest

from holdfast.app import open_holdfast
from holdfast.config import Settings
from holdfast.core.events import Fact
from holdfast.errors import SessionNotFound


async def test_a_security_event_in_the_server_is_counted_and_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # E34
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    async with open_holdfast(Settings(), keeper=False) as holdfast:
        with pytest.raises(SessionNotFound):
            await holdfast.engine.manager.load("made-up", kind="mcp")
        assert holdfast.counts.of == {Fact.UNKNOWN_ID: 1}
    assert "unknown_id" in (tmp_path / "holdfast" / "audit.jsonl").read_text()
