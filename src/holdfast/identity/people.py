"""The people of a password file: one line each, `name:hash:roles:display name`, with commas between the roles.

    ann:$argon2id$v=19$m=65536,t=3,p=4$…$…:clerk,boss:Ann Example

Before the hash of somebody who may not log on for the time being stands `!`.
Only its owner may read the file. A change appears at once and whole: it is written beside the file, as `FILE.new`,
and put in its place; who finds `FILE.new` there waits for it, so that of two changes none is lost. Who reads the file
while it is being changed reads it as it was, and reads it again when it is another.
"""

import os
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.config import refuse_readable_by_others
from holdfast.errors import BadInput, Busy, ConfigurationError

NAME_CHARACTERS: Final = 128
SHOWN_CHARACTERS: Final = 200
WAIT_S: Final = 2.0
LOOK_EVERY_S: Final = 0.02
OWNER_ONLY: Final = 0o600
DISABLED: Final = "!"
People = dict[str, "Person"]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who logs on with a password.

    Args:
        name: As it is typed at the logon, normalised.
        hashed: Their password, by argon2id.
        roles: What they are.
        shown: What to call them on a page; empty: their name.
        disabled: They may not log on (R33).
    """

    name: str
    hashed: str
    roles: tuple[str, ...] = ()
    shown: str = ""
    disabled: bool = False

    def __repr__(self) -> str:
        """Show the name alone."""
        return f"<Person {self.name}>"


class PeopleFile:
    """Reads and changes a file of people.

    Raises:
        ConfigurationError: From every method: the file is not there, others may read it, or a line is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._people: People = {}

    def read(self) -> People:
        """Return the people by name, as the file has them now."""
        try:
            with self.path.open(encoding="utf-8") as file:
                about = os.fstat(file.fileno())
                seen = (about.st_ino, about.st_mtime_ns, about.st_size)
                if seen != self._seen:
                    refuse_readable_by_others(self.path, about.st_mode)
                    self._people, self._seen = _parsed(self.path, file), seen
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(
                f"the password file {self.path} cannot be read: {type(exc).__name__}",
                hint="Make it with `holdfast users add`.",
            ) from exc
        return self._people

    def change(self, change: Callable[[People], None], *, make: bool = False) -> None:
        """Let `change` change the people, and write them down; nothing is written if it raises.

        With `make`, a file that is not there is made.

        Raises:
            Busy: Somebody else is changing it, for longer than 2 s.
            ConfigurationError: It cannot be written.
        """
        draft = self.path.with_name(f"{self.path.name}.new")
        descriptor = self._draft(draft)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                people = {} if make and not self.path.exists() else dict(self.read())
                change(people)
                file.writelines(_line(people[name]) for name in sorted(people))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def _draft(self, draft: Path) -> int:
        """Open the draft, which nobody else does at the same time."""
        until = time.monotonic() + WAIT_S
        while True:
            try:
                return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            except FileExistsError:
                if time.monotonic() > until:
                    raise Busy(
                        f"{self.path} is being changed", hint=f"Try again; if nobody is at it, remove {draft}."
                    ) from None
            except OSError as exc:
                raise ConfigurationError(f"{draft} cannot be written: {exc.strerror}") from exc
            time.sleep(LOOK_EVERY_S)


def name_of(text: str) -> str:
    """Return a name as it is kept: NFKC, without regard to upper and lower case, without spaces around it.

    Raises:
        BadInput: It is empty, longer than 128 characters, or has a colon, a space or a control character.
    """
    name = "" if len(text) > NAME_CHARACTERS else unicodedata.normalize("NFKC", text.strip()).casefold()
    name = unicodedata.normalize("NFKC", name)
    if not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable() or not {" ", ":"}.isdisjoint(name):
        raise BadInput(f"a name has 1 to {NAME_CHARACTERS} characters, without spaces and colons")
    return name


def roles_of(roles: Collection[str]) -> tuple[str, ...]:
    """Return roles as they are kept; raise BadInput for what is none."""
    for role in roles:
        if not role or not role.isprintable() or not {" ", ":", ","}.isdisjoint(role):
            raise BadInput(f"{role!r} is no role: a role is one word, without colons and commas")
    return tuple(sorted(set(roles)))


def shown_of(text: str) -> str:
    """Return what to call somebody, in NFC; raise BadInput if it cannot be kept."""
    shown = unicodedata.normalize("NFC", text.strip())
    if len(shown) > SHOWN_CHARACTERS or not shown.isprintable():
        raise BadInput(f"a display name has at most {SHOWN_CHARACTERS} characters, in one line")
    return shown


def _line(person: Person) -> str:
    mark = DISABLED if person.disabled else ""
    return f"{person.name}:{mark}{person.hashed}:{','.join(person.roles)}:{person.shown}\n"


def _parsed(path: Path, lines: Iterable[str]) -> People:
    people: People = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.rstrip("\n").split(":", 3)
        if len(parts) != 4 or not parts[1].removeprefix(DISABLED).startswith("$argon2id$") or parts[0] in people:
            raise ConfigurationError(f"{path}, line {number} is not name:hash:roles:display name, or there twice")
        name, hashed, roles, shown = parts
        people[name] = Person(
            name=name,
            hashed=hashed.removeprefix(DISABLED),
            roles=tuple(filter(None, roles.split(","))),
            shown=shown,
            disabled=hashed.startswith(DISABLED),
        )
    return people
