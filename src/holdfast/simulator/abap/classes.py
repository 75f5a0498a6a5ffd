"""Which classes and interfaces a source defines, with their methods and attributes and where these stand."""

from typing import Final

import msgspec

from holdfast.simulator.abap.lexer import Statement, Token

SECTIONS: Final = ("PUBLIC", "PROTECTED", "PRIVATE")


class Component(msgspec.Struct):
    """A method, attribute, type or event."""

    name: str
    kind: str
    visibility: str
    static: bool
    token: Token
    abstract: bool = False
    redefinition: bool = False
    testing: bool = False
    optional: bool = False
    """A method with DEFAULT IGNORE or DEFAULT FAIL: need not be implemented."""


class Definition(msgspec.Struct):
    """CLASS … DEFINITION or INTERFACE. `end` is the line of its closing statement."""

    token: Token
    components: list[Component] = msgspec.field(default_factory=list)
    interfaces: dict[str, Token] = msgspec.field(default_factory=dict)
    aliases: dict[str, str] = msgspec.field(default_factory=dict)
    abstract: bool = False
    final: bool = False
    end: int = 0

    @property
    def methods(self) -> dict[str, Token]:
        """Declared methods by name, aliases included."""
        found = {c.name: c.token for c in self.components if c.kind == "method"}
        return found | dict.fromkeys(self.aliases, self.token)

    def to_implement(self) -> dict[str, Token]:
        """Return the methods that need an implementation."""
        return {c.name: c.token for c in self.components if c.kind == "method" and not (c.abstract or c.optional)}

    def alias_of(self, method: str, implemented: dict[str, Token]) -> bool:
        """Tell whether the method is implemented under an alias."""
        return any(target == method and alias in implemented for alias, target in self.aliases.items())


class Implementation(msgspec.Struct):
    """CLASS … IMPLEMENTATION: its methods with the token of their name and the line of ENDMETHOD."""

    token: Token
    methods: dict[str, Token] = msgspec.field(default_factory=dict)
    ends: dict[str, int] = msgspec.field(default_factory=dict)
    end: int = 0


class Outline(msgspec.Struct):
    """What one source holds."""

    definitions: dict[str, Definition] = msgspec.field(default_factory=dict)
    implementations: dict[str, Implementation] = msgspec.field(default_factory=dict)
    interfaces: dict[str, Definition] = msgspec.field(default_factory=dict)


KINDS: Final = {
    "METHODS": ("method", False),
    "CLASS-METHODS": ("method", True),
    "DATA": ("attribute", False),
    "CLASS-DATA": ("attribute", True),
    "CONSTANTS": ("constant", True),
    "TYPES": ("type", True),
    "EVENTS": ("event", False),
    "CLASS-EVENTS": ("event", True),
}


def outline_of(statements: list[Statement]) -> Outline:
    """Return the classes and interfaces these statements define."""
    reader = _Reader()
    for statement in statements:
        reader.take(statement)
    return reader.outline


class _Reader:
    def __init__(self) -> None:
        self.outline = Outline()
        self._definition: Definition | None = None
        self._implementation: Implementation | None = None
        self._method = ""
        self._section = "public"
        self._depth = 0

    def take(self, statement: Statement) -> None:
        words = statement.words
        if words[0] in ("CLASS", "INTERFACE") and len(words) > 1:
            self._open(statement, words)
        elif words[0] in ("ENDCLASS", "ENDINTERFACE"):
            self._close(statement)
        elif self._implementation is not None:
            self._in_implementation(self._implementation, statement, words)
        elif self._definition is not None:
            self._in_definition(self._definition, statement, words)

    def _open(self, statement: Statement, words: list[str]) -> None:
        name, token = words[1], statement.tokens[1]
        if {"DEFERRED", "LOAD", "LOCAL"}.intersection(words[2:5]):
            return
        self._section, self._depth = "public", 0
        if words[0] == "INTERFACE":
            self._definition = self.outline.interfaces.setdefault(name, Definition(token))
        elif "IMPLEMENTATION" in words[2:3]:
            self._implementation = self.outline.implementations.setdefault(name, Implementation(token))
        elif "DEFINITION" in words[2:3]:
            self._definition = Definition(token, abstract="ABSTRACT" in words, final="FINAL" in words)
            self.outline.definitions[name] = self._definition

    def _close(self, statement: Statement) -> None:
        for opened in (self._definition, self._implementation):
            if opened is not None:
                opened.end = statement.end_line
        self._definition = self._implementation = None

    def _in_implementation(self, found: Implementation, statement: Statement, words: list[str]) -> None:
        if words[0] == "METHOD" and len(words) > 1:
            self._method = words[1]
            found.methods[self._method] = statement.tokens[1]
        elif words[0] == "ENDMETHOD":
            found.ends[self._method] = statement.end_line

    def _in_definition(self, found: Definition, statement: Statement, words: list[str]) -> None:
        first = words[0]
        if first in SECTIONS and words[1:2] == ["SECTION"]:
            self._section = first.lower()
        elif first == "INTERFACES" and len(words) > 1:
            abstract = "ABSTRACT" in words or "PARTIALLY" in words
            if not abstract:
                found.interfaces[words[1]] = statement.tokens[1]
        elif first == "ALIASES" and len(words) > 3:
            found.aliases[words[1]] = words[3]
        elif first in KINDS and len(words) > 1:
            self._component(found, statement, words)

    def _component(self, found: Definition, statement: Statement, words: list[str]) -> None:
        kind, static = KINDS[words[0]]
        index = 1
        if words[1:3] in (["BEGIN", "OF"], ["END", "OF"]):
            opening = words[1] == "BEGIN"
            self._depth += 1 if opening else -1
            if not opening or self._depth > 1 or len(words) < 4:
                return
            index = 3
        elif self._depth:
            return
        found.components.append(
            Component(
                words[index],
                kind,
                self._section,
                static,
                statement.tokens[index],
                abstract="ABSTRACT" in words,
                redefinition="REDEFINITION" in words,
                testing="TESTING" in words and kind == "method",
                optional="IGNORE" in words or "FAIL" in words,
            )
        )
