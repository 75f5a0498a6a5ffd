"""A tool of ours: a function with typed arguments, and what a client is told about it.

    class Greeting(msgspec.Struct, forbid_unknown_fields=True):
        name: Annotated[str, msgspec.Meta(description="Whom to greet.")]

    @tool(title="Greet", annotations=Annotations(read_only=True))
    async def greet(arguments: Greeting, context: Context) -> str:
        '''Say hello.'''
        return f"Hello, {arguments.name}"

Arguments are a msgspec struct; what is returned is text, a struct, plain values or a `ToolResult`. A plain `def` must
not wait for anything: it is run at once, and is the fastest a tool can be.
"""

import inspect
from collections.abc import Callable
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from holdfast.errors import ConfigurationError
from holdfast.mcp.dispatch import AsTask, Context
from holdfast.mcp.schema import schema_of

Handler = Callable[[Any, Context], Any]

# How a failed call looks. It stands in every output schema, for clients check failures against it too.
FAILURE: Final = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "hint": {"type": "string"}},
            "required": ["code", "message", "hint"],
        }
    },
    "required": ["error"],
}


class Annotations(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hints for clients, as the specification names them; they promise nothing about security."""

    title: str | None = None
    read_only: bool | None = msgspec.field(default=None, name="readOnlyHint")
    destructive: bool | None = msgspec.field(default=None, name="destructiveHint")
    idempotent: bool | None = msgspec.field(default=None, name="idempotentHint")
    open_world: bool | None = msgspec.field(default=None, name="openWorldHint")


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """A result that says its content itself: blocks as the specification has them, and structured content."""

    content: list[dict[str, Any]]
    structured: Any = None
    is_error: bool = False


class InputRequired(msgspec.Struct, frozen=True):
    """A result that asks the client for input first; the tool is then called again, maybe at another worker.

    Args:
        requests: What is asked for, by keys of the tool's choice: `elicitation/create`, `sampling/createMessage` or
            `roots/list`, each as `{"method": …, "params": …}`. The answers come as `context.input_responses`.
        state: What comes back as `context.request_state`; sealed, so the client can neither read nor change it.
        once: The state counts for one call only.
    """

    requests: dict[str, dict[str, Any]]
    state: Any = None
    once: bool = False


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool.

    Args:
        name: What clients call it.
        handler: `(arguments, context) -> result`, waiting or not.
        arguments: The struct its arguments are read into.
        result: The type of its structured result; None if it answers with text only.
        description: What a model reads before it chooses.
        title: What a person reads.
        task: How it runs as a task; None if it never does.
    """

    name: str
    handler: Handler
    arguments: type[msgspec.Struct]
    result: Any = None
    description: str = ""
    title: str | None = None
    annotations: Annotations | None = None
    task: AsTask | None = None

    @property
    def waits(self) -> bool:
        """Whether calling it gives something to wait for."""
        return inspect.iscoroutinefunction(self.handler) or inspect.iscoroutinefunction(
            getattr(self.handler, "__call__", None)  # noqa: B004 - an object with `async def __call__` waits too
        )

    def description_for_clients(self) -> dict[str, Any]:
        """Return the entry of `tools/list`."""
        entry: dict[str, Any] = {"name": self.name, "title": self.title, "description": self.description or None}
        entry["inputSchema"] = _of_object(self.name, schema_of(self.arguments))
        if self.result is not None:
            result = _of_object(self.name, schema_of(self.result))
            entry["outputSchema"] = {"type": "object", "anyOf": [result, FAILURE]}
        if self.annotations is not None:
            entry["annotations"] = {
                word: value for word, value in msgspec.to_builtins(self.annotations).items() if value is not None
            }
        return {word: value for word, value in entry.items() if value is not None}


def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    annotations: Annotations | None = None,
    task: AsTask | None = None,
) -> Callable[[Handler], Tool]:
    """Make a tool of a function: its types are read from its annotations, its description from its docstring."""

    def made(handler: Handler) -> Tool:
        hints = get_type_hints(handler, include_extras=True)
        parameters = [word for word in hints if word != "return"]
        if not parameters:
            raise ConfigurationError(f"{handler!r}: the first parameter of a tool must be annotated with a struct")
        return Tool(
            name=name or handler.__name__,
            handler=handler,
            arguments=hints[parameters[0]],
            result=_structured(hints.get("return")),
            description=description or inspect.getdoc(handler) or "",
            title=title,
            annotations=annotations,
            task=task,
        )

    return made


def _structured(result: Any) -> Any:
    kinds = [one for one in get_args(result) or (result,) if one is not InputRequired]
    if get_origin(result) in (Union, UnionType) and len(kinds) == 1:
        result = kinds[0]
    return None if result in (None, type(None), str, ToolResult, InputRequired, Any) else result


def _of_object(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") != "object":
        raise ConfigurationError(f"tool {name}: arguments and results must be objects, such as structs")
    return schema
