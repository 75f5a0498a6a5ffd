"""The members of CSDL JSON that an element's value becomes, but for its children and annotations."""

from functools import cache
from typing import Any, Final

from msgspec import UNSET, structs

from holdfast.odata.csdl.elements import Element, IncludeAnnotations
from holdfast.odata.csdl.names import Names

NAMES: Final = frozenset(
    {"$Type", "$BaseType", "$BaseTerm", "$UnderlyingType", "$Extends", "$EntitySetPath", "$EntitySet"}
    | {"$Action", "$Function"}
)  # the facets that hold qualified names


def facets(element: Element | IncludeAnnotations, names: Names) -> dict[str, Any]:
    """Return the facets that are not what CSDL JSON takes them for if they are not there, the name among them."""
    found: dict[str, Any] = {}
    for field, name, default in _fields(type(element)):
        value = getattr(element, field)
        if value is not UNSET and (value != default or default is UNSET):
            found[name] = names.short(value) if name in NAMES else value
    return found


@cache
def _fields(kind: type) -> tuple[tuple[str, str, Any], ...]:
    return tuple(
        (each.name, each.encode_name, each.default) for each in structs.fields(kind) if each.encode_name.startswith("$")
    )
