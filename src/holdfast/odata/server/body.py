"""What a request's JSON body says of an entity, or of an action's parameters, as values (JSON Format §5, §18)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from holdfast.odata import edm
from holdfast.odata.errors import BadRequest, NotSupported, UnsupportedType, WrongValue
from holdfast.odata.server.operations import Operation
from holdfast.odata.server.shapes import Shape, Slot

_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)  # a number keeps its digits until its type is known
DEEPEST: Final = 20


def read_object(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the JSON object of a body; nothing at all is an empty one.

    Raises:
        UnsupportedType: It says that it is no JSON.
        BadRequest: It is none.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if body and kind not in ("application/json", ""):
        raise UnsupportedType(f"the body is {kind}, not application/json")
    if not body.strip():
        return {}
    try:
        found = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise BadRequest("the body is no JSON") from exc
    if not isinstance(found, dict):
        raise BadRequest("the body is no JSON object")
    return found


def is_ieee754(content_type: str) -> bool:
    """Say whether large numbers stand as texts in a body, or are to stand in an answer."""
    return "ieee754compatible=true" in content_type.replace(" ", "").lower()


def read_entity(shape: Shape[Any], given: Mapping[str, Any], *, ieee754: bool, path: str = "") -> dict[str, Any]:
    """Return the properties that a JSON object gives, by their names, without those that the service computes.

    Raises:
        WrongValue: A property is unknown, or has a value of another type; `target` is its path.
    """
    found = {}
    for name, value in given.items():
        if "@" in name:
            _check_annotation(name)
            continue
        one, where = shape.properties.get(name), f"{path}{name}"
        if one is None:
            raise WrongValue(f"{shape.name} has no property {edm.shown(name)}", target=where)
        if not one.computed:
            found[name] = read_value(one.slot, value, ieee754=ieee754, path=where)
    return found


def read_parameters(operation: Operation, given: Mapping[str, Any], *, ieee754: bool) -> dict[str, Any]:
    """Return an action's parameters; raise WrongValue for one that is unknown, missing or of another type."""
    for name in given:
        if "@" not in name and name not in operation.parameters:
            raise WrongValue(f"{operation.name} has no parameter {edm.shown(name)}", target=name)
    found = {}
    for name, one in operation.parameters.items():
        if name in given:
            found[name] = as_argument(one.slot, read_value(one.slot, given[name], ieee754=ieee754, path=name))
        elif one.slot.nullable and not one.optional:
            found[name] = None
        elif not one.optional:
            raise WrongValue(f"{operation.name} needs the parameter {name}", target=name)
    return found


def read_value(slot: Slot, value: Any, *, ieee754: bool, path: str) -> Any:
    """Return the Python value of a JSON value; structures as mappings."""
    if path.count("/") > DEEPEST:
        raise WrongValue("the body is nested too deeply", target=path)
    if slot.collection:
        if not isinstance(value, list):
            raise WrongValue("the value is no collection", target=path)
        one = msgspec.structs.replace(slot, collection=False, nullable=False)
        return [read_value(one, each, ieee754=ieee754, path=f"{path}/{at}") for at, each in enumerate(value)]
    if value is None:
        if not slot.nullable:
            raise WrongValue("the value may not be null", target=path)
        return None
    if slot.shape is not None:
        if not isinstance(value, dict):
            raise WrongValue("the value is no JSON object", target=path)
        return read_entity(slot.shape, value, ieee754=ieee754, path=f"{path}/")
    return _read_plain(slot, value, ieee754=ieee754, path=path)


def as_argument(slot: Slot, value: Any) -> Any:
    """Return a value as the signature of a Python function wants it: structures and enumerations as their classes."""
    if slot.collection and value is not None:
        one = msgspec.structs.replace(slot, collection=False)
        return [as_argument(one, each) for each in value]
    if value is None:
        return None
    if slot.shape is not None:
        return slot.shape.value(value)
    return slot.enum(value) if slot.enum is not None else value


# -- inside


def _read_plain(slot: Slot, value: Any, *, ieee754: bool, path: str) -> Any:
    if slot.enum is not None:
        if value not in [each.value for each in slot.enum]:
            raise WrongValue(f"{edm.shown(value)} is no member of {slot.enum.__name__}", target=path)
        return value
    try:
        found = edm.from_json(slot.edm, value, ieee754=ieee754)
        edm.check_facets(slot.edm, found, max_length=slot.max_length, precision=slot.precision, scale=slot.scale)
    except edm.EdmError as exc:
        raise WrongValue(str(exc), target=path) from exc
    if isinstance(found, Decimal) and not found.is_finite():  # CSDL §7.2.4: only with Scale="floating"
        raise WrongValue(f"{edm.shown(value)} is no finite number", target=path)
    return found


def _check_annotation(name: str) -> None:
    if name.endswith("@odata.bind"):
        raise NotSupported("@odata.bind is not supported", target=name)
