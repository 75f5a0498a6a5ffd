"""What an administrator wants to end: one logon, a person's, an application's sessions, or all there is."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

from holdfast.errors import BadInput
from holdfast.web.administration.administrator import Administrator, Ended

What = Literal["logon", "user", "application", "all"]
WHATS: Final[tuple[What, ...]] = get_args(What)
YES: Final = "yes"


class Aim(NamedTuple):
    """What is to be ended; `name` is a handle, a principal or an application's name, and `yes` for all."""

    what: What
    name: str


def aim_of(values: Mapping[str, str]) -> Aim:
    """Return what the fields of a form or address name.

    Raises:
        BadInput: That is not one thing: nobody ends all by leaving something out.
    """
    named = [Aim(what, name) for what in WHATS if (name := values.get(what, ""))]
    if len(named) != 1 or (named[0].what == "all" and named[0].name != YES):
        raise BadInput("what is to be ended?", hint="Name a handle, user=…, application=…, or all=yes.")
    return named[0]


async def end(who: Administrator, aim: Aim) -> Ended:
    """End it."""
    match aim.what:
        case "logon":
            return await who.end(aim.name)
        case "user":
            return await who.end_user(aim.name)
        case "application":
            return await who.end_application(aim.name)
        case "all":
            return await who.end_all()
