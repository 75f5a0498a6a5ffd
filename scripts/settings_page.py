"""Write docs/settings.md from the settings, the kinds of session and the commands themselves.

python scripts/settings_page.py            # `make docs`; a test fails if the page is out of date
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command

from holdfast.adt.kinds import kinds
from holdfast.backend.system import Systems
from holdfast.cli import command_line
from holdfast.config import (
    DbscSettings,
    FlowSettings,
    KindSettings,
    OAuthSettings,
    OidcSettings,
    PasswordSettings,
    SamlSettings,
    Settings,
    SystemSettings,
)
from holdfast.core.kinds import Kind
from holdfast.mcp import KINDS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
BINARY = {1024 * 1024: "MiB"}
BELOW = {
    "systems": "__NAME__URL",
    "kinds": "__NAME__IDLE",
    "apps": "__NAME__IDLE",
    "oauth": "__ISSUER",
    "oidc": "__ISSUER",
    "saml": "__METADATA",
    "passwords": "__FILE",
    "dbsc": "__ENABLED",
    "flows": "__FILES",
}  # settings that are tables

TEXT = """\
# Settings and commands

<!-- Written by scripts/settings_page.py (`make docs`) from src/holdfast/config.py: change the texts there. -->

Defaults, then `holdfast.toml` (in the working folder, else in the user's configuration folder; `HOLDFAST_CONFIG` names
another), then `HOLDFAST_*` of the environment: the later wins. An unknown setting is an error at start. In the
environment a list is JSON, as in `HOLDFAST_ALLOWED_HOSTS='["holdfast.example"]'`.

{settings}

## OAuth

With an `issuer` the server takes that authorization server's access tokens, and shows clients the way there: see
[Logon with OAuth](oauth.md).

```toml
[oauth]
issuer = "https://login.example"
resource = "https://holdfast.example/mcp"
scopes = ["mcp"]
tool_scopes = {{ UpdateClass = ["abap.write"], UpdateProgram = ["abap.write"] }}
```

{oauth}

## Logon with a password

See [Logon, logout and administration](logon.md).

```toml
[passwords]
file = "/etc/holdfast/people"
```

{passwords}

## Logons bound to a device

See [Bound to a device](web.md#bound-to-a-device).

```toml
[dbsc]
enabled = true
```

{dbsc}

## Logon at an OpenID provider

See [Logon with OpenID Connect](oidc.md).

```toml
[oidc]
issuer = "https://login.example"
client_id = "shop"
url = "https://shop.example/oidc"      # where these pages are, as browsers see it
max_age = 1800
```

{oidc}

## Logon at a SAML identity provider

See [Logon with SAML 2.0](saml.md).

```toml
[saml]
url = "https://shop.example/saml"      # where these pages are, as browsers see it
key = "secrets/saml.key"
certificate = "saml.crt"
metadata = "https://login.example/metadata"
issuer = "https://login.example/idp"
```

{saml}

## Integration flows

See [Senders](flows.md#senders).

```toml
[flows]
files = ["flows/*.yaml"]
credentials = "secrets/flows.toml"
```

{flows}

## SAP systems

Several have names in the file; what is secret may come from the environment even then, as
`HOLDFAST_SYSTEMS__DEV__PASSWORD`. One alone can be given wholly there, as below. Without any, the built-in simulator
stands in.

```toml
default_system = "dev"

[systems.dev]
url = "https://dev.example:44300"
client = "100"
user = "DEVELOPER"
password_file = "/run/secrets/dev"
```

{system}

## Clocks and limits of sessions

Per kind of session, `[kinds.NAME]`, or per application, `[apps.NAME]`; the narrowest wins, and what is left out keeps
the default of its kind.

```toml
[kinds.mcp]
idle = 1800
per_client = 100
policy = "replace_least_recent"   # or "replace_oldest", "reject"
```

{kind}

The kinds and their defaults:

{kinds}

## Commands

{commands}

Exit codes: 0 done, 1 not done, 2 wrong input or settings, 3 the store is out of reach. Errors go to stderr with a
stable code and what to do next.
"""


def page() -> str:
    """Return the page as it should be."""
    variables = {name: f"HOLDFAST_{name.upper()}{BELOW.get(name, '')}" for name in Settings.model_fields}
    oauth = {name: f"HOLDFAST_OAUTH__{name.upper()}" for name in OAuthSettings.model_fields}
    oidc = {name: f"HOLDFAST_OIDC__{name.upper()}" for name in OidcSettings.model_fields}
    saml = {name: f"HOLDFAST_SAML__{name.upper()}" for name in SamlSettings.model_fields}
    passwords = {name: f"HOLDFAST_PASSWORDS__{name.upper()}" for name in PasswordSettings.model_fields}
    dbsc = {name: f"HOLDFAST_DBSC__{name.upper()}" for name in DbscSettings.model_fields}
    flows = {name: f"HOLDFAST_FLOWS__{name.upper()}" for name in FlowSettings.model_fields}
    alone = {name: f"HOLDFAST_SAP_{name.upper()}" for name in SystemSettings.model_fields}
    return TEXT.format(
        settings=settings_table(Settings, variables),
        system=settings_table(SystemSettings, alone, heading="of `[systems.NAME]`"),
        oauth=settings_table(OAuthSettings, oauth, heading="of `[oauth]`"),
        oidc=settings_table(OidcSettings, oidc, heading="of `[oidc]`"),
        saml=settings_table(SamlSettings, saml, heading="of `[saml]`"),
        passwords=settings_table(PasswordSettings, passwords, heading="of `[passwords]`"),
        dbsc=settings_table(DbscSettings, dbsc, heading="of `[dbsc]`"),
        flows=settings_table(FlowSettings, flows, heading="of `[flows]`"),
        kind=table(("of `[kinds.NAME]`, `[apps.NAME]`", "type", "what it does"), kind_rows()),
        kinds=kinds_table(),
        commands=table(("command", "what it does"), command_rows("holdfast", get_command(command_line()))),
    )


def settings_table(model: type[BaseModel], variables: Mapping[str, str], heading: str = "setting") -> str:
    """Return one row per setting."""
    rows = (
        (f"`{name}`", f"`{variables[name]}`", type_of(field), default_of(field), field.description or "")
        for name, field in model.model_fields.items()
    )
    return table((heading, "in the environment", "type", "default", "what it does"), rows)


def kind_rows() -> Iterator[tuple[str, str, str]]:
    """Yield a row per setting of a kind; the defaults are in a table of their own."""
    for name, field in KindSettings.model_fields.items():
        yield f"`{name}`", type_of(field), field.description or ""


def type_of(field: FieldInfo) -> str:
    """Return how a reader would call a type, with its bounds."""
    signs = {"gt": ">", "ge": "≥", "le": "≤"}
    bounds = [
        f"{signs[name]} {getattr(rule, name)}" for rule in field.metadata for name in signs if hasattr(rule, name)
    ]
    return ", ".join([named(field.annotation), *bounds])


def named(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" if value else "empty" for value in arguments)
    if origin in (UnionType, Union):
        return " or ".join(named(part) for part in arguments if part is not type(None))
    if origin is list:
        return f"list of {named(arguments[0])}s" if isinstance(arguments[0], type) else f"list of {named(arguments[0])}"
    if origin is dict:
        if arguments[1] is int:
            return "table of whole numbers"
        return "tables by name" if isinstance(arguments[1], type) else f"table, each a {named(arguments[1])}"
    if annotation in (DbscSettings, FlowSettings, OAuthSettings, OidcSettings, PasswordSettings, SamlSettings):
        return "table"
    plain = {str: "text", SecretStr: "secret text", int: "whole number", float: "number", bool: "true or false"}
    return plain.get(annotation, "path" if annotation is Path else str(annotation))


def default_of(field: FieldInfo) -> str:
    """Return a default as it would be written in the file."""
    value = field.get_default()
    if field.is_required():
        return "must be given"
    if value in (None, [], {}, "") or isinstance(value, SecretStr | BaseModel):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str | list):
        return f"`{value}`"
    sizes = [f" ({value // size} {unit})" for size, unit in BINARY.items() if value >= size and not value % size]
    return f"{value}{next(iter(sizes), '')}"


def kinds_table() -> str:
    """Return the kinds of session of all faces with those clocks and limits that any of them has."""
    listed: list[Kind] = [*KINDS, *kinds(Systems({"": None}, ""), Settings())]  # type: ignore[dict-item]
    columns = [name for name in KindSettings.model_fields if any(value_of(kind, name) is not None for kind in listed)]
    shown = [name for name in columns if name not in ("slides_after", "sliding", "linger")]
    rows = ((f"`{kind.name}`", *(cell(value_of(kind, name)) for name in shown)) for kind in listed)
    return table(("kind", *(f"`{name}`" for name in shown)), rows)


def value_of(kind: Kind, name: str) -> Any:
    return getattr(kind.clocks, name) if hasattr(kind.clocks, name) else getattr(kind.limits, name)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"`{value.value}`" if hasattr(value, "value") else f"{value:g}"


def command_rows(name: str, command: Any) -> Iterator[tuple[str, str]]:
    """Yield every command that does something with the first sentence of its help."""
    below_it: Mapping[str, Any] = getattr(command, "commands", {})
    if below_it:
        for part, below in sorted(below_it.items()):
            yield from command_rows(f"{name} {part}", below)
        return
    options = [option.opts[0] for option in command.params if option.opts[0].startswith("--") and not option.hidden]
    shown = [f"`{option}`" for option in options if option not in ("--json", "--store", "--help")]
    words = re.sub(r"\s+", " ", command.help or "").strip()
    yield f"`{name}`", f"{words} {'Options: ' + ', '.join(shown) + '.' if shown else ''}".strip()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    body = [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body])


if __name__ == "__main__":
    PAGE.write_text(page())
