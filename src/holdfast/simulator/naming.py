"""Which names and packages are possible (ADT §9, §10)."""

import re
from typing import Final

from holdfast.simulator.kinds import CLASS, INTERFACE, PACKAGE, Kind
from holdfast.simulator.repository import Repository

MAX_NAME: Final = 30
CUSTOMER_NAME: Final = re.compile(r"(?:[YZ][A-Z0-9_]*|/[A-Z0-9_]{3,8}/[A-Z0-9_]+)")


def name_problem(kind: Kind, name: str) -> str | None:
    """Return why an object of this type cannot have this name, or None."""
    if not name:
        return "Enter a name for the object"
    if len(name) > MAX_NAME:
        return f"The name {name} is longer than {MAX_NAME} characters"
    if CUSTOMER_NAME.fullmatch(name) is None:
        return f"{kind.title} {name}: name must begin with Y, Z or a namespace and hold letters, digits and _ only"
    return None


def package_problem(repository: Repository, package: str) -> str | None:
    """Return why nothing can be created in this package, or None."""
    if not package:
        return "Enter a package"
    return None if repository.get(PACKAGE, package) is not None else f"Package {package} does not exist"


def taken(repository: Repository, kind: Kind, name: str) -> str | None:
    """Return a text that names the object if the name is in use; classes and interfaces share one name space."""
    family = (CLASS, INTERFACE) if kind in (CLASS, INTERFACE) else (kind,)
    for other in family:
        if repository.get(other, name) is not None:
            return f"{other.lock_word.capitalize()} {name} already exists"
    return None
