"""`holdfast users`: the people of the password file, and what becomes of their logons when they change."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer

from holdfast.cli.output import JsonOption, StoreOption, reported, show
from holdfast.config import Settings, load_settings, store_url
from holdfast.core.model import Reason
from holdfast.engine import open_engine
from holdfast.errors import BadInput, ConfigurationError
from holdfast.identity.passwords import Passwords
from holdfast.identity.people import Person
from holdfast.web.kinds import KINDS
from holdfast.web.passwords import passwords_of
from holdfast.web.security import Logons, principal_of

users = typer.Typer(help="People who log on with a password.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--file", help="The password file; default: the configured one.")]
NameArgument = Annotated[str, typer.Argument(help="The name that is typed at the logon.")]
KeepOption = Annotated[bool, typer.Option("--keep-logons", help="Leave them logged on where they are.")]


@users.command()
@reported
def add(
    name: NameArgument,
    file: FileOption = None,
    role: Annotated[list[str] | None, typer.Option(help="What they are; may be given several times.")] = None,
    shown: Annotated[str, typer.Option("--display-name", help="What to call them on a page.")] = "",
) -> None:
    """Write somebody down; the password is asked for, or read as one line of stdin."""
    person = _passwords(file).add(name, _password(), roles=tuple(role or ()), shown=shown)
    print(f"{person.name} was added")


@users.command()
@reported
def passwd(
    name: NameArgument, file: FileOption = None, store: StoreOption = None, keep_logons: KeepOption = False
) -> None:
    """Set somebody's password, and end their logons. The password is asked for, or read as one line of stdin."""
    person = _passwords(file).set_password(name, _password())
    print(f"the password of {person.name} was set")
    _end_logons(person, store, Reason.SECURITY, keep=keep_logons)


@users.command()
@reported
def remove(
    name: NameArgument, file: FileOption = None, store: StoreOption = None, keep_logons: KeepOption = False
) -> None:
    """Forget somebody, and end their logons."""
    person = _passwords(file).remove(name)
    print(f"{person.name} was removed")
    _end_logons(person, store, Reason.ADMIN, keep=keep_logons)


@users.command()
@reported
def disable(name: NameArgument, file: FileOption = None, store: StoreOption = None) -> None:
    """Let somebody log on no more, and end their logons; nothing else of them is forgotten."""
    person = _passwords(file).disable(name)
    print(f"{person.name} was disabled")
    _end_logons(person, store, Reason.ADMIN, keep=False)


@users.command()
@reported
def enable(name: NameArgument, file: FileOption = None) -> None:
    """Let somebody who was disabled log on again."""
    person = _passwords(file).disable(name, disabled=False)
    print(f"{person.name} was enabled")


@users.command("list")
@reported
def list_users(file: FileOption = None, as_json: JsonOption = False) -> None:
    """List the people of the file, without their passwords."""
    people = _passwords(file).file.read().values()
    rows = (_row(one) for one in people)
    show(rows, as_json=as_json, empty="nobody")


def _row(person: Person) -> dict[str, str]:
    disabled = "disabled" if person.disabled else ""
    return {"name": person.name, "roles": ",".join(person.roles), "display name": person.shown, "state": disabled}


def _passwords(file: Path | None) -> Passwords:
    settings = load_settings()
    path = file or settings.passwords.file
    if path is None:
        raise ConfigurationError(
            "no password file is named", hint="Set [passwords] file, HOLDFAST_PASSWORDS__FILE, or give --file."
        )
    return passwords_of(settings.passwords, path)


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise BadInput("these were two different passwords")
    return password


def _end_logons(person: Person, store: str | None, reason: Reason, *, keep: bool) -> None:
    """End somebody's logons, and say how many those were."""
    settings = load_settings(store=store)
    if keep or store_url(settings).startswith("memory:"):
        print("their logons go on")
    else:
        print(f"{anyio.run(_end, person, settings, reason)} of their logons were ended")


async def _end(person: Person, settings: Settings, reason: Reason) -> int:
    plain = settings.model_copy(update={"kinds": {}, "apps": {}})
    async with open_engine(store_url(settings), kinds=KINDS, settings=plain, keeper=False) as engine:
        return await Logons(engine.manager).end_all(principal_of("", person.name), reason)
