"""Entity types as Python classes: what a `msgspec.Struct` says of its properties, in the terms of Edm.

class Order(msgspec.Struct):
    ID: Annotated[str, Key, Meta(max_length=10)]
    Note: str = ""
    Price: Decimal | None = None
    ChangedAt: Annotated[datetime | None, Computed] = None
    Version: Annotated[int, ETag] = 1
    Items: list[Item] = []          # Item has a Key of its own: a navigation property; else a complex type

`int` is Edm.Int32 and `Decimal` has any scale; `Annotated[int, Int64]` and `Annotated[Decimal, Digits(10, 2)]` ask for
others. A property may be null if its type says so. Names are those of the Struct's fields, renamed as it says. A field
that is `Hidden` is none: it is for the handler alone, such as what `edit` has taken, and is kept with the entity.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import inspect

from holdfast.errors import ConfigurationError
from holdfast.odata.errors import WrongValue

T = TypeVar("T", bound=msgspec.Struct)

Key: Final = msgspec.Meta(extra={"key": True})
Computed: Final = msgspec.Meta(extra={"computed": True})
Int64: Final = msgspec.Meta(extra={"edm": "Edm.Int64"})
Int16: Final = msgspec.Meta(extra={"edm": "Edm.Int16"})
Single: Final = msgspec.Meta(extra={"edm": "Edm.Single"})
ETag: Final = msgspec.Meta(extra={"version": True, "computed": True})
Hidden: Final = msgspec.Meta(extra={"hidden": True})

FACETS: Final = ("edm", "precision", "scale")
PLAIN: Final = (bytes, dt.datetime, dt.date, dt.time, dt.timedelta, Decimal, UUID)
EDM: Final[Mapping[type[inspect.Type], str]] = {
    inspect.StrType: "Edm.String",
    inspect.BoolType: "Edm.Boolean",
    inspect.IntType: "Edm.Int32",
    inspect.FloatType: "Edm.Double",
    inspect.DecimalType: "Edm.Decimal",
    inspect.DateTimeType: "Edm.DateTimeOffset",
    inspect.DateType: "Edm.Date",
    inspect.TimeType: "Edm.TimeOfDay",
    inspect.TimeDeltaType: "Edm.Duration",
    inspect.UUIDType: "Edm.Guid",
    inspect.BytesType: "Edm.Binary",
}


def Digits(precision: int, scale: int) -> msgspec.Meta:  # noqa: N802 - a mark like the others
    """Return the mark of a `Decimal` that has this many digits, and this many of them behind the point."""
    return msgspec.Meta(extra={"precision": precision, "scale": scale})


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """The type of a property, parameter or return value.

    `edm` is a primitive type; of an enumeration it is empty and `enum` has the members, of a structure `shape` is set.
    """

    edm: str = ""
    enum: type[Enum] | None = None
    shape: "Shape[Any] | None" = None
    collection: bool = False
    nullable: bool = False
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None

    @property
    def is_entity(self) -> bool:
        """Whether it is an entity type, or a collection of one: as a property, a navigation."""
        return self.shape is not None and bool(self.shape.key)


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A property of a structure under the name that it has in OData."""

    name: str
    attribute: str
    slot: Slot
    required: bool = False
    key: bool = False
    computed: bool = False
    version: bool = False
    default: Any = None


class Shape(Generic[T]):
    """A structured type: with a key an entity type, else a complex type."""

    def __init__(self, cls: type[T]) -> None:
        self.cls, self.name = cls, cls.__name__
        self.properties: dict[str, Property] = {}  # filled once they are known: a structure may refer to itself

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The names of the key properties."""
        return tuple(name for name, one in self.properties.items() if one.key)

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The names of all properties but the navigations."""
        return tuple(name for name, one in self.properties.items() if not one.slot.is_entity)

    @cached_property
    def navigation(self) -> tuple[str, ...]:
        """The names of the navigation properties."""
        return tuple(name for name, one in self.properties.items() if one.slot.is_entity)

    @cached_property
    def version(self) -> str:
        """The name of the property that each write changes; empty if there is none."""
        return next((name for name, one in self.properties.items() if one.version), "")

    def row(self, value: T) -> dict[str, Any]:
        """Return a value as a mapping of Python values under their names in OData, also inside of it."""
        row: dict[str, Any] = msgspec.to_builtins(value, builtin_types=PLAIN)
        return row

    def value(self, row: Mapping[str, Any], *, stored: bool = False) -> T:
        """Return the value of a mapping: as `row` made it, or of what came back from the store.

        Raises:
            WrongValue: A constraint of the class is broken; `target` names the property.
        """
        try:
            return msgspec.convert(row, self.cls, builtin_types=None if stored else PLAIN)
        except msgspec.ValidationError as exc:
            raise wrong(exc) from exc

    def key_of(self, value: T) -> tuple[Any, ...]:
        """Return the values of the key properties, in their order."""
        return tuple(getattr(value, self.properties[name].attribute) for name in self.key)


def shape_of(cls: type[T]) -> Shape[T]:
    """Return the shape of a class.

    Raises:
        ConfigurationError: A property has a type that OData cannot show.
    """
    found = _info(cls, named=cls.__name__)
    if not isinstance(found, inspect.StructType):
        raise ConfigurationError(f"{cls.__name__} is no msgspec.Struct")
    return _shape(found)


def slot_of(type_: Any, *, named: str) -> Slot:
    """Return the slot of a type annotation, as of a parameter."""
    return _slot(_info(type_, named=named), named)[0]


def shapes_in(shape: Shape[Any], known: dict[str, Shape[Any]] | None = None) -> dict[str, Shape[Any]]:
    """Return a shape and all that its properties refer to, by name.

    Raises:
        ConfigurationError: Two classes have the same name.
    """
    known = {} if known is None else known
    if known.setdefault(shape.name, shape).cls is not shape.cls:
        raise ConfigurationError(f"two classes of the service are called {shape.name}")
    for one in shape.properties.values():
        if one.slot.shape is not None and one.slot.shape.name not in known:
            shapes_in(one.slot.shape, known)
    return known


def enums_in(shapes: Mapping[str, Shape[Any]]) -> Iterator[type[Enum]]:
    """Yield the enumerations that properties of these shapes have, each once."""
    seen = {one.slot.enum: None for shape in shapes.values() for one in shape.properties.values()}
    yield from (enum for enum in seen if enum is not None)


def wrong(exc: msgspec.ValidationError) -> WrongValue:
    """Return what msgspec found wrong as an error with its target: `$.Items[0].Price` is `Items/0/Price`."""
    told = str(exc)
    message, path = told.rsplit(" - at `$", 1) if " - at `$" in told else (told, "")
    missing = _MISSING.search(message)
    steps = re.split(r"[.\[]", path.rstrip("`").replace("]", "")) + ([missing[1]] if missing else [])
    return WrongValue(message, target="/".join(filter(None, steps)))


# -- inside


_MISSING: Final = re.compile(r"missing required field `(.+)`")
_KNOWN: Final[dict[type, Shape[Any]]] = {}


def _info(type_: Any, *, named: str) -> inspect.Type:
    try:
        return inspect.type_info(type_)
    except (TypeError, NameError) as exc:
        raise ConfigurationError(f"{named} has a type that cannot be read: {exc}") from exc


def _shape(found: inspect.StructType) -> Shape[Any]:
    """Return the shape of a class, which is one and the same wherever the class is named."""
    shape = _KNOWN.get(found.cls)
    if shape is None:
        shape = _KNOWN[found.cls] = Shape(found.cls)
        try:
            for field in found.fields:
                if not _marks(field).get("hidden"):
                    shape.properties[field.encode_name] = _property(found.cls, field)
        except ConfigurationError:
            del _KNOWN[found.cls]
            raise
    return shape


def _marks(field: inspect.Field) -> Mapping[str, Any]:
    return (field.type.extra or {}) if isinstance(field.type, inspect.Metadata) else {}


def _property(cls: type, field: inspect.Field) -> Property:
    slot, marks = _slot(field.type, f"{cls.__name__}.{field.name}")
    return Property(
        name=field.encode_name,
        attribute=field.name,
        slot=slot,
        required=field.required,
        key=bool(marks.get("key")),
        computed=bool(marks.get("computed")),
        version=bool(marks.get("version")),
        default=_default(field),
    )


def _default(field: inspect.Field) -> Any:
    """Return what a property is if nobody says so, in the form of `Shape.row`."""
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return None if value is msgspec.NODEFAULT else msgspec.to_builtins(value, builtin_types=PLAIN)


def _slot(found: inspect.Type, named: str) -> tuple[Slot, dict[str, Any]]:
    """Return the slot of a type, and the marks it bears."""
    if isinstance(found, inspect.Metadata):
        slot, marks = _slot(found.type, named)
        marks = {**marks, **(found.extra or {})}
        return msgspec.structs.replace(slot, **{name: marks[name] for name in FACETS if name in marks}), marks
    if isinstance(found, inspect.UnionType):
        others = [one for one in found.types if not isinstance(one, inspect.NoneType)]
        if len(others) == 1:
            slot, marks = _slot(others[0], named)
            return msgspec.structs.replace(slot, nullable=True), marks
    if isinstance(found, inspect.CollectionType):
        slot, marks = _slot(found.item_type, named)
        if not slot.collection:
            return msgspec.structs.replace(slot, collection=True), marks
    return _single(found, named), {}


def _single(found: inspect.Type, named: str) -> Slot:
    if isinstance(found, inspect.StructType):
        return Slot(shape=_shape(found))
    if isinstance(found, inspect.EnumType) and all(isinstance(one.value, str) for one in found.cls):
        return Slot(enum=found.cls)
    edm = EDM.get(type(found))
    if edm is None:
        raise ConfigurationError(f"{named} has a type that OData cannot show: {type(found).__name__}")
    return Slot(edm=edm, max_length=getattr(found, "max_length", None))
