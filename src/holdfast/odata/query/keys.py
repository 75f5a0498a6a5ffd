"""What stands in brackets in a path: keys, and arguments of functions; their literals read by the model's types."""

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.odata import edm
from holdfast.odata.csdl import Action, EnumType, Function, Model, Operation, Parameter, TypeDefinition
from holdfast.odata.errors import NoSuchResource
from holdfast.odata.query.text import BadQuery, split


def key_of(model: Model, type_name: str, inside: str, aliases: Mapping[str, str]) -> dict[str, Any]:
    """Return the key in brackets, `'1'` or `OrderID=1,ItemID='a'`, as values by name.

    Raises:
        BadQuery: it is not that of the type: too few, too many, or unknown names.
        EdmError: a literal is none of its property's type; `target` is the property.
    """
    names = model.key(type_name)
    given = _given(inside, aliases)
    if "" in given and len(names) == 1:
        given = {next(iter(names)): given[""]}
    if set(given) != set(names):
        raise BadQuery(f"a key of {type_name} has the properties {', '.join(names) or 'none'}")
    return {name: _key_value(model, type_name, name, names[name], given[name]) for name in names}


def _key_value(model: Model, type_name: str, name: str, way: str, text: str) -> Any:
    for step in way.split("/"):
        found = model.properties(type_name).get(step)
        if found is None:
            raise BadQuery(f"the model has no key property {name}")
        type_name = found.type
    value = literal_value(model, type_name, text, target=name)
    if value is None:
        raise BadQuery(f"the key property {name} cannot be null", target=name)
    return value


def _given(inside: str, aliases: Mapping[str, str]) -> dict[str, str]:
    """Return what stands in brackets as texts by name; one without a name has the name ""."""
    parts = split(inside, ",")
    pairs = [_pair(part) for part in parts]
    given = {name: aliases.get(text, "null") if text.startswith("@") else text for name, text in pairs}
    if len(given) != len(pairs) or ("" in given and len(given) > 1):
        raise BadQuery("of several values in brackets each needs a name of its own")
    return given


def _pair(part: str) -> tuple[str, str]:
    parts = split(part, "=")
    if len(parts) < 2:
        return "", part.strip()
    return parts[0].strip(), part[len(parts[0]) + 1 :].strip()


def arguments_of(
    model: Model, name: str, overloads: tuple[Action | Function, ...], inside: str | None, aliases: Mapping[str, str]
) -> tuple[Action | Function, dict[str, Any]]:
    """Return the overload that is called, and its arguments.

    An action takes its own in the body. A function without parameters can be called without brackets (4.01).
    """
    actions = [one for one in overloads if isinstance(one, Action)]
    if actions:
        if inside is not None:
            raise BadQuery(f"the action {name} takes its parameters in the body")
        return actions[0], {}
    given = _given(inside or "", aliases)
    for one in overloads:
        if {parameter.name for parameter in one.arguments} == set(given):
            return one, _arguments(model, one, given)
    raise NoSuchResource(f"there is no overload of {name} with the parameters {', '.join(given) or 'none'}")


def _arguments(model: Model, operation: Operation, given: Mapping[str, str]) -> dict[str, Any]:
    return {one.name: _argument(model, one, given[one.name]) for one in operation.arguments}


def _argument(model: Model, parameter: Parameter, text: str) -> Any:
    if parameter.collection:
        return None if text == "null" else _json(text, list, parameter.name)
    value = literal_value(model, parameter.type, text, target=parameter.name)
    if value is None and not parameter.nullable:
        raise BadQuery(f"the parameter {parameter.name} cannot be null", target=parameter.name)
    return value


def literal_value(model: Model, type_name: str, text: str, *, target: str = "") -> Any:
    """Return a decoded URL literal as a value of a type: primitive, defined, enumeration (its members as text), JSON.

    Raises:
        EdmError: it is no value of that type.
        BadQuery: the JSON of a complex value cannot be read.
    """
    if text == "null":
        return None
    found = model.type(type_name)
    if isinstance(found, EnumType):
        return _members(found, type_name, model, text, target)
    if found is not None and not isinstance(found, TypeDefinition):
        return _json(text, dict, target)
    try:
        return edm.from_url(found.underlying_type if found is not None else type_name, text)
    except edm.EdmError as error:
        error.target = target
        raise


def _members(found: EnumType, type_name: str, model: Model, text: str, target: str) -> str:
    prefix, quote, rest = text.partition("'")
    members = edm.unquoted(quote + rest)
    fits = (quote and rest.endswith("'") and prefix in ("", type_name)) or model.names().full(prefix) == type_name
    if not fits or not all(name.strip() in found.members for name in members.split(",")):
        raise edm.EdmError(f"{edm.shown(text)} is not a value of {type_name}", target=target)
    return members


def _json(text: str, shape: type, target: str) -> Any:
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise BadQuery("the value cannot be read as JSON", target=target) from None
