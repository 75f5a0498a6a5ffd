"""Facts leave as log lines, audit entries and counts; ids cut, no secret."""

import errno
import json
import logging
import stat
from pathlib import Path

import pytest

from holdfast.core.events import Event, Fact
from holdfast.core.model import Reason
from holdfast.observe import AuditTrail, Counts, LogLines, Sinks
from holdfast.observe.sinks import SECURITY

EVENT = Event(fact=Fact.UNKNOWN_ID, at=12.5, kind="mcp", mark="abcdefgh", client="10.0.0.1")


def test_a_security_event_is_one_log_line_one_audit_entry_and_one_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # E34
    audit, counts = AuditTrail(tmp_path / "audit.jsonl"), Counts()
    with caplog.at_level(logging.DEBUG, logger="holdfast.events"):
        Sinks(LogLines(), audit, counts).emit(EVENT)
    audit.close()
    [line] = (tmp_path / "audit.jsonl").read_text().splitlines()
    expected = {"fact": "unknown_id", "at": 12.5, "kind": "mcp", "mark": "abcdefgh", "client": "10.0.0.1"}
    assert json.loads(line) == json.loads(caplog.messages[0]) == expected
    assert caplog.records[0].levelname == "WARNING"
    assert counts.of == {Fact.UNKNOWN_ID: 1}
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_what_is_no_security_event_is_not_in_the_audit_trail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # E34
    audit = AuditTrail(tmp_path / "audit.jsonl")
    ended = Event(fact=Fact.ENDED, at=1.0, reason=Reason.IDLE)
    with caplog.at_level(logging.DEBUG, logger="holdfast.events"):
        Sinks(LogLines(), audit).emit(ended)
    audit.close()
    assert (tmp_path / "audit.jsonl").read_text() == ""
    assert caplog.records[0].levelname == "DEBUG"


def test_an_audit_trail_that_cannot_be_written_says_so_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:  # E34
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    audit = AuditTrail(tmp_path / "audit.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        audit.emit(EVENT)
    audit.emit(EVENT)
    audit.close()
    assert caplog.messages == ["the audit trail cannot be written: No space left on device"]
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 1


def test_every_security_event_of_the_requirement_is_one() -> None:  # E34
    named = {"unknown_id", "foreign_id", "fingerprint_mismatch", "two_ids", "logon_failed", "rotated", "rate_limited"}
    named |= {"limit_reached", "unreadable_payload", "forced_end"}
    assert {fact.value for fact in SECURITY} == named
