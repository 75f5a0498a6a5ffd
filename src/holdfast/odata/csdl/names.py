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
        self._known: dict[str, str] = {}

    def full(self, text: str) -> str:
        """Return a text with namespaces for aliases; what is declared nowhere stays as it is."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = _replaced(text, self._full)
        return found

    def short(self, text: str) -> str:
        """Return a text with aliases for namespaces."""
        return _replaced(text, self._short)


def _replaced(text: str, by: dict[str, str]) -> str:
    if "." not in text:
        return text
    return _QUALIFIER.sub(lambda found: by.get(found[1][:-1], found[1][:-1]) + ".", text)


def simple(name: str) -> str:
    """Return a qualified name without its namespace."""
    return name.rpartition(".")[2]


def namespace(name: str) -> str:
    """Return the namespace of a qualified name."""
    return name.rpartition(".")[0]
