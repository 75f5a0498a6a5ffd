"""Text of queries taken apart: at separators that stand outside of quotes and brackets, and percent-decoded.

All of it is linear in the length of the text. Source: OData Part 2 (URL Conventions) §2: a path is divided at its
slashes and a query at its ampersands before anything is percent-decoded.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from holdfast.odata.errors import BadRequest

_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_STEP: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^'"()\[\]{},;=&]+|.""", re.DOTALL)
_SPACE: Final = re.compile(r"\+(?!\d\d:\d\d)(?<!\d[eE]\+)")
DEEPEST: Final = 50  # brackets in brackets


class BadQuery(BadRequest):
    """The address or a query option is not well formed, or names what is not there; `target` is the option."""

    code = "bad_query"
    default_hint = "Correct the address as the message says."


def decoded(text: str) -> str:
    """Return percent-decoded text; raise `BadQuery` if it is no UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadQuery("the address is not UTF-8") from None


def decoded_value(text: str) -> str:
    """Return the decoded value of a query option.

    A plus is a space, as most HTTP libraries encode one, but in a number's exponent and before a time zone (`+01:00`).
    """
    return decoded(_SPACE.sub(" ", text))


def split(text: str, separator: str) -> list[str]:
    """Return what stands between the separators that are in no quotes and brackets; of "" nothing."""
    if separator not in text:
        return [text] if text else []
    parts, begin = [], 0
    for at, token in top_level(text):
        if token == separator:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def top_level(text: str) -> Iterator[tuple[int, str]]:
    """Yield the tokens of a text that stand in no bracket, with their positions; raise `BadQuery` if one stays open."""
    closing: list[str] = []
    for found in _STEP.finditer(text):
        token = found[0]
        if not closing:
            yield found.start(), token
        if token in _OPENING:
            closing.append(_OPENING[token])
        elif closing and token == closing[-1]:
            closing.pop()
        elif token in (")", "]", "}", "'", '"'):
            raise BadQuery(f"the bracket or quote at position {found.start()} has no counterpart")
        if len(closing) > DEEPEST:
            raise BadQuery(f"more than {DEEPEST} brackets in brackets are too deep")
    if closing:
        raise BadQuery(f"{closing[-1]} is missing at the end")


def bracketed(text: str) -> tuple[str, str | None]:
    """Return `Name(inside)` as its name and what is in the brackets, None without any."""
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text, None
    inside = rest[:-1]
    if not rest.endswith(")"):
        raise BadQuery(f"a closing bracket is missing, or something follows it: {name}(")
    if "(" in inside or ")" in inside:
        deque(top_level(inside), 0)  # raises unless the bracket taken away was the right one
    return name, inside
