"""Addresses and query options: text to values checked against the model, and values over plain rows.

`sql.py` turns filters and orders into SQLAlchemy's; whoever has no SQLAlchemy does not import it.
"""

from holdfast.odata.query.evaluate import chosen, compiled, found, matches, ordered
from holdfast.odata.query.expression import parse_expression
from holdfast.odata.query.keys import literal_value
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.options import Expand, Options, Order, Select, aliases_of, parse_options
from holdfast.odata.query.path import Call, Key, Member, Navigation, Path, Root, Segment, Special, parse_path
from holdfast.odata.query.search import Search, parse_search
from holdfast.odata.query.text import BadQuery

__all__ = [
    "BadQuery",
    "Call",
    "Expand",
    "Expression",
    "Key",
    "Member",
    "Navigation",
    "Options",
    "Order",
    "Path",
    "Root",
    "Search",
    "Segment",
    "Select",
    "Special",
    "aliases_of",
    "chosen",
    "compiled",
    "found",
    "literal_value",
    "matches",
    "ordered",
    "parse_expression",
    "parse_options",
    "parse_path",
    "parse_search",
]
