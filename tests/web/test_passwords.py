"""Passwords as the settings have them, and what is told of logons that fail."""

from pathlib import Path

import pytest

from holdfast.config import PasswordSettings, Settings
from holdfast.core.events import Fact
from holdfast.engine import open_engine
from holdfast.errors import ConfigurationError
from holdfast.identity.attempts import TooManyAttempts
from holdfast.identity.passwords import Cost, Passwords
from holdfast.stores.memory import memory_store
from holdfast.testing.clock import Clock
from holdfast.testing.sink import RecordingSink
from holdfast.web.account import Account
from holdfast.web.kinds import KINDS
from holdfast.web.passwords import WrongPassword, password_logon, passwords_of
from holdfast.web.site import Running, Security

SECRET = "correct horse"


def described(folder: Path, **more: float) -> PasswordSettings:
    Passwords(folder / "people", cost=Cost(passes=1, memory=8192, lanes=1)).add("ann", SECRET)
    values = {"passes": 1, "memory": 8192, "lanes": 1, **more}
    return PasswordSettings.model_validate({"file": folder / "people", **values})


async def test_the_settings_say_the_file_the_cost_and_the_limits(tmp_path: Path) -> None:  # S7, R75
    settings = described(tmp_path, failures=2, failure_window=30.0)
    assert (
        passwords_of(settings, tmp_path / "people")
        .add("bob", SECRET)
        .hashed.startswith("$argon2id$v=19$m=8192,t=1,p=1$")
    )
    logon, sink, clock = password_logon(settings), RecordingSink(), Clock(1000.0)
    async with open_engine(
        memory_store(), kinds=KINDS, settings=Settings(), clock=clock, sink=sink, keeper=False
    ) as engine:
        running = Running.on(engine)
        who = await logon.logon(running, "Ann", SECRET, address="2001:db8::1")
        assert (who.subject, who.method, who.at, who.address) == ("ann", "password", 1000.0, "2001:db8::1")
        for host in (1, 2):  # of one network
            with pytest.raises(WrongPassword) as refused:
                await logon.logon(running, "ANN", "a wrong one", address=f"2001:db8::{host}")
            assert "ann" not in str(refused.value).lower()
        with pytest.raises(TooManyAttempts) as stopped:
            await logon.logon(running, "ann", SECRET, address="2001:db8::3")
        assert stopped.value.retry_after == 30.0
        clock.now += 30.0
        await logon.logon(running, "ann", SECRET, address="2001:db8::3")
    failed = [event for event in sink.events if event.fact is Fact.LOGON_FAILED]
    assert [event.detail for event in failed] == ["password: wrong_password"] * 2 + ["password: too_many_attempts"]
    assert SECRET not in repr(failed)
    assert "a wrong one" not in repr(failed)


def test_a_file_that_is_missing_is_said_at_the_start(tmp_path: Path) -> None:
    for settings in (PasswordSettings(), PasswordSettings(file=tmp_path / "nobody")):
        with pytest.raises(ConfigurationError) as refused:
            password_logon(settings)
        assert "users add" in refused.value.hint
    with pytest.raises(ConfigurationError):
        Account(Security(settings=Settings(passwords=PasswordSettings(file=tmp_path / "nobody"))))


def test_the_account_pages_take_the_file_of_the_settings(tmp_path: Path) -> None:
    Account(Security(settings=Settings(passwords=described(tmp_path))))
