"""Qualified names: a namespace or its alias, a dot, a simple name (CSDL 4.01 §2, "Nominal types").

In a model every name has its namespace in full, so that two names of one thing are equal; documents are written with
the aliases that they declare, as people and `odata-csdl` do.
"""

import re
from collections.abc import Iterable

_QUALIFIER = re.compile(r"(?<![\w.])((?:\w+\.)+)(?=\w)")


class Names:
    """Puts namespaces for aliases and back, wherever in a name, type, path or annotation target they stand."""

    def __init__(self, declared: Iterable[tuple[str, str]]) -> None:
        """`declared`: pairs of namespace and alias, "" for none; the last alias of a namespace is the one written."""
        self._full: dict[str, str] = {}
        self._short: dict[str, str] = {}
        for namespace, alias in declared:
            self._short[namespace] = alias or namespace
            self._full[alias or namespace] = namespace
        self._in_full: dict[str, str] = {}
        self._in_short: dict[str, str] = {}

    def full(self, text: str) -> str:
        """Return a text with namespaces for aliases; what is declared nowhere stays as it is."""
        return _replaced(text, self._full, self._in_full)

    def short(self, text: str) -> str:
        """Return a text with aliases for namespaces."""
        return _replaced(text, self._short, self._in_short)


def _replaced(text: str, by: dict[str, str], known: dict[str, str]) -> str:
    """Return a text with other qualifiers; what was found before is in `known`."""
    found = known.get(text)
    if found is None:
        found = _QUALIFIER.sub(lambda match: by.get(match[1][:-1], match[1][:-1]) + ".", text)
        known[text] = found
    return found


def simple(name: str) -> str:
    """Return a qualified name without its namespace."""
    return name.rpartition(".")[2]


def namespace(name: str) -> str:
    """Return the namespace of a qualified name."""
    return name.rpartition(".")[0]
