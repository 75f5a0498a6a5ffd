"""The two names of a handler's name argument: its own (`class_name`) and `object_name` (A34)."""

from collections.abc import Mapping
from typing import Any

from holdfast.adt.mistakes import TwoNames
from holdfast.adt.types import ObjectType
from holdfast.errors import BadInput


def own_name(row: ObjectType, object_name: str, own: Mapping[str, Any]) -> str:
    """Return the object's name given under either name.

    Raises:
        TwoNames: Both were given and differ; case does not count.
        BadInput: None was given, or that of another type.
    """
    foreign = [argument for argument in own if argument != row.argument]
    if foreign:
        raise BadInput(f"a {row.word} has no {foreign[0]}", hint=f"Give its name as {row.argument}, or as object_name.")
    names = [name for name in (own.get(row.argument), object_name) if name]
    if not names:
        raise BadInput(
            f"{row.argument} is missing",
            hint=f"Give the name of the {row.title} as {row.argument}, or as object_name.",
        )
    if len({str(name).strip().upper() for name in names}) > 1:
        raise TwoNames(f"{row.argument} is {names[0]!r} and object_name is {names[1]!r}")
    return str(names[0])
