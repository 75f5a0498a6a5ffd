"""JSON Schema out of msgspec types, in one piece: clients and models read it without following references."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.errors import ConfigurationError

TEMPLATE: Final = "#/$defs/{name}"
_PREFIX: Final = TEMPLATE.removesuffix("{name}")


def schema_of(type_: Any) -> dict[str, Any]:
    """Return the schema of a type with every reference replaced by what it names.

    Raises:
        ConfigurationError: The type refers to itself, or has no JSON Schema.
    """
    try:
        (schema,), parts = msgspec.json.schema_components((type_,), ref_template=TEMPLATE)
    except TypeError as exc:
        raise ConfigurationError(f"{type_!r} has no JSON Schema: {exc}") from exc
    return dict(_inlined(schema, parts, ()))


def _inlined(node: Any, parts: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            return _resolved(node, parts, inside)
        return {word: _inlined(value, parts, inside) for word, value in node.items()}
    return [_inlined(value, parts, inside) for value in node] if isinstance(node, list) else node


def _resolved(node: Mapping[str, Any], parts: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    name = node["$ref"].removeprefix(_PREFIX)
    if name in inside:
        raise ConfigurationError(f"{name} refers to itself; a tool's schema must be finite")
    beside = {word: value for word, value in node.items() if word != "$ref"}
    return {**_inlined(parts[name], parts, (*inside, name)), **_inlined(beside, parts, inside)}
