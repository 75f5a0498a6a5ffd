"""Logging on with a name and a password, as the form and Basic authentication do: limited, and told of (R75, E34)."""

from pathlib import Path
from typing import Final

from holdfast.config import PasswordSettings
from holdfast.errors import BadInput, ConfigurationError, HoldfastError
from holdfast.identity.attempts import Attempts, Most, TooManyAttempts
from holdfast.identity.passwords import Cost, Passwords
from holdfast.identity.people import Person, name_of
from holdfast.web.address import network_of
from holdfast.web.security import Logon
from holdfast.web.site import Running

PASSWORD: Final = "password"  # noqa: S105 - what the method is called


class WrongPassword(HoldfastError):
    """Nobody has this name and password; which of the two is wrong is not said."""

    code = "wrong_password"
    status = 401
    default_hint = "Check name and password, then try again."


class PasswordLogon:
    """Checks names and passwords for the applications of a site.

    Args:
        passwords: The people.
        most: How often it may fail.
    """

    def __init__(self, passwords: Passwords, most: Most | None = None) -> None:
        self._passwords, self._most = passwords, most

    async def known(self, name: str) -> Person | None:
        """Return who has this name; None if nobody has."""
        return await self._passwords.known(name)

    async def logon(self, running: Running, name: str, password: str, *, address: str, method: str = PASSWORD) -> Logon:
        """Return who that is.

        Raises:
            WrongPassword: Nobody.
            TooManyAttempts: That is not looked at now: too many logons have failed.
            TooManyLogons: Too many people are logging on.
        """
        manager, network = running.manager, network_of(address)
        attempts = Attempts(manager.store.counters, clock=manager.clock, most=self._most)
        account = _account(name)
        try:
            await attempts.begin(account, network)
            person = await self._passwords.check(name, password)
            if person is None:
                raise WrongPassword("name or password is wrong")
        except (WrongPassword, TooManyAttempts) as exc:
            known = await self._passwords.known(name)
            running.logon_failed(address, f"{method}: {exc.code}", owner=known.name if known else "")
            raise
        await attempts.succeeded(account, network)
        return logon_of_person(person, method=method, at=manager.clock(), address=address)

    async def change(self, running: Running, name: str, password: str, fresh: str, *, address: str) -> Logon:
        """Give somebody who knows their password another one, and return a logon by it (R34).

        Raises what `logon` raises, and BadInput for what is no password.
        """
        logon = await self.logon(running, name, password, address=address)
        await self._passwords.change(name, fresh)
        return logon


def logon_of_person(person: Person, *, method: str, at: float, address: str = "") -> Logon:
    """Return the logon of somebody whose password was right."""
    return Logon(
        subject=person.name, method=method, at=at, name=person.shown or person.name, roles=person.roles, address=address
    )


def password_logon(settings: PasswordSettings) -> PasswordLogon:
    """Return what the settings say.

    Raises:
        ConfigurationError: They name no file, or it cannot be read.
    """
    if settings.file is None:
        raise ConfigurationError("[passwords] file is missing", hint="`holdfast users add --file FILE` makes one.")
    passwords = passwords_of(settings, settings.file)
    passwords.file.read()
    return PasswordLogon(
        passwords,
        Most(
            pair=settings.failures,
            account=settings.failures_per_account,
            address=settings.failures_per_address,
            window=settings.failure_window,
        ),
    )


def passwords_of(settings: PasswordSettings, file: Path) -> Passwords:
    """Return the people of a file, with costs and rules as the settings have them."""
    return Passwords(
        file,
        cost=Cost(passes=settings.passes, memory=settings.memory, lanes=settings.lanes),
        at_once=settings.at_once,
        shortest=settings.shortest,
        refused=settings.refused,
    )


def _account(name: str) -> str:
    """Return under what attempts at a name are counted, however it is written."""
    try:
        return name_of(name)
    except BadInput:
        return name
