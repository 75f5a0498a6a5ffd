"""What a flow is: receivers, steps between them, and one setting of session re-use (F15). Plain values.

In YAML a step is a mapping of one key, the kind of step; in Python it is `Step(call="erp")`. Texts marked *template*
may hold `${expression}`; texts marked *expression* are one. See `expressions` for what they can say.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from holdfast.flows.adapters import AnyReceiver
from holdfast.flows.parts import Call, Expr, Function, Gathering, Keeping, Name, Part, Positive, Seconds
from holdfast.flows.senders import AnySender
from holdfast.flows.sessions.cookies import JAVA, RFC6265BIS, CookiePolicy, DomainMapping

Reusing = Literal["none", "on_exchange", "on_integration_flow"]
Steps = tuple[Annotated["Step", Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})], ...]
Calling = Annotated[
    dict[str, Any],
    Meta(
        description="`receiver`, and what differs from its settings for this call",
        extra_json_schema={"properties": {"receiver": {"type": "string"}}, "required": ["receiver"]},
    ),
]

# -- steps


class Script(Part, frozen=True, kw_only=True):
    """A Python function, given the message. It returns a message, or None for the same one, or else a new body."""

    function: Function
    timeout: Seconds = 60.0


class Modify(Part, frozen=True, kw_only=True):
    """New headers, properties and body (templates); one that is nothing but `${…}` keeps its type."""

    headers: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    body: Any = UNSET
    remove_headers: tuple[str, ...] = ()
    remove_properties: tuple[str, ...] = ()


class Route(Part, frozen=True, kw_only=True):
    """Steps for messages of which `when` (expression) is true."""

    when: Expr
    do: Steps


class Router(Part, frozen=True, kw_only=True):
    """The first route whose condition holds, else `otherwise`. A message that none takes goes on as it is."""

    routes: Annotated[tuple[Route, ...], Meta(min_length=1)]
    otherwise: Steps = ()


class Loop(Part, frozen=True, kw_only=True):
    """Steps that are repeated while a condition (expression) holds, which is judged after each round.

    `check_first` judges before the first round too. More than `max` rounds are an error: no loop is without end.
    """

    while_: Expr = field(name="while")
    max: Annotated[int, Meta(ge=1, le=1_000_000)]
    do: Annotated[Steps, Meta(min_length=1)]
    check_first: bool = False


class Split(Part, frozen=True, kw_only=True):
    """Steps for each item of `over` (expression for a list); then the body is the list of their bodies, in order."""

    do: Annotated[Steps, Meta(min_length=1)]
    over: Expr = "body"
    parallel: bool = False
    workers: Positive = 16


class Multicast(Part, frozen=True, kw_only=True):
    """The same message into several branches; then the body is the list of their bodies, in order."""

    branches: Annotated[tuple[Annotated[Steps, Meta(min_length=1)], ...], Meta(min_length=1)]
    parallel: bool = False
    workers: Positive = 16


class Try(Part, frozen=True, kw_only=True):
    """Steps, and what is done with the message as it was before them if one fails: `properties.error` tells how."""

    do: Annotated[Steps, Meta(min_length=1)]
    on_error: Steps


class Step(Part, frozen=True, kw_only=True):
    """One step: exactly one of these keys, or ValueError."""

    call: Name | Calling | UnsetType = UNSET
    send: Name | Calling | UnsetType = UNSET
    script: Function | Script | UnsetType = UNSET
    modify: Modify | UnsetType = UNSET
    router: Router | UnsetType = UNSET
    filter: Expr | UnsetType = UNSET
    loop: Loop | UnsetType = UNSET
    split: Split | UnsetType = UNSET
    multicast: Multicast | UnsetType = UNSET
    gather: Gathering | UnsetType = UNSET
    try_: Try | UnsetType = field(name="try", default=UNSET)

    def __post_init__(self) -> None:
        kinds = [kind for kind, _ in self._given()]
        if len(kinds) != 1:
            raise ValueError(f"A step has exactly one kind, this one has {', '.join(kinds) or 'none'}")

    @property
    def kind(self) -> str:
        """Its key in YAML."""
        return next(self._given())[0]

    @property
    def options(self) -> Any:
        """What stands behind the key; short forms are written out."""
        kind, options = next(self._given())
        if kind in ("call", "send"):
            changes = {"receiver": options} if isinstance(options, str) else dict(options)
            return Call(str(changes.pop("receiver", "")), changes)
        return Script(function=options) if kind == "script" and isinstance(options, str) else options

    def _given(self) -> Iterator[tuple[str, Any]]:
        for key, name in zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True):
            if (value := getattr(self, name)) is not UNSET:
                yield key, value


class Flow(Part, frozen=True, kw_only=True):
    """A flow.

    Args:
        strict: What the re-use of sessions would only warn of is refused.
        domain_mappings: What virtual hosts are called inside, so that their cookies match (F9).
        cookie_policy: `java` is SAP Cloud Integration's; see `holdfast.flows.cookies`.
        log: Which messages are kept in the log: `all`, those with `errors`, `none`; see `holdfast.flows.monitoring`.
    """

    name: Name = field(name="flow")
    steps: Annotated[Steps, Meta(min_length=1)]
    sender: AnySender | None = None
    receivers: dict[Name, AnyReceiver] = field(default_factory=dict)
    http_session_reuse: Reusing = "none"
    strict: bool = False
    domain_mappings: tuple[DomainMapping, ...] = ()
    cookie_policy: Literal["rfc6265bis", "java"] = "rfc6265bis"
    log: Keeping = "all"

    @property
    def cookie_rules(self) -> dict[str, Any]:
        """What a `Deployment` takes of them."""
        policy: CookiePolicy = JAVA if self.cookie_policy == "java" else RFC6265BIS
        return {"policy": policy, "mappings": self.domain_mappings}


STEP_KINDS: Final = Step.__struct_encode_fields__


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a flow's file, made from these types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.to_builtins(msgspec.json.schema(Flow), order="deterministic"),
    }
