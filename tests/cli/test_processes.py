"""Servers that are started as processes of their own: what is said when one of them does not come up."""

from pathlib import Path

import pytest

from holdfast.cli import processes
from holdfast.errors import ConfigurationError


def test_a_server_that_never_listens_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 5\n")
    silent.chmod(0o700)
    monkeypatch.setattr(processes, "STARTUP_S", 0.05)
    monkeypatch.setattr("sys.executable", str(silent))
    with pytest.raises(ConfigurationError, match="before it listened"), processes.started("serve"):
        pytest.fail("it does not listen")
