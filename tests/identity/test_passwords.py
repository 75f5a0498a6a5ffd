"""Passwords: set, checked, hashed anew; what is kept of them and what a check tells."""

import logging
import statistics
import time
from pathlib import Path

import anyio
import pytest

from holdfast.errors import BadInput, NotFound
from holdfast.identity import passwords as module
from holdfast.identity.passwords import LONGEST_BYTES, Cost, Passwords, TooManyLogons, prepared

CHEAP = Cost(passes=1, memory=8, lanes=1)
SECRET = "correct horse"


@pytest.fixture
def passwords(tmp_path: Path) -> Passwords:
    made = Passwords(tmp_path / "people", cost=CHEAP)
    made.add("Ann", SECRET, roles=("clerk",), shown="Ann Example")
    return made


async def test_the_right_password_names_the_person_and_every_other_nobody(passwords: Passwords) -> None:  # S7
    person = await passwords.check("ANN", SECRET)
    assert person is not None
    assert (person.name, person.roles, person.shown) == ("ann", ("clerk",), "Ann Example")
    for name, password in (("ann", SECRET + "!"), ("ann", ""), ("bob", SECRET), ("", SECRET), ("a:b", SECRET)):
        assert await passwords.check(name, password) is None


def test_nothing_of_a_password_is_in_the_file(passwords: Passwords) -> None:  # S7, R6
    text = passwords.file.path.read_text()
    assert SECRET not in text
    assert text.startswith("ann:$argon2id$v=19$m=8,t=1,p=1$")


async def test_a_password_that_is_written_otherwise_is_the_same(passwords: Passwords) -> None:
    passwords.set_password("ann", "gru\u0308ß dich\u00a0du")
    assert await passwords.check("ann", "grüß dich du")


@pytest.mark.parametrize("password", ["", "x" * (LONGEST_BYTES + 1), "ü" * LONGEST_BYTES, "a\x00b", "a\nb", "\ud800"])
async def test_what_is_no_password_is_nobodys(passwords: Passwords, password: str) -> None:
    assert prepared(password) is None
    assert await passwords.check("ann", password) is None
    with pytest.raises(BadInput) as refused:
        passwords.set_password("ann", password)
    assert password == "" or password not in str(refused.value)


@pytest.mark.parametrize("password", ["seven77", "Longer-Name"])
def test_a_password_that_anybody_guesses_is_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(BadInput):
        passwords.add("longer-name", password)


def test_a_name_is_given_once_and_unknown_names_are_not_found(passwords: Passwords) -> None:
    with pytest.raises(BadInput, match="there already"):
        passwords.add("ann", "another one")
    for change in (lambda: passwords.set_password("bob", SECRET), lambda: passwords.remove("bob")):
        with pytest.raises(NotFound):
            change()


async def test_who_was_removed_or_has_another_password_is_known_no_more(passwords: Passwords) -> None:  # R33
    other = Passwords(passwords.file.path, cost=CHEAP)
    other.set_password("ann", "another one")
    assert await passwords.check("ann", SECRET) is None
    assert await passwords.check("ann", "another one")
    other.remove("ann")
    assert await passwords.check("ann", "another one") is None
    assert await passwords.known("ann") is None


async def test_a_password_is_hashed_anew_when_the_cost_has_changed(passwords: Passwords) -> None:  # S7
    dearer = Passwords(passwords.file.path, cost=Cost(passes=2, memory=16, lanes=1))
    assert await dearer.check("ann", "wrong password") is None
    assert "m=8,t=1" in passwords.file.path.read_text()
    assert await dearer.check("ann", SECRET)
    assert "m=16,t=2" in passwords.file.path.read_text()
    assert await passwords.check("ann", SECRET)


async def test_a_file_that_cannot_be_written_keeps_nobody_out(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("holdfast.identity.people.WAIT_S", 0.01)
    passwords.file.path.with_name("people.new").touch()
    dearer = Passwords(passwords.file.path, cost=Cost(passes=2, memory=16, lanes=1))
    with caplog.at_level(logging.WARNING):
        assert await dearer.check("ann", SECRET)
        assert await dearer.check("ann", SECRET)
    assert len(caplog.records) == 1
    assert SECRET not in caplog.text


async def test_more_than_so_many_do_not_wait(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HERE", 3)
    refused = []

    async def one() -> None:
        try:
            await passwords.check("ann", SECRET)
        except TooManyLogons as exc:
            refused.append(exc)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
    assert refused
    assert refused[0].status == 503
    assert await passwords.check("ann", SECRET)


def test_a_name_that_nobody_has_takes_as_long_as_one_that_somebody_has(tmp_path: Path) -> None:  # R70
    passwords = Passwords(tmp_path / "people", cost=Cost(passes=2, memory=4096, lanes=1))
    passwords.add("ann", SECRET)
    spent: dict[str, list[float]] = {"ann": [], "bob": []}
    for _ in range(25):
        for name, times in spent.items():
            began = time.process_time()
            assert passwords.checked(name, "wrong password") is None
            times.append(time.process_time() - began)
    known, unknown = (statistics.median(times) for times in spent.values())
    assert 0.5 < known / unknown < 2.0, spent
