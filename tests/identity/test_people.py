"""The file of people: read when it has changed, changed at once and whole, for its owner only."""

import stat
import threading
from pathlib import Path

import pytest

from holdfast.errors import BadInput, Busy, ConfigurationError
from holdfast.identity import people as module
from holdfast.identity.people import People, PeopleFile, Person, name_of, roles_of, shown_of

HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"


def added(name: str, **more: object) -> object:
    def change(people: People) -> None:
        people[name] = Person(name=name, hashed=HASH, **more)  # type: ignore[arg-type]

    return change


@pytest.fixture
def file(tmp_path: Path) -> PeopleFile:
    made = PeopleFile(tmp_path / "people")
    made.change(added("ann", roles=("boss", "clerk"), shown="Ann: Example"), make=True)  # type: ignore[arg-type]
    return made


def test_people_are_read_as_they_were_written(file: PeopleFile) -> None:  # S7
    fresh = PeopleFile(file.path).read()
    assert fresh == {"ann": Person(name="ann", hashed=HASH, roles=("boss", "clerk"), shown="Ann: Example")}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert HASH not in repr(fresh)


def test_a_change_by_another_process_is_seen(file: PeopleFile) -> None:
    assert set(file.read()) == {"ann"}
    PeopleFile(file.path).change(added("bob"))  # type: ignore[arg-type]
    assert set(file.read()) == {"ann", "bob"}


def test_a_change_that_fails_leaves_the_file_as_it_was(file: PeopleFile) -> None:
    before = file.path.read_bytes()

    def fail(people: People) -> None:
        people.clear()
        raise BadInput("no")

    with pytest.raises(BadInput):
        file.change(fail)
    assert file.path.read_bytes() == before
    assert list(file.path.parent.iterdir()) == [file.path]


def test_of_changes_made_at_once_none_is_lost(file: PeopleFile) -> None:
    names = [f"n{number}" for number in range(8)]
    threads = [threading.Thread(target=PeopleFile(file.path).change, args=[added(name)]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert set(file.read()) == {"ann", *names}


def test_a_change_that_somebody_has_left_half_done_is_named(file: PeopleFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    file.path.with_name("people.new").touch()
    with pytest.raises(Busy) as refused:
        file.change(added("bob"))  # type: ignore[arg-type]
    assert "people.new" in refused.value.hint


def test_a_file_that_others_may_read_is_refused(file: PeopleFile) -> None:
    file.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="read by others"):
        PeopleFile(file.path).read()


@pytest.mark.parametrize("line", ["ann", "ann:x:y", "ann:plain:clerk:Ann", f"ann:{HASH}::\nann:{HASH}::"])
def test_a_line_that_is_none_of_ours_is_named_by_its_number_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "people"
    path.write_text("\n" + line + "\n")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"line [23]") as refused:
        PeopleFile(path).read()
    assert "argon2" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_says_what_makes_one(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "people"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    with pytest.raises(ConfigurationError) as refused:
        PeopleFile(path).read()
    assert "users add" in refused.value.hint


@pytest.mark.parametrize("typed", ["Ann", " ann ", "ANN", "ａｎｎ"])
def test_a_name_is_the_same_however_it_is_typed(typed: str) -> None:
    assert name_of(typed) == "ann"


@pytest.mark.parametrize("typed", ["", " ", "a b", "a:b", "a\nb", "a\x00", "x" * 129, "a\u202eb"])
def test_what_is_no_name_is_refused(typed: str) -> None:  # T22
    with pytest.raises(BadInput):
        name_of(typed)


def test_roles_and_display_names_stay_in_their_place() -> None:
    assert roles_of(["clerk", "boss", "clerk"]) == ("boss", "clerk")
    for role in ("", "a,b", "a:b", "a b", "a\n"):
        with pytest.raises(BadInput):
            roles_of([role])
    assert shown_of(" Ann ") == "Ann"
    for shown in ("a\nb:x", "x" * 201):
        with pytest.raises(BadInput):
            shown_of(shown)
