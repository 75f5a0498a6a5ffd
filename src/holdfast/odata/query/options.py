"""The query options of a request as values: `$filter`, `$orderby`, `$select`, `$expand` with options of their own, …

System options are read with and without `$` and in any case (4.01). What this package does not do is refused by name,
never left out: an answer that ignores a filter is wrong. Source: OData Part 2 §5, Part 1 §11.2.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from holdfast.odata.csdl import Model
from holdfast.odata.errors import NotSupported
from holdfast.odata.query.check import check_expression, navigated, selected
from holdfast.odata.query.expression import parse_expression
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.path import Path
from holdfast.odata.query.search import Search, parse_search
from holdfast.odata.query.text import BadQuery, bracketed, decoded, decoded_value, split

MOST_OPTIONS: Final = 100
SYSTEM: Final = frozenset(
    ("filter", "orderby", "select", "expand", "top", "skip", "count", "search", "skiptoken", "format", "id", "levels")
)
LACKING: Final = frozenset(("apply", "compute", "deltatoken", "index", "schemaversion"))
_DIRECTION: Final = re.compile(r"(.*\S)\s+(asc|desc)", re.IGNORECASE | re.DOTALL)


What = Literal["entities", "ref", "count"]


class Order(msgspec.Struct, frozen=True):
    """One item of `$orderby`."""

    expression: Expression
    descending: bool = False


class Select(msgspec.Struct, frozen=True):
    """One item of `$select`: the names on the way to a property, or ("*",)."""

    path: tuple[str, ...]


class Expand(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `$expand`: the names on the way to a navigation property, or ("*",), and what is wanted of it."""

    path: tuple[str, ...]
    options: "Options"
    what: What = "entities"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The query options of a request or of one `$expand`; what was not said is None, empty or False."""

    filter: Expression | None = None
    search: Search | None = None
    orderby: tuple[Order, ...] = ()
    select: tuple[Select, ...] = ()
    expand: tuple[Expand, ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    skiptoken: str | None = None
    format: str = ""
    id: str = ""
    custom: dict[str, str] = {}
    aliases: dict[str, str] = {}


def parse_options(model: Model, path: Path, query: str) -> Options:
    """Return the options of a raw query string, names checked against the type that the path gives.

    Raises:
        BadQuery: an option is malformed, twice there, or names what the type has not; `target` is the option.
        NotSupported: an option or a part of an expression is OData's but not ours; the message names it.
    """
    texts = pairs(query)
    aliases = {name: text for name, text in texts if name.startswith("@")}
    system, custom = _sorted_out((name, text) for name, text in texts if not name.startswith("@"))
    if "levels" in system:
        raise BadQuery("$levels stands in an $expand", target="$levels")
    return _Reader(model, aliases).options(path.type, system, custom)


def aliases_of(query: str) -> dict[str, str]:
    """Return the parameter aliases of a raw query string, `@name` to decoded text: `parse_path` wants them."""
    return {name: text for name, text in pairs(query) if name.startswith("@")}


def pairs(query: str) -> list[tuple[str, str]]:
    """Return the options of a raw query string, decoded, in their order."""
    parts = [part for part in query.split("&") if part]
    if len(parts) > MOST_OPTIONS:
        raise BadQuery(f"the query has more than {MOST_OPTIONS} options")
    divided = (part.partition("=") for part in parts)
    return [(decoded(name), decoded_value(value)) for name, _, value in divided]


def _sorted_out(texts: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return system options by their plain names, and the custom ones."""
    system: dict[str, str] = {}
    custom: dict[str, str] = {}
    for name, text in texts:
        plain = name.removeprefix("$").lower()
        if plain in LACKING:
            raise NotSupported(f"${plain} is not supported", target=f"${plain}")
        if plain in SYSTEM:
            if plain in system:
                raise BadQuery(f"${plain} stands there twice", target=f"${plain}")
            system[plain] = text
        elif name.startswith("$"):
            raise BadQuery(f"there is no query option {name}", target=name)
        else:
            custom[name] = text
    return system, custom


class _Reader:
    """Reads the options of one level, and by a reader of its own those of each `$expand`."""

    def __init__(self, model: Model, aliases: Mapping[str, str]) -> None:
        self._model, self._aliases = model, dict(aliases)

    def options(self, type_name: str, system: Mapping[str, str], custom: dict[str, str]) -> Options:
        found = system.get
        chosen = self._expression(type_name, system["filter"], "$filter") if "filter" in system else None
        return Options(
            filter=chosen,
            search=parse_search(system["search"]) if "search" in system else None,
            orderby=tuple(self._order(type_name, item) for item in _items(found("orderby"), "$orderby")),
            select=tuple(one for item in _items(found("select"), "$select") for one in self._select(type_name, item)),
            expand=tuple(self._expand(type_name, item) for item in _items(found("expand"), "$expand")),
            top=_number(system["top"], "$top") if "top" in system else None,
            skip=_number(found("skip", "0"), "$skip"),
            count=_boolean(found("count", "false"), "$count"),
            skiptoken=found("skiptoken"),
            format=found("format", ""),
            id=found("id", ""),
            custom=custom,
            aliases=self._aliases,
        )

    def _expression(self, type_name: str, text: str, target: str) -> Expression:
        expression = parse_expression(text, self._aliases, target=target)
        check_expression(self._model, type_name, expression, target)
        return expression

    def _order(self, type_name: str, item: str) -> Order:
        words = _DIRECTION.fullmatch(item)
        text, direction = (words[1], words[2].lower()) if words else (item, "asc")
        return Order(self._expression(type_name, text, "$orderby"), direction == "desc")

    def _select(self, type_name: str, item: str) -> list[Select]:
        """Return one item of `$select`; `Address($select=City)` is that of `Address/City`."""
        way, inside = _divided(item, "$select")
        last_type = selected(self._model, type_name, way)
        if inside is None:
            return [Select(way)]
        system, _ = self._inner(inside)
        if set(system) != {"select"}:
            raise NotSupported("options in $select other than $select are not supported", target="$select")
        inner = (one for text in _items(system["select"], "$select") for one in self._select(last_type, text))
        return [Select((*way, *one.path)) for one in inner]

    def _expand(self, type_name: str, item: str) -> Expand:
        way, inside = _divided(item, "$expand")
        what: What = _WHAT.get(way[-1], "entities")
        way = way[:-1] if what != "entities" else way
        target = navigated(self._model, type_name, way)
        system, custom = self._inner(inside or "")
        levels = system.pop("levels", "1")
        if not set(system) <= _BELOW[what] or (what != "entities" and levels != "1"):
            raise BadQuery(f"{item[:60]} has an option that it cannot have", target="$expand")
        if levels != "1":
            raise NotSupported("$levels is not supported", target="$expand")
        return Expand(path=way, what=what, options=self.options(target, system, custom))

    def _inner(self, inside: str) -> tuple[dict[str, str], dict[str, str]]:
        divided = [part.strip().partition("=") for part in split(inside, ";")]
        self._aliases |= {name: text for name, _, text in divided if name.startswith("@")}
        return _sorted_out((name, text) for name, _, text in divided if not name.startswith("@"))


_WHAT: Final[Mapping[str, What]] = {"$ref": "ref", "$count": "count"}
_BELOW: Final[Mapping[What, frozenset[str]]] = {
    "entities": SYSTEM - {"format", "id", "skiptoken"},
    "ref": SYSTEM - {"format", "id", "skiptoken", "select", "expand"},
    "count": frozenset(("filter", "search")),
}


def _items(text: str | None, target: str) -> list[str]:
    """Return the items of a list with commas, none of them empty."""
    if text is None:
        return []
    items = [item.strip() for item in split(text, ",")]
    if not items or not all(items):
        raise BadQuery(f"{target} has an empty item", target=target)
    return items


def _divided(item: str, target: str) -> tuple[tuple[str, ...], str | None]:
    """Return the path and the options of an item."""
    text, inside = bracketed(item)
    way = tuple(text.split("/"))
    strange = next((name for name in way if name.startswith("@") or (name.startswith("$") and name not in _WHAT)), "")
    if strange:
        raise NotSupported(f"{strange} is not supported in {target}", target=target)
    return way, inside


def _number(text: str, target: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise BadQuery(f"{target} is a whole number that is not negative", target=target)
    return int(text)


def _boolean(text: str, target: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise BadQuery(f"{target} is true or false", target=target)
    return text.lower() == "true"
