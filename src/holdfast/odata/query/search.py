"""`$search`: words and phrases with AND, OR, NOT and brackets; words side by side are ANDed (Part 2 §5.1.7)."""

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from holdfast.odata.query.text import BadQuery

DEEPEST: Final = 30
_TOKEN: Final = re.compile(r'\s+|(?P<mark>[()])|"(?P<phrase>(?:[^"\\]|\\["\\])*)"|(?P<word>[^\s()"]+)')


class Search(msgspec.Struct, frozen=True):
    """A word or phrase ("term", with its text), or "and", "or", "not" of other searches."""

    op: Literal["term", "and", "or", "not"]
    text: str = ""
    operands: "tuple[Search, ...]" = ()

    def finds(self, texts: Iterable[str]) -> bool:
        """Return whether texts satisfy it: a term is found within a text, whatever its case."""
        return self._holds([text.casefold() for text in texts])

    def _holds(self, texts: list[str]) -> bool:
        if self.op == "term":
            return any(self.text.casefold() in text for text in texts)
        held = (operand._holds(texts) for operand in self.operands)
        return not next(held) if self.op == "not" else any(held) if self.op == "or" else all(held)


def parse_search(text: str) -> Search:
    """Return the search that a decoded text is; raise `BadQuery`, which says where it is wrong."""
    try:
        return _Parser(text).run()
    except BadQuery as error:
        error.target = "$search"
        raise


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ("end", "")]
        self._at = 0
        self._depth = 0

    def run(self) -> Search:
        search = self._or()
        if self._next[0] != "end":
            raise BadQuery(f"{self._next[1]} cannot stand there in a search")
        return search

    @property
    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _takes(self, *token: str) -> bool:
        taken = self._next == token
        self._at += taken
        return taken

    def _operator(self, name: str) -> bool:
        """Take an operator; where no operand follows, it is a word to look for (4.01)."""
        return self._next == ("word", name) and self._tokens[self._at + 1] not in _ENDS and self._takes("word", name)

    def _or(self) -> Search:
        operands = [self._and()]
        while self._operator("OR"):
            operands.append(self._and())
        return operands[0] if len(operands) == 1 else Search("or", operands=tuple(operands))

    def _and(self) -> Search:
        operands = [self._not()]
        while self._operator("AND") or self._more():
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else Search("and", operands=tuple(operands))

    def _more(self) -> bool:
        """Whether another operand stands side by side with the last one."""
        is_or = self._next == ("word", "OR") and self._tokens[self._at + 1] not in _ENDS
        return self._next not in _ENDS and not is_or

    def _not(self) -> Search:
        if self._operator("NOT"):
            return Search("not", operands=(self._primary(),))
        return self._primary()

    def _primary(self) -> Search:
        if self._takes("mark", "("):
            return self._bracketed()
        kind, text = self._next
        if kind not in ("word", "phrase"):
            raise BadQuery("a word or a phrase is missing in the search")
        self._at += 1
        return Search("term", text)

    def _bracketed(self) -> Search:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadQuery(f"the search has more than {DEEPEST} brackets in brackets")
        inner = self._or()
        if not self._takes("mark", ")"):
            raise BadQuery("a closing bracket is missing in the search")
        self._depth -= 1
        return inner


_ENDS: Final = (("end", ""), ("mark", ")"))


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, Any]] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise BadQuery(f"{text[at]!r} at position {at} cannot stand in a search")
        if token.lastgroup:
            found.append((token.lastgroup, token[token.lastgroup].replace("\\", "")))
        at = token.end()
    return found
