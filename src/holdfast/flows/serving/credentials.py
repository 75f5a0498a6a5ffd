"""What the names in a flow's `auth` stand for: from a TOML file, and from the environment, which wins.

    [erp-user]
    user = "HOLDFAST"
    secret_file = "erp-password"      # or secret = "…"; a file's name is relative to this file

    HOLDFAST_FLOW_CREDENTIAL_ERP_USER_USER=HOLDFAST
    HOLDFAST_FLOW_CREDENTIAL_ERP_USER_SECRET=…

In a variable's name a credential's is in capitals, and every other sign than a letter or digit is `_`.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.config import FLOW_CREDENTIAL, refuse_readable_by_others
from holdfast.errors import ConfigurationError
from holdfast.flows.adapters.adapter import Credential, Credentials
from holdfast.flows.parts import Part, in_words

PARTS: Final = ("USER", "SECRET")
PLACED: Final = re.compile(r"\(at .*\)$")  # the end of what tomllib says; the rest may quote the file


class Entry(Part, frozen=True, kw_only=True):
    """A table of the file."""

    user: str = ""
    secret: str = ""
    secret_file: str = ""


def load_credentials(path: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return what knows the credentials of a file and of the environment, as they are now.

    Raises ConfigurationError: the file, or one that it names, cannot be read, others may read it, or it says nonsense.
    """
    known = _of_file(Path(path)) if path else {}
    changed = _of_environment(environment)
    places = f" in {path} or" if path else ""

    def credential(name: str) -> Credential:
        found, more = known.get(name), changed.get(_variable(name), {})
        if found is None and not more:
            there = f"; there are: {', '.join(sorted(known))}" if known else ""
            raise ConfigurationError(
                f"there is no credential {name!r}{places} in {FLOW_CREDENTIAL}…{there}",
                hint=f"Add it to the file, or set {FLOW_CREDENTIAL}{_variable(name)}_USER and …_SECRET.",
            )
        found = found or Credential("", "")
        return Credential(more.get("USER", found.user), more.get("SECRET", found.secret))

    return credential


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _of_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return user and secret by name, as it is in variables."""
    found: dict[str, dict[str, str]] = {}
    for variable, text in environment.items():
        if variable.startswith(FLOW_CREDENTIAL):
            name, _, part = variable.removeprefix(FLOW_CREDENTIAL).rpartition("_")
            if not name or part not in PARTS:
                raise ConfigurationError(f"{variable} ends neither with _USER nor with _SECRET")
            found.setdefault(name, {})[part] = text
    return found


def _of_file(path: Path) -> dict[str, Credential]:
    text = _read(path, f"the credentials {path}", protected=True)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        place = PLACED.search(str(exc))
        raise ConfigurationError(f"the credentials {path} are no TOML {place[0] if place else ''}".strip()) from None
    return {name: _credential(path, name, table) for name, table in tables.items()}


def _credential(path: Path, name: str, table: Any) -> Credential:
    place = f"{path}: [{name}]"
    try:
        entry = msgspec.convert(table, Entry)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"{place}: {in_words(str(exc))}") from None
    if bool(entry.secret) == bool(entry.secret_file):
        raise ConfigurationError(f"{place} needs either secret or secret_file")
    file = path.parent / entry.secret_file
    secret = entry.secret or _read(file, f"{place}: secret_file {entry.secret_file}").rstrip("\r\n")
    return Credential(entry.user, secret)


def _read(path: Path, what: str, *, protected: bool = False) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if protected:
                refuse_readable_by_others(path, os.fstat(file.fileno()).st_mode)
            return file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{what} cannot be read ({type(exc).__name__})") from exc
