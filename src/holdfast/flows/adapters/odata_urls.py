"""URLs of OData: what a message brings can neither leave its literal nor its part of the URL.

Between single quotes a value becomes part of that literal, its own quotes doubled; elsewhere it may be a bare literal
only, such as a number or a GUID. A text that is nothing but `${…}` is a whole option or path that the flow has made.
Literals that are neither texts, numbers, true, false nor null are written out: `guid'${body.id}'`, `datetime'…'` in V2.

Source: OData V2 "URI Conventions" §2 and "Overview" §6, OData ABNF 4.01.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from holdfast.errors import BadInput
from holdfast.flows.expressions import IN_TEMPLATE, filled, render
from holdfast.odata.edm import quoted

IN_OPTION: Final = "'()/,:*@!$-._~"
IN_PATH: Final = IN_OPTION + "=;"
BARE: Final = re.compile(r"[\w.:+-]*", re.ASCII)

Names = Mapping[str, Any]


def path(template: str, names: Names) -> str:
    """Return the path of a resource, percent-encoded. Raises BadInput: it leads out of the service."""
    if IN_TEMPLATE.fullmatch(template):
        made = quote(render(template, names), safe=IN_PATH)
    else:
        made = "".join(quote(text, safe="'" if brought else IN_PATH) for text, brought in _pieces(template, names))
    if {".", ".."} & set(made.split("/")):
        raise BadInput("this path would lead out of the service")
    return made.strip("/")


def option(template: str, names: Names) -> str:
    """Return the value of a query option, percent-encoded."""
    if IN_TEMPLATE.fullmatch(template):
        return quote(render(template, names), safe=IN_OPTION)
    return quote("".join(text for text, _ in _pieces(template, names)), safe=IN_OPTION)


def key(template: Any, names: Names) -> str:
    """Return the key that stands behind an entity set: of one value, or of several by name.

    Raises BadInput if a value is missing: without its key, a set would be meant.
    """
    value = filled(template, names)
    if value in (None, {}) or (isinstance(value, dict) and None in value.values()):
        raise BadInput("there is no key, or only a part of it")
    return f"({arguments(value) if isinstance(value, dict) else literal(value)})"


def arguments(values: Mapping[str, Any], *, between: str = ",") -> str:
    """Return named literals, as in keys and in calls of functions."""
    return between.join(f"{quote(name)}={literal(value)}" for name, value in values.items())


def literal(value: Any) -> str:
    """Return a value as a literal, percent-encoded. Raises BadInput for a list, a mapping, bytes."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return quote(str(value))
        case str():
            return quote(quoted(value), safe="'")
    raise BadInput(f"a {type(value).__name__} is no value of a key or parameter")


def number(value: int | str, names: Names) -> str:
    """Return a count, such as that of `$top`. Raises BadInput."""
    text = render(value, names) if isinstance(value, str) else str(value)
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"{text[:40]!r} is no number of entities")
    return text


def _pieces(template: str, names: Names) -> list[tuple[str, bool]]:
    """Return a template's text in pieces, each with whether the message has brought it."""
    pieces, at, inside = [], 0, False
    for found in IN_TEMPLATE.finditer(template):
        fixed = template[at : found.start()]
        inside ^= fixed.count("'") % 2 == 1
        pieces += [(fixed, False), (_brought(found[0], names, inside=inside), True)]
        at = found.end()
    return [*pieces, (template[at:], False)]


def _brought(expression: str, names: Names, *, inside: bool) -> str:
    text = render(expression, names)
    if inside:
        return text.replace("'", "''")
    if not BARE.fullmatch(text):
        raise BadInput(f"what {expression} brings cannot stand outside single quotes")
    return text
