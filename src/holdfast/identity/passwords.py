"""Passwords, by argon2id: set and checked, with the same work whether or not there is such a person.

Passwords are prepared as RFC 8265 has it (OpaqueString: spaces of every sort count as one sort, then NFC), names as
`people.name_of` says. A password is nowhere but in the arguments of these functions: not in a log, an error or a file.
Checks run in worker threads, a few at a time: each takes 64 MiB and about a quarter
of a second of a processor.
"""

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from anyio import CapacityLimiter, to_thread

from holdfast.errors import BadInput, Busy, ConfigurationError, NotFound
from holdfast.identity.people import People, PeopleFile, Person, name_of, roles_of, shown_of

if TYPE_CHECKING:
    from argon2 import PasswordHasher

log = logging.getLogger(__name__)

SHORTEST: Final = 8  # characters; ASVS 6.2.1
LONGEST_BYTES: Final = 1024
AT_ONCE: Final = 2
MOST_HERE: Final = 50  # checks that run or wait
Result = TypeVar("Result")
Change = Callable[[Person], Person | None]


class Cost(msgspec.Struct, frozen=True):
    """What checking a password takes; the defaults are the second choice of RFC 9106 §4.

    Args:
        passes: Over the memory.
        memory: In KiB.
        lanes: Threads of one check.
    """

    passes: int = 3
    memory: int = 64 * 1024
    lanes: int = 4


class TooManyLogons(Busy):
    """More passwords wait to be checked than this process takes."""

    code = "too_many_logons"


class Passwords:
    """The people of a file and their passwords.

    Args:
        path: The file.
        cost: Of a check. A password that was set at another one is hashed anew when it is next used.
        at_once: Checks that run at the same time, in this process.
        shortest: Characters that a new password has at least.
        refused: A file of passwords that nobody is given, one in each line, such as a list of common ones.

    Raises:
        ConfigurationError: `argon2-cffi` is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        cost: Cost | None = None,
        at_once: int = AT_ONCE,
        shortest: int = SHORTEST,
        refused: Path | None = None,
    ) -> None:
        self.file = PeopleFile(path)
        self._shortest, self._refused = shortest, refused
        self._hasher = _hasher(cost or Cost())
        self._nobody = self._hasher.hash("nobody has this password")
        self._at_once = at_once
        self._limiter: CapacityLimiter | None = None
        self._here = 0
        self._cannot_write = False

    # -- in a server

    async def check(self, name: str, password: str) -> Person | None:
        """Return who has this name and password and is not disabled; else None. It takes as long either way.

        Raises:
            TooManyLogons: Too many wait already.
            ConfigurationError: The file cannot be read.
        """
        return await self._in_turn(self.checked, name, password)

    def checked(self, name: str, password: str) -> Person | None:
        """Do what `check` does, in this thread."""
        people, typed = self.file.read(), prepared(password)
        if typed is None:
            return None
        try:
            person = people.get(name_of(name))
        except BadInput:
            person = None
        fits = self._fits(person.hashed if person else self._nobody, typed)
        if person is None or person.disabled or not fits:
            return None
        if self._hasher.check_needs_rehash(person.hashed):
            self._hash_anew(person, typed)
        return person

    async def known(self, name: str) -> Person | None:
        """Return who has this name; None if nobody has."""
        try:
            wanted = name_of(name)
        except BadInput:
            return None
        return (await to_thread.run_sync(self.file.read)).get(wanted)

    async def change(self, name: str, password: str) -> Person:
        """Do what `set_password` does, from a server. Raises NotFound, BadInput, TooManyLogons."""
        return await self._in_turn(self.set_password, name, password)

    # -- at the command line

    def add(self, name: str, password: str, *, roles: tuple[str, ...] = (), shown: str = "") -> Person:
        """Write somebody down; the file is made if it is not there. Raises BadInput."""
        person = Person(
            name=name_of(name), hashed=self._hashed(name, password), roles=roles_of(roles), shown=shown_of(shown)
        )

        def change(people: People) -> None:
            if person.name in people:
                raise BadInput(f"{person.name} is there already", hint="`holdfast users passwd` sets a new password.")
            people[person.name] = person

        self.file.change(change, make=True)
        return person

    def set_password(self, name: str, password: str) -> Person:
        """Give somebody another password; raise NotFound if there is no such person, BadInput for a bad password."""
        hashed = self._hashed(name, password)
        return self._changed(name, lambda person: msgspec.structs.replace(person, hashed=hashed))

    def disable(self, name: str, *, disabled: bool = True) -> Person:
        """Let somebody log on no more, or again; raise NotFound if there is no such person."""
        return self._changed(name, lambda person: msgspec.structs.replace(person, disabled=disabled))

    def remove(self, name: str) -> Person:
        """Forget somebody; raise NotFound if there is no such person."""
        return self._changed(name, lambda person: None)

    # -- inside

    def _changed(self, name: str, change: Change) -> Person:
        found: list[Person] = []

        def apply(people: People) -> None:
            person = people.pop(name_of(name), None)
            if person is None:
                raise NotFound("there is no such person", hint="`holdfast users list` shows who there is.")
            found.append(person)
            changed = change(person)
            if changed is not None:
                people[changed.name] = changed

        self.file.change(apply)
        return found[0]

    async def _in_turn(self, work: Callable[[str, str], Result], name: str, password: str) -> Result:
        if self._here >= MOST_HERE:
            raise TooManyLogons("too many people are logging on")
        self._here += 1
        try:
            return await to_thread.run_sync(work, name, password, limiter=self._turns())
        finally:
            self._here -= 1

    def _turns(self) -> CapacityLimiter:
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._at_once)
        return self._limiter

    def _hashed(self, name: str, password: str) -> str:
        typed = prepared(password)
        if typed is None or len(typed) < self._shortest:
            raise BadInput(f"a password has {self._shortest} characters at least and {LONGEST_BYTES} bytes at most")
        if typed.casefold() == name_of(name):
            raise BadInput("the password is the name")
        if self._refused is not None and _is_in(self._refused, typed):
            raise BadInput("that password is too common", hint="Choose one that others do not have.")
        return self._hasher.hash(typed)

    def _fits(self, hashed: str, typed: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError  # noqa: PLC0415 - an extra

        try:
            return bool(self._hasher.verify(hashed, typed))
        except (Argon2Error, InvalidHashError):
            return False

    def _hash_anew(self, person: Person, typed: str) -> None:
        """Keep the password at today's cost; if the file cannot be written, the old hash goes on."""
        hashed = self._hasher.hash(typed)

        def change(people: People) -> None:
            if people.get(person.name) == person:
                people[person.name] = msgspec.structs.replace(person, hashed=hashed)

        try:
            self.file.change(change)
        except (Busy, ConfigurationError, OSError) as exc:
            if not self._cannot_write:
                self._cannot_write = True
                log.warning("passwords are not hashed anew: %s: %s", type(exc).__name__, exc)


def prepared(password: str) -> str | None:
    """Return a password as it is hashed; None for what none can be: empty, too long, or with control characters."""
    if not password or len(password) > LONGEST_BYTES:
        return None
    text = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in password)
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        return None
    return text if len(text.encode()) <= LONGEST_BYTES else None


def _is_in(file: Path, typed: str) -> bool:
    """Say whether a list has a password, in whatever case; raise ConfigurationError if it cannot be read."""
    wanted = typed.casefold()
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return any(line.rstrip("\r\n").casefold() == wanted for line in lines)
    except OSError as exc:
        raise ConfigurationError(f"the list of refused passwords {file} cannot be read: {exc.strerror}") from exc


def _hasher(cost: Cost) -> "PasswordHasher":
    try:
        import argon2  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as exc:
        raise ConfigurationError("argon2-cffi is not installed", hint="pip install 'holdfast[passwords]'") from exc
    return argon2.PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory, parallelism=cost.lanes)
