"""Entities as Python values: what a service sends, by the types that its metadata names, and back.

Decimals stay exact, dates are dates. A value that is none of its type stays as the service sent it: the client is not
the judge of the service. What the program sets is checked before it is sent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.errors import BadInput
from holdfast.odata import edm
from holdfast.odata.csdl import Model, NavigationProperty, Typed, TypeDefinition

Convert = Callable[[str, Any], Any]
Structured = Callable[[Model, str, Mapping[str, Any]], dict[str, Any]]
Field = Typed | NavigationProperty
CONTROL: Final = "@"  # in the names of control information


def from_service(model: Model, type_name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity or complex value; its control information, such as "@odata.etag", stays as it is."""
    return _each(model, _fields(model, type_name), body, _read, from_service)


def to_service(model: Model, type_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is sent for values that a program has set.

    Raises:
        BadInput: The type has no such property.
        EdmError: A value is none of its property's type.
    """
    fields = _fields(model, type_name)
    if not fields or any(each.open_type for _, each in model.line(type_name)):
        return _each(model, fields, values, edm.to_json, to_service)
    return written(model, fields, values, type_name)


def written(model: Model, fields: Mapping[str, Field], values: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Return what is sent for values of these properties or parameters and no others; `of` says whose they are."""
    for name in values:
        if name not in fields and CONTROL not in name:
            raise BadInput(f"{of} has no {name}")
    return _each(model, fields, values, edm.to_json, to_service)


def _fields(model: Model, type_name: str) -> dict[str, Field]:
    return {**model.properties(type_name), **model.navigation(type_name)}


def _each(
    model: Model, fields: Mapping[str, Field], values: Mapping[str, Any], convert: Convert, structured: Structured
) -> dict[str, Any]:
    """Return values by name; of what has no type here, each as it is."""

    def one(type_name: str, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Mapping):
            return structured(model, type_name, value)
        defined = model.type(type_name)
        primitive = defined.underlying_type if isinstance(defined, TypeDefinition) else type_name
        return convert(primitive, value) if primitive in edm.TYPES else value

    def typed(field: Field, value: Any) -> Any:
        if field.collection and isinstance(value, list | tuple):
            return [one(field.type, each) for each in value]
        return one(field.type, value)

    return {name: typed(fields[name], value) if name in fields else value for name, value in values.items()}


def _read(type_name: str, value: Any) -> Any:
    try:
        return edm.from_json(type_name, value, ieee754=True)  # some send numbers as text unasked
    except edm.EdmError:
        return value
