"""What an expression is made of: the nodes of odata-query, and those for what it lacks."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from odata_query import ast

THIS: Final = "$it"


@dataclass(frozen=True)
class Has(ast._Comparator):
    """`has`: the members of the right side are all in the left one."""


@dataclass(frozen=True)
class DivBy(ast._BinOpToken):
    """`divby`: a division that keeps the fraction."""


@dataclass(frozen=True)
class Binary(ast._Literal):
    """`binary'T0s='`."""

    val: str


@dataclass(frozen=True)
class EnumValue(ast._Literal):
    """`Sales.Color'Red,Blue'`: the type's name, and the members in text."""

    type: str
    val: str

    @property
    def py_val(self) -> str:
        """The members, as a row holds them."""
        return self.val


@dataclass(frozen=True)
class Nothing(ast._Literal):
    """What an empty list has in it, as odata-query's grammar knows none."""


@dataclass(frozen=True)
class Chain(ast._Node):
    """Many operands of one `and` or `or`: a filter of 500 alternatives is one node, not 500 levels."""

    op: Any
    operands: list[Any]


class Expression(msgspec.Struct, frozen=True):
    """A parsed expression: its text, and its tree."""

    text: str
    tree: Any
