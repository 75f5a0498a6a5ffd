"""The syntax check: what a small compiler front end can honestly find.

Checked are literals and templates, the final period, brackets, first words of statements, balanced blocks, and per
object type: the right class or interface name, definition and implementation, every declared method implemented,
every implemented method declared, the REPORT statement. Types, names of data and called methods are not checked.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from holdfast.simulator.abap.classes import Outline, outline_of
from holdfast.simulator.abap.keywords import (
    ASSIGNMENTS,
    CLOSERS,
    EXPRESSION_STARTS,
    MIDDLES,
    STATEMENTS,
    opens_block,
)
from holdfast.simulator.abap.lexer import Statement, Token, read


class Finding(msgspec.Struct, frozen=True):
    """One message of the check. Lines count from 1, columns from 0; severity is E or W."""

    part: str
    line: int
    column: int
    end_column: int
    text: str
    severity: str = "E"


InterfaceMethods = Callable[[str], frozenset[str] | None]
"""Gives the methods of an interface by name, or None if it is not in the repository."""


class Source(msgspec.Struct):
    """One part of an object, read."""

    part: str
    text: str
    statements: list[Statement]
    outline: Outline


def check(
    object_type: str,
    name: str,
    parts: Mapping[str, str],
    *,
    interface_methods: InterfaceMethods = lambda _name: None,
) -> list[Finding]:
    """Return all findings for an object made of these parts, in reading order.

    Args:
        object_type: CLAS/OC, INTF/OI or PROG/P.
        name: The object's name; the source must define exactly this.
        parts: Source by part name, `main` and for classes the includes.
        interface_methods: Where methods of implemented interfaces are looked up.
    """
    sources: list[Source] = []
    findings: list[Finding] = []
    macros: set[str] = set()
    for part in sorted(parts, key=_reading_order):
        statements, flaws = read(parts[part])
        findings += [Finding(part, flaw.line, flaw.column, flaw.column + 1, flaw.text) for flaw in flaws]
        macros |= {words[1] for words in (s.words for s in statements) if words[0] == "DEFINE" and len(words) > 1}
        outside = _without_macros(statements)
        sources.append(Source(part, parts[part], outside, outline_of(outside)))
    for source in sources:
        findings += _statements(source, macros)
        findings += _blocks(source)
    findings += _frame(object_type, name.upper(), sources)
    findings += _methods(sources, interface_methods)
    return sorted(findings, key=lambda found: (_reading_order(found.part), found.line, found.column))


def _without_macros(statements: list[Statement]) -> list[Statement]:
    """Leave out the bodies of macros: they need not be whole statements."""
    kept, inside = [], False
    for statement in statements:
        inside = inside and statement.words[0] != "END-OF-DEFINITION"
        if not inside:
            kept.append(statement)
        inside = inside or statement.words[0] == "DEFINE"
    return kept


def _reading_order(part: str) -> int:
    order = ("macros", "definitions", "main", "implementations", "testclasses")
    return order.index(part) if part in order else len(order)


def _at(part: str, token: Token, text: str) -> Finding:
    return Finding(part, token.line, token.column, token.end, text)


def _statements(source: Source, macros: set[str]) -> Iterator[Finding]:
    for statement in source.statements:
        first = statement.first
        if not statement.terminated:
            text = "The last statement is not complete (period missing)."
            yield Finding(source.part, statement.end_line, statement.end_column, statement.end_column + 1, text)
        elif not _is_statement(statement, macros):
            text = f'Statement "{first.text}" is not defined. Check your spelling.'
            yield _at(source.part, first, text)
        else:
            yield from _brackets(source.part, statement)


def _is_statement(statement: Statement, macros: set[str]) -> bool:
    words = statement.words
    first, second = words[0], words[1] if len(words) > 1 else ""
    if second in ASSIGNMENTS or first in macros:
        return True
    if first in STATEMENTS:
        return True
    if first in EXPRESSION_STARTS:
        return len(words) > 1
    called = "->" in first or "=>" in first or second == "("
    assigned = not ASSIGNMENTS.isdisjoint(words)
    return bool(first) and (called or assigned) and first not in ("(", ")", "[", "]", ",")


def _brackets(part: str, statement: Statement) -> Iterator[Finding]:
    open_tokens: list[Token] = []
    for token in statement.tokens:
        if token.word in ("(", "["):
            open_tokens.append(token)
        elif token.word in (")", "]"):
            if not open_tokens or (open_tokens[-1].word, token.word) not in (("(", ")"), ("[", "]")):
                yield _at(part, token, f'"{token.text}" has no opening bracket')
                return
            open_tokens.pop()
    if open_tokens:
        yield _at(part, open_tokens[-1], f'"{open_tokens[-1].text}" is not closed')


def _blocks(source: Source) -> Iterator[Finding]:
    stack: list[tuple[str, Token]] = []
    for statement in source.statements:
        words, first = statement.words, statement.first
        if len(words) > 1 and words[1] in ASSIGNMENTS:
            continue
        word = words[0]
        if word in CLOSERS:
            yield from _closed(source.part, CLOSERS[word], first, stack)
        elif word in MIDDLES and (not stack or stack[-1][0] != MIDDLES[word]):
            yield _at(source.part, first, f'"{word}" stands outside of a "{MIDDLES[word]}" block')
        elif opens_block(words):
            if word == "METHOD" and [name for name, _ in stack] != ["CLASS"]:
                yield _at(source.part, first, '"METHOD" is only possible in the implementation of a class')
            stack.append((word, first))
    for word, token in reversed(stack):
        if word != "SELECT":
            yield _at(source.part, token, f'"{word}" is not closed by "{_closer(word)}"')


def _closed(part: str, opener: str, token: Token, stack: list[tuple[str, Token]]) -> Iterator[Finding]:
    while stack and stack[-1][0] == "SELECT" and opener != "SELECT":
        stack.pop()  # whether a SELECT loops is a guess, so an open one is no finding
    if stack and stack[-1][0] == opener:
        stack.pop()
        return
    if opener in [word for word, _ in stack]:
        while stack[-1][0] != opener:
            word, opened = stack.pop()
            yield _at(part, opened, f'"{word}" is not closed by "{_closer(word)}"')
        stack.pop()
    elif opener != "SELECT":
        yield _at(part, token, f'"{token.word}" has no opening "{opener}"')


def _closer(opener: str) -> str:
    return next(closer for closer, word in CLOSERS.items() if word == opener)


def _frame(object_type: str, name: str, sources: list[Source]) -> Iterator[Finding]:
    main = next((source for source in sources if source.part == "main"), None)
    if main is None:
        return
    if object_type == "CLAS/OC":
        yield from _class_frame(name, main)
    elif object_type == "INTF/OI" and name not in main.outline.interfaces:
        yield _missing(main, f'The interface "{name}" is not defined in its source')
    elif object_type == "PROG/P":
        yield from _report_frame(name, main)


def _class_frame(name: str, main: Source) -> Iterator[Finding]:
    outline = main.outline
    for found, what in ((outline.definitions, "DEFINITION"), (outline.implementations, "IMPLEMENTATION")):
        if name not in found:
            yield _missing(main, f'"CLASS {name} {what}" is missing')
        for other in found:
            if other != name:
                text = f'The source may only hold the class "{name}", not "{other}"'
                yield _at(main.part, found[other].token, text)


def _report_frame(name: str, main: Source) -> Iterator[Finding]:
    first = next((s for s in main.statements if s.words[0] in ("REPORT", "PROGRAM")), None)
    if first is None:
        yield _missing(main, "The REPORT or PROGRAM statement is missing, or the program type is INCLUDE.")
    elif len(first.words) > 1 and first.words[1] != name:
        text = f'The program is called "{name}", not "{first.words[1]}"'
        yield Finding(main.part, first.tokens[1].line, first.tokens[1].column, first.tokens[1].end, text, "W")


def _missing(source: Source, text: str) -> Finding:
    return Finding(source.part, 1, 0, len(source.text.partition("\n")[0]), text)


def _methods(sources: list[Source], interface_methods: InterfaceMethods) -> Iterator[Finding]:
    defined = {name: (source, found) for source in sources for name, found in source.outline.definitions.items()}
    built = {name: (source, found) for source in sources for name, found in source.outline.implementations.items()}
    local = {name: found.methods for source in sources for name, found in source.outline.interfaces.items()}
    for name, (source, definition) in defined.items():
        needed = definition.to_implement()
        for interface in definition.interfaces:
            methods = frozenset(local[interface]) if interface in local else interface_methods(interface)
            needed |= {f"{interface}~{m}": definition.interfaces[interface] for m in methods or ()}
        done = built[name][1].methods if name in built else {}
        if name not in built and needed and source.part != "main":
            yield _at(source.part, definition.token, f'The implementation of class "{name}" is missing')
        for method, token in needed.items() if name in built and not definition.abstract else ():
            if method not in done and not definition.alias_of(method, done):
                yield _at(source.part, token, f'Implementation missing for method "{method}"')
    for name, (source, implementation) in built.items():
        if name not in defined:
            yield _at(source.part, implementation.token, f'The definition of class "{name}" is missing')
            continue
        yield from _undeclared(source.part, name, defined[name][1].methods, implementation.methods)


def _undeclared(
    part: str, name: str, declared: Mapping[str, Token], implemented: Mapping[str, Token]
) -> Iterator[Finding]:
    for method, token in implemented.items():
        if method not in declared and "~" not in method:
            yield _at(part, token, f'Method "{method}" is not declared or inherited in class "{name}"')
