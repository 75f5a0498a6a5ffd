"""The tokens of an expression, in the terms of odata-query's grammar.

odata-query's own lexer takes `allergens` for `all` and `ergens`, `in ('a')` for no list, and knows no `has`, `divby`,
`/$count`, `$it`, aliases and enumerations. This one decides by position: after an operand only an operator can follow,
elsewhere none. A whole member path is one token. What neither knows is refused by its name (501).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from odata_query import ast

from holdfast.odata import edm
from holdfast.odata.errors import NotSupported
from holdfast.odata.query import nodes
from holdfast.odata.query.text import BadQuery

MOST_TOKENS: Final = 4000

_NAME: Final = r"[^\W\d]\w*"
_QUALIFIED: Final = rf"{_NAME}(?:\.{_NAME})*"
_KINDS: Final = {
    "WS": r"\s+",
    "DURATION": rf"duration'{edm.DURATION}'",
    "BINARY": r"binary'[^']*'",
    "GEOGRAPHY": r"geo(?:graphy|metry)'[^']*'",
    "ENUM": rf"(?:{_NAME}\.)+{_NAME}{edm.QUOTED}",
    "STRING": edm.QUOTED,
    "JSON_STRING": r'"(?:[^"\\]|\\.)*"',
    "GUID": rf"{edm.GUID}(?![\w-])",
    "DATETIME": edm.MOMENT,
    "DATE": rf"{edm.DATE}(?![\w-])",
    "TIME": edm.TIME,
    "DECIMAL": r"[+-]?\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)|-INF\b",
    "INTEGER": edm.INTEGER,
    "PATH": rf"(?:\$?{_NAME}(?:\.{_NAME})*|@{_QUALIFIED}(?:\#\w+)?)(?:/(?:\$?{_QUALIFIED}|@{_QUALIFIED}(?:\#\w+)?))*",
    "PUNCTUATION": r"[(),:\[\]{}-]",
}
_TOKEN: Final = re.compile(
    "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()), re.IGNORECASE | re.DOTALL
)

_OPERATORS: Final[Mapping[str, tuple[str, Any]]] = {
    "eq": ("EQ", ast.Eq()),
    "ne": ("NE", ast.NotEq()),
    "lt": ("LT", ast.Lt()),
    "le": ("LE", ast.LtE()),
    "gt": ("GT", ast.Gt()),
    "ge": ("GE", ast.GtE()),
    "and": ("AND", ast.And()),
    "or": ("OR", ast.Or()),
    "add": ("ADD", ast.Add()),
    "sub": ("SUB", ast.Sub()),
    "mul": ("MUL", ast.Mult()),
    "div": ("DIV", ast.Div()),
    "divby": ("DIV", nodes.DivBy()),
    "mod": ("MOD", ast.Mod()),
    "in": ("IN", ast.In()),
    "has": ("IN", nodes.Has()),
}
_WORDS: Final[Mapping[str, tuple[str, Any]]] = {
    "null": ("NULL", ast.Null()),
    "true": ("BOOLEAN", ast.Boolean("true")),
    "false": ("BOOLEAN", ast.Boolean("false")),
    "INF": ("DECIMAL", ast.Float("INF")),
    "NaN": ("DECIMAL", ast.Float("NaN")),
}
_LITERALS: Final[Mapping[str, Any]] = {
    "STRING": ast.String,
    "GUID": ast.GUID,
    "DATETIME": ast.DateTime,
    "DATE": ast.Date,
    "TIME": ast.Time,
    "DECIMAL": ast.Float,
    "INTEGER": ast.Integer,
}
_LAMBDAS: Final[Mapping[str, Any]] = {"any": ast.Any(), "all": ast.All()}
FUNCTIONS: Final = {
    *("concat", "contains", "endswith", "indexof", "length", "startswith", "substring", "tolower", "toupper", "trim"),
    *("year", "month", "day", "hour", "minute", "second", "fractionalseconds", "totalseconds", "date", "time", "now"),
    *("totaloffsetminutes", "mindatetime", "maxdatetime", "round", "floor", "ceiling", "hassubset", "hassubsequence"),
}
LACKING: Final = frozenset(("cast", "isof", "case", "matchespattern", "geo.distance", "geo.length", "geo.intersects"))


@dataclass(frozen=True, slots=True)
class Token:
    """What odata-query's parser asks of a token."""

    type: str
    value: Any
    index: int
    lineno: int = 1


def tokens(text: str, aliases: Mapping[str, str] | None) -> list[Token]:
    """Return the tokens of a decoded expression, the values of aliases in their place; None: it may name none.

    Raises:
        BadQuery: something in it is no token here; the message says at which position.
        NotSupported: an operator, function or literal that is OData's but not ours, by its name.
    """
    return _Lexer(text, aliases).run()


class _Lexer:
    def __init__(self, text: str, aliases: Mapping[str, str] | None) -> None:
        self._text, self._aliases = text, aliases
        self._out: list[Token] = []
        self._brackets: list[str] = []
        self._at = 0

    def run(self) -> list[Token]:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            if found is None or found.lastgroup is None:
                raise BadQuery(f"nothing can begin with {self._text[self._at]!r} at position {self._at}")
            end = found.end()
            if found.lastgroup != "WS":
                getattr(self, "_" + found.lastgroup.lower(), self._literal)(found.lastgroup, found[0], end)
            self._at = end
            if len(self._out) > MOST_TOKENS:
                raise BadQuery(f"the expression has more than {MOST_TOKENS} parts")
        return self._out

    def _put(self, kind: str, value: Any) -> None:
        self._out.append(Token(kind, value, self._at))

    @property
    def _after_operand(self) -> bool:
        return bool(self._out) and self._out[-1].type not in _BEFORE_OPERAND

    def _expects(self, comparator: type) -> bool:
        return bool(self._out) and self._out[-1].type == "IN" and isinstance(self._out[-1].value, comparator)

    def _operand(self, kind: str, value: Any) -> None:
        """Put a literal; behind `has` as a list of one, which the grammar wants of its operator of that precedence."""
        if self._expects(nodes.Has):
            self._put("(", "(")
            self._put(kind, value)
            self._put(",", ",")
            self._put(")", ")")
        else:
            self._put(kind, value)

    def _literal(self, kind: str, text: str, _end: int) -> None:
        value = edm.unquoted(text) if kind == "STRING" else text
        self._operand(kind, _LITERALS[kind](value))

    def _enum(self, _kind: str, text: str, _end: int) -> None:
        name, _, members = text.partition("'")
        self._operand("STRING", nodes.EnumValue(name, edm.unquoted("'" + members)))

    def _duration(self, _kind: str, text: str, _end: int) -> None:
        self._operand("DURATION", ast.Duration(text.partition("'")[2][:-1].upper()))

    def _binary(self, _kind: str, text: str, _end: int) -> None:
        self._operand("STRING", nodes.Binary(text.partition("'")[2][:-1]))

    def _geography(self, _kind: str, text: str, _end: int) -> None:
        kind, _, _ = text.partition("'")
        raise NotSupported(f"literals of {kind} are not supported", target="$filter")

    def _json_string(self, _kind: str, text: str, _end: int) -> None:
        if "[" not in self._brackets:
            raise BadQuery(f"a text stands in single quotes; position {self._at}")
        self._put("STRING", ast.String(_json_text(text)))

    def _punctuation(self, _kind: str, mark: str, _end: int) -> None:
        if mark == "-":
            self._put("UMINUS", ast.USub())
        elif mark in "([{":
            self._open(mark)
        elif mark in ")]}":
            self._close(mark)
        elif mark == "," and (not self._brackets or self._brackets[-1] == "("):
            raise BadQuery(f"a comma at position {self._at} is in no list")
        elif mark == ":" and not (self._out and isinstance(self._out[-1].value, ast.Identifier)):
            raise BadQuery(f"a colon at position {self._at} follows no variable")
        else:
            self._put(mark, mark)

    def _open(self, mark: str) -> None:
        is_list = self._expects(ast.In)
        if mark != "(" and not is_list:
            raise NotSupported("collections and objects as literals are not supported", target="$filter")
        is_call = bool(self._out) and self._out[-1].type in ("ODATA_IDENTIFIER", "ANY", "ALL")
        self._brackets.append("[" if is_list else "call" if is_call else "(")
        self._put("(", "(")

    def _close(self, mark: str) -> None:
        if not self._brackets:
            raise BadQuery(f"{mark} at position {self._at} closes nothing")
        if self._brackets.pop() == "[":
            self._put("NULL", nodes.Nothing()) if self._out[-1].type == "(" else None
            self._put(",", ",") if self._is_single() else None
        self._put(")", ")")

    def _is_single(self) -> bool:
        """Whether the list that ends here has one item, which odata-query wants to be followed by a comma."""
        depth = 0
        for token in reversed(self._out):
            depth += {")": 1, "(": -1}.get(token.type, 0)
            if depth < 0:
                return True
            if depth == 0 and token.type == ",":
                return False
        return True

    def _path(self, _kind: str, text: str, end: int) -> None:
        if self._after_operand:
            self._operator(text)
        elif text.lower() == "not":
            self._put("NOT", ast.Not())
        elif self._text[end : end + 1] == "(":
            self._call(text)
        elif text.lower() in ("null", "true", "false"):
            self._put(*_WORDS[text.lower()])
        elif text in _WORDS:
            self._put(*_WORDS[text])
        elif text.startswith("@") and "/" not in text and "." not in text:
            self._alias(text)
        else:
            self._put("ODATA_IDENTIFIER", _member(text.split("/")))

    def _operator(self, text: str) -> None:
        if text.lower() not in _OPERATORS:
            raise BadQuery(f"{edm.shown(text)} at position {self._at} is no operator")
        self._put(*_OPERATORS[text.lower()])

    def _call(self, text: str) -> None:
        *owner, name = text.split("/")
        if name.lower() in _LAMBDAS and owner:
            self._put("ODATA_IDENTIFIER", _member(owner))
            self._put("/", "/")
            self._put(name.upper(), _LAMBDAS[name.lower()])
        elif text.lower() in FUNCTIONS:
            self._put("ODATA_IDENTIFIER", ast.Identifier(text.lower()))
        elif text.lower() in LACKING or owner or "." in text or text.startswith("$"):
            raise NotSupported(f"{name} is not supported in an expression", target="$filter")
        else:
            raise BadQuery(f"there is no function {edm.shown(name)}")

    def _alias(self, name: str) -> None:
        """Put an alias's value in its place: null if it has none (Part 1 §11.2.5.1.3)."""
        if self._aliases is None:
            raise BadQuery("the value of an alias cannot name another")
        value = self._aliases.get(name, "null")
        if self._expects(ast.In):
            inner = tokens("$it in " + value, None)[2:]  # read as a list
        else:
            inner = tokens(value, None)
            inner = inner if len(inner) == 1 else [Token("(", "(", 0), *inner, Token(")", ")", 0)]
        for token in inner:
            self._put(token.type, token.value)


_BEFORE_OPERAND: Final = frozenset(kind for kind, _ in _OPERATORS.values()) | {"(", ",", ":", "/", "NOT", "UMINUS"}


def _json_text(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise BadQuery("a text in double quotes is no JSON string") from None


def _member(segments: list[str]) -> Any:
    """Return a member path as nested attributes."""
    first, *others = segments
    _refuse_lacking(segments)
    tree: Any = ast.Identifier(nodes.THIS if first.lower() in ("$it", "$this") else first)
    for name in others:
        tree = ast.Attribute(tree, name)
    return tree


def _refuse_lacking(segments: list[str]) -> None:
    for at, name in enumerate(segments):
        if name.startswith("@"):
            raise NotSupported(f"annotations such as {name} are not supported in an expression", target="$filter")
        if "." in name:
            raise NotSupported(f"the type cast {name} is not supported in an expression", target="$filter")
        if name.startswith("$") and not (name in ("$it", "$this") and at == 0) and not (name == "$count" and at):
            raise NotSupported(f"{name} is not supported in an expression", target="$filter")
        if name == "$count" and at != len(segments) - 1:
            raise BadQuery("nothing can follow $count")
