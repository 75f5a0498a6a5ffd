"""What a flow is: receivers, steps between them, and one setting of session re-use (F15). Plain values.

In YAML a step is a mapping of one key, the kind of step; in Python it is `Step(call="erp")`. Texts marked *template*
may hold `${expression}`; texts marked *expression* are one. See `expressions` for what they can say.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
NAME: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"
FUNCTION: Final = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
GATHERING: Final = r"^(join|merge|first|last|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"
METHOD: Final = r"^[A-Z]+$"
URL: Final = r"^https?://[^/]"
PATTERNS: Final = {  # in words
    NAME: "a name of letters, digits, _ and -",
    FUNCTION: "a function, as module:function",
    GATHERING: "join, merge, first, last, or a function as module:function",
    METHOD: "an HTTP method in capitals",
    URL: "an http or https URL",
}
Name = Annotated[str, Meta(pattern=NAME, max_length=100)]
Function = Annotated[str, Meta(pattern=FUNCTION)]
Gathering = Annotated[str, Meta(pattern=GATHERING)]
Method = Annotated[str, Meta(pattern=METHOD)]
Expr = Annotated[str, Meta(min_length=1, max_length=2000, description="an expression")]
Reusing = Literal["none", "on_exchange", "on_integration_flow"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Part of a flow: an unknown key is an error."""


Steps = tuple[Annotated["Step", Meta(extra_json_schema={"minProperties": 1, "maxProperties": 1})], ...]

# -- receivers


class Auth(Part, frozen=True, kw_only=True):
    """Who calls: the name of a credential that is kept outside the flow (template)."""

    basic: str = ""
    bearer: str = ""


class Retry(Part, frozen=True, kw_only=True):
    """How a call that is safe to repeat is repeated: `times` more, after `first` seconds, each wait twice as long."""

    times: Annotated[int, Meta(ge=0, le=100)] = 2
    first: Seconds = 0.5
    most: Seconds = 30.0


class Http(Part, frozen=True, kw_only=True, tag_field="adapter", tag="http"):
    """A receiver that is called by HTTP.

    Args:
        url: Where (template; what is put in is percent-encoded).
        method: GET without a body, else POST, if it does not say.
        headers: What goes out with each call (template). Headers of the message do not, but for those in `forward`.
        timeout: Seconds until an answer has come completely.
        repeatable: A call may be carried out twice. By default as HTTP says of its method (RFC 9110 §9.2.2).
        stateful: The receiver keeps state in the session (F7); its calls are repeated only if they never reached it.
        accept_errors: An answer of 300 or more is a message like others.
        session_cookies: Names of the cookies that carry the session, if not all do.
        log_off: URL that ends the session.
    """

    url: Annotated[str, Meta(pattern=URL)]
    method: Method = ""
    auth: Auth = Auth()
    headers: dict[str, str] = {}
    forward: tuple[str, ...] = ()
    timeout: Seconds = 60.0
    retry: Retry = Retry()
    repeatable: bool | UnsetType = UNSET
    stateful: bool = False
    accept_errors: bool = False
    session_cookies: tuple[str, ...] = ()
    log_off: str = ""


Receiver = Http

# -- steps


class Call(Part, frozen=True, kw_only=True):
    """A call of a receiver, with what differs from the receiver's own settings. `path` is put behind its URL."""

    receiver: Name
    path: str = ""
    method: Method = ""
    timeout: Seconds | UnsetType = UNSET


class Script(Part, frozen=True, kw_only=True):
    """A Python function, given the message. It returns a message, or None for the same one, or else a new body."""

    function: Function
    timeout: Seconds = 60.0


class Modify(Part, frozen=True, kw_only=True):
    """New headers, properties and body (templates); one that is nothing but `${…}` keeps its type."""

    headers: dict[str, Any] = {}
    properties: dict[str, Any] = {}
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

    call: Name | Call | UnsetType = UNSET
    send: Name | Call | UnsetType = UNSET
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
        return self._given()[0][0]

    @property
    def options(self) -> Any:
        """What stands behind the key; short forms are written out."""
        kind, options = self._given()[0]
        if kind in ("call", "send") and isinstance(options, str):
            return Call(receiver=options)
        return Script(function=options) if kind == "script" and isinstance(options, str) else options

    def _given(self) -> list[tuple[str, Any]]:
        names = zip(self.__struct_encode_fields__, self.__struct_fields__, strict=True)
        return [(key, value) for key, name in names if (value := getattr(self, name)) is not UNSET]


class Flow(Part, frozen=True, kw_only=True):
    """A flow. `strict` refuses what the re-use of sessions would only warn of."""

    name: Name = field(name="flow")
    steps: Annotated[Steps, Meta(min_length=1)]
    receivers: dict[Name, Receiver] = {}
    http_session_reuse: Reusing = "none"
    strict: bool = False


STEP_KINDS: Final = Step.__struct_encode_fields__
ADAPTERS: Final = ("http",)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a flow's file, made from these types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.to_builtins(msgspec.json.schema(Flow), order="deterministic"),
    }
