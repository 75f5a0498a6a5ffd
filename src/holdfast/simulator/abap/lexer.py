"""ABAP source to statements: literals, templates, comments, pragmas, chained statements.

Lines and columns of tokens count from 1 and 0, as ADT positions do. The lexer never fails: what it cannot read
becomes a `Flaw` beside the statements.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec


class Token(NamedTuple):
    """A word, a literal or one of the characters `( ) [ ] : ,`."""

    text: str
    line: int
    column: int
    literal: bool = False

    @property
    def word(self) -> str:
        """The text in upper case, empty for a literal."""
        return "" if self.literal else self.text.upper()

    @property
    def end(self) -> int:
        """The column behind the token."""
        return self.column + len(self.text)


class Statement(msgspec.Struct):
    """One statement; the parts of a chain are statements of their own, the words before the colon repeated."""

    tokens: list[Token]
    terminated: bool = True
    end_line: int = 0
    end_column: int = 0
    words: list[str] = []
    """All tokens in upper case; a literal is an empty text."""

    def __post_init__(self) -> None:
        self.words = [token.word for token in self.tokens]

    @property
    def first(self) -> Token:
        """The first token."""
        return self.tokens[0]


class Flaw(NamedTuple):
    """Something the lexer could not read."""

    line: int
    column: int
    text: str


_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<comment>"[^\n]*)
      | (?P<pragma>\#\#[A-Za-z0-9_\[\]]+)
      | (?P<literal>'(?:[^'\n]|'')*'|`(?:[^`\n]|``)*`)
      | (?P<open>['`])
      | (?P<template>\|)
      | (?P<stop>\.)
      | (?P<mark>[:,()\[\]])
      | (?P<word>[^\s.:,()\[\]'`|"]+)""",
    re.VERBOSE,
)
_FOREIGN: Final = re.compile(
    r"^(?P<head>[ \t]*(?:METHOD\b[^.\n]*\bBY[ \t]+DATABASE\b[^.]*|EXEC[ \t]+SQL[^.\n]*)\.)"
    r"(?P<body>.*?)(?P<tail>^[ \t]*(?:ENDMETHOD|ENDEXEC)[ \t]*\.)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def read(source: str) -> tuple[list[Statement], list[Flaw]]:
    """Return the statements of a source and what could not be read."""
    text = _FOREIGN.sub(_blanked, source)
    lexer = _Lexer(text)
    statements = [part for whole in lexer.statements() for part in _unchained(whole)]
    return statements, lexer.flaws


def _blanked(match: re.Match[str]) -> str:
    """Empty a body that is not ABAP (SQL Script, native SQL) but keep its lines."""
    return match["head"] + "\n" * match["body"].count("\n") + match["tail"]


class _Lexer:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._line = 0
        self._column = 0
        self.flaws: list[Flaw] = []

    def statements(self) -> Iterator[Statement]:
        """Yield whole statements, chains not yet taken apart."""
        tokens: list[Token] = []
        while self._line < len(self._lines):
            for token in self._tokens_of_line():
                if token.text != "." or token.literal:
                    tokens.append(token)
                elif tokens:
                    yield Statement(tokens, True, token.line, token.column)
                    tokens = []
            self._line += 1
            self._column = 0
        if tokens:
            yield Statement(tokens, False, tokens[-1].line, tokens[-1].end)

    def _tokens_of_line(self) -> Iterator[Token]:
        if self._lines[self._line].startswith("*"):
            return
        while self._column < len(line := self._lines[self._line]):
            match = _TOKEN.match(line, self._column)
            number, column = self._line + 1, self._column
            if match is None:
                self.flaws.append(Flaw(number, column, f'Unexpected character "{line[column]}"'))
                self._column += 1
            elif match.lastgroup == "template":
                yield self._template()
            elif match.lastgroup == "open":
                self.flaws.append(Flaw(number, column, "Literals across more than one line are not allowed"))
                self._column = len(line)
                yield Token(line[column:], number, column, literal=True)
            else:
                self._column = match.end()
                if match.lastgroup in ("word", "mark", "stop", "literal"):
                    yield Token(match[0], number, column, match.lastgroup == "literal")

    def _template(self) -> Token:
        """Read a string template up to its closing bar; only its embedded expressions may cross lines."""
        start_line, start = self._line + 1, self._column
        text = self._lines[self._line]
        self._column += 1
        while self._column < len(text):
            character = text[self._column]
            if character == "\\":
                self._column += 2
            elif character == "|":
                self._column += 1
                return Token(text[start : self._column] or "|", start_line, start, literal=True)
            elif character == "{":
                self._column += 1
                if not self._expression():
                    break
                if self._lines[self._line] is not text:
                    text, start = self._lines[self._line], 0
            else:
                self._column += 1
        self.flaws.append(Flaw(start_line, start, 'The string template is not closed with "|"'))
        return Token("|", start_line, start, literal=True)

    def _expression(self) -> bool:
        """Skip an embedded expression; False if the source ends first."""
        while self._line < len(self._lines):
            while self._column < len(line := self._lines[self._line]):
                match = _TOKEN.match(line, self._column)
                if match is None:
                    self._column += 1
                elif match.lastgroup == "template":
                    self._template()
                elif match.lastgroup == "word" and "}" in match[0]:
                    self._column += match[0].index("}") + 1
                    return True
                else:
                    self._column = match.end()
            if self._line + 1 >= len(self._lines):
                return False
            self._line += 1
            self._column = 0
        return False


def _unchained(whole: Statement) -> Iterator[Statement]:
    """Yield the single statements of a chain such as `DATA: a TYPE i, b TYPE i`."""
    colon = next((index for index, token in enumerate(whole.tokens) if token.word == ":"), None)
    if colon is None:
        yield whole
        return
    head, part, depth = whole.tokens[:colon], list[Token](), 0
    for token in whole.tokens[colon + 1 :]:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.word, 0)
        if token.word == "," and depth == 0:
            if head or part:
                yield Statement([*head, *part], whole.terminated, whole.end_line, whole.end_column)
            part = []
        elif token.word != ":":
            part.append(token)
    if head or part:
        yield Statement([*head, *part], whole.terminated, whole.end_line, whole.end_column)
