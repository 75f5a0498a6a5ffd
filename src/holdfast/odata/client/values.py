"""Entities as Python values: what a service sends, by the types that its metadata names, and back.

Decimals stay exact, dates are dates. A value that is none of its type stays as the service sent it: the client is not
the judge of the service. What the program sets is checked before it is sent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.errors import BadInput
from holdfast.odata import edm
from holdfast.odata.csdl import Model, NavigationProperty, Property, Typed, TypeDefinition

Converter = Callable[[str, Any], Any]
Field = Typed | NavigationProperty
CONTROL: Final = "@"  # in the names of control information


def from_service(model: Model, type_name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entity or complex value; its control information, such as "@odata.etag", stays as it is."""
    return {
        name: _converted(model, *_type_of(model, type_name, name), value, _read, from_service)
        for name, value in body.items()
    }


def to_service(model: Model, type_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is sent for values that a program has set.

    Raises:
        BadInput: The type has no such property.
        EdmError: A value is none of its property's type.
    """
    fields: dict[str, Field] = {**model.properties(type_name), **model.navigation(type_name)}
    if not fields or any(each.open_type for _, each in model.line(type_name)):
        fields |= {name: Property(name=name, type="") for name in values if name not in fields}
    return written(model, fields, values, type_name)


def written(model: Model, fields: Mapping[str, Field], values: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Return what is sent for values of these properties or parameters; `of` says whose they are."""
    for name in values:
        if name not in fields and CONTROL not in name:
            raise BadInput(f"{of} has no {name}")
    return {
        name: _converted(model, fields[name].type, fields[name].collection, value, edm.to_json, to_service)
        if name in fields
        else value
        for name, value in values.items()
    }


def _type_of(model: Model, type_name: str, name: str) -> tuple[str, bool]:
    found = model.properties(type_name).get(name) or model.navigation(type_name).get(name)
    return (found.type, found.collection) if found else ("", False)


def _converted(
    model: Model,
    type_name: str,
    collection: bool,
    value: Any,
    convert: Converter,
    structured: Callable[[Model, str, Mapping[str, Any]], dict[str, Any]],
) -> Any:
    if value is None or not type_name:
        return value
    if collection:
        every = value if isinstance(value, list | tuple) else [value]
        return [_converted(model, type_name, False, each, convert, structured) for each in every]
    if isinstance(value, Mapping):
        return structured(model, type_name, value)
    defined = model.type(type_name)
    primitive = defined.underlying_type if isinstance(defined, TypeDefinition) else type_name
    return convert(primitive, value) if primitive in edm.TYPES else value


def _read(type_name: str, value: Any) -> Any:
    try:
        return edm.from_json(type_name, value, ieee754=True)  # some send numbers as text unasked
    except edm.EdmError:
        return value
