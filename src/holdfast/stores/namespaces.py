"""What a namespace may be called at every store: it stands in names of tables, schemas, keys and channels."""

import re
from typing import Final

from holdfast.errors import ConfigurationError

NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def check_namespace(namespace: str) -> str:
    """Return the namespace if it can be used, else raise ConfigurationError."""
    if NAMESPACE.fullmatch(namespace) is None:
        raise ConfigurationError(
            f"the namespace {namespace!r} is not 1 to 64 letters, digits or ._:- that begin with a letter or digit"
        )
    return namespace
