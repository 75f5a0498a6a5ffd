"""`holdfast logons`: who is logged on, and ending that (S5, S19).

With the store alone, logons end here, and the identity provider of `[saml]` is told; other issuers are named, as they
were not. A site that runs tells all of its own: `--server` names the address of its administrator's API, and
HOLDFAST_ADMIN_TOKEN is sent to it.
"""

import getpass
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import anyio
import msgspec
import typer

from holdfast.cli.output import JsonOption, StoreOption, reported, show
from holdfast.cli.remote import RemoteAdministrator
from holdfast.config import Settings, data_folder, load_settings, store_url
from holdfast.core.events import visible
from holdfast.engine import Engine, open_engine
from holdfast.errors import BadInput, ConfigurationError
from holdfast.observe import AuditTrail
from holdfast.web.administration.administrator import Administrator, Ended
from holdfast.web.federation import Federation
from holdfast.web.kinds import KINDS
from holdfast.web.security import Listed
from holdfast.web.site import Security

T = TypeVar("T")
Anybody = Administrator | RemoteAdministrator

logons = typer.Typer(help="Look at logons and end them.", no_args_is_help=True)

ServerOption = Annotated[
    str, typer.Option("--server", help="Address of a site's administrator's API; default: the store alone.")
]
LocalOption = Annotated[bool, typer.Option("--local", help="Leave the issuers of logons alone.")]
HandleArgument = Annotated[str, typer.Argument(help="The logon's handle.")]
UserOption = Annotated[str, typer.Option("--user", help="Only this principal's.")]
ApplicationOption = Annotated[str, typer.Option("--application", help="Only those with sessions of this application.")]


@logons.command("list")
@reported
def list_logons(
    user: UserOption = "",
    application: ApplicationOption = "",
    store: StoreOption = None,
    server: ServerOption = "",
    as_json: JsonOption = False,
) -> None:
    """List logons. Exits 3 if the store is out of reach."""

    async def every(who: Anybody) -> list[Listed]:
        found: list[Listed] = []
        page = await who.page(user=user, application=application)
        while True:
            found += page.logons
            if not page.after:
                return found
            page = await who.page(user=user, application=application, after=page.after)

    listed, now = _run(every, store, server), time.time()
    show((_row(one, now) for one in listed), as_json=as_json, empty="nobody is logged on")


@logons.command("show")
@reported
def show_logon(
    handle: HandleArgument, store: StoreOption = None, server: ServerOption = "", as_json: JsonOption = False
) -> None:
    """Show one logon. Exits 2 if there is none of that handle."""
    one, now = _run(lambda who: who.show(handle), store, server), time.time()
    logon = one.logon
    details: Mapping[str, Any] = {
        **_row(one, now),
        "name": logon.name,
        "issuer": logon.issuer,
        "roles": ",".join(logon.roles),
        "scopes": ",".join(logon.scopes),
        "level": logon.level,
        "device": logon.device,
    }
    if as_json:
        print(visible(msgspec.json.encode(details).decode()))
        return
    for name, value in details.items():
        print(f"{name:12} {'-' if value in (None, '') else visible(str(value))}")


@logons.command("end")
@reported
def end_logons(
    handle: Annotated[str, typer.Argument(help="The logon's handle.")] = "",
    user: Annotated[str, typer.Option("--user", help="All of this principal.")] = "",
    application: Annotated[str, typer.Option("--application", help="All sessions of this application.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="All sessions there are, also those without a logon.")
    ] = False,
    local: LocalOption = False,
    store: StoreOption = None,
    server: ServerOption = "",
    as_json: JsonOption = False,
) -> None:
    """End one logon, a user's, all sessions of an application, or all; everything below a logon ends with it.

    It says at which systems somebody may still be logged on.
    """
    if sum(map(bool, (handle, user, application, everything))) != 1:
        raise BadInput("what is to be ended?", hint="Give a handle, --user, --application or --all.")

    async def end(who: Anybody) -> Ended:
        if handle:
            return await who.end(handle)
        if user:
            return await who.end_user(user)
        return await (who.end_application(application) if application else who.end_all())

    ended = _run(end, store, server, local=local)
    if as_json:
        print(visible(msgspec.json.encode(ended).decode()))
        return
    logons = "all" if everything and local else ended.logons  # then nobody has counted them
    print(f"{logons} logons and {'all' if everything else ended.sessions} other sessions were ended")
    if ended.stays:
        print(visible(f"they may still be logged on at {', '.join(ended.stays)}"))


def _run(do: Callable[[Anybody], Awaitable[T]], store: str | None, server: str, *, local: bool = True) -> T:
    settings = load_settings(store=store)

    async def run() -> T:
        async with _administrator(settings, server, local=local) as who:
            return await do(who)

    return anyio.run(run)


@asynccontextmanager
async def _administrator(settings: Settings, server: str, *, local: bool) -> AsyncIterator[Anybody]:
    if server:
        token = settings.admin_token.get_secret_value()
        async with RemoteAdministrator.at(server, token, local=local) as remote:
            yield remote
        return
    if store_url(settings).startswith("memory:"):
        raise ConfigurationError(
            "a store in memory is seen by its own server only", hint="Name the server by --server, or another store."
        )
    plain = settings.model_copy(update={"kinds": {}, "apps": {}})
    trail, url = AuditTrail(data_folder() / "audit.jsonl"), store_url(settings)
    try:
        async with open_engine(url, kinds=KINDS, settings=plain, sink=trail, keeper=False) as engine:
            told = [] if local else _federations(engine)
            yield Administrator(engine.manager, told, by=f"command line: {getpass.getuser()}", local=local)
    finally:
        trail.close()


def _federations(engine: Engine) -> list[Federation]:
    """Return the ways by which logons come from elsewhere that the settings know, and that can be told."""
    security = Security(engine=engine)
    if engine.settings.saml.metadata:
        from holdfast.web.saml import Saml  # noqa: PLC0415 - it needs an extra

        Saml(security)
    return security.federations


def _row(one: Listed, now: float) -> dict[str, Any]:
    return {
        "handle": one.handle,
        "user": one.logon.principal,
        "method": one.logon.method,
        "address": one.logon.address,
        "age": round(now - one.created_at),
        "used": round(now - one.used_at),
        "ends_in": round(one.ends_at - now),
        "applications": ",".join(one.applications),
    }
