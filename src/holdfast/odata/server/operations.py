"""Actions and functions beyond the choreography: methods of a handler, or functions of their own (O11).

class Orders(EntitySet[Order]):
    @action
    def Approve(self, row: Order, comment: str = "") -> Order: ...
    @function(collection=True)
    def Latest(self, count: int) -> list[Order]: ...
    @new_action
    def CreateFrom(self, template: str) -> Order: ...       # one of AdditionalNewActions

@action
def Reset() -> None: ...                                     # Service("Demo", Orders(), operations=[Reset])

Parameters and result are what the signature says. A parameter with a default may be left out.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar, get_type_hints, overload

import msgspec

from holdfast.errors import ConfigurationError
from holdfast.odata.server.shapes import Shape, Slot, slot_of

F = TypeVar("F", bound=Callable[..., Any])
Binding = Literal["", "entity", "collection"]
MARK: Final = "__odata__"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a decorator says of a function."""

    action: bool
    collection: bool = False
    new: bool = False


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that is not the binding one."""

    slot: Slot
    optional: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An action or function. `new`: it begins an entity in a sticky session."""

    name: str
    action: bool
    binding: Binding
    parameters: Mapping[str, Parameter]
    returns: Slot | None
    call: Callable[..., Any]
    new: bool = False


@overload
def action(method: F) -> F: ...
@overload
def action(*, collection: bool = False) -> Callable[[F], F]: ...
def action(method: Any = None, *, collection: bool = False) -> Any:
    """Mark a method or function as an action: it may change something, and is called with POST."""
    return _marked(method, Mark(action=True, collection=collection))


@overload
def function(method: F) -> F: ...
@overload
def function(*, collection: bool = False) -> Callable[[F], F]: ...
def function(method: Any = None, *, collection: bool = False) -> Any:
    """Mark a method or function as a function: it changes nothing, and is called with GET."""
    return _marked(method, Mark(action=False, collection=collection))


def new_action(method: F) -> F:
    """Mark a method as one of the AdditionalNewActions: it returns a new entity to be filled in (O2)."""
    marked: F = _marked(method, Mark(action=True, collection=True, new=True))
    return marked


def operations_of(handler: object, shape: Shape[Any]) -> dict[str, Operation]:
    """Return the operations that a handler's methods are, by name."""
    found = {name: getattr(type(handler), name, None) for name in dir(type(handler))}
    return {
        name: operation(getattr(handler, name), bound_to=shape)
        for name, method in found.items()
        if isinstance(getattr(method, MARK, None), Mark)
    }


def operation(call: Callable[..., Any], *, bound_to: Shape[Any] | None = None) -> Operation:
    """Return a decorated function as an operation.

    Raises:
        ConfigurationError: Its signature lacks a type, or has one that OData cannot show.
    """
    mark: Mark = getattr(call, MARK, None) or Mark(action=True)
    name = str(getattr(call, "__name__", call))
    hints = get_type_hints(call, include_extras=True)
    signature = list(inspect.signature(call).parameters.values())
    binding: Binding = "" if bound_to is None else "collection" if mark.collection else "entity"
    if binding == "entity":
        signature = signature[1:]
    missing = [one.name for one in signature if one.name not in hints]
    if missing:
        raise ConfigurationError(f"{name}: parameter {missing[0]} has no type")
    returned = hints.get("return", type(None))
    return Operation(
        name=name,
        action=mark.action,
        binding=binding,
        parameters={
            one.name: Parameter(
                slot=slot_of(hints[one.name], named=f"{name}({one.name})"), optional=one.default is not one.empty
            )
            for one in signature
        },
        returns=None if returned is type(None) else slot_of(returned, named=f"the result of {name}"),
        call=call,
        new=mark.new,
    )


def _marked(method: Any, mark: Mark) -> Any:
    def decorate(decorated: Any) -> Any:
        setattr(decorated, MARK, mark)
        return decorated

    return decorate if method is None else decorate(method)
